"""The engine on tiny random checkpoints: the same numbers as transformers, however prompts are packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_tiny import WORDS, config, write
from rankrag import prompts, types
from rankrag.errors import FailureError, InvalidInputError, NotFoundError
from rankrag.model.engine import packed
from rankrag.model.engine.blocks import Blocks
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.engine.network import tried
from rankrag.model.engine.packed import Packing, Segment
from rankrag.model.engine.weights import load_weights
from rankrag.types import Passage, Prompt, Question

QUESTION = Question("q", "Where was Marie Curie born?")
PASSAGES = [Passage(str(n), WORDS[n : 40 + 13 * n]) for n in range(7)]
ASKED = [prompts.rank(QUESTION, passage, prompts.PAPER) for passage in PASSAGES]
LABELS = prompts.PAPER.labels()
CHOICES = (*LABELS, types.ASKED)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products gain nothing from more threads, and wait for them on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("llama"), config("llama"))


def naive(folder: Path, asked: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
    """Return what transformers says: its own tokenizer, a whole forward pass for each prompt and choice."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    table = np.zeros((len(asked), len(choices)))
    for p, prompt in enumerate(asked):
        for c, choice in enumerate(choices):
            text = prompt.prefix + prompt.suffix
            first, last = (len(prompt.prefix) + place for place in prompt.asked)
            if choice != types.ASKED:
                first, last, text = len(text), len(text + choice), text + choice
            encoded = tokenizer(text, return_offsets_mapping=True)
            whole, offsets = encoded.input_ids, encoded.offset_mapping
            with torch.inference_mode():
                scores = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            inside = [n for n, (_, end) in enumerate(offsets) if first < end <= last]
            table[p, c] = sum(scores[n - 1, whole[n]].item() for n in inside)
    return table


@pytest.mark.parametrize(
    ("kind", "changes", "packs"),
    [
        ("llama", {}, True),
        ("llama", {"num_key_value_heads": 4, "attention_bias": True}, True),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, False),
        ("qwen2", {}, True),
        ("qwen2", {"hidden_size": 56, "num_attention_heads": 14, "head_dim": 4}, True),
        ("qwen3", {}, True),
        pytest.param("mistral", {"sliding_window": 4096}, True, marks=pytest.mark.slow),
        ("mistral", {"sliding_window": 64}, True),
        pytest.param(
            "granite", {"residual_multiplier": 0.5, "embedding_multiplier": 3.0}, True, marks=pytest.mark.slow
        ),
        pytest.param(
            "qwen2_moe", {"num_experts": 4, "moe_intermediate_size": 32}, True, marks=pytest.mark.slow
        ),
        pytest.param(
            "gemma2", {"attn_logit_softcapping": 5.0, "sliding_window": 4096}, False, marks=pytest.mark.slow
        ),
        pytest.param(
            "gpt2",
            {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
            None,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_architecture_agrees_with_the_naive_loop(
    tmp_path: Path, kind: str, changes: dict[str, object], packs: bool | None
) -> None:
    folder = write(tmp_path, config(kind, **changes))
    lm = LocalLanguageModel(folder)
    wanted = naive(folder, ASKED, CHOICES)
    assert np.ptp(wanted[:, 0]) > 0.05  # the passages matter, so a mix-up would show
    for _ in range(2):
        found = lm.logprobs(ASKED, CHOICES)
        assert found.shape == (7, 3)
        assert found.dtype == np.float64
        assert np.abs(found - wanted)[:, :2].max() < 2e-5
        assert np.abs(found - wanted)[:, 2].max() < 1e-4  # the sum of many tokens
    if packs is not None:
        assert (lm.cache.n_bytes > 0) == (packs and changes.get("sliding_window") != 64)


@pytest.mark.parametrize(("kind", "quick"), [("llama", True), ("qwen3", True), ("granite", False)])
def test_the_quick_way_is_taken_where_it_gives_what_the_model_gives(
    tmp_path: Path, kind: str, quick: bool
) -> None:
    """Granite has the parts of Llama, put together with other factors."""
    changes = {"residual_multiplier": 0.5} if kind == "granite" else {}
    calls: list[int] = []
    lm = LocalLanguageModel(write(tmp_path, config(kind, **changes)))
    lm._network.model.register_forward_pre_hook(lambda *_: calls.append(1))
    lm.logprobs(ASKED, LABELS)
    assert (not calls) == quick


@pytest.mark.parametrize("vocabulary", [40, 300, 49_152, 151_936])
def test_the_ways_are_compared_on_words_and_not_on_control_tokens(vocabulary: int) -> None:
    """After control tokens a trained model was so far off in 16 bits that int8 was refused."""
    rows = tried(vocabulary)
    assert len({len(row) for row in rows}) > 1
    assert all(len(row) > 4 for row in rows), "four tokens of every other are its past"
    tokens = [token for row in rows for token in row]
    assert max(tokens) < vocabulary
    assert min(tokens) >= (1000 if vocabulary > 40_000 else 0)


@pytest.mark.parametrize("kind", ["llama", "granite"])
def test_relevances_of_16_bits_do_not_tie(tmp_path: Path, kind: str) -> None:
    """Logits that leave the head in bfloat16 are rounded to an eighth where they are large."""
    folder = write(tmp_path, config(kind))
    half, whole = (LocalLanguageModel(folder, precision=bits) for bits in ("bfloat16", "float32"))
    logits = half._network.pass_through([1, 2, 3], [0, 1, 2], [2], Packing([Segment([1, 2, 3])]))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())
    found, wanted = (lm.logprobs(ASKED, LABELS) for lm in (half, whole))
    assert len(set(found[:, 0] - found[:, 1])) == len(ASKED)
    assert np.abs(found - wanted).max() < 0.1
    assert half._network.window == whole._network.window, "both paths agree in 16 bits, too"


def test_the_vocabulary_of_16_bits_is_exact_where_it_matters(tmp_path: Path) -> None:
    model = load_weights(write(tmp_path, config("llama")), None, "cpu", "bfloat16")
    blocks = Blocks(model)
    ends = 50 * torch.randn(3, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    weight: Any = model.lm_head.weight
    with torch.inference_mode():
        wanted = ends @ weight.float().t()
        least = wanted.mean(0).argsort()[:5].tolist()
        found = blocks.logits(ends, least)
        rough = blocks.logits(ends)
    assert torch.allclose(found[:, least], wanted[:, least], atol=1e-4)
    assert not torch.allclose(rough[:, least], wanted[:, least], atol=1e-2)
    assert torch.equal(found.argmax(1), wanted.argmax(1))
    assert torch.allclose(found.amax(1), wanted.amax(1), atol=1e-4)


def test_the_vocabulary_is_read_once_for_many_chunks(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr("rankrag.model.engine.local._CHUNK_TOKENS", {"cpu": 100})
    lm = LocalLanguageModel(llama)
    read = Blocks.logits

    def counted(blocks: Blocks, ends: torch.Tensor, tokens: Sequence[int] = ()) -> torch.Tensor:
        calls.append(len(ends))
        return read(blocks, ends, tokens)

    monkeypatch.setattr(Blocks, "logits", counted)
    lm.logprobs(ASKED, LABELS)
    assert calls == [len(ASKED)]


@pytest.mark.parametrize(("n_own", "n_seen"), [(1, 1), (1, 90), (70, 70), (150, 200)])
def test_heads_that_share_keys_attend_alike_in_one_product(n_own: int, n_seen: int) -> None:
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(n_own, 6, 8, generator=draw)
    seen = torch.randn(n_seen, 2, 8, generator=draw), torch.randn(n_seen, 2, 8, generator=draw)
    wanted = packed._attention(query, seen, 0.3)
    hidden = torch.ones(n_own, n_own, dtype=torch.bool).triu_(1)
    assert torch.allclose(packed._grouped(query, seen, hidden, 0.3), wanted, atol=1e-5)
    halves = packed._attention(query.bfloat16(), (seen[0].bfloat16(), seen[1].bfloat16()), 0.3)
    assert halves.dtype == torch.bfloat16
    assert torch.allclose(halves.float(), wanted, atol=0.05)


def test_what_is_remembered_changes_nothing(llama: Path) -> None:
    lm = LocalLanguageModel(llama)
    wanted = naive(llama, ASKED, CHOICES)
    others = [prompts.rank(Question("q", "And owls?"), passage, prompts.PAPER) for passage in PASSAGES]
    lm.logprobs(others[2:5], CHOICES)  # three of the prefixes are known now, under another question
    for order in ([6, 0, 3, 1, 5, 2, 4], [3], [4, 4, 0]):
        found = lm.logprobs([ASKED[n] for n in order], CHOICES)
        assert np.abs(found - wanted[order]).max() < 2e-5


@pytest.mark.parametrize("limit", [0, 10_000, 60_000])
def test_the_cache_keeps_its_limit(llama: Path, limit: int) -> None:
    lm = LocalLanguageModel(llama)
    lm.cache.limit = limit
    wanted = naive(llama, ASKED, LABELS)
    for _ in range(3):
        assert np.abs(lm.logprobs(ASKED, LABELS) - wanted).max() < 2e-5
        assert lm.cache.n_bytes <= limit
    assert (lm.cache.n_bytes > 0) == (limit == 60_000)


def test_many_chunks_are_as_good_as_one(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankrag.model.engine.local._CHUNK_TOKENS", {"cpu": 100})
    found = LocalLanguageModel(llama).logprobs(ASKED, CHOICES)
    assert np.abs(found - naive(llama, ASKED, CHOICES)).max() < 2e-5


def test_a_choice_of_several_tokens_has_the_sum_of_its_tokens(llama: Path) -> None:
    choices = [" True", " Falsehood", " zebra crossing", " Tr"]
    found = LocalLanguageModel(llama).logprobs(ASKED[:3], choices)
    assert np.abs(found - naive(llama, ASKED[:3], choices)).max() < 5e-5


def test_a_start_token_is_written_once_if_the_tokenizer_writes_it(tmp_path: Path) -> None:
    folder = write(tmp_path, config("llama"), start=True)
    lm = LocalLanguageModel(folder)
    assert np.abs(lm.logprobs(ASKED, LABELS) - naive(folder, ASKED, LABELS)).max() < 2e-5
    assert lm.context_length == 511
    assert lm.n_tokens("a b") == LocalLanguageModel(folder).n_tokens("a b") == 2


def test_a_card_may_bound_the_context_of_a_base(llama: Path) -> None:
    lm = LocalLanguageModel(llama, context_length=20)
    assert lm.context_length == 20
    with pytest.raises(InvalidInputError, match="wanted at most 20: shorten its passages"):
        lm.logprobs(ASKED, LABELS)
    assert LocalLanguageModel(llama, context_length=1 << 20).context_length == 512, "not more than it takes"


def test_no_prompts_and_no_choices(llama: Path) -> None:
    lm = LocalLanguageModel(llama)
    assert lm.logprobs([], LABELS).shape == (0, 2)
    assert lm.logprobs(ASKED[:2], []).shape == (2, 0)


def test_prompts_without_prefix_or_suffix(llama: Path) -> None:
    asked = [Prompt("", "Owls hunt"), Prompt("Owls hunt", ""), Prompt("Owls", " hunt")]
    found = LocalLanguageModel(llama).logprobs(asked, LABELS)
    assert np.abs(found - naive(llama, asked, LABELS)).max() < 2e-5


def test_prompts_that_cannot_be_read_are_refused(llama: Path) -> None:
    lm = LocalLanguageModel(llama)
    with pytest.raises(InvalidInputError, match="empty prompt"):
        lm.logprobs([Prompt("", "")], LABELS)
    with pytest.raises(InvalidInputError, match="wanted at most 512"):
        lm.logprobs([Prompt("owl " * 600, "x")], LABELS)
    with pytest.raises(InvalidInputError, match="wanted at most 512"):
        lm.generate(Prompt("owl " * 600, "x"), 5)
    with pytest.raises(InvalidInputError, match="use the template"):
        lm.logprobs([Prompt("a<|other|>", "b", markers=("<|other|>",))], LABELS)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft calls its old name
def test_an_adapter_is_merged(llama: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32),
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
    )
    tuned.save_pretrained(str(tmp_path / "adapter"))
    lm = LocalLanguageModel(llama, adapter=tmp_path / "adapter")
    ids = [*chain.from_iterable(lm._tokenizer.prompt(ASKED[0]))]
    token = lm._tokenizer.continuation(ASKED[0].suffix, " True")[0]
    with torch.inference_mode():
        wanted = tuned(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[token].item()
    assert lm.logprobs(ASKED[:1], [" True"])[0, 0] == pytest.approx(wanted, abs=2e-5)
    assert abs(wanted - naive(llama, ASKED[:1], [" True"])[0, 0]) > 1e-3


def test_folders_that_hold_no_model_are_refused(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"tokenizer\.json"):
        LocalLanguageModel(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((llama / name).read_bytes())
    with pytest.raises(NotFoundError, match=r"config\.json"):
        LocalLanguageModel(tmp_path)
    (tmp_path / "config.json").write_bytes((llama / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(InvalidInputError, match="safetensors"):
        LocalLanguageModel(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(FailureError, match="cannot load the model"):
        LocalLanguageModel(tmp_path)
    with pytest.raises(NotFoundError, match="adapter"):
        LocalLanguageModel(llama, adapter=tmp_path)
    with pytest.raises(InvalidInputError, match="try 'cpu'"):
        LocalLanguageModel(llama, device="abacus")


def test_loading_writes_nothing_to_the_terminal(llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    LocalLanguageModel(llama).logprobs(ASKED[:1], LABELS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.model
def test_the_default_base_scores_and_writes_as_transformers_does() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rankrag.model.engine.chat_frame import chat_frame
    from rankrag.model.skills.ranker import relevance
    from rankrag.model.store import registry

    folder = registry.locate("smollm2-135m")
    lm = LocalLanguageModel(folder, device="cpu")
    found = [relevance(lm.logprobs(ASKED, LABELS)) for _ in range(2)]
    assert np.abs(found - relevance(naive(folder, ASKED, LABELS))).max() < 1e-5
    assert chat_frame(folder) == prompts.CHAT
    prompt = prompts.answer(QUESTION, PASSAGES, prompts.CHAT)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    asked = tokenizer(prompt.prefix + prompt.suffix, return_tensors="pt")
    written = model.generate(**asked, do_sample=False, max_new_tokens=24)[0, asked.input_ids.shape[1] :]
    assert "".join(lm.generate(prompt, 24)) == tokenizer.decode(written, skip_special_tokens=True)


def test_the_attention_for_gpus_scores_alike(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rankrag.model.engine import network
    from rankrag.model.engine.batched import Together

    wanted = naive(llama, ASKED, CHOICES)
    monkeypatch.setattr(network, "Packing", lambda segments: Together(segments, torch.device("cpu")))
    lm = LocalLanguageModel(llama, device="cpu")
    for _ in range(2):  # with nothing known, then with every prefix known
        assert abs(lm.logprobs(ASKED, CHOICES) - wanted).max() < 1e-4
