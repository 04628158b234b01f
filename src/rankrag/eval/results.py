"""What an evaluation found, in the shape in which it is written, tested and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

POOLED = "*"
"""Stands for a benchmark where something is over several of them."""


@dataclass(frozen=True, slots=True)
class Value:
    """A mean over questions with its 95 % interval; fractions are 0..1, seconds are seconds."""

    value: float
    low: float
    high: float
    n: int
    units: int


@dataclass(frozen=True, slots=True)
class System:
    """One way from question to answer, with everything needed to make it again.

    `ranker` and `generator` name models (None: there was none); `cites` says that sources were looked for;
    `facts` holds hashes of checkpoint, template and index, versions of libraries, the device.
    """

    name: str
    retriever: str
    corpus: str
    retrieve_k: int
    read_k: int
    ranker: str | None
    generator: str | None
    cites: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)


def joined(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return facts of two as those of both: values that differ stand beside each other, each once."""
    names = dict.fromkeys([*before, *now])
    values = {name: [*before.get(name, "").split(" / "), now.get(name, "")] for name in names}
    return {name: " / ".join(dict.fromkeys(filter(None, found))) for name, found in values.items()}


@dataclass(frozen=True, slots=True)
class Cell:
    """What one system got on one benchmark.

    `measures` maps a name (`EM`, `answer-R@5`, `nDCG@10`) to its value, `seconds` a step to the mean seconds
    of a question, `ranked` the mean number of passages that the ranker scored in the time of its step.
    `questions` is the number scored, `of` the number in the file, `unanswered` those for
    which the system gave nothing (each counted as zero). `retriever` and `corpus` are what was searched for
    this benchmark: they may differ between the benchmarks of one system; `made_of` says more of them.
    """

    system: str
    benchmark: str
    measures: Mapping[str, Value]
    seconds: Mapping[str, Value] = field(default_factory=dict)
    questions: int = 0
    of: int = 0
    unanswered: int = 0
    data_sha256: str = ""
    retriever: str = ""
    corpus: str = ""
    ranked: float = 0.0
    made_of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """System `b` against system `a` on the same questions: `difference` is b minus a.

    `p` is of a paired permutation test, `p_holm` after Holm's correction over all comparisons of the
    report; `detectable` is the smallest true difference that the sample would show with a power of 0.8.
    """

    benchmark: str
    measure: str
    a: str
    b: str
    difference: Value
    p: float
    p_holm: float
    detectable: float
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A measure against something that was varied, for one system on one benchmark."""

    system: str
    benchmark: str
    measure: str
    x_name: str
    points: tuple[tuple[float, Value], ...]


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often passages of a stated relevance are relevant: bins (mean relevance, share relevant, count)."""

    system: str
    benchmark: str
    bins: tuple[tuple[float, float, int], ...]
    ece: Value
    brier: Value


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """What a system gave for a question, for the browser: the text, its values, the first passages read."""

    text: str
    values: Mapping[str, float]
    read: tuple[tuple[str, str], ...] = ()
    """(title, first words) of the passages that were read."""


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One question of the browser: what was asked, what counts as right, and what each system gave."""

    benchmark: str
    id: str
    question: str
    gold: tuple[str, ...]
    given: Mapping[str, ShownAnswer]


@dataclass(frozen=True, slots=True)
class BenchmarkFacts:
    """What the report says of a benchmark: the measures in order, headline first, and its notes."""

    name: str
    title: str
    family: str
    measures: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """A whole report, ready to be drawn: nothing in it has to be computed again."""

    title: str
    created: str
    command: str
    systems: tuple[System, ...]
    benchmarks: tuple[BenchmarkFacts, ...]
    cells: tuple[Cell, ...]
    comparisons: tuple[Comparison, ...] = ()
    curves: tuple[Curve, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    questions: tuple[QuestionRow, ...] = ()
    missing: tuple[str, ...] = ()
    """What is not at hand (corpora, splits), in plain sentences."""
