"""Intervals and tests of the evaluation room on data whose truth is known, and against scipy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from rankrag.errors import InvalidInputError
from rankrag.eval.statistics import LEVEL, compare, holm, interval, pooled, student

Draw = Callable[[np.random.Generator], tuple[np.ndarray, int]]
"""Returns values, shape (questions,), and how many neighbouring questions make a unit."""


def alone(values: Sequence[float] | np.ndarray) -> list[str]:
    return [str(n) for n in range(len(values))]


def named(n_questions: int, size: int) -> list[str]:
    return [f"unit {n // size}" for n in range(n_questions)]


def binary(p: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    return (rng.random(n) < p).astype(float), 1


def f1_like(p_wrong: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Wrong with `p_wrong`, else even in 0..1: the mean is (1 - p_wrong) / 2."""
    return np.where(rng.random(n) < p_wrong, 0.0, rng.random(n)), 1


def turns(p: float, rho: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Five binary turns a conversation, correlated by `rho` within it (beta-binomial)."""
    chance = rng.beta(p * (1 / rho - 1), (1 - p) * (1 / rho - 1), n)
    return (rng.random((n, 5)) < chance[:, None]).astype(float).ravel(), 5


def covered(draw: Draw, truth: float, times: int) -> float:
    """Return how often the interval holds the true mean."""
    rng, held = np.random.default_rng(11), 0
    for _ in range(times):
        values, size = draw(rng)
        found = interval(values.tolist(), named(len(values), size), draws=400)
        held += found.low <= truth + 1e-12 and truth - 1e-12 <= found.high
    return held / times


# ── intervals ────────────────────────────────────────────────────────────────────────────────────────


def test_the_mean_is_over_questions_whatever_their_units() -> None:
    found = interval([1, 1, 1, 0, 0.5], ["a", "a", "a", "b", "c"])
    assert found.value == 3.5 / 5
    assert (found.n, found.units) == (5, 3)
    assert 0 <= found.low < found.value < found.high <= 1


@pytest.mark.parametrize("n", [5, 20, 150])
@pytest.mark.slow
def test_nothing_right_is_not_certainly_nothing(n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    none, every = interval([0.0] * n, alone([0] * n)), interval([1.0] * n, alone([0] * n))
    wilson = stats.binomtest(0, n).proportion_ci(LEVEL, method="wilson").high
    assert none.low == 0
    assert 0.75 * wilson < none.high < 1.4 * wilson
    assert every.high == 1
    assert every.low == pytest.approx(1 - none.high, abs=0.03)


QUICK: dict[str, tuple[Draw, float]] = {
    "binary 0.03, 20": (partial(binary, 0.03, 20), 0.03),
    "binary 0.1, 20": (partial(binary, 0.1, 20), 0.1),
    "binary 0.9, 50": (partial(binary, 0.9, 50), 0.9),
    "F1-like 0.3, 20": (partial(f1_like, 0.4, 20), 0.3),
    "F1-like 0.05, 20": (partial(f1_like, 0.9, 20), 0.05),
    "turns 0.1, 20": (partial(turns, 0.1, 0.6, 20), 0.1),
    "turns 0.5, 20": (partial(turns, 0.5, 0.6, 20), 0.5),
}


@pytest.mark.parametrize("name", QUICK)
def test_intervals_hold_the_truth(name: str) -> None:
    assert covered(*QUICK[name], times=300) >= 0.92


FULL: dict[str, tuple[Draw, float]] = {
    f"{kind} {n}": case
    for n in (20, 50, 150)
    for kind, case in {
        **{f"binary {p}": (partial(binary, p, n), p) for p in (0.03, 0.1, 0.3, 0.5, 0.9)},
        **{f"F1-like {(1 - p) / 2:g}": (partial(f1_like, p, n), (1 - p) / 2) for p in (0.0, 0.4, 0.9)},
        **{f"turns {p} {r}": (partial(turns, p, r, n), p) for p in (0.1, 0.5) for r in (0.3, 0.8)},
    }.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_intervals_hold_the_truth_in_every_setting(name: str) -> None:
    assert covered(*FULL[name], times=2000) >= 0.93


def theirs(values: np.ndarray, method: str) -> tuple[float, float]:
    """Return scipy's bootstrap interval of the mean; without a spread it is not a number."""
    stats = pytest.importorskip("scipy.stats")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = stats.bootstrap((values,), np.mean, method=method, n_resamples=400, rng=1)
    return found.confidence_interval.low, found.confidence_interval.high


@pytest.mark.parametrize("method", ["percentile", "BCa"])
@pytest.mark.slow
def test_scipys_bootstraps_flatter_where_ours_does_not(method: str) -> None:
    rng, held, mended = np.random.default_rng(5), 0, 0
    for _ in range(100):
        values, _ = binary(0.1, 20, rng)
        low, high = theirs(values, method)
        held += low <= 0.1 <= high
        found = interval(values.tolist(), alone(values), draws=400)
        mended += found.low <= 0.1 <= found.high
    assert mended / 100 > 0.93
    assert held < mended - 5


@pytest.mark.parametrize("draw", [partial(binary, 0.4, 150), partial(f1_like, 0.4, 150)])
def test_on_large_samples_it_is_scipys_bca(draw: Draw) -> None:
    values, _ = draw(np.random.default_rng(6))
    found, (low, high) = interval(values.tolist(), alone(values)), theirs(values, "BCa")
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


def test_turns_taken_for_independent_flatter() -> None:
    values, size = turns(0.5, 0.8, 40, np.random.default_rng(3))
    honest = interval(values.tolist(), named(len(values), size))
    flattering = interval(values.tolist(), alone(values))
    assert honest.value == flattering.value
    # Correlation 0.8 among 5 turns: the variance is 1 + 4 x 0.8 = 4.2 times that of independent ones.
    ratio = (honest.high - honest.low) / (flattering.high - flattering.low)
    assert ratio == pytest.approx(math.sqrt(4.2), rel=0.2)


def test_without_bounds_it_is_scipys_bootstrap_a_little_wider() -> None:
    stats = pytest.importorskip("scipy.stats")
    seconds = np.random.default_rng(2).lognormal(0, 0.5, 150)
    found = interval(seconds.tolist(), alone(seconds), bounds=None, draws=8000)
    theirs = stats.bootstrap(
        (seconds,), np.mean, method="percentile", n_resamples=8000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.value == pytest.approx(seconds.mean())
    width = theirs.high - theirs.low
    assert found.high - found.low == pytest.approx(width * 1.0116, rel=0.03)  # sqrt(150/149) x 1.976/1.960
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_the_quantile_of_t_is_that_of_the_tables() -> None:
    # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2, column 0.975.
    for free, quantile in {1: 12.706, 2: 4.303, 7: 2.365, 19: 2.093, 100: 1.984}.items():
        assert student(free) == pytest.approx(quantile, abs=0.0005)


def test_one_unit_says_nothing() -> None:
    assert (interval([1, 0], ["a", "a"]).low, interval([1, 0], ["a", "a"]).high) == (0, 1)
    alone_in_time = interval([2.5], ["a"], bounds=None)
    assert (alone_in_time.low, alone_in_time.high, alone_in_time.units) == (2.5, 2.5, 1)


def test_same_seed_same_interval_and_names_of_units_do_not_matter() -> None:
    values, units = [1.0, 0.0, 0.5, 1.0, 0.0], ["a", "a", "b", "c", "d"]
    found = interval(values, units)
    assert interval(values, units) == found
    assert interval(values, [unit.upper() for unit in units]) == found
    many, apart = np.linspace(0, 1, 37).tolist(), alone([0] * 37)
    assert interval(many, apart, seed=1) != interval(many, apart)


def test_memory_is_bounded_without_changing_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = (np.random.default_rng(0).random(60) < 0.4).astype(float).tolist()
    whole = interval(values, alone(values)), compare(values, values[::-1], alone(values))
    monkeypatch.setattr("rankrag.eval.statistics._BLOCK", 1000)
    in_blocks = interval(values, alone(values)), compare(values, values[::-1], alone(values))
    assert in_blocks[0].low == pytest.approx(whole[0].low, abs=0.02)
    assert in_blocks[0].value == whole[0].value
    assert in_blocks[1].p == pytest.approx(whole[1].p, abs=0.03)


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_comparison_counts_by_hand() -> None:
    found = compare([0, 0, 1, 0.5], [1, 1, 0, 0.5], alone([0] * 4))
    assert found.difference.value == 0.25
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    # Three units differ by +1, +1, -1: of the 8 patterns every one has a sum of at least 1 in size.
    assert found.p == 1.0
    five = compare([0.0] * 5, [1.0] * 5, alone([0] * 5))
    assert five.p == 2 / 2**5
    assert compare([1.0] * 5, [0.0] * 5, alone([0] * 5)).difference.value == -1


def test_units_flip_whole() -> None:
    values = [0.0] * 12, [1.0] * 12
    assert compare(*values, named(12, 1)).p == 2 / 2**12
    assert compare(*values, named(12, 4)).p == 2 / 2**3


def test_exact_and_random_signs_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(4)
    for n in (10, 40):
        a = rng.random(n)
        b = np.clip(a + rng.normal(0.08, 0.2, n), 0, 1)
        theirs = stats.permutation_test(
            (a, b),
            lambda x, y, axis: (y - x).mean(axis=axis),
            permutation_type="samples",
            n_resamples=20_000,
            vectorized=True,
            rng=np.random.default_rng(1),
        ).pvalue
        ours = compare(a.tolist(), b.tolist(), alone(a), draws=20_000).p
        assert 0 < ours < 0.9
        assert ours == pytest.approx(theirs, abs=1e-12 if n == 10 else 0.012)


def test_no_difference_is_not_proof_of_none() -> None:
    for n in (20, 200):
        same = (np.random.default_rng(n).random(n) < 0.5).astype(float).tolist()
        found = compare(same, same, alone(same))
        assert (found.p, found.difference.value) == (1.0, 0.0)
        assert (found.wins, found.ties, found.losses) == (0, n, 0)
        # Rule of three: up to 3 in n may differ unseen. Significance needs six that do: 7.85 / n expected.
        assert found.difference.high > 1 / n
        assert found.difference.low < -1 / n
        assert 3 / n < found.detectable == pytest.approx(7.85 / n, rel=0.01)


def rejected(draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, list[str]]]) -> float:
    rng, times = np.random.default_rng(21), 250
    cases = (draw(rng) for _ in range(times))
    return sum(compare(a.tolist(), b.tolist(), u, draws=200).p < 0.05 for a, b, u in cases) / times


def equal_systems(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two systems of the same quality, each with whole conversations that go well or badly."""
    a, size = turns(0.5, 0.7, 25, rng)
    b, _ = turns(0.5, 0.7, 25, rng)
    return a, b, named(len(a), size)


def test_equal_systems_are_seldom_told_apart_by_units_and_often_by_turns() -> None:
    def by_turns(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        a, b, _ = equal_systems(rng)
        return a, b, alone(a)

    assert rejected(equal_systems) <= 0.078  # 0.05 and two standard errors of 250 simulations
    assert rejected(by_turns) > 0.2


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_size_of_the_test_is_no_more_than_it_says(p: float) -> None:
    def single(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        return binary(p, 50, rng)[0], binary(p, 50, rng)[0], named(50, 1)

    assert rejected(single) <= 0.078


@pytest.mark.parametrize("size", [1, 5])
def test_the_detectable_difference_is_found_four_times_out_of_five(size: int) -> None:
    """First what a sample says it could find, then how often it finds a true difference of just that."""

    def pair(gain: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        n = 40
        shared = np.repeat(rng.normal(0, 0.1, n) if size > 1 else np.zeros(n), size)
        a = rng.uniform(0.2, 0.5, n * size)
        b = a + gain + shared + rng.uniform(-0.15, 0.15, n * size)
        return a, b, named(n * size, size)

    rng = np.random.default_rng(8)
    cases = [pair(0.0, rng) for _ in range(20)]
    gain = float(np.mean([compare(a.tolist(), b.tolist(), u, draws=10).detectable for a, b, u in cases]))
    assert rejected(partial(pair, gain)) == pytest.approx(0.8, abs=0.07)


def test_where_few_differ_the_detectable_difference_is_found_too() -> None:
    """One question in 100 differed; the difference said to be findable is all of one kind: 7.85 in 100."""
    found = compare([0.0] * 100, [1.0] + [0.0] * 99, named(100, 1))
    assert found.detectable == pytest.approx(0.0785, rel=0.01)

    def gains(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        return np.zeros(100), binary(found.detectable, 100, rng)[0], named(100, 1)

    assert rejected(gains) == pytest.approx(0.8, abs=0.07)


def test_as_many_questions_as_are_said_to_be_needed_find_the_difference() -> None:
    """A sample says how many would show what it saw; so many do, four times out of five."""
    gain, noise = 0.05, 0.2

    def pair(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        a = rng.uniform(0.4, 0.5, n)
        off = rng.choice([-noise, noise], n)
        return a, a + gain + off, named(n, 1)

    a, b, units = pair(30, np.random.default_rng(2))
    b += gain - (b - a).mean()
    needed = compare(a.tolist(), b.tolist(), units, draws=10).needed
    assert needed > 30
    assert rejected(partial(pair, needed)) == pytest.approx(0.8, abs=0.07)


def test_needed_is_said_in_two_digits_and_not_where_nothing_differs() -> None:
    # 7.85 questions have to differ: at 2 of 10 that are 39.2.
    assert compare([1.0] * 2 + [0.0] * 8, [0.0] * 10, named(10, 1)).needed == 40
    assert compare([1.0] + [0.0] * 299, [0.0] * 300, named(300, 1)).needed == 2400
    assert compare([1.0, 0.0], [1.0, 0.0], named(2, 1)).needed == 0


def test_pooling_weighs_benchmarks_alike() -> None:
    small = ([0.0, 0.0], [1.0, 0.0], ["a", "b"])
    large = ([0.0] * 10, [0.0] * 10, alone([0] * 10))
    found = pooled([small, large])
    assert found.difference.value == 0.25  # not 1 in 12
    assert (found.difference.n, found.difference.units) == (12, 12)
    assert (found.wins, found.ties, found.losses) == (1, 11, 0)
    assert pooled([small]) == compare(*small)


def test_pooling_finds_what_no_benchmark_shows_alone() -> None:
    rng = np.random.default_rng(6)
    strata = [
        (a.tolist(), np.clip(a + rng.normal(0.07, 0.2, 30), 0, 1).tolist(), alone(a))
        for a in (rng.random(30) * 0.8 for _ in range(6))
    ]
    single, together = [compare(*one) for one in strata], pooled(strata)
    assert together.difference.value == pytest.approx(np.mean([one.difference.value for one in single]))
    assert together.p < min(one.p for one in single)
    assert together.detectable == pytest.approx(np.mean([one.detectable for one in single]) / 6**0.5, rel=0.1)
    assert together.difference.low > 0
    normal = 2 * 1.96 * together.detectable / (1.96 + 0.84)
    assert normal < together.difference.high - together.difference.low < 1.4 * normal


def test_same_seed_same_p_and_swapping_the_systems_only_turns_the_sign() -> None:
    rng = np.random.default_rng(9)
    a, b = rng.random(40).tolist(), rng.random(40).tolist()
    there, back = compare(a, b, alone(a)), compare(b, a, alone(a))
    assert compare(a, b, alone(a)) == there
    assert there.p == back.p
    assert there.difference.value == -back.difference.value
    assert (there.wins, there.losses) == (back.losses, back.wins)


def test_seconds_are_compared_without_bounds() -> None:
    found = compare([10.0, 12.0, 11.0, 30.0], [20.0, 25.0, 22.0, 61.0], alone([0] * 4))
    assert found.difference.value == 16.25
    assert found.difference.high > 20


def test_a_rounding_error_is_a_tie() -> None:
    found = compare([0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2], ["a", "b"])
    assert (found.ties, found.p) == (2, 1.0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        # Sorted .005 x 4, .01 x 3, .03 x 2, and .04 x 1 is less than the one before.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.04], [0.04]),
        ([], []),
    ],
)
def test_holm_by_hand(given: list[float], wanted: list[float]) -> None:
    assert holm(given) == pytest.approx(wanted)


def test_holm_is_statsmodels() -> None:
    """What statsmodels 0.15.0 gives: `multipletests(given, method="holm")[1]`."""
    given = [0.0001, 0.19, 0.04, 0.011, 0.6, 0.0032, 0.04, 0.8, 0.013, 0.25]
    wanted = [0.001, 0.76, 0.24, 0.088, 1.0, 0.0288, 0.24, 1.0, 0.091, 0.76]
    assert holm(given) == pytest.approx(wanted)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "units", "words"),
    [
        ([], [], "found 0 values and 0 units"),
        ([1.0], ["a", "b"], "found 1 values and 2 units"),
        ([1.0, math.nan], ["a", "b"], "found nan as value 2"),
        ([1.0, 50.0], ["a", "b"], "found values from 1 to 50, wanted 0 to 1"),
    ],
)
def test_a_sample_that_is_none_is_refused(values: list[float], units: list[str], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        interval(values, units)


def test_a_comparison_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="found 1 and 2 values"):
        compare([1.0], [1.0, 0.0], ["a"])
    with pytest.raises(InvalidInputError, match="found nan"):
        compare([math.nan], [1.0], ["a"])
    with pytest.raises(InvalidInputError, match="no benchmarks"):
        pooled([])
    with pytest.raises(InvalidInputError, match=r"found p = 1\.2"):
        holm([0.1, 1.2])


def test_seed_and_draws_reach_the_interval_of_a_difference() -> None:
    a, b = [0.0, 1.0, 0.0, 1.0, 0.2], [1.0, 1.0, 0.0, 0.0, 0.9]
    found, other = compare(a, b, alone(a)), compare(a, b, alone(a), seed=1)
    assert found.difference != other.difference
    assert replace(found, difference=other.difference) == other  # five units: the test itself is exact
