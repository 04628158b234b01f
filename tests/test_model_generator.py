"""The model as generator: a clean stream that fits, stops and says what it left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from rankrag import prompts
from rankrag.errors import InvalidInputError
from rankrag.model import FakeLanguageModel, ModelGenerator
from rankrag.model.engine.stream import Pieces
from rankrag.server import SharedLanguageModel
from rankrag.server.sharing import STOPPED, StoppedError
from rankrag.types import Generator, LanguageModel, Passage, Prompt, Question, Style, Turn, Usage

QUESTION = Question("q", "Where was Marie Curie born?")
CURIE = Passage("curie", "Marie Curie was born in Warsaw.")
LONG = Passage("long", " ".join(["word"] * 3000))


class PiecesLM:
    """Yields the pieces it was given, and keeps what it was asked."""

    context_length = 1000

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = pieces
        self.asked: list[tuple[Prompt, int, tuple[str, ...]]] = []
        self.stopped = False

    def n_tokens(self, text: str) -> int:
        return len(text.split())

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        raise AssertionError("a generator does not rank")

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        self.asked.append((prompt, max_tokens, tuple(stop)))
        try:
            yield from self.pieces
        finally:
            self.stopped = True


@pytest.mark.parametrize("form", list(prompts.TEMPLATES.values()), ids=lambda form: form.name)
def test_the_answer_comes_piece_by_piece(form: prompts.Template) -> None:
    generator: Generator = ModelGenerator(FakeLanguageModel(), form)
    pieces = list(generator.read(QUESTION, [CURIE]).pieces())
    assert len(pieces) == 6
    assert "".join(pieces) == "Marie Curie was born in Warsaw."


def test_an_answer_ends_where_the_next_passage_is_copied() -> None:
    lm = PiecesLM(["Run git bisect", ".\n", "\nPass", "age 2: git", "-bisect(1)"])
    assert "".join(ModelGenerator(lm, prompts.CHAT).read(QUESTION, [CURIE]).pieces()) == "Run git bisect."
    assert lm.stopped
    lm = PiecesLM(["Two parts:\n\nPassage 2: ", "the arcade"])  # where none was read, none is copied
    assert "".join(ModelGenerator(lm, prompts.CHAT).read(QUESTION, []).pieces()) == "".join(lm.pieces)
    lm = PiecesLM(["By passages.\n\nPassage", " 2 says so."])
    assert "".join(ModelGenerator(lm, prompts.CHAT).read(QUESTION, [CURIE]).pieces()) == "".join(lm.pieces)


def test_whitespace_around_the_answer_is_left_out_and_inside_it_is_kept() -> None:
    lm = PiecesLM([" ", "\n In", " War", "saw ", "\n", "or so", " \n", "\n"])
    pieces = list(ModelGenerator(lm, prompts.PAPER).read(QUESTION, [CURIE]).pieces())
    assert "".join(pieces) == "In Warsaw \nor so"
    assert all(pieces)


def test_the_model_gets_the_prompt_the_limit_and_the_stops() -> None:
    lm = PiecesLM([])
    assert list(ModelGenerator(lm, prompts.PAPER, max_tokens=7).read(QUESTION, [CURIE]).pieces()) == []
    assert lm.asked == [(prompts.answer(QUESTION, [CURIE], prompts.PAPER), 7, prompts.PAPER.stop)]


@pytest.mark.parametrize(
    ("style", "limit"), [("phrase", 32), ("number", 32), ("full", 128), ("plain", 128), ("true_false", 8)]
)
def test_the_limit_follows_the_style(style: Style, limit: int) -> None:
    lm = PiecesLM([])
    list(ModelGenerator(lm, prompts.PAPER).read(Question("q", "Why?", style=style), []).pieces())
    assert lm.asked[0][1] == limit


def test_closing_the_stream_stops_the_model() -> None:
    lm = PiecesLM(["a", "b", "c"])
    stream = ModelGenerator(lm, prompts.PAPER).read(QUESTION, [CURIE]).pieces()
    assert next(stream) == "a"
    del stream
    assert lm.stopped


def test_what_does_not_fit_is_cut_from_the_longest_and_reported() -> None:
    lm = PiecesLM([])
    generator = ModelGenerator(lm, prompts.PAPER)
    list(generator.read(QUESTION, [CURIE, LONG]).pieces())
    (cut,) = generator.read(QUESTION, [CURIE, LONG]).cuts
    assert cut.passage_id == "long"
    assert cut.length == len(LONG.text)
    prompt = lm.asked[0][0]
    assert prompt == prompts.answer(QUESTION, [CURIE, Passage("long", LONG.text[: cut.kept])], prompts.PAPER)
    assert 800 < len((prompt.prefix + prompt.suffix).split()) <= 1000 - 128
    assert generator.read(QUESTION, [CURIE]).cuts == ()


def test_usage_counts_the_whole_prompt_with_a_marker_as_one_token() -> None:
    question = Question("q", "Why?", history=(Turn("user", "Who?"), Turn("assistant", "She.")))
    prompt = prompts.answer(question, [CURIE], prompts.CHAT)
    spaced = (prompt.prefix + prompt.suffix).replace("<|im_start|>", " @ ").replace("<|im_end|>", " @ ")
    reading = ModelGenerator(PiecesLM([]), prompts.CHAT).read(question, [CURIE])
    assert reading.usage("In Warsaw.") == Usage(len(spaced.split()), completion_tokens=2)
    assert reading.usage("").completion_tokens == 0


class CountingLM(PiecesLM):
    """Writes the one piece of two tokens that its tokenizer would read as one."""

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        decode = lambda seen: bytes(seen).decode("utf-8", errors="replace")  # noqa: E731
        return Pieces(iter("é".encode()), decode, stop, max_tokens)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("limit", "written", "cut"), [(2, "é", False), (1, "", True)])
def test_usage_is_what_the_model_counted_while_it_wrote(
    shared: bool, limit: int, written: str, cut: bool
) -> None:
    lm: LanguageModel = SharedLanguageModel(CountingLM([])) if shared else CountingLM([])
    reading = ModelGenerator(lm, prompts.CHAT).read(Question("q", "Why?"), [CURIE], limit)
    assert "".join(reading.pieces()) == written
    usage = reading.usage(written)
    assert (usage.completion_tokens, usage.cut) == (limit, cut)
    if isinstance(lm, SharedLanguageModel):
        lm.close()


class MixingLM(PiecesLM):
    """Keeps the weights too."""

    def __init__(self) -> None:
        super().__init__(["In Warsaw."])
        self.weights: list[Sequence[float]] = []

    def generate_mixture(
        self, prompts: Sequence[Prompt], weights: Sequence[float], max_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        self.asked += [(prompt, max_tokens, tuple(stop)) for prompt in prompts]
        self.weights.append(weights)
        yield from self.pieces


@pytest.mark.parametrize(
    ("relevance", "weights"),
    [((0.6, 0.2), [0.5, 0.375, 0.125]), ((), [0.5, 0.25, 0.25]), ((0, 0), [0.5, 0.25, 0.25])],
)
def test_a_mixture_reads_all_passages_together_and_each_alone(
    relevance: Sequence[float], weights: Sequence[float]
) -> None:
    lm, form, other = MixingLM(), prompts.PAPER, Passage("owls", "Owls hunt at night.")
    reading = ModelGenerator(lm, form, reading="mixture").read(QUESTION, [CURIE, other], relevance=relevance)
    assert "".join(reading.pieces()) == "In Warsaw."
    asked = [
        prompts.answer(QUESTION, [CURIE, other], form),
        prompts.context_answer(QUESTION, CURIE, form),
        prompts.context_answer(QUESTION, other, form),
    ]
    assert [prompt for prompt, _, _ in lm.asked] == asked
    assert lm.weights == [pytest.approx(weights)]
    read = sum(lm.n_tokens(prompt.prefix) + lm.n_tokens(prompt.suffix) for prompt in asked)
    assert reading.usage("In Warsaw.") == Usage(read, completion_tokens=2)


def test_a_mixture_of_one_passage_or_none_is_one_prompt_and_cuts_are_those_of_a_passage_alone() -> None:
    lm = MixingLM()
    generator = ModelGenerator(lm, prompts.PAPER, reading="mixture")
    for passages in ([], [CURIE]):
        list(generator.read(QUESTION, passages).pieces())
    assert (len(lm.asked), lm.weights) == (2, [])
    half = Passage("half", " ".join(["word"] * 600))
    assert generator.read(QUESTION, [half, replace(half, id="other")]).cuts == ()
    assert [cut.passage_id for cut in generator.read(QUESTION, [CURIE, LONG]).cuts] == ["long"]


def test_a_mixture_wants_a_model_that_tells_distributions() -> None:
    reading = ModelGenerator(PiecesLM([]), prompts.PAPER, reading="mixture").read(QUESTION, [CURIE, LONG])
    with pytest.raises(InvalidInputError, match="leave --reading out"):
        list(reading.pieces())


def test_a_mixture_ends_with_its_request_where_the_model_is_shared() -> None:
    shared = SharedLanguageModel(MixingLM())
    reading = ModelGenerator(shared, prompts.PAPER, reading="mixture").read(QUESTION, [CURIE, LONG])
    assert list(reading.pieces()) == ["In Warsaw."]
    over = Event()
    over.set()
    token = STOPPED.set(over)
    with pytest.raises(StoppedError):
        list(reading.pieces())
    STOPPED.reset(token)
    shared.close()


def test_a_reading_may_be_shorter_than_the_style_but_not_longer() -> None:
    lm = PiecesLM([])
    for wanted in (5, 500):
        list(ModelGenerator(lm, prompts.PAPER).read(QUESTION, [CURIE], wanted).pieces())
    assert [limit for _, limit, _ in lm.asked] == [5, 128]
