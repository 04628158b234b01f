"""Measures of citations against gold passages.

The ancestors are citation precision and recall of ALCE (arXiv 2305.14627). ALCE asks a model of natural
language inference whether the cited passages entail a sentence; here no model judges. A citation is correct
if its passage is gold for the question, or holds a gold answer. So the measures say whether the right
passages are cited, not whether each sentence follows from them, and computing them again changes nothing.
"""

from __future__ import annotations

from ...spans import sentences
from ...types import Answer
from ..benchmarks import FINDABLE
from ..gold import GoldQuestion
from .ranking import has_answer
from .text import declined


def citation_values(answer: Answer, item: GoldQuestion) -> dict[str, float]:
    """Return `citation_precision` and `citation_recall` of an answer, in 0..1; without what does not apply.

    Precision is the share of the citations that are correct; an answer that cites nothing has none (ALCE: 0).
    Recall is the share of the answer's sentences that a correct citation overlaps. Neither is there
    for an item without gold passages or without an answer, nor for an answer that is empty or declined: what
    was not answered is counted by coverage and by the answer measures.
    """
    gold, text = item.gold, answer.text
    if not (gold.passages and gold.answerable and text.strip()) or declined(text, answer.abstained):
        return {}
    right = _right_passages(answer, item)
    correct = [citation for citation in answer.citations if citation.passage_id in right]
    backed = [
        any(citation.start < end and start < citation.end for citation in correct)
        for start, end in sentences(text)
        if any(map(str.isalnum, text[start:end]))
    ]
    scores: dict[str, float] = {}
    if answer.citations:
        scores["citation_precision"] = len(correct) / len(answer.citations)
    if backed:
        scores["citation_recall"] = sum(backed) / len(backed)
    return scores


def _right_passages(answer: Answer, item: GoldQuestion) -> frozenset[str]:
    """Return the ids of passages that a citation is right to name: gold ones, and those with an answer."""
    answers = item.gold.answers if item.question.style in FINDABLE else ()
    cited = {citation.passage_id for citation in answer.citations} - item.gold.passages
    holding = {
        hit.passage.id
        for hit in answer.ranked
        if hit.passage.id in cited and has_answer(hit.passage.text, answers)
    }
    return item.gold.passages | holding
