"""How far relevance is off and the maps that put it right: by hand, on known truths, against scikit-learn."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from rankrag.errors import InvalidInputError
from rankrag.eval.calibration import (
    Pairs,
    Points,
    brier,
    cross_validated,
    ece,
    fit_isotonic,
    fit_temperature,
    log_odds,
    paired,
    reliability,
    threshold_for,
)
from rankrag.model.skills.calibrated import Calibration, MapKind

FITS = {"temperature": fit_temperature, "isotonic": fit_isotonic}


def logistic(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-x))
    return found


def drawn(n: int, scale: float = 1.0, bias: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return relevances whose true chance is logistic(scale * log-odds + bias), and labels by that chance."""
    rng = np.random.default_rng(seed)
    scores = logistic(rng.normal(0, 2.5, n))
    return scores, rng.random(n) < logistic(scale * log_odds(scores) + bias)


def curve(kind: MapKind, scores: np.ndarray, labels: np.ndarray) -> Calibration:
    return Calibration(kind, FITS[kind](scores, labels))


# ── how far off ──────────────────────────────────────────────────────────────────────────────────────


def test_ece_and_brier_by_hand() -> None:
    scores, labels = np.array([0.1, 0.1, 0.9, 0.95]), np.array([0, 1, 1, 1])
    # 15 bins: 0.1 in [1/15, 2/15), mean 0.1, half relevant; 0.9 in [13/15, 14/15), 0.95 in the last.
    assert ece(scores, labels) == pytest.approx((2 * 0.4 + 0.1 + 0.05) / 4)
    assert ece(scores, labels, bins=2) == pytest.approx((2 * 0.4 + 2 * 0.075) / 4)
    assert brier(scores, labels) == pytest.approx((0.01 + 0.81 + 0.01 + 0.0025) / 4)


def test_a_relevance_of_one_is_in_the_last_bin() -> None:
    assert ece(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert ece(np.array([1.0, 0.0]), np.array([False, True])) == 1


def test_guos_definition_written_out() -> None:
    scores, labels = drawn(500, scale=0.4, bias=-0.5)
    total = 0.0
    for m in range(15):
        of_bin = (scores >= m / 15) & (scores < (m + 1) / 15)
        if of_bin.any():
            total += of_bin.sum() / 500 * abs(labels[of_bin].mean() - scores[of_bin].mean())
    assert ece(scores, labels) == pytest.approx(total)


def test_brier_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, labels = drawn(300)
    assert brier(scores, labels) == pytest.approx(metrics.brier_score_loss(labels, scores))


def test_reliability_is_scikit_learns_curve() -> None:
    learn = pytest.importorskip("sklearn.calibration")
    scores, labels = drawn(300, scale=0.5)
    share, mean = learn.calibration_curve(labels, scores, n_bins=10)
    bins = reliability(scores, labels)
    assert [one[0] for one in bins] == pytest.approx(mean)
    assert [one[1] for one in bins] == pytest.approx(share)
    assert sum(one[2] for one in bins) == 300


def test_empty_bins_are_not_drawn() -> None:
    assert reliability(np.array([0.25, 0.25, 0.75]), np.array([0, 1, 1])) == ((0.25, 0.5, 2), (0.75, 1.0, 1))


# ── temperature ──────────────────────────────────────────────────────────────────────────────────────


def test_scale_and_bias_are_found_again() -> None:
    scores, labels = drawn(20_000, scale=0.5, bias=-1.0)
    ((scale, bias),) = fit_temperature(scores, labels)
    assert scale == pytest.approx(0.5, abs=0.03)
    assert bias == pytest.approx(-1.0, abs=0.06)


def test_the_fit_is_scikit_learns_logistic_regression() -> None:
    """Large enough a sample that Platt's targets are the labels but for 1 in 2,000."""
    linear = pytest.importorskip("sklearn.linear_model")
    scores, labels = drawn(8_000, scale=1.7, bias=0.4)
    theirs = linear.LogisticRegression(C=np.inf, tol=1e-10).fit(log_odds(scores)[:, None], labels)
    ((scale, bias),) = fit_temperature(scores, labels)
    assert scale == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert bias == pytest.approx(theirs.intercept_[0], abs=0.01)


def test_labels_told_apart_without_a_mistake_keep_the_scale_finite() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    found = curve("temperature", scores, scores > 0.5)
    mapped = found.apply(scores)
    # Platt's targets for three of each are 4 in 5 and 1 in 5; a logistic fit keeps their mean.
    assert mapped[:3].mean() == pytest.approx(0.2, abs=0.05)
    assert mapped.mean() == pytest.approx(0.5)


def test_relevances_of_exactly_0_and_1_can_be_fitted() -> None:
    scores, labels = np.array([0.0, 0.0, 0.5, 1.0, 1.0]), np.array([0, 1, 0, 1, 0])
    found = curve("temperature", scores, labels).apply(scores)
    assert np.isfinite(found).all()
    assert found[0] < found[2] < found[3]


def test_a_ranker_that_is_the_wrong_way_round_is_refused() -> None:
    scores, labels = drawn(200, scale=2)
    with pytest.raises(InvalidInputError, match="irrelevant passages have the higher relevance"):
        fit_temperature(1 - scores, labels)
    with pytest.raises(InvalidInputError, match="nowhere rises"):
        fit_isotonic(np.array([0.1, 0.2, 0.8, 0.9]), np.array([1, 1, 0, 0]))


# ── isotonic ─────────────────────────────────────────────────────────────────────────────────────────


def test_blocks_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.6])
    labels = np.array([0, 1, 0, 0, 1, 1])
    # 1, 0, 0 violate the order and become 1/3; the two equal relevances are one point.
    found = np.array(fit_isotonic(scores, labels))
    assert found == pytest.approx(np.array([(0.1, 0), (0.2, 1 / 3), (0.4, 1 / 3), (0.6, 1)]))


@pytest.mark.parametrize("rounded", [False, True])
def test_the_map_is_scikit_learns(rounded: bool) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    scores, labels = drawn(400, scale=0.6)
    scores = np.round(scores, 2) if rounded else scores
    theirs = isotonic.IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    fresh = np.concatenate([scores, np.linspace(0, 1, 501)])
    x, y = np.array(fit_isotonic(scores, labels)).T
    assert np.interp(fresh, x, y) == pytest.approx(theirs.predict(fresh), abs=1e-9)
    assert curve("isotonic", scores, labels).apply(fresh) == pytest.approx(theirs.predict(fresh), abs=1e-4)


def test_blocks_are_scipys() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    scores, labels = drawn(300)
    theirs = optimize.isotonic_regression(labels[np.argsort(scores)].astype(float)).x
    shares = np.unique([share for _, share in fit_isotonic(scores, labels)])
    assert shares == pytest.approx(np.unique(np.round(theirs, 9)))


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_a_fit_brings_relevance_near_the_truth(kind: MapKind) -> None:
    scores, labels = drawn(4_000, scale=0.4, bias=-1.2)
    fresh, truth = drawn(20_000, scale=0.4, bias=-1.2, seed=1)
    mapped = curve(kind, scores, labels).apply(fresh)
    assert ece(fresh, truth) > 0.15
    assert ece(mapped, truth) < 0.02
    assert np.abs(mapped - logistic(0.4 * log_odds(fresh) - 1.2)).mean() < 0.02


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_no_order_changes(kind: MapKind) -> None:
    scores, labels = drawn(300, scale=0.3)
    found = curve(kind, scores, labels)
    asked = np.unique(np.concatenate([np.linspace(0, 1, 2001), scores, [1e-9, 1 - 1e-9]]))
    mapped = found.apply(asked)
    assert (np.diff(mapped) > 0).all()
    assert (mapped >= 0).all()
    assert (mapped <= 1).all()
    assert found.apply(asked[::-1]).tolist() == mapped[::-1].tolist()


def test_log_odds_are_those_of_the_calibrated_ranker() -> None:
    """The formula stands in two rooms that do not know each other; here they meet."""
    scores = np.array([0.0, 1e-14, 1e-5, 0.3, 0.5, 1 - 1e-9, 1.0])
    assert Calibration("temperature", ((0.7, -0.2),)).apply(scores) == pytest.approx(
        logistic(0.7 * log_odds(scores) - 0.2), rel=1e-12
    )


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([0.2, 0.4], [1, 1], "found 2 relevant pairs among 2"),
        ([0.2, 0.4], [0, 0], "found 0 relevant pairs among 2"),
        ([0.4, 0.4], [0, 1], "found the same relevance 0.4"),
        ([0.4], [0, 1], "found 1 relevances and 2 labels"),
        ([0.4, 1.2], [0, 1], "not in 0..1"),
        ([0.4, np.nan], [0, 1], "not in 0..1"),
        ([], [], "found 0 relevances"),
    ],
)
def test_what_cannot_be_fitted_is_said(
    fit: object, scores: list[float], labels: list[int], words: str
) -> None:
    assert callable(fit)
    with pytest.raises(InvalidInputError, match=words):
        fit(np.array(scores), np.array(labels))


# ── cross-validation ─────────────────────────────────────────────────────────────────────────────────


def test_what_is_said_of_the_fit_is_of_questions_that_it_did_not_see() -> None:
    scores, labels = drawn(60)
    units = tuple(f"question {n // 3}" for n in range(60))
    seen: list[set[float]] = []

    def fit(some: np.ndarray, marks: np.ndarray) -> partial[np.ndarray]:
        seen.append({*some.tolist()})
        assert len(marks) == len(some)
        return partial(held_out, {*some.tolist()})

    def held_out(fitted: set[float], some: np.ndarray) -> np.ndarray:
        assert fitted.isdisjoint(some.tolist())
        # All three passages of a question are held out together.
        of = {units[scores.tolist().index(one)] for one in some.tolist()}
        assert len(some) == 3 * len(of)
        return some

    off = cross_validated(Pairs(scores, labels, units), fit)
    assert len(seen) == 5
    assert off.ece[0] == off.ece[1] == ece(scores, labels)
    assert off.brier == (brier(scores, labels), brier(scores, labels))


def test_cross_validation_does_not_flatter() -> None:
    """Labels by chance: isotonic regression fits them, yet on other questions it is worse than 0.5 is."""
    rng = np.random.default_rng(1)
    scores, labels = rng.random(60), rng.random(60) < 0.5
    found = curve("isotonic", scores, labels)
    off = cross_validated(
        Pairs(scores, labels, tuple(map(str, range(60)))), lambda s, marks: curve("isotonic", s, marks).apply
    )
    assert ece(found.apply(scores), labels) < off.ece[1]
    assert brier(found.apply(scores), labels) < 0.25 < off.brier[1]


def test_every_fold_learns_from_relevant_passages() -> None:
    """Ten questions, two of which have a relevant passage: neither fold of the two lacks the other's."""
    rows = [(0.1 * n + 0.05 * k, n in (3, 4) and k == 1, str(n)) for n in range(10) for k in range(2)]
    off = cross_validated(paired(rows), lambda s, marks: curve("isotonic", s, marks).apply)
    assert 0 <= off.ece[1] <= 1


def test_one_question_cannot_be_checked() -> None:
    with pytest.raises(InvalidInputError, match="found 2 pairs of 1 question,"):
        cross_validated(paired([(0.1, False, "a"), (0.9, True, "a")]), lambda s, marks: lambda x: x)
    rows = [(0.1, False, "a"), (0.9, True, "a"), (0.2, False, "b")]
    with pytest.raises(InvalidInputError, match="relevant passages of one question alone"):
        cross_validated(paired(rows), lambda s, marks: lambda x: x)


# ── the threshold ────────────────────────────────────────────────────────────────────────────────────


def test_a_threshold_by_hand() -> None:
    scores = np.array([*[0.9] * 60, *[0.5] * 30, *[0.2] * 30])
    labels = np.array([*[1] * 59, 0, *[1] * 15, *[0] * 15, *[0] * 30])
    found = threshold_for(scores, labels, 0.9)
    assert found.value == pytest.approx(0.7)  # halfway to the next lower relevance
    assert (found.n, found.precision, found.recall) == (60, 59 / 60, 59 / 74)
    # 74 of 90 is 0.82, its bound 0.75; 74 of 120 is 0.62, its bound 0.54.
    assert threshold_for(scores, labels, 0.7).n == 90
    everything = threshold_for(scores, labels, 0.5)
    assert (everything.value, everything.recall) == (0.2, 1.0)
    assert threshold_for(scores, labels, 0.0) == everything


def test_the_bound_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    scores, labels = drawn(400)
    found = threshold_for(scores, labels, 0.8)
    k = round(found.precision * found.n)
    # A two-sided interval of 90 % has the one-sided bound of 95 %.
    wilson = stats.binomtest(k, found.n).proportion_ci(0.9, method="wilson")
    assert found.at_least == pytest.approx(wilson.low)
    assert found.at_least >= 0.8
    kept = scores >= found.value
    assert (kept.sum(), labels[kept].sum()) == (found.n, k)


def test_three_lucky_pairs_make_no_threshold() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.2, 0.1]), np.array([1, 1, 1, 0, 0])
    with pytest.raises(
        InvalidInputError,
        match=r"with 0\.9 as bound of its precision, at best 0\.526 \(the 3 most .* have 1\.000\)",
    ):
        threshold_for(scores, labels, 0.9)


def test_equal_relevances_are_not_parted() -> None:
    scores, labels = np.array([0.8] * 50), np.array([1] * 25 + [0] * 25)
    with pytest.raises(InvalidInputError, match=r"at best 0\.38"):
        threshold_for(scores, labels, 0.5)


def test_the_precision_holds_on_fresh_pairs() -> None:
    """The bound is broken about once in twenty fits; the point estimate in every third and more."""
    rng, broken, naive = np.random.default_rng(3), 0, 0
    for _ in range(150):
        scores = rng.beta(0.6, 0.9, 300)
        labels = rng.random(300) < scores
        fresh = rng.beta(0.6, 0.9, 4000)
        broken += fresh[fresh >= threshold_for(scores, labels, 0.7).value].mean() < 0.7
        order = np.argsort(-scores)
        precision = np.cumsum(labels[order]) / np.arange(1, 301)
        lowest = scores[order][np.flatnonzero(precision >= 0.7)[-1]]
        naive += fresh[fresh >= lowest].mean() < 0.7
    assert broken / 150 <= 0.1
    assert naive / 150 > 0.3


def test_points_are_plain_numbers() -> None:
    """They are written as JSON."""
    scores, labels = drawn(100)
    found: list[Points] = [fit(scores, labels) for fit in FITS.values()]
    assert {type(number) for points in found for pair in points for number in pair} == {float}
