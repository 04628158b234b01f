"""What a confidence is worth for deciding which questions to leave unanswered.

Selective prediction after Geifman and El-Yaniv, arXiv 1705.08500: answer the surest share of the questions
(the coverage) and look at the mean error among them (the selective risk). A confidence here is the highest
relevance among the passages that were read; only its order counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import InvalidInputError


def risk_coverage(confidences: Sequence[float], correct: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return coverages 1/n, 2/n, ... 1 and the risk at each: two float64 arrays of shape (n,).

    `correct` is the value of each answer in 0..1 (so F1 will do), its error is 1 minus that. Among questions
    of one confidence nothing says which is answered first: the risk is its mean over all their orders, which
    is what giving each the mean error of its group comes to. So the order of the input does not matter.
    Raises InvalidInputError for no questions, another number of values, or a confidence that is no number.
    """
    sure, error = np.asarray(confidences, dtype=float), 1.0 - np.asarray(correct, dtype=float)
    if not sure.size or sure.shape != error.shape or np.isnan(sure).any():
        raise InvalidInputError(
            f"found {sure.size} confidences ({int(np.isnan(sure).sum())} of them no numbers) and "
            f"{error.size} values, wanted one of each for at least one question: check the scores"
        )
    _, group, size = np.unique(-sure, return_inverse=True, return_counts=True)
    mean = np.bincount(group, weights=error) / size
    n = np.arange(1, sure.size + 1)
    return n / sure.size, np.cumsum(np.repeat(mean, size)) / n


def aurc(confidences: Sequence[float], correct: Sequence[float]) -> float:
    """Return the area under the risk-coverage curve: the mean risk over coverages 1/n ... 1; lower is better.

    A confidence that says nothing gives the error over all questions.
    """
    return float(risk_coverage(confidences, correct)[1].mean())
