"""Generation: the tokens of transformers' own greedy search, streamed as whole characters, ended cleanly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_tiny import WORDS, config, write
from rankrag import prompts
from rankrag.model.engine import memory
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.engine.stream import Pieces
from rankrag.types import Passage, Prompt, Question

QUESTION = Question("q", "Where was Marie Curie born?")
PASSAGES = [Passage(str(n), WORDS[n : 60 + 20 * n]) for n in range(3)]
PROMPT = prompts.answer(QUESTION, PASSAGES, prompts.PAPER)


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


def greedy(folder: Path, prompt: Prompt, n_tokens: int) -> str:
    """Return what transformers' `generate` writes without sampling."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    asked = tokenizer(prompt.prefix + prompt.suffix, return_tensors="pt")
    written = model.generate(**asked, do_sample=False, max_new_tokens=n_tokens)
    text: str = tokenizer.decode(written[0, asked.input_ids.shape[1] :], skip_special_tokens=True)
    return text.rstrip("\ufffd")


def mean_of(folder: Path, asked: Sequence[Prompt], weights: Sequence[float], n_tokens: int) -> str:
    """Return what transformers' forward passes write, each token the likeliest by the weighted mean."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = [tokenizer(prompt.prefix + prompt.suffix).input_ids for prompt in asked]
    written: list[int] = []
    while len(written) < n_tokens:
        with torch.inference_mode():
            last = [model(input_ids=torch.tensor([row + written])).logits[0, -1].softmax(-1) for row in rows]
        written.append(int(sum(w * p for w, p in zip(weights, last, strict=True)).argmax()))
    text: str = tokenizer.decode(written, skip_special_tokens=True)
    return text.rstrip("\ufffd")


@pytest.mark.parametrize(
    ("kind", "changes"), [("llama", {}), ("qwen2", {}), ("mistral", {"sliding_window": 64})]
)
def test_the_tokens_are_those_of_transformers(tmp_path: Path, kind: str, changes: dict[str, object]) -> None:
    folder = write(tmp_path, config(kind, **changes))
    lm = LocalLanguageModel(folder)
    wanted = greedy(folder, PROMPT, 40)
    for _ in range(2):  # the second time the prefix is known
        written = list(lm.generate(PROMPT, 40))
        assert "".join(written) == wanted
        assert all(written)
    assert len(written) > 5


@pytest.mark.parametrize(("kind", "changes"), [("llama", {}), ("mistral", {"sliding_window": 64})])
@pytest.mark.slow
def test_prompts_continue_as_one_by_the_mean_of_their_distributions(
    tmp_path: Path, kind: str, changes: dict[str, object]
) -> None:
    folder = write(tmp_path, config(kind, **changes))
    lm = LocalLanguageModel(folder)
    asked = [prompts.context_answer(QUESTION, passage, prompts.PAPER) for passage in PASSAGES]
    weights = [0.35, 0.4, 0.3]
    wanted = mean_of(folder, asked, weights, 24)
    lm.logprobs([prompts.rank(QUESTION, PASSAGES[1], prompts.PAPER)], [" True"])  # one prefix is known
    for _ in range(2):
        assert "".join(lm.generate_mixture(asked, weights, 24)) == wanted
    assert wanted not in {"".join(lm.generate(prompt, 24)) for prompt in asked}
    assert "".join(lm.generate_mixture(asked, [1e-30, 1, 1e-30], 24)) == "".join(lm.generate(asked[1], 24))


def test_a_prefix_that_ranking_left_behind_is_reused_and_changes_nothing(llama: Path) -> None:
    lm = LocalLanguageModel(llama)
    lm.logprobs([prompts.rank(QUESTION, passage, prompts.PAPER) for passage in PASSAGES], [" True"])
    before = lm.cache.n_bytes
    assert "".join(lm.generate(PROMPT, 20)) == greedy(llama, PROMPT, 20)
    grown = lm.cache.n_bytes - before
    tokens = lm._tokenizer.prompt(PROMPT)[0]
    assert 0 < grown < len(tokens) * 2 * 2 * 2 * 8 * 4  # layers, keys and values, heads, size, bytes
    assert lm.logprobs([PROMPT], [" True"]) == pytest.approx(
        LocalLanguageModel(llama).logprobs([PROMPT], [" True"]), abs=2e-5
    )


def test_the_answer_ends_at_the_end_token_and_keeps_its_limits(llama: Path) -> None:
    lm = LocalLanguageModel(llama)
    whole = "".join(lm.generate(PROMPT, 40))
    assert whole.startswith("".join(lm.generate(PROMPT, 5)))
    assert list(lm.generate(PROMPT, 0)) == []
    tokens = list(lm._greedy([lm._row(PROMPT)], [1.0], 40, frozenset()))
    lm._ends = frozenset({tokens[7]})
    ended = lm._tokenizer.decode(tokens[: tokens.index(tokens[7])])
    assert "".join(lm.generate(PROMPT, 40)) == ended.rstrip("\ufffd") != whole


@pytest.mark.parametrize(("more", "cut"), [(0, False), (1, False), (-1, True)])
def test_an_answer_is_cut_only_where_there_was_more_of_it(llama: Path, more: int, cut: bool) -> None:
    lm = LocalLanguageModel(llama)
    tokens = list(lm._greedy([lm._row(PROMPT)], [1.0], 40, frozenset()))
    lm._ends = frozenset({tokens[7]})
    n_tokens = tokens.index(tokens[7])
    written = lm.generate(PROMPT, n_tokens + more)
    assert isinstance(written, Pieces)
    assert list(written)
    assert (written.usage.completion_tokens, written.usage.cut) == (min(n_tokens, n_tokens + more), cut)


def test_the_answer_ends_where_the_context_is_full(tmp_path: Path) -> None:
    lm = LocalLanguageModel(write(tmp_path, config("llama", max_position_embeddings=32)))
    prompt = Prompt("owls " * 3, "hunt")
    n_prompt = sum(map(len, lm._tokenizer.prompt(prompt)))
    written = lm.generate(prompt, 1000)
    assert isinstance(written, Pieces)
    assert list(written)
    assert (written.usage.completion_tokens, written.usage.cut) == (32 - n_prompt, True)


def test_a_stop_string_ends_the_answer_before_it(llama: Path) -> None:
    lm = LocalLanguageModel(llama)
    whole = "".join(lm.generate(PROMPT, 40))
    stop = whole[12:15]
    assert "".join(lm.generate(PROMPT, 40, [stop])) == whole[: whole.find(stop)]


def test_closing_the_stream_stops_the_model(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = LocalLanguageModel(llama)
    passes: list[int] = []
    model = lm._network.model
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    stream = lm.generate(PROMPT, 200)
    next(stream)
    begun = len(passes)
    assert isinstance(stream, Pieces)
    stream.close()
    assert list(stream) == []
    assert len(passes) == begun < 20
    assert lm.logprobs([PROMPT], [" True"]).shape == (1, 1)  # and nothing stays locked


TEXTS = st.text(alphabet="ab\n é€😀", max_size=30)


@given(text=TEXTS, stop=st.lists(st.text(alphabet="ab\n", min_size=1, max_size=4), max_size=3))
def test_pieces_are_the_text_up_to_the_first_stop(text: str, stop: list[str]) -> None:
    """A token is a byte here, so that characters arrive broken."""
    found = list(
        Pieces(iter(text.encode()), lambda tokens: bytes(tokens).decode("utf-8", errors="replace"), stop)
    )
    end = min((text.find(mark) for mark in stop if mark in text), default=len(text))
    assert "".join(found) == text[:end]
    assert all(found)
    assert not any("\ufffd" in piece for piece in found)


def test_no_token_is_taken_after_a_stop() -> None:
    tokens = iter(b"one. two. three")
    assert "".join(Pieces(tokens, lambda seen: bytes(seen).decode(), ["."])) == "one"
    assert bytes(tokens) == b" two. three"


def test_text_that_cannot_be_a_stop_is_not_held_back() -> None:
    stream = Pieces(iter(b"ab\nUsual"), lambda seen: bytes(seen).decode(), ["\nUser:"])
    assert list(stream) == ["a", "b", "\nUsu", "a", "l"]


def test_a_character_that_never_completes_is_left_out() -> None:
    decode = lambda seen: bytes(seen).decode("utf-8", errors="replace")  # noqa: E731
    assert list(Pieces(iter("a€".encode()[:-1]), decode, [])) == ["a"]


def test_tokens_count_also_where_they_end_within_a_character() -> None:
    def decode(seen: Sequence[int]) -> str:
        return bytes(seen).decode("utf-8", errors="replace")

    cut = Pieces(iter("한국".encode()[:5]), decode, [])
    assert list(cut) == ["한"]
    assert cut.usage.completion_tokens == 5
    stopped = Pieces(iter(b"one. two"), decode, ["."])
    assert list(stopped)
    assert stopped.usage.completion_tokens == 4


def test_an_answer_gives_back_the_memory_that_it_took(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, given = LocalLanguageModel(llama), list[int]()
    monkeypatch.setattr(memory, "_trim", lambda: given.append)
    pieces = lm.generate(PROMPT, 16)
    next(pieces)
    assert not given
    list(pieces)
    assert len(given) == 1
    stopped = lm.generate(PROMPT, 16)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    del stopped
    assert len(given) == 2
