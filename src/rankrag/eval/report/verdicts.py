"""What the comparisons of a report show, in words, and which value of a column may stand in bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..results import Comparison, Results, Value
from .layout import Tone

TONES: dict[str, Tone] = {"better": "better", "worse": "worse", "no difference shown": "open"}
"""What each verdict looks like."""

LEVEL = 0.05
"""Holm-corrected p-values below this count as a difference."""

SMALLER_IS_BETTER = frozenset({"aurc", "ece", "brier"})


def verdict(one: Comparison) -> str:
    """Return `better`, `worse` or `no difference shown`: what the sample says of b against a."""
    if not one.p_holm < LEVEL or one.difference.value == 0:
        return "no difference shown"
    grew = one.difference.value > 0
    return "better" if grew is not (one.measure in SMALLER_IS_BETTER) else "worse"


def best(results: Results, benchmark: str, measure: str, values: Mapping[str, Value]) -> str | None:
    """Return the system whose value leads significantly over the second, None where none does.

    Where several are second it has to lead over each. None too where the leader was not compared with them,
    or where only one system was measured: bold must not flatter.
    """
    ordered = sorted(values, key=lambda name: -values[name].value)
    if len(ordered) < 2:
        return None
    first, *others = ordered
    rivals = [name for name in others if values[name].value == values[others[0]].value]
    tests = [one for one in results.comparisons if (one.benchmark, one.measure) == (benchmark, measure)]
    return first if all(_leads(first, rival, tests) for rival in rivals) else None


def _leads(first: str, other: str, tests: Sequence[Comparison]) -> bool:
    """Say whether a comparison shows the first to be better than the other."""
    wanted = {(other, first): "better", (first, other): "worse"}
    return any(verdict(one) == wanted.get((one.a, one.b)) for one in tests)


def ordered(results: Results, a: str, b: str) -> list[Comparison]:
    """Return the comparisons of b against a in the order of the report's benchmarks, pooled ones last."""
    order = {one.name: n for n, one in enumerate(results.benchmarks)}
    mine = [one for one in results.comparisons if (one.a, one.b) == (a, b)]
    return sorted(mine, key=lambda one: order.get(one.benchmark, len(order)))


def summary(results: Results) -> tuple[str, ...]:
    """Return what the comparisons show, a sentence for each pair of systems."""
    pairs = dict.fromkeys((one.a, one.b) for one in results.comparisons)
    return tuple(_summed(b, a, ordered(results, a, b)) for a, b in pairs) or (
        "No two systems were compared.",
    )


def _summed(b: str, a: str, chosen: Sequence[Comparison]) -> str:
    said = [verdict(one) for one in chosen]
    counts = ", ".join(f"{name} in {said.count(name)}" for name in TONES)
    return f"{b} against {a}, in {len(said)} comparisons: {counts}."
