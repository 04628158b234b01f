"""Citations: which of the passages that were read does each sentence of an answer lean on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ... import prompts
from ...types import Citation, Hit, Passage, Question, Ranker

_SENTENCE = re.compile(r"\S.*?(?:[.!?][\"')\]]*(?=\s+[\"'(\[]?[A-Z0-9])|(?=\n)|$)", re.DOTALL)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

_PLAIN_WORDS = frozenset(
    """
    a about above according across after again against all almost alone along also although always am
    among an and another any are around as at based be because been before being below between both but
    by can could despite did do does due during each either even every few first following for from given
    had has have having he hence her here his how however i if in instead into is it its later less like
    many may might more most much must my neither no none nor not of off often on once one only or other
    our over per possibly probably several shall she should since so some sometimes still such than that
    the their them then there therefore these they this those though through thus to together too two
    under unless unlike until up upon usually was we were what when where whereas whether which while who
    whose why will with within without would yes yet you your
    """.split()
)
"""Words that are no names when a sentence begins with them, and that show no likeness between texts."""


@dataclass(frozen=True, slots=True)
class ModelCiter:
    """Cites with the model's own relevance: each sentence, as a claim, is ranked against the passages.

    Follows the paper's claim form of the ranking prompt (arXiv 2407.02485, appendix C, FEVER). Before the
    model is asked about a passage, the names and numbers of the sentence, and one word of it at least,
    have to occur there: a relevance says that a passage is about the same thing, not that the numbers
    agree. At most one passage is cited for a sentence: the one of the highest relevance, if that
    reaches `threshold`.
    """

    ranker: Ranker
    threshold: float = 0.5

    def cite(self, question: Question, text: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
        """Return citations in the order of the text, none for a sentence without support."""
        if text.strip() == prompts.UNANSWERABLE:
            return ()
        found = (self._cite(question, text, span, passages) for span in _sentences(text))
        return tuple(citation for citation in found if citation is not None)

    def _cite(
        self, question: Question, text: str, span: tuple[int, int], passages: Sequence[Passage]
    ) -> Citation | None:
        sentence = text[span[0] : span[1]]
        able = [Hit(passage, 0.0) for passage in passages if _holds(passage, sentence)]
        ranked = self.ranker.rank(prompts.claim(question, sentence), able) if able else []
        if not ranked or ranked[0].score < self.threshold:
            return None
        best = ranked[0]
        source = best.passage.source
        start, end = _closest(best.passage.text, sentence)
        known = source is not None and source.start is not None
        offset = source.start if source is not None and source.start is not None else 0
        return Citation(
            start=span[0],
            end=span[1],
            passage_id=best.passage.id,
            relevance=best.score,
            source=source.path if source else "",
            source_start=offset + start if known else None,
            source_end=offset + end if known else None,
        )


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences that hold a letter or a digit."""
    for match in _SENTENCE.finditer(text):
        if _WORD.search(match.group()):
            yield match.start(), match.start() + len(match.group().rstrip())


def _holds(passage: Passage, sentence: str) -> bool:
    """Return whether a passage (or its title) has every name and number of a sentence, and any word of it.

    A sentence without words of its own ("Yes.") asks for none.
    """
    text = f"{passage.title}\n{passage.text}"
    words, wanted = _content(text), _content(sentence)
    return (
        _names(sentence) <= words
        and _numbers(sentence) <= _numbers(text)
        and (not wanted or not wanted.isdisjoint(words))
    )


def _names(sentence: str) -> set[str]:
    """Return the capitalised words, lower-cased; the first only if it is no plain word."""
    words = [word for word in _WORD.findall(sentence) if word[0].isupper()]
    return {_fold(word) for word in words if _fold(word) not in _PLAIN_WORDS}


def _closest(passage: str, sentence: str) -> tuple[int, int]:
    """Return the span of the passage's sentence that shares most words with a sentence (first of equals)."""
    wanted = _content(sentence)
    spans = list(_sentences(passage)) or [(0, len(passage))]
    return max(spans, key=lambda span: len(wanted & _content(passage[span[0] : span[1]])))


def _content(text: str) -> set[str]:
    return {_fold(word) for word in _WORD.findall(text)} - _PLAIN_WORDS


def _fold(word: str) -> str:
    folded = word.casefold().replace("’", "'")
    return folded.removesuffix("'s")


def _numbers(text: str) -> set[str]:
    """Return the numbers of a text without the commas that group digits: 1,200 and 1200 are the same."""
    return {number.replace(",", "") for number in _NUMBER.findall(text)}
