"""The table of comparisons: what the sample shows between two systems, and what it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from ..results import POOLED, Comparison, Results
from .best import LEVEL, verdict
from .table import (
    Entry,
    Group,
    Heading,
    Row,
    Table,
    Tone,
    interval,
    percent,
    probability,
    sample_size,
    titles,
)

_TONES: dict[str, Tone] = {"better": "better", "worse": "worse", "no difference shown": "open"}

_COLUMNS = (
    "measure",
    "difference",
    "what it shows",
    "p",
    "p, Holm",
    "smallest difference it would show",
    "wins / ties / losses",
)


def comparison_table(results: Results) -> Table:
    """Return every comparison, a group for each pair of systems, in the order of the benchmarks."""
    pairs = dict.fromkeys((one.a, one.b) for one in results.comparisons)
    groups = tuple(
        Group(tuple(_row(results, one) for one in ordered(results, a, b)), f"{b} against {a}")
        for a, b in pairs
    )
    notes = (
        "Difference is the system named first minus the other on the same questions, in points (x100), with "
        "its 95 % interval; wins, ties and losses are of the system named first.",
        f"A paired permutation test; Holm's correction is over all {len(results.comparisons)} comparisons of "
        f"this report, and below {LEVEL} counts as a difference.",
        '"No difference shown" does not say that there is none: another column says how large a true '
        "difference would have to be for a sample of this size to show it four times out of five.",
    )
    headings = tuple(Heading(name) for name in _COLUMNS)
    return Table("Comparisons", "Benchmark", headings, groups, notes, flat=True)


def ordered(results: Results, a: str, b: str) -> list[Comparison]:
    """Return the comparisons of b against a in the order of the report's benchmarks, pooled ones last."""
    order = {one.name: n for n, one in enumerate(results.benchmarks)}
    mine = [one for one in results.comparisons if (one.a, one.b) == (a, b)]
    return sorted(mine, key=lambda one: order.get(one.benchmark, len(order)))


def benchmark_title(results: Results, name: str) -> str:
    """Return the title of a benchmark, `all together` for what is over several."""
    return "all together" if name == POOLED else titles(results).get(name, name)


def _row(results: Results, one: Comparison) -> Row:
    said = verdict(one)
    difference = one.difference
    entries = (
        Entry(one.measure),
        Entry(
            percent(difference.value, sign=True),
            (interval(difference, sign=True), *sample_size(difference)),
            tone=_TONES[said],
        ),
        Entry(said, tone=_TONES[said]),
        Entry(probability(one.p)),
        Entry(probability(one.p_holm)),
        Entry(percent(one.detectable)),
        Entry(f"{one.wins:,} / {one.ties:,} / {one.losses:,}"),
    )
    return Row(benchmark_title(results, one.benchmark), entries)


def summary(results: Results) -> tuple[str, ...]:
    """Return what the comparisons show, a sentence for each pair of systems."""
    pairs = dict.fromkeys((one.a, one.b) for one in results.comparisons)
    return tuple(_summed(b, a, ordered(results, a, b)) for a, b in pairs) or (
        "No two systems were compared.",
    )


def _summed(b: str, a: str, chosen: Sequence[Comparison]) -> str:
    said = [verdict(one) for one in chosen]
    counts = ", ".join(f"{name} in {said.count(name)}" for name in _TONES)
    return f"{b} against {a}, in {len(said)} comparisons: {counts}."
