"""What the comparisons of a report show, in words, and which value of a column may stand in bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import amount
from ..results import POOLED, Comparison, Results, Value, benchmark_title, values
from ..statistics import SIGNIFICANT
from .layout import Tone, percent

TONES: dict[str, Tone] = {"better": "better", "worse": "worse", "no difference shown": "open"}
"""What each verdict looks like."""

COUNTED = frozenset({"EM", "Acc", "Claim", "Choice"})
"""Measures that are 0 or 1 for a question; answer-R@k is another."""

SMALLER_IS_BETTER = frozenset({"aurc", "ece", "brier"})


def verdict(test: Comparison) -> str:
    """Return `better`, `worse` or `no difference shown`: what the sample says of b against a."""
    if not test.p_holm < SIGNIFICANT or test.difference.value == 0:
        return "no difference shown"
    grew = test.difference.value > 0
    return "better" if grew is not (test.measure in SMALLER_IS_BETTER) else "worse"


def best(results: Results, benchmark: str, measure: str, column: Mapping[str, Value]) -> str | None:
    """Return the system whose value leads significantly over the second, None where none does.

    Where several are second it has to lead over each. None too where the leader was not compared with them,
    or where only one system was measured: bold must not flatter.
    """
    first, *others = sorted(column, key=lambda name: -column[name].value) or [""]
    if not others:
        return None
    rivals = [name for name in others if column[name].value == column[others[0]].value]
    tests = [test for test in results.comparisons if (test.benchmark, test.measure) == (benchmark, measure)]
    return first if all(_leads(first, rival, tests) for rival in rivals) else None


def _leads(first: str, other: str, tests: Sequence[Comparison]) -> bool:
    """Say whether a comparison shows the first to be better than the other."""
    wanted = {(other, first): "better", (first, other): "worse"}
    return any(verdict(test) == wanted.get((test.a, test.b)) for test in tests)


def ordered(results: Results, a: str, b: str) -> list[Comparison]:
    """Return the comparisons of b against a in the order of the report's benchmarks, pooled ones last."""
    order = {benchmark.name: n for n, benchmark in enumerate(results.benchmarks)}
    mine = [test for test in results.comparisons if (test.a, test.b) == (a, b)]
    return sorted(mine, key=lambda own: order.get(own.benchmark, len(order)))


def in_words(results: Results) -> tuple[str, ...]:
    """Return a sentence or two for what the report is read for first: who got how much, and what that shows.

    For each pair of systems these are its comparisons over several benchmarks, or all where there is none.
    """
    pairs = dict.fromkeys((test.a, test.b) for test in results.comparisons)
    chosen = []
    for a, b in pairs:
        tests = ordered(results, a, b)
        chosen += [test for test in tests if test.benchmark == POOLED] or tests
    return tuple(_said(results, test) for test in chosen)


def _said(results: Results, test: Comparison) -> str:
    shown = verdict(test)
    scores = _scores(results, test)
    start = f"{benchmark_title(results, test.benchmark)}, {test.measure}: {scores}"
    if shown != "no difference shown":
        return f"{start}. {test.b} is {shown}, by {points(abs(test.difference.value))} points."
    n = test.difference.n
    least = (
        f"{amount(n, 'question')} can only show differences above {points(test.detectable)} points"
        if test.detectable < 1
        else f"{amount(n, 'question')} can show no difference"
    )
    if test.p < SIGNIFICANT and test.difference.value:
        tests = len(results.comparisons)
        return f"{start}. No difference is shown: alone it would be, but not as one of {tests} comparisons."
    more = f"; to show one of {points(abs(test.difference.value))} points bring about {test.needed:,}"
    return f"{start}. No difference is shown: {least}{more if test.needed > n else ''}."


def _scores(results: Results, test: Comparison) -> str:
    """Return what both systems got: `ranked 3 of 10, plain 5 of 10`, x100 where it is no count."""
    scores = values(results)
    several = {
        each.benchmark
        for each in results.comparisons
        if (each.a, each.b, each.measure) == (test.a, test.b, test.measure) and each.benchmark != POOLED
    }
    over = several if test.benchmark == POOLED else {test.benchmark}
    b, a = ([scores.get((system, name, test.measure)) for name in over] for system in (test.b, test.a))
    known = [(x, y) for x, y in zip(b, a, strict=True) if x is not None and y is not None]
    gain = sum(x.value - y.value for x, y in known) / max(1, len(known))
    if not known or abs(gain - test.difference.value) > 1e-6:  # measured on other questions, too
        return f"{test.b} {percent(test.difference.value, sign=True)} points against {test.a}"
    return ", ".join(
        f"{name} {_share(test.measure, [pair[side] for pair in known])}"
        for side, name in enumerate((test.b, test.a))
    )


def _share(measure: str, scores: Sequence[Value]) -> str:
    """Return `3 of 10` where a question counts 0 or 1, else the mean of the benchmarks, x100."""
    counts = measure in COUNTED or measure.startswith("answer-R@")
    if counts and len(scores) == 1:
        return f"{round(scores[0].value * scores[0].n):,} of {scores[0].n:,}"
    return percent(sum(score.value for score in scores) / len(scores))


def points(fraction: float) -> str:
    """Return a fraction as points (x100), whole ones from 10 on: `79`, `4.2`."""
    return f"{100 * fraction:.0f}" if fraction >= 0.1 else f"{100 * fraction:.1f}"


def summary(results: Results) -> tuple[str, ...]:
    """Return what the comparisons show, a sentence for each pair of systems."""
    pairs = dict.fromkeys((test.a, test.b) for test in results.comparisons)
    return tuple(_summed(b, a, ordered(results, a, b)) for a, b in pairs) or (
        "No two systems were compared.",
    )


def _summed(b: str, a: str, chosen: Sequence[Comparison]) -> str:
    said = [verdict(test) for test in chosen]
    counts = ", ".join(f"{name} in {said.count(name)}" for name in TONES)
    return f"{b} against {a}, in {amount(len(said), 'comparison')}: {counts}."
