"""The nouns of evaluation: a benchmark, its items, and what counts as right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..types import Question, Style

FINDABLE: frozenset[Style] = frozenset({"phrase", "span", "plain", "span_or_full"})
"""Styles whose gold answers are strings to look for in a passage: no verdicts, letters or sentences."""

Family = Literal["open", "fact", "conversation", "biomedical", "own", "ranking"]
"""Open questions, claims, conversations, MIRAGE's choices, a user's own, or a ranking collection."""

Reader = Literal[
    "neutral",
    "neutral_test",
    "kilt",
    "dpr",
    "nq_open",
    "hotpotqa",
    "musique",
    "fever",
    "chatrag",
    "doc2dial",
    "topiocqa",
    "inscit",
    "mirage",
    "pubmedqa",
]
"""The format of a file of questions with gold; `readers/` has a file for each family of them."""


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
class Item:
    """A question with its gold. `unit` names what is independent of other units.

    Turns of one conversation and questions on one paragraph share a unit; statistics resample units.
    """

    question: Question
    gold: Gold
    unit: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that makes no item, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Paper:
    """What arXiv 2407.02485 used: split, number of questions, corpus (section 5.1, appendix A)."""

    split: str
    size: int
    corpus: str


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Questions and gold under a name, and how they are asked and measured.

    `measures` are names of answer measures, the headline first. `files` are (path below a data root,
    format), the first that exists is read.
    `source` says how to get the full official set. `note` says what a reader of its numbers must know.
    """

    name: str
    title: str
    family: Family
    style: Style
    measures: tuple[str, ...]
    max_tokens: int
    files: tuple[tuple[str, Reader], ...] = ()
    paper: Paper | None = None
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A benchmark read from a file: its items, the file and its SHA-256, and what was left out and why."""

    benchmark: Benchmark
    items: tuple[Item, ...]
    path: str
    sha256: str
    dropped: dict[str, int] = field(default_factory=dict)


def sample(items: Sequence[Item], n: int | None, seed: int = 0) -> list[Item]:
    """Return `n` of the items (all of them for None), in an order that only seed and ids decide.

    A smaller sample is the beginning of a larger one, and every system gets the same: tests are paired.
    """

    def draw(item: Item) -> str:
        return hashlib.sha256(f"{seed} {item.question.id}".encode()).hexdigest()

    return sorted(items, key=draw)[:n]
