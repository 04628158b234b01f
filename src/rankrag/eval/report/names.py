"""The names of measures, and what the report has to know of each."""

from __future__ import annotations

import re

from ..measures.retrieval import RETRIEVED

BY_ANSWER = ("answer-R@1", "answer-R@5", "answer-R@10", "answer-R@20")
"""Shares of questions with an answer among the first k passages, in the order of the columns."""

BY_GOLD = ("R@1", "R@5", "R@10", "R@20", "R@100", "nDCG@10", "RR@10")
"""Measures by judged passages, in the order of the columns."""

TRUST = ("coverage", "selective_acc", "aurc", "ece", "brier", "citation_precision", "citation_recall")
"""What abstention, relevance and citations are worth, in the order of the columns."""

SHOWN = {"Claim": "Acc", "Choice": "Acc"}
"""What the paper's tables call a measure that has another name here."""

SMALLER_IS_BETTER = frozenset({"aurc", "ece", "brier"})

_RANKING = re.compile(r"(answer-R|AP|nDCG|P|R|RR|Success)(\(rel=\d+\))?@\d+")


def is_ranking(measure: str) -> bool:
    """Say whether a measure is of a ranking: `answer-R@5`, `nDCG@10`, also of what was retrieved."""
    return _RANKING.fullmatch(measure.removeprefix(RETRIEVED)) is not None
