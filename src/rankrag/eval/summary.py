"""From the scores of systems to the results of a report: means, intervals, comparisons."""

from __future__ import annotations

import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from ..errors import InvalidInputError
from .answers import StoredAnswers
from .benchmarks import BENCHMARKS
from .calibration import brier, ece, reliability
from .measures.abstention import aurc
from .results import (
    POOLED,
    Cell,
    Comparison,
    Curve,
    QuestionRow,
    Reliability,
    Results,
    ShownAnswer,
    System,
    Value,
    joined,
)
from .score import QuestionScore, Scores, check_paired
from .statistics import Bounds, Paired, compare, holm, interval, pooled, student

DRAWS = 1000
"""Resamplings for what is no mean (areas, calibration)."""


def cell(scores: Scores) -> Cell:
    """Return the means of a system on a benchmark, with their intervals."""
    return Cell(
        system=scores.system.name,
        benchmark=scores.benchmark.name,
        measures=_means(scores.rows, lambda row: row.values) | _confidence(scores),
        seconds={
            step: replace(value, low=max(0.0, value.low))
            for step, value in _means(scores.rows, lambda row: row.seconds, bounds=None).items()
        },
        questions=len(scores.rows),
        of=scores.of,
        unanswered=sum(not row.answered for row in scores.rows),
        data_sha256=scores.data_sha256,
        retriever=scores.system.retriever,
        corpus=scores.system.corpus,
        ranked=_ranked(scores.rows),
        made_of=scores.made_of,
    )


def _ranked(rows: Sequence[QuestionScore]) -> float:
    """Return the mean number of passages scored, over the questions whose ranking was timed."""
    timed = [row.ranked for row in rows if "rank" in row.seconds]
    return sum(timed) / len(timed) if timed else 0.0


def _means(
    rows: Sequence[QuestionScore],
    of: Callable[[QuestionScore], Mapping[str, float]],
    bounds: Bounds | None = (0.0, 1.0),
) -> dict[str, Value]:
    """Return the mean of each number that questions have, over those that have it."""
    return {
        name: interval([of(row)[name] for row in having], [row.unit for row in having], bounds=bounds)
        for name in dict.fromkeys(name for row in rows for name in of(row))
        if (having := [row for row in rows if name in of(row)])
    }


def _confidence(scores: Scores) -> dict[str, Value]:
    """Return what the relevance is worth: for abstaining (questions), and as a probability (pairs)."""
    measures: dict[str, Value] = {}
    headline = next(iter(scores.benchmark.measures), "")
    sure = [row for row in scores.rows if row.relevance is not None and headline in row.values]
    if sure:
        measures["aurc"] = _resampled(
            sure, lambda rows: aurc([row.relevance or 0.0 for row in rows], _correct(rows, headline))
        )
    answered = [row for row in scores.rows if row.values.get("coverage") == 1.0 and headline in row.values]
    if answered and len(answered) < len(scores.rows):
        measures["selective_acc"] = interval(_correct(answered, headline), [row.unit for row in answered])
    judged = [row for row in scores.rows if row.pairs]
    if judged:
        measures["ece"] = _resampled(judged, lambda rows: ece(*_pairs(rows)))
        measures["brier"] = _resampled(judged, lambda rows: brier(*_pairs(rows)))
    return measures


def _correct(rows: Sequence[QuestionScore], measure: str) -> list[float]:
    return [row.values[measure] for row in rows]


def _pairs(rows: Iterable[QuestionScore]) -> tuple[np.ndarray, np.ndarray]:
    pairs = [pair for row in rows for pair in row.pairs]
    return np.array([score for score, _ in pairs]), np.array([gold for _, gold in pairs], dtype=bool)


def _resampled(rows: Sequence[QuestionScore], measure: Callable[[Sequence[QuestionScore]], float]) -> Value:
    """Return a measure that is no mean of questions, with an interval from resampled units.

    Measured plus and minus Student's t of the standard error, within 0..1: percentiles of a measure that
    resampling shifts (calibration error grows on fewer distinct pairs) may leave out the measure itself.
    Where no resampling changes anything, as far as 3 units of `n` could (the rule of three).
    """
    units: dict[str, list[QuestionScore]] = defaultdict(list)
    for row in rows:
        units[row.unit].append(row)
    groups, rng = list(units.values()), np.random.default_rng(0)
    drawn = [
        measure([row for n in rng.integers(len(groups), size=len(groups)) for row in groups[n]])
        for _ in range(DRAWS)
    ]
    middle, n = measure(rows), len(groups)
    half = 1.0 if n < 2 else student(n - 1) * float(np.std(drawn)) * (n / (n - 1)) ** 0.5 or 3 / n
    return Value(middle, max(0.0, middle - half), min(1.0, middle + half), len(rows), n)


def calibrations(scores: Scores, measured: Cell) -> Reliability | None:
    """Return how often ranked passages of a stated relevance are gold, None where no gold is known.

    `measured` is what `cell` found of the scores: the errors are not resampled again.
    """
    rows = [row for row in scores.rows if row.pairs]
    if not rows:
        return None
    values, bins = measured.measures, reliability(*_pairs(rows))
    return Reliability(scores.system.name, scores.benchmark.name, bins, values["ece"], values["brier"])


# ── comparisons ──────────────────────────────────────────────────────────────────────────────────────


def comparisons(scores: Sequence[Scores], pairs: Sequence[tuple[str, str]]) -> tuple[Comparison, ...]:
    """Return system b against a for each pair (a, b), on each benchmark that both were scored on.

    What is compared: the headline measure of each benchmark and, unless both systems have the same passages
    in the same order, `BY_ANSWER` (where that does not apply, `BY_GOLD`), both also pooled over the
    benchmarks that share them. Holm's correction is over all of it.
    """
    by_name = {(scored.system.name, scored.benchmark.name): scored for scored in scores}
    benchmarks = list(dict.fromkeys(scored.benchmark.name for scored in scores))
    tests: list[tuple[str, str, str, str, Paired]] = []
    for a, b in pairs:
        both = [name for name in benchmarks if {(a, name), (b, name)} <= by_name.keys()]
        shared = [(by_name[a, name], by_name[b, name]) for name in both]
        for one, other in shared:
            check_paired(one, other)
            for measure in _compared(one, other):
                if values := _values(one, other, measure):
                    tests.append((one.benchmark.name, measure, a, b, compare(*values)))
        tests += [(POOLED, measure, a, b, test) for measure, test in _pooled(shared)]
    corrected = holm([test.p for *_, test in tests])
    return tuple(
        Comparison(
            benchmark,
            measure,
            a,
            b,
            difference=test.difference,
            p=test.p,
            p_holm=p,
            detectable=test.detectable,
            wins=test.wins,
            ties=test.ties,
            losses=test.losses,
            needed=test.needed,
        )
        for (benchmark, measure, a, b, test), p in zip(tests, corrected, strict=True)
    )


BY_ANSWER, BY_GOLD = "answer-R@5", "R@5"
"""What a ranking is compared by, and where no passage can be searched for the answer."""


def _compared(a: Scores, b: Scores) -> list[str]:
    """Return the measures that two systems are compared by on a benchmark, each once."""
    if _same_order(a, b):
        return list(a.benchmark.measures[:1])
    ranked = BY_ANSWER if any(BY_ANSWER in row.values for row in a.rows) else BY_GOLD
    return list(dict.fromkeys([*a.benchmark.measures[:1], ranked]))


def _same_order(a: Scores, b: Scores) -> bool:
    """Say whether two systems rank alike by what they are: a test of that would only cost the others."""

    def order(scored: Scores) -> tuple[object, ...]:
        runs = {name: digest for name, digest in scored.made_of.items() if name.startswith("run ")}
        return (
            scored.system.ranker,
            scored.system.retriever,
            scored.system.corpus,
            scored.system.retrieve_k,
            runs,
        )

    return a.system.ranker is None and order(a) == order(b)


def _values(a: Scores, b: Scores, measure: str) -> tuple[list[float], list[float], list[str]] | None:
    both = [
        (x, y) for x, y in zip(a.rows, b.rows, strict=True) if measure in x.values and measure in y.values
    ]
    if not both:
        return None
    return (
        [x.values[measure] for x, _ in both],
        [y.values[measure] for _, y in both],
        [x.unit for x, _ in both],
    )


def _pooled(shared: Sequence[tuple[Scores, Scores]]) -> Iterable[tuple[str, Paired]]:
    heads = [a.benchmark.measures[0] for a, _ in shared if a.benchmark.measures]
    for measure in dict.fromkeys([*heads, BY_ANSWER]):
        strata = [
            values
            for a, b in shared
            if (a.benchmark.measures[:1] == (measure,) or (measure == BY_ANSWER and not _same_order(a, b)))
            and (values := _values(a, b, measure))
        ]
        if len(strata) > 1:
            yield measure, pooled(strata)


# ── curves ───────────────────────────────────────────────────────────────────────────────────────────


def curves(cells: Sequence[Cell], places: Mapping[str, tuple[str, float]], x_name: str) -> tuple[Curve, ...]:
    """Return every measure, and the seconds of a question, against what a study varies.

    `places` says on which line and where each system stands; a line of one point is left out.
    """
    points: dict[tuple[str, str, str], list[tuple[float, Value]]] = defaultdict(list)
    for cell in cells:
        if cell.system in places:
            line, x = places[cell.system]
            seconds = {f"{step} seconds": value for step, value in cell.seconds.items()}
            for measure, value in {**cell.measures, **seconds}.items():
                points[line, cell.benchmark, measure].append((x, value))
    return tuple(
        Curve(line, benchmark, measure, x_name, tuple(sorted(found, key=lambda point: point[0])))
        for (line, benchmark, measure), found in points.items()
        if len(found) > 1
    )


# ── the browser ──────────────────────────────────────────────────────────────────────────────────────

WORDS = 40
"""Words of a passage that the browser shows."""


def question_rows(
    scores: Sequence[Scores], answers: Mapping[tuple[str, str], StoredAnswers]
) -> tuple[QuestionRow, ...]:
    """Return every question with what each system gave, for the browser of a report."""
    shown: dict[tuple[str, str], dict[str, ShownAnswer]] = defaultdict(dict)
    asked: dict[tuple[str, str], QuestionScore] = {}
    for scored in scores:
        given = answers[scored.system.name, scored.benchmark.name].answers
        for row in scored.rows:
            key = (scored.benchmark.name, row.id)
            asked.setdefault(key, row)
            answer = given.get(row.id)
            read = [hit.passage for hit in answer.ranked[: answer.read_k]] if answer else []
            shown[key][scored.system.name] = ShownAnswer(
                text=answer.text if answer else "",
                values=row.values,
                read=tuple((passage.title, " ".join(passage.text.split()[:WORDS])) for passage in read),
            )
    return tuple(
        QuestionRow(benchmark, name, row.question, row.gold, shown[benchmark, name])
        for (benchmark, name), row in asked.items()
    )


# ── the results ──────────────────────────────────────────────────────────────────────────────────────


def results_of(
    scores: Sequence[Scores], pairs: Sequence[tuple[str, str]], title: str, missing: Sequence[str]
) -> Results:
    """Return the results of systems, with comparisons of each pair (a, b)."""
    _check_names(scores)
    # In the order of the paper's tables; what the paper does not have follows.
    order = {name: n for n, name in enumerate(BENCHMARKS)}
    scores = sorted(scores, key=lambda scored: order.get(scored.benchmark.name, len(order)))
    cells = tuple(cell(scored) for scored in scores)
    judged = (calibrations(scored, measured) for scored, measured in zip(scores, cells, strict=True))
    return Results(
        title=title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["rankrag", *sys.argv[1:]]),
        systems=_systems(scores),
        benchmarks=tuple({scored.benchmark.name: scored.benchmark for scored in scores}.values()),
        cells=cells,
        comparisons=comparisons(scores, pairs),
        reliability=tuple(bins for bins in judged if bins),
        missing=tuple(missing),
    )


def _check_names(scores: Sequence[Scores]) -> None:
    """Raise InvalidInputError where one name stands for two systems, or a system was scored twice."""
    known: dict[str, System] = {}
    seen: set[tuple[str, str]] = set()
    for scored in scores:
        system, cell = scored.system, (scored.system.name, scored.benchmark.name)
        if cell in seen:
            raise InvalidInputError(f"found {cell[0]!r} on {cell[1]} twice, wanted it once")
        seen.add(cell)
        # What is searched may differ between benchmarks, with what says so; the rest is the system.
        same = replace(system, retriever="", corpus="", facts=_own_facts(system))
        if known.setdefault(system.name, same) != same:
            raise InvalidInputError(
                f"found two systems called {system.name!r} (one of them on {cell[1]}), wanted a name for "
                "each: predict again with another --name"
            )


def _own_facts(system: System) -> dict[str, str]:
    names = (
        *("template_hash", "model_sha256", "ranker_sha256", "generator_sha256", "calibration", "variant"),
        *("precision", "budget", "generator_template_hash"),
    )
    return {name: system.facts[name] for name in names if name in system.facts}


def _systems(scores: Sequence[Scores]) -> tuple[System, ...]:
    """Return the systems; facts that differ between the benchmarks of one stand beside each other."""
    systems: dict[str, System] = {}
    for scored in scores:
        before = systems.get(scored.system.name, scored.system)
        systems[scored.system.name] = replace(before, facts=joined(before.facts, scored.system.facts))
    return tuple(systems.values())


def pairs_of(compare: Sequence[str] | None, scores: Sequence[Scores]) -> list[tuple[str, str]]:
    """Return the pairs of systems to compare; by default each against the first."""
    names = list(dict.fromkeys(scored.system.name for scored in scores))
    if compare is None:
        return [(names[0], name) for name in names[1:]]
    pairs = []
    for pair in compare:
        a, sign, b = pair.partition(":")
        if not sign or not {a, b} <= set(names):
            raise InvalidInputError(f"found --compare {pair!r}, wanted A:B with systems {', '.join(names)}")
        pairs.append((a, b))
    return pairs
