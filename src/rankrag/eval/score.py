"""From answers to numbers: what every question of a sample got. Needs no model, and can be done again.

A question without an answer is there with zeros. A measure that does not apply to a question (gold passages
where none is known) has no value there; its mean is over the questions to which it applies.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import FormatError, InvalidInputError, NotFoundError
from ..files import typed, writing
from ..types import Answer, Question
from .benchmarks import FINDABLE, Benchmark
from .gold import GoldQuestion
from .measures.citations import citation_values
from .measures.ranking import ranking_values
from .measures.text import answer_value, declined
from .results import BenchmarkFacts, System

SCORES = "scores.json"

DEPTHS = (1, 5, 10, 20)
"""The `k` of answer recall; those beyond what was retrieved are left out."""


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """What a question got: `values` by measure, `seconds` by step.

    `relevance` is the highest among the passages that were read, None without a ranker; `pairs` are
    (relevance, gold or not) of the ranked passages, empty where no gold passage is known; `ranked` is how
    many passages the ranker scored, fewer than were retrieved within a budget.
    """

    id: str
    unit: str
    question: str
    gold: tuple[str, ...]
    answered: bool
    values: Mapping[str, float]
    seconds: Mapping[str, float]
    relevance: float | None = None
    pairs: tuple[tuple[float, bool], ...] = ()
    ranked: int = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """The rows of one system on one benchmark; `of` is the number of questions in the file of the data.

    `answers_sha256` (16 digits) is of the answers that were scored. `made_of` says what only these answers
    were made of: the file of the data, what was left out of it, runs, index, gold passages held.
    """

    system: System
    benchmark: BenchmarkFacts
    data_sha256: str
    of: int
    rows: tuple[QuestionScore, ...]
    answers_sha256: str = ""
    made_of: Mapping[str, str] = field(default_factory=dict)


def score(
    items: Sequence[GoldQuestion],
    answers: Mapping[str, Answer],
    benchmark: Benchmark,
    system: System,
    from_runs: bool = False,
) -> tuple[QuestionScore, ...]:
    """Return a row for every item, answered or not, in the order of the items.

    A step that a system lacks, and a search that runs stood in for, has no seconds: none would flatter.
    """
    done = {
        "retrieve": not from_runs,
        "rank": system.ranker is not None,
        "generate": system.generator is not None,
        "cite": system.cites,
    }
    timed = frozenset(step for step, has in done.items() if has)
    return tuple(_row(item, answers.get(item.question.id), benchmark, system, timed) for item in items)


def _row(
    item: GoldQuestion, answer: Answer | None, benchmark: Benchmark, system: System, timed: Container[str]
) -> QuestionScore:
    given = answer if answer is not None else Answer(item.question, done=True)
    values: dict[str, float] = {}
    if system.generator is not None and benchmark.family != "ranking":
        values |= {name: answer_value(name, given, item) for name in benchmark.measures}
        said = given.text.strip() and not declined(given.text, given.abstained)
        values["coverage"] = float(bool(said))
        values |= citation_values(given, item) if system.cites else {}
    if system.retrieve_k:
        depths = [k for k in DEPTHS if k <= system.retrieve_k]
        values |= ranking_values(given, item, depths, by_answer=benchmark.style in FINDABLE)
    relevances = [hit.score for hit in given.ranked[: given.read_k] if hit.scored]
    ranked = system.ranker is not None
    return QuestionScore(
        id=item.question.id,
        unit=item.unit,
        question=_asked(item.question),
        gold=item.gold.answers,
        answered=answer is not None,
        values=values,
        seconds={step: seconds for step, seconds in given.timings_s.items() if step in timed},
        relevance=max(relevances, default=0.0) if ranked else None,
        pairs=_pairs(given, item) if ranked else (),
        ranked=sum(hit.scored for hit in given.ranked) if ranked else 0,
    )


def _pairs(answer: Answer, item: GoldQuestion) -> tuple[tuple[float, bool], ...]:
    gold = item.gold.passages
    return tuple((hit.score, hit.passage.id in gold) for hit in answer.ranked if gold and hit.scored)


def _asked(question: Question) -> str:
    """Return a question for people: the last turns before it, and its options."""
    before = [f"{turn.role}: {turn.text}" for turn in question.history[-2:]]
    after = [f"{letter}: {text}" for letter, text in question.options.items()]
    return "\n".join([*before, question.text, *after])


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────────


def write_scores(folder: Path, scores: Scores) -> None:
    """Write what a system got beside its answers."""
    with writing(str(folder / SCORES)) as stream:
        stream.write(json.dumps(asdict(scores), ensure_ascii=False) + "\n")


def read_scores(folder: Path) -> Scores:
    """Return what `write_scores` wrote; raises NotFoundError or FormatError."""
    path = folder / SCORES
    if not path.is_file():
        raise NotFoundError(f"found no {SCORES} in {folder}: make it with `rankrag eval score {folder}`")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        system = typed(System, record["system"], "system")
        benchmark = typed(BenchmarkFacts, record["benchmark"], "benchmark")
        rows = tuple(_read_row(row) for row in record["rows"])
        known = (record["data_sha256"], record["of"], rows, record["answers_sha256"], record["made_of"])
        return Scores(system, benchmark, *known)
    except (KeyError, TypeError, ValueError) as problem:
        raise FormatError(
            str(path), None, f"found no scores ({problem}): make them with `rankrag eval score {folder}`"
        ) from problem


def _read_row(record: dict) -> QuestionScore:  # type: ignore[type-arg]
    pairs = tuple((float(score), bool(gold)) for score, gold in record["pairs"])
    return QuestionScore(**(record | {"gold": tuple(record["gold"]), "pairs": pairs}))


def check_paired(a: Scores, b: Scores) -> None:
    """Raise InvalidInputError unless two systems were scored on the same questions of the same data."""
    if a.data_sha256 != b.data_sha256 or [row.id for row in a.rows] != [row.id for row in b.rows]:
        raise InvalidInputError(
            f"{a.benchmark.name}: found {len(a.rows)} questions of {a.system.name!r} and {len(b.rows)} of "
            f"{b.system.name!r}, or other data, wanted the same: predict and score both with the same -n"
        )
