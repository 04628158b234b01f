"""What an evaluation found, in the shape in which it is written, tested and shown."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import FormatError, NotFoundError
from ..files import typed, writing

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
    return {name: " / ".join(dict.fromkeys(filter(None, texts))) for name, texts in values.items()}


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
    report; `detectable` is the smallest true difference that the sample would show with a power of 0.8;
    `needed` about how many questions would show the difference seen, 0 where none was or it is not known.
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
    needed: int = 0


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
    claim: tuple[str, ...] = ()
    """What the claim of a study comes to, in sentences."""


# ── looked up ────────────────────────────────────────────────────────────────────────────────────────

Values = Mapping[tuple[str, str, str], Value]
"""Values by (system, benchmark, measure)."""


def cells(results: Results) -> dict[tuple[str, str], Cell]:
    """Return the cells by (system, benchmark)."""
    return {(cell.system, cell.benchmark): cell for cell in results.cells}


def values(results: Results) -> Values:
    """Return the values by (system, benchmark, measure)."""
    return {
        (cell.system, cell.benchmark, name): value
        for cell in results.cells
        for name, value in cell.measures.items()
    }


def titles(results: Results) -> dict[str, str]:
    """Return the title of each benchmark by its name."""
    return {benchmark.name: benchmark.title for benchmark in results.benchmarks}


def benchmark_notes(results: Results, shown: Container[str] | None = None) -> tuple[str, ...]:
    """Return what a reader of a benchmark's numbers must know, for those shown that say something."""
    return tuple(
        f"{benchmark.title}: {benchmark.note}"
        for benchmark in results.benchmarks
        if benchmark.note and (shown is None or benchmark.name in shown)
    )


def benchmark_title(results: Results, name: str) -> str:
    """Return the title of a benchmark, `all together` for what is over several."""
    return "all together" if name == POOLED else titles(results).get(name, name)


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────────

FORMAT = "rankrag results 1"
"""First value of the file; another one is another layout."""


def write_results(path: Path, results: Results) -> None:
    """Write results as JSON. A number that is not finite (an interval of nothing) is written as null."""
    record = {"format": FORMAT} | asdict(results)
    with writing(str(path)) as stream:
        stream.write(json.dumps(_finite(record), ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_results(path: Path) -> Results:
    """Return what `write_results` wrote; null for a number is NaN.

    Raises NotFoundError without the file, FormatError for an unknown, missing or misplaced value.
    """
    if not path.is_file():
        raise NotFoundError(f"found no file at {path}, wanted the results of an evaluation: check the path")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(str(path), None, f"found no JSON ({error}), wanted {FORMAT!r}") from error
    found = record.pop("format", None) if isinstance(record, dict) else None
    if found != FORMAT:
        raise FormatError(
            str(path), None, f"found format {found!r}, wanted {FORMAT!r}: make the report again"
        )
    try:
        return typed(Results, record, "results")
    except ValueError as problem:
        raise FormatError(str(path), None, f"{problem}: make the report again") from problem


def _finite(value: object) -> object:
    """Return a value with null for every number that is not finite; mappings become dicts, tuples lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
