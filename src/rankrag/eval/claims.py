"""What a claim comes to: one of four words, by a fixed rule from interval, test and smallest difference.

A claim says that one system is better than another. On each comparison that it rests on it is

    shown           b is better than a: Holm-corrected p < 0.05
    contradicted    b is worse than a: Holm-corrected p < 0.05
    points there    neither, but b is ahead: p < 0.05 without the correction, or by at least half of the
                    smallest true difference that so many questions would show
    not shown       else

Too few questions (fewer than ENOUGH of a set that has more) say at most that it points there. A claim that
rests on several comparisons is shown if all are, contradicted if one is and none is shown, and points there
if more than half of them do or are shown and none is contradicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .results import POOLED, Comparison, Results, cells
from .score import Scores
from .statistics import SIGNIFICANT, pooled

Standing = Literal["shown", "points there", "not shown", "contradicted"]

ENOUGH = 150
"""Questions of each set below which a claim is not settled, unless the set has no more."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A comparison that a claim rests on; `enough` says whether its questions can settle it."""

    test: Comparison
    enough: bool

    @property
    def standing(self) -> Standing:
        """Return what the comparison says of b being better than a."""
        ahead = self.test.difference.value
        if self.enough and ahead and self.test.p_holm < SIGNIFICANT:
            return "shown" if ahead > 0 else "contradicted"
        near = self.test.p < SIGNIFICANT or ahead >= self.test.detectable / 2
        return "points there" if ahead > 0 and near else "not shown"


def evidence(results: Results, a: str, b: str, measure: str) -> tuple[Evidence, ...]:
    """Return the comparisons of b against a: the one over several benchmarks, or all where there is none."""
    tests = [test for test in results.comparisons if (test.a, test.b, test.measure) == (a, b, measure)]
    alone = [test for test in tests if test.benchmark != POOLED]
    chosen = [test for test in tests if test.benchmark == POOLED] or alone
    return tuple(
        Evidence(test, _enough(results, alone if test.benchmark == POOLED else [test])) for test in chosen
    )


def _enough(results: Results, tests: Sequence[Comparison]) -> bool:
    measured = [cells(results)[test.b, test.benchmark] for test in tests]
    return all(cell.questions >= min(ENOUGH, cell.of) for cell in measured)


def standing(proofs: Sequence[Evidence]) -> Standing:
    """Return what all the comparisons of a claim come to."""
    said = [proof.standing for proof in proofs]
    if said and all(verdict == "shown" for verdict in said):
        return "shown"
    if "contradicted" in said:
        return "not shown" if "shown" in said else "contradicted"
    for_it = sum(verdict != "not shown" for verdict in said)
    return "points there" if 2 * for_it > len(said) else "not shown"


def sentences(says: str, proofs: Sequence[Evidence]) -> tuple[str, ...]:
    """Return a claim with what it comes to, and a sentence for each comparison that it rests on."""
    return (f"{says} {standing(proofs).capitalize()}.", *map(_sentence, proofs))


def _sentence(proof: Evidence) -> str:
    test = proof.test
    value, low, high = (
        f"{100 * x:+.1f}" for x in (test.difference.value, test.difference.low, test.difference.high)
    )
    where = "all together" if test.benchmark == POOLED else test.benchmark
    few = "" if proof.enough else f", fewer than {ENOUGH} of a set"
    return (
        f"{test.b} against {test.a}, {test.measure}, {where}: {value} [{low}, {high}], {test.difference.n:,} "
        f"questions{few}, smallest difference that they show {100 * test.detectable:.1f}: {proof.standing}."
    )


# ── where retrieval is hard ──────────────────────────────────────────────────────────────────────────

DEPTHS = {1: "first", 5: "among the first 5", 20: "among the first 20", 0: "not there"}
"""Where the retriever has the first passage with an answer; a question counts at the least of them."""


def by_depth(scores: Mapping[tuple[str, str], Scores], a: str, b: str, measure: str) -> tuple[str, ...]:
    """Return a sentence on b against a by where the retriever has its first answer, none without answers.

    `scores` are by system and benchmark. It tells where a difference comes from, tests no claim, and nothing
    is corrected.
    """
    grouped: dict[int, dict[str, list[tuple[float, float, str]]]] = {depth: {} for depth in DEPTHS}
    for (system, benchmark), scored in scores.items():
        if system != b or (a, benchmark) not in scores:
            continue
        for x, y in zip(scores[a, benchmark].rows, scored.rows, strict=True):
            if measure in x.values and "retrieved answer-R@1" in y.values:
                depth = next((k for k in DEPTHS if y.values.get(f"retrieved answer-R@{k}")), 0)
                pair = (x.values[measure], y.values[measure], x.unit)
                grouped[depth].setdefault(benchmark, []).append(pair)
    parts = [f"{DEPTHS[depth]} {_change(strata)}" for depth, strata in grouped.items() if strata]
    where = "by where the retriever has its first answer"
    return (f"{b} against {a}, {measure}, {where}: {'; '.join(parts)}.",) if parts else ()


def _change(strata: Mapping[str, Sequence[tuple[float, float, str]]]) -> str:
    columns = [tuple(zip(*rows, strict=True)) for rows in strata.values()]
    mean = pooled([(x, y, units) for x, y, units in columns], draws=2000).difference
    return f"{100 * mean.value:+.1f} [{100 * mean.low:+.1f}, {100 * mean.high:+.1f}] ({mean.n:,})"
