"""The model as rewriter: what it writes is taken only where it is a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from rankrag.model import FakeLanguageModel, ModelRewriter
from rankrag.prompts import PAPER, UNANSWERABLE
from rankrag.types import Prompt, Question, Turn

LEANING = Question("q", "And the first?", (Turn("user", "Rivers?"), Turn("assistant", "Danube, Mur.")))


@dataclass
class Saying:
    """A language model that writes the same whatever it is asked."""

    text: str
    context_length: int = 1000
    stops: list[Sequence[str]] = field(default_factory=list)

    def n_tokens(self, text: str) -> int:
        return len(text.split())

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        raise AssertionError

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        self.stops.append(stop)
        yield from self.text


@pytest.mark.parametrize(
    ("written", "rewritten"),
    [
        (" Where does the Danube end? ", "Where does the Danube end?"),
        ("In the Black Sea.", ""),
        (UNANSWERABLE, ""),
        ("", ""),
        ("Where does the river Mur end?", ""),
    ],
    ids=["a question", "an answer", "a refusal", "nothing", "an example that it was shown"],
)
def test_what_is_no_question_of_its_own_is_not_taken(written: str, rewritten: str) -> None:
    lm = Saying(written)
    assert ModelRewriter(lm, PAPER).rewrite(LEANING) == rewritten
    assert "\n" in lm.stops[0]


def test_without_a_conversation_the_model_is_not_asked() -> None:
    lm = Saying("Where?")
    assert ModelRewriter(lm, PAPER).rewrite(Question("q", "Where?")) == ""
    assert not lm.stops


def test_the_fake_model_rewrites_nothing() -> None:
    assert ModelRewriter(FakeLanguageModel(), PAPER).rewrite(LEANING) == ""
