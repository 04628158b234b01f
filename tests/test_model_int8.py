"""Products of 8-bit integers: a rotation that changes nothing, and relevance close to that of float32."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from cli_call import call
from model_tiny import WORDS, config, write
from rankrag import prompts
from rankrag.errors import InvalidInputError
from rankrag.model.engine import int8, rotation
from rankrag.model.engine.blocks import Blocks, FloatBlock, Joint, Norm
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.engine.packed import Packing, Segment
from rankrag.system import Loading, load, open_engine
from rankrag.types import Passage, Question

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LABELS = (" True", " False")
PRECISIONS: tuple[Literal["float32"], Literal["int8"]] = ("float32", "int8")
PASSAGES = [Passage(str(n), WORDS[n : 40 + 13 * n]) for n in range(7)]
ASKED = [prompts.rank(Question("q", "Where was Curie born?"), passage, prompts.PAPER) for passage in PASSAGES]
OTHERS = [prompts.rank(Question("q", "And owls?"), passage, prompts.PAPER) for passage in PASSAGES]

KINDS = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True}),
    ("qwen2", {}),
    ("qwen2", {"hidden_size": 56, "num_attention_heads": 14, "tie_word_embeddings": True, "head_dim": 4}),
    ("qwen3", {"head_dim": 16}),
    ("mistral", {}),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("llama"), config("llama"))


def model_of(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return found


@pytest.mark.parametrize(("kind", "changes"), KINDS)
def test_a_rotation_changes_nothing(tmp_path: Path, kind: str, changes: dict[str, object]) -> None:
    import torch

    model = model_of(write(tmp_path, config(kind, **changes)), torch.float32)
    # Weights of norms that are not all one: they have to move to the right place.
    draw = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data = 0.5 + torch.rand(weight.shape, generator=draw)
        elif name.endswith("bias"):
            weight.data = torch.randn(weight.shape, generator=draw)
    blocks = Blocks(model)
    ids, last = torch.arange(3, 60), torch.tensor([56])
    with torch.inference_mode():
        wanted = model(ids.unsqueeze(0)).logits[0, last]
        before = blocks.blocks[1]
        turned_floats(blocks, draw)
        ends = blocks.ends(ids, torch.arange(57), last, Packing([Segment(ids.tolist())]))
        found = blocks.logits(ends)
    assert float(wanted.std()) > 0.1
    assert torch.allclose(found, wanted, atol=2e-5)
    assert isinstance(before, FloatBlock)
    assert isinstance(blocks.blocks[1], FloatBlock)
    assert not torch.allclose(blocks.blocks[1].gate_up.weight, before.gate_up.weight, atol=1e-2)


def turned_floats(blocks: Blocks, draw: torch.Generator) -> None:
    """Turn blocks as for integers, but leave them in float32."""
    assert isinstance(blocks.head, Joint)
    turn = blocks.rotation = rotation.rotation(blocks.head.weight.shape[1], draw)
    blocks.head = Joint(rotation.turned_in(blocks.head.weight, blocks.norm, turn), blocks.head.bias)
    blocks.norm = Norm(None, blocks.norm.epsilon)
    for n, (block, heads) in enumerate(zip(blocks.blocks, blocks.heads, strict=True)):
        assert isinstance(block, FloatBlock)
        blocks.blocks[n] = rotation.rotated(block, heads, turn, draw)


@pytest.mark.parametrize(("kind", "changes"), KINDS)
def test_relevance_is_close_to_that_of_float32(tmp_path: Path, kind: str, changes: dict[str, object]) -> None:
    folder = write(tmp_path, config(kind, **changes))
    wanted = LocalLanguageModel(folder, precision="float32").logprobs(ASKED, LABELS)
    found = LocalLanguageModel(folder, precision="int8").logprobs(ASKED, LABELS)
    gap = np.abs(found - wanted).max()
    assert 1e-6 < gap < 0.2  # other numbers, and close to them; these weights are ten times the usual
    assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.98


def test_a_token_depends_on_no_neighbour(llama: Path) -> None:
    lm = LocalLanguageModel(llama, precision="int8")
    together = lm.logprobs(ASKED, LABELS)
    for n in (0, 3, 6):
        alone = LocalLanguageModel(llama, precision="int8").logprobs([ASKED[n]], LABELS)
        assert np.abs(alone - together[n]).max() < 1e-4
    warm = lm.logprobs(ASKED, LABELS)
    assert np.abs(warm - together).max() < 1e-4
    lm.logprobs(OTHERS, LABELS)
    assert np.abs(lm.logprobs(ASKED, LABELS) - together).max() < 1e-4


def test_callers_side_by_side_get_their_own(llama: Path) -> None:
    lm = LocalLanguageModel(llama, precision="int8")
    wanted = [lm.logprobs(asked, LABELS) for asked in (ASKED, OTHERS)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: lm.logprobs((ASKED, OTHERS)[n % 2], LABELS), range(8)))
    assert all(np.abs(one - wanted[n % 2]).max() < 1e-4 for n, one in enumerate(found))


def test_weights_are_counted_as_they_are_held(llama: Path) -> None:
    import torch

    model = model_of(llama, torch.float32)
    floats = 4 * sum(weights.numel() for weights in model.parameters())
    assert LocalLanguageModel(llama, precision="float32").weights_bytes == floats
    kept = 2 * model.get_parameter("model.embed_tokens.weight").numel()  # these stay, in 16 bits
    rest = LocalLanguageModel(llama, precision="int8").weights_bytes - kept
    turned = sum(part.weight.numel() for part in model.modules() if isinstance(part, torch.nn.Linear))
    assert turned < rest < 2 * turned  # a byte a weight, and for each row its scale and zero


def test_it_writes(llama: Path) -> None:
    plain, lm = (LocalLanguageModel(llama, precision=one) for one in PRECISIONS)
    assert (plain.precision, lm.precision) == ("float32", "int8")
    first = [("".join(lm.generate(one, 1)), "".join(plain.generate(one, 1))) for one in ASKED]
    assert sum(found == wanted for found, wanted in first) >= 6  # random weights: a tie may fall otherwise
    assert "".join(lm.generate(ASKED[3], 9)) == "".join(lm.generate(ASKED[3], 9)) != ""


def test_integers_are_rounded_to_the_nearest_of_their_row() -> None:
    import torch

    rows = torch.tensor([[0.0, 0.0, 0.0], [1.27, -0.632, 0.014], [1e6, 1.0, -1e6]])
    found = int8.quantised(rows)
    signed = found.values.int() - 128
    assert signed.tolist() == [[0, 0, 0], [127, -63, 1], [127, 0, -127]]
    assert torch.allclose(signed * found.scale, rows, atol=1e6 / 254)


# ── what it is not for ───────────────────────────────────────────────────────────────────────────────


def test_blocks_of_other_architectures_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, config("granite", residual_multiplier=0.5))
    with pytest.raises(InvalidInputError, match="found blocks of granite that do not compute as Llama's"):
        LocalLanguageModel(folder, precision="int8")


def test_a_window_that_slides_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, config("mistral", sliding_window=64))
    with pytest.raises(InvalidInputError, match="found a window of 64 tokens, wanted one as long as"):
        LocalLanguageModel(folder, precision="int8")


def test_a_processor_without_exact_products_is_refused(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = int8._product
    monkeypatch.setattr(int8, "_product", lambda *given: real(*given) + 1)
    with pytest.raises(InvalidInputError, match="found no exact products of int8 on this processor"):
        LocalLanguageModel(llama, precision="int8")


@pytest.mark.parametrize("model", ["fake", "openai:some@http://127.0.0.1:9/v1"])
def test_what_is_not_on_this_machine_has_no_precision(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["rank", "what?", "--passages", "none.txt", "--model", model]
    for option in (["--precision", "int8"], ["--cache-dir", "kept"]):
        _, err = call(capsys, *command, *option, code=2)
        assert f"found {' '.join(option)} for {model}" in err


def test_an_engine_says_what_it_computes_with(llama: Path, tmp_path: Path) -> None:
    rag = load(model=str(llama), precision="int8", cache_dir=tmp_path / "kept")
    ranked = rag.rank("Where was Curie born?", PASSAGES)
    assert len(ranked) == len(PASSAGES)
    assert (tmp_path / "kept" / "uses.sqlite").exists()
    engine = open_engine(str(llama), loading=Loading("bfloat16"))
    assert isinstance(engine.lm, LocalLanguageModel)
    assert engine.lm.precision == "bfloat16"
