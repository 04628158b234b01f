"""Questions with their gold: what is asked, and what counts as right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..types import Passage, Question


@dataclass(frozen=True, slots=True)
class Gold:
    """What counts as right, kept apart from the question so that no system can see it.

    `answers` are alternatives, any one is right: texts, the verdict `True` or `False` of a claim, or the
    letter of a choice. `passages` are the ids judged relevant, empty where none is known. `answerable` is
    false where the right thing is to say that there is no answer; `answers` is empty then. `grades` are the
    judgements of a ranking collection, by passage id, 0 for what is not relevant; empty elsewhere.
    """

    answers: tuple[str, ...] = ()
    passages: frozenset[str] = frozenset()
    answerable: bool = True
    grades: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question with its gold. `unit` names what is independent of other units.

    Turns of one conversation and questions on one paragraph share a unit; statistics resample units.
    `candidates` are the passages that the benchmark itself brings for the question, in its order, and `topic`
    the page that it is about, which some retrievers are told; both are empty where a file does not say.
    """

    question: Question
    gold: Gold
    unit: str
    candidates: tuple[Passage, ...] = ()
    topic: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record that makes no question, and why."""

    reason: str


def sample(
    questions: Sequence[GoldQuestion], n: int | None, seed: int = 0, skip: int = 0
) -> list[GoldQuestion]:
    """Return `n` of the questions (None: all) after the first `skip`, in an order that seed and ids decide.

    A smaller sample is the beginning of a larger one, and every system gets the same: tests are paired.
    """

    def draw(asked: GoldQuestion) -> str:
        return hashlib.sha256(f"{seed} {asked.question.id}".encode()).hexdigest()

    return sorted(questions, key=draw)[skip:][:n]
