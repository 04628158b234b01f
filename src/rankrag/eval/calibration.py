"""What a relevance is worth as a probability: how far it is off, and maps that put it right.

The data are labelled pairs of question and passage: the relevance that a ranker gave, in 0..1, and whether
the passage is relevant. Everything here takes the two as arrays of shape (pairs,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..errors import InvalidInputError, amount

ECE_BINS = 15
DRAWN_BINS = 10
FOLDS = 5
SURE = 0.95
"""The lower bound of a precision holds with this probability (one-sided)."""

NEAR = 1e-12
"""Relevances are kept so far from 0 and 1 before their log-odds are taken (27.6 at most)."""

RelevanceMap = Callable[[np.ndarray], np.ndarray]
"""From relevances to calibrated relevances, both of shape (pairs,)."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Labelled pairs: relevance, label and question of each, of shape (pairs,) all three."""

    scores: np.ndarray
    labels: np.ndarray
    units: tuple[str, ...]


def paired(rows: Sequence[tuple[float, bool, str]]) -> Pairs:
    """Return labelled pairs from (relevance, label, question) of each."""
    scores = np.array([score for score, _, _ in rows], dtype=np.float64)
    labels = np.array([label for _, label, _ in rows], dtype=bool)
    return Pairs(scores, labels, tuple(unit for _, _, unit in rows))


# ── how far off ──────────────────────────────────────────────────────────────────────────────────────


def ece(scores: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error: |mean relevance - share relevant|, averaged over the pairs.

    Bins of equal width, as Guo et al. 2017 have them (https://arxiv.org/abs/1706.04599, equation 3), but of
    the relevance itself in place of the confidence in a class: a passage of relevance 0.1 is one that is
    relevant one time in ten, not one that is irrelevant with a confidence of 0.9. Raises InvalidInputError.
    """
    scores, labels = _checked(scores, labels)
    summed, right, counts = _binned(scores, labels, bins)
    return float(np.abs(summed - right).sum() / counts.sum())


def brier(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance of relevance and truth (Brier 1950), 0 at best, in 0..1."""
    scores, labels = _checked(scores, labels)
    return float(((scores - labels) ** 2).mean())


def reliability(
    scores: np.ndarray, labels: np.ndarray, bins: int = DRAWN_BINS
) -> tuple[tuple[float, float, int], ...]:
    """Return (mean relevance, share relevant, pairs) of each bin of equal width that is not empty."""
    summed, right, counts = _binned(*_checked(scores, labels), bins)
    return tuple(
        (float(total / count), float(share / count), int(count))
        for total, share, count in zip(summed, right, counts, strict=True)
        if count
    )


def _binned(scores: np.ndarray, labels: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the summed relevance, the relevant pairs and the pairs of each bin, shape (bins,) each."""
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    return (
        np.bincount(bin_of, weights=scores, minlength=bins),
        np.bincount(bin_of, weights=labels, minlength=bins),
        np.bincount(bin_of, minlength=bins),
    )


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if scores.shape != labels.shape or scores.ndim != 1 or not len(scores):
        raise InvalidInputError(
            f"found {scores.size} relevances and {labels.size} labels, wanted as many of both, one at least"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise InvalidInputError("found a relevance that is not in 0..1, wanted those of a ranker")
    return scores, labels


# ── maps that put it right ───────────────────────────────────────────────────────────────────────────


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> Points:
    """Return ((scale, bias),): calibrated log-odds are scale * log-odds + bias.

    This is Platt's logistic map on the log-odds, i.e. temperature scaling with T = 1 / scale (Guo et al.) and
    a bias: the share of relevant passages in training (half or a fifth of the pairs) is not that in use, and
    such a shift is a bias in the log-odds. Fitted to Platt's targets, (N + 1) / (N + 2)
    for N relevant pairs: they keep the scale finite where the labels can be told apart without a mistake
    (Lin, Lin and Weng 2007, https://doi.org/10.1007/s10994-007-5018-6).

    Raises InvalidInputError for one class, for one relevance, and where irrelevant passages have the higher
    relevance, since no map may turn a ranking round.
    """
    from scipy import optimize, special

    scores, labels = _fittable(scores, labels)
    x = np.stack([log_odds(scores), np.ones(len(scores))])
    n_true = labels.sum()
    targets = np.where(labels > 0, (n_true + 1) / (n_true + 2), 1 / (len(labels) - n_true + 2))

    def loss(weights: np.ndarray) -> float:
        logits = weights @ x
        return float((np.logaddexp(0, logits) - targets * logits).mean())

    def gradient(weights: np.ndarray) -> np.ndarray:
        return np.asarray(x @ (special.expit(weights @ x) - targets) / len(targets))

    def curvature(weights: np.ndarray) -> np.ndarray:
        p = special.expit(weights @ x)
        return np.asarray((x * (p * (1 - p))) @ x.T / len(targets))

    fitted = optimize.minimize(
        loss, [1.0, 0.0], jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-10}
    )
    scale, bias = map(float, fitted.x)
    if not scale > 0:
        raise InvalidInputError(
            f"found a scale of {scale:.3g}: the irrelevant passages have the higher relevance, wanted a "
            "ranker that is better than chance on these pairs: check the labels, or train the model to rank"
        )
    return ((scale, bias),)


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)) of relevances, natural log, at most 27.6 in size."""
    near: np.ndarray = np.clip(scores, NEAR, 1 - NEAR)
    odds: np.ndarray = np.log(near) - np.log1p(-near)
    return odds


def fit_isotonic(scores: np.ndarray, labels: np.ndarray) -> Points:
    """Return (relevance, share relevant) where each block of pool-adjacent-violators begins and ends.

    The blocks are those of isotonic regression (Zadrozny and Elkan 2002, https://doi.org/10.1145/775047.775151):
    equal relevances are one point, and neighbours of one share one block. Straight lines between the points
    are what scikit-learn predicts. (Lines between the middles of the blocks would rise everywhere, but with
    two wide blocks they are off: a Brier score of 0.30 where the blocks have 0.23.) Raises InvalidInputError
    for one class, for one relevance, and where the best rising map is flat.
    """
    from scipy import optimize

    scores, labels = _fittable(scores, labels)
    values, places = np.unique(scores, return_inverse=True)
    counts = np.bincount(places).astype(np.float64)
    fitted = optimize.isotonic_regression(np.bincount(places, weights=labels) / counts, weights=counts)
    starts, ends = fitted.blocks[:-1], fitted.blocks[1:] - 1
    if len(starts) < 2:
        raise InvalidInputError(
            "found that the share of relevant passages nowhere rises with the relevance, wanted a ranker "
            "that is better than chance on these pairs: check the labels, or train the model to rank"
        )
    return tuple(
        (float(values[at]), float(fitted.x[at]))
        for start, end in zip(starts, ends, strict=True)
        for at in dict.fromkeys((start, end))
    )


def _fittable(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = _checked(scores, labels)
    n_true = int((labels > 0).sum())
    if n_true in (0, len(labels)):
        raise InvalidInputError(
            f"found {n_true} relevant pairs among {len(labels)}, wanted both kinds: label also the other"
        )
    if scores.min() == scores.max():
        raise InvalidInputError(
            f"found the same relevance {scores[0]:g} for all {len(scores)} pairs, wanted a ranker that tells "
            "passages apart"
        )
    return scores, labels


# ── checked on pairs that the fit has not seen ───────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Miscalibration:
    """How far relevances are off before a fit and after it."""

    ece: tuple[float, float]
    brier: tuple[float, float]


def cross_validated(pairs: Pairs, fit: Callable[[np.ndarray, np.ndarray], RelevanceMap]) -> Miscalibration:
    """Return how far relevances are off, and how far they would be if `fit` had not seen their questions.

    Units (questions) are dealt to the folds in their order, those with relevant pairs first, so that each
    fold gets its part of them. Raises InvalidInputError where the fit does, and for fewer than two units.
    """
    scores, labels = _checked(pairs.scores, pairs.labels)
    units, names = pairs.units, list(dict.fromkeys(pairs.units))
    if len(units) != len(scores) or len(names) < 2:
        raise InvalidInputError(
            f"found {amount(len(scores), 'pair')} of {amount(len(names), 'question')}, wanted two questions "
            "at least and the question of every pair"
        )
    with_relevant = {unit for unit, label in zip(units, labels, strict=True) if label > 0}
    if len(with_relevant) == 1:
        raise InvalidInputError(
            "found relevant passages of one question alone, wanted those of two at least: the fit is checked "
            "on questions that it did not see"
        )
    dealt = {name: n for n, name in enumerate(sorted(names, key=lambda name: name not in with_relevant))}
    fold = np.array([dealt[unit] % min(FOLDS, len(names)) for unit in units])
    after = np.empty_like(scores)
    for n in range(fold.max() + 1):
        after[fold == n] = fit(scores[fold != n], labels[fold != n])(scores[fold == n])
    return Miscalibration(
        (ece(scores, labels), ece(after, labels)), (brier(scores, labels), brier(after, labels))
    )


# ── a threshold ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Threshold:
    """From `value` on, a share `precision` of the pairs is relevant, with `at_least` as lower bound.

    The bound takes pairs for independent and this threshold for the only one that was tried. Neither holds,
    so it is a little too high: of 400 simulated sets of 500 independent pairs, with a true precision of 0.88
    at every relevance, 11 % had a threshold for 0.9 where 5 % should; more where pairs of a question are
    alike.
    `recall` is the share of all relevant pairs that are left, `n` the number of pairs left.
    """

    value: float
    precision: float
    at_least: float
    recall: float
    n: int


def threshold_for(scores: np.ndarray, labels: np.ndarray, precision: float) -> Threshold:
    """Return the lowest threshold whose precision on the pairs is at least the one wanted.

    What has to reach it is the lower bound of the precision (Wilson's, one-sided, 95 %), so that three lucky
    pairs at the top make no threshold. It lies halfway to the next lower relevance. Raises InvalidInputError
    where no threshold reaches it; the message says how far they come.
    """
    scores, labels = _checked(scores, labels)
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], np.cumsum(labels[order])
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))  # a threshold cannot part equals
    n = ends + 1
    bounds = _wilson(right[ends] / n, n)
    reached = np.flatnonzero(bounds >= precision)
    if not len(reached):
        best = int(bounds.argmax())
        raise InvalidInputError(
            f"found no threshold with {precision:g} as bound of its precision, at best {bounds[best]:.3f} "
            f"(the {n[best]} most relevant pairs have {right[ends][best] / n[best]:.3f}): ask for less with "
            "--precision, for none with --no-threshold, or label more pairs"
        )
    last = int(reached[-1])
    end = int(ends[last])
    below = ranked[end + 1] if end + 1 < len(ranked) else ranked[end]
    return Threshold(
        value=float((ranked[end] + below) / 2),
        precision=float(right[end] / n[last]),
        at_least=float(bounds[last]),
        recall=float(right[end] / right[-1]) if right[-1] else 0.0,
        n=int(n[last]),
    )


def _wilson(shares: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the lower end of Wilson's score interval, one-sided (https://doi.org/10.2307/2276774)."""
    z = NormalDist().inv_cdf(SURE)
    middle = shares + z**2 / (2 * n)
    spread = z * np.sqrt(shares * (1 - shares) / n + z**2 / (4 * n**2))
    low: np.ndarray = (middle - spread) / (1 + z**2 / n)
    return low
