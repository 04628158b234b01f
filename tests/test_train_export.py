"""An exported model gives other programs the relevance that it gives here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import train_tiny
from rankrag import prompts
from rankrag.errors import InvalidInputError
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.engine.tokenizer import Tokenizer, load_tokenizer
from rankrag.model.skills.ranker import ModelRanker
from rankrag.model.store.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from rankrag.model.store.registry import locate
from rankrag.train.export import export
from rankrag.train.jinja import chat_template
from rankrag.types import Hit, Passage, Question, Turn

# peft reads a name that transformers renamed, whenever it makes or loads an adapter.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

QUESTION = Question("q", "Where is the harbour\n\nof Oslo?")
PASSAGES = (
    train_tiny.passage("Oslo", "harbour"),
    train_tiny.passage("Lima", "tower"),
    Passage("p", "Fjords.\n\n Boats and 2015 ships.  "),
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with train_tiny.one_thread():
        yield


def tuned(folder: Path, model: Path, template: str) -> Path:
    """Write a checkpoint with a random adapter on the tiny model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(1)
    base = AutoModelForCausalLM.from_pretrained(model, local_files_only=True)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base, config).save_pretrained(str(folder))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((model / name).read_bytes())
    write_checkpoint(Checkpoint(folder, template, base=str(model), trained=True, threshold=0.25))
    return folder


def relevance(model: Path, adapter: Path | None, template: str) -> np.ndarray:
    """Return what our own ranker says, in the order of the passages."""
    lm = LocalLanguageModel(model, adapter, device="cpu", precision="float32")
    hits = ModelRanker(lm, prompts.template(template)).rank(QUESTION, [Hit(p, 0.0) for p in PASSAGES])
    by_id = {hit.passage.id: hit.score for hit in hits}
    return np.array([by_id[p.id] for p in PASSAGES])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=["paper", "chat"])
def exported(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoint = tuned(folder / "tuned", model, request.param)
    return checkpoint, export(checkpoint, folder / "exported")


def test_our_ranker_gives_the_same_from_merged_weights(exported: tuple[Path, Path], model: Path) -> None:
    checkpoint, out = exported
    template = read_checkpoint(checkpoint).template
    before, after = relevance(model, checkpoint, template), relevance(out, None, template)
    assert np.ptp(before) > 0.01
    assert after == pytest.approx(before, abs=1e-6)


def test_plain_transformers_gives_the_same(exported: tuple[Path, Path], model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint, out = exported
    template = read_checkpoint(out).template
    tokenizer: Any = AutoTokenizer.from_pretrained(out)
    lm: Any = AutoModelForCausalLM.from_pretrained(out)
    true, false = json.loads((out / "1_LogitScore" / "config.json").read_text()).values()
    for passage, ours in zip(PASSAGES, relevance(model, checkpoint, template), strict=True):
        text = tokenizer.apply_chat_template(
            [{"role": "query", "content": QUESTION.text}, {"role": "document", "content": passage.text}],
            tokenize=False,
        )
        with torch.no_grad():
            logits = lm(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, -1]
        assert torch.sigmoid(logits[true] - logits[false]).item() == pytest.approx(ours, abs=1e-5)


def test_sentence_transformers_gives_the_same(exported: tuple[Path, Path], model: Path) -> None:
    from sentence_transformers import CrossEncoder

    checkpoint, out = exported
    ours = relevance(model, checkpoint, read_checkpoint(out).template)
    encoder = CrossEncoder(str(out), device="cpu", local_files_only=True)
    scores = encoder.predict([(QUESTION.text, p.text) for p in PASSAGES], show_progress_bar=False)
    assert scores == pytest.approx(ours, abs=1e-5)
    ranked = encoder.rank(QUESTION.text, [p.text for p in PASSAGES], show_progress_bar=False)
    assert [entry["corpus_id"] for entry in ranked] == list(np.argsort(-ours))


def test_the_overrides_for_vllm_make_the_same_score(exported: tuple[Path, Path], model: Path) -> None:
    """Do what vLLM does with them: one output row, that of the second token minus that of the first."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForSequenceClassification

    checkpoint, out = exported
    said = json.loads((out / "vllm.json").read_text())
    assert (said["architectures"], said["method"]) == (
        ["LlamaForSequenceClassification"],
        "from_2_way_softmax",
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(out)
    lm: Any = AutoModelForCausalLM.from_pretrained(out)
    false, true = tokenizer.convert_tokens_to_ids(said["classifier_from_token"])
    classifier: Any = LlamaForSequenceClassification
    scorer = classifier(AutoConfig.from_pretrained(out, num_labels=1))
    scorer.model.load_state_dict(lm.model.state_dict())
    scorer.score.weight.data = (lm.lm_head.weight[true] - lm.lm_head.weight[false])[None]
    pair = [{"role": "query", "content": QUESTION.text}, {"role": "document", "content": PASSAGES[0].text}]
    ids = tokenizer.apply_chat_template(pair, return_tensors="pt", return_dict=True)["input_ids"]
    with torch.no_grad():
        score = torch.sigmoid(scorer(ids).logits[0, 0]).item()
    assert score == pytest.approx(relevance(model, checkpoint, read_checkpoint(out).template)[0], abs=1e-5)


def test_the_exported_folder_says_what_it_is(exported: tuple[Path, Path]) -> None:
    checkpoint, out = exported
    before, after = read_checkpoint(checkpoint), read_checkpoint(out)
    assert (after.template, after.trained, after.threshold) == (before.template, True, 0.25)
    assert (after.base, after.is_adapter, after.plain) == ("", False, False)


def test_a_document_cannot_write_a_control_token(exported: tuple[Path, Path]) -> None:
    _, out = exported
    tokenizer: Any = load_tokenizer(out)
    said = [
        {"role": "query", "content": "<|endoftext|>"},
        {"role": "document", "content": "<|im_end|><|im_start|>"},
    ]
    plain = [{"role": "query", "content": "x"}, {"role": "document", "content": "y"}]
    control = set(tokenizer.all_special_ids) | {1, 2}
    ids, others = (tokenizer.apply_chat_template(s, return_dict=True)["input_ids"] for s in (said, plain))
    assert [i for i in ids if i in control] == [i for i in others if i in control]
    assert "<| endoftext|>" in tokenizer.decode(ids)


@pytest.mark.model
def test_a_real_model_gives_the_same_everywhere(tmp_path: Path) -> None:
    """SmolLM2 with a random adapter, through its export, on real prompts."""
    from sentence_transformers import CrossEncoder

    model = locate("smollm2-135m")
    checkpoint = tuned(tmp_path / "tuned", model, "paper")
    out = export(checkpoint, tmp_path / "out")
    ours = relevance(model, checkpoint, "paper")
    encoder = CrossEncoder(str(out), device="cpu", local_files_only=True)
    scores = encoder.predict([(QUESTION.text, p.text) for p in PASSAGES], show_progress_bar=False)
    assert scores == pytest.approx(ours, abs=1e-5)
    assert relevance(out, None, "paper") == pytest.approx(ours, abs=1e-5)


def test_weights_may_be_halved(model: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    out = export(tuned(tmp_path / "tuned", model, "paper"), tmp_path / "half", "bfloat16")
    with safe_open(out / "model.safetensors", "pt") as weights:
        assert {str(weights.get_tensor(name).dtype) for name in weights.keys()} == {"torch.bfloat16"}  # noqa: SIM118


def test_a_folder_in_use_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="with something in it"):
        export(model, tmp_path)


def test_labels_of_several_tokens_are_refused(model: Path, tmp_path: Path) -> None:
    """` True` was made of fewer merges here, as in a model of another vocabulary."""
    checkpoint = tuned(tmp_path / "tuned", model, "paper")
    for folder in (checkpoint, tmp_path / "base"):
        folder.mkdir(exist_ok=True)
        for path in model.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        merges = tokenizer["model"]["merges"]
        tokenizer["model"]["merges"] = [merge for merge in merges if "".join(merge) != "ĠTrue"]
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    write_checkpoint(Checkpoint(checkpoint, "paper", base=str(tmp_path / "base"), trained=True))
    with pytest.raises(InvalidInputError, match="found 2 and 1 tokens"):
        export(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ── the template ─────────────────────────────────────────────────────────────────────────────────────

TEXT = st.text(st.sampled_from("aB'\"\\{}%#\n\r\t\x0b \u2028é<|im_end|>"), min_size=1, max_size=40).filter(
    str.strip
)


def render(form: prompts.Template, messages: list[dict[str, str]], start: str = "") -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    render_all: Any = render_jinja_template  # its hint promises one text, it returns a list
    texts, _ = render_all([messages], chat_template=chat_template(form, start), add_generation_prompt=True)
    return str(texts[0])


@pytest.mark.parametrize("form", prompts.TEMPLATES.values(), ids=prompts.TEMPLATES)
@given(question=TEXT, passage=TEXT)
def test_the_template_writes_our_ranking_prompt(form: prompts.Template, question: str, passage: str) -> None:
    ours = prompts.rank(Question("q", question), Passage("p", passage), form)
    pair = [{"role": "query", "content": question}, {"role": "document", "content": passage}]
    assert render(form, pair) == ours.prefix + ours.suffix


@pytest.mark.parametrize("form", prompts.TEMPLATES.values(), ids=prompts.TEMPLATES)
@given(question=TEXT, before=TEXT, reply=TEXT)
def test_the_template_writes_our_conversation(
    form: prompts.Template, question: str, before: str, reply: str
) -> None:
    history = (Turn("user", before), Turn("assistant", reply))
    ours = prompts.instruct(Question("q", question, history), form)
    said = [
        {"role": "user", "content": before},
        {"role": "assistant", "content": reply},
        {"role": "user", "content": question},
    ]
    assert render(form, said, "<s>") == "<s>" + ours.prefix + ours.suffix


def test_a_system_message_stands_in_place_of_ours(model: Path) -> None:
    said = [{"role": "system", "content": "Passage 1: Oslo."}, {"role": "user", "content": "Where?"}]
    assert render(prompts.PAPER, said) == "System: Passage 1: Oslo.\n\nUser: Where?\n\nAssistant:"


def test_the_start_token_of_a_model_comes_first(model: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers.processors import TemplateProcessing

    checkpoint = tuned(tmp_path / "tuned", model, "paper")
    base = tmp_path / "base"
    base.mkdir()
    for path in model.iterdir():
        (base / path.name).write_bytes(path.read_bytes())
    backend = Backend.from_file(str(base / "tokenizer.json"))
    backend.post_processor = TemplateProcessing("<|im_start|> $A", None, [("<|im_start|>", 1)])
    backend.save(str(base / "tokenizer.json"))
    write_checkpoint(Checkpoint(checkpoint, "paper", base=str(base), trained=True))
    out = export(checkpoint, tmp_path / "out")
    said = [{"role": "query", "content": "Where?"}, {"role": "document", "content": "Oslo."}]
    tokenizer: Any = load_tokenizer(out)
    ids = tokenizer.apply_chat_template(said, return_dict=True)["input_ids"]
    prompt = prompts.rank(Question("q", "Where?"), Passage("p", "Oslo."), prompts.PAPER)
    prefix, suffix = Tokenizer(out).prompt(prompt)
    assert ids == prefix + suffix
    assert ids[0] == 1
