"""Citations: which of the passages that were read does each sentence of an answer lean on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ... import prompts
from ...spans import PLAIN_WORDS, Span, folded, sentences, telling, worded, words
from ...types import Citation, Hit, Passage, Question, Ranker

_COMMA = re.compile(r"(?<=\d),(?=\d)")
"""Groups digits: 1,200 and 1200 are the same number."""

_NUMBER = re.compile(r"\d+(?:\.\d+)*")

HELD = 0.75
"""Share of the telling words that a place must hold: of two or three words all, of four three.

Whoever follows a citation is to find what the sentence says, not half of it beside something else.
"""

LONGEST = 600
"""Characters of a place that is pointed at: a longer one points at nothing."""


@dataclass(frozen=True, slots=True)
class ModelCiter:
    """Cites with the model's own relevance: each sentence, as a claim, is ranked against the passages.

    Follows the paper's claim form of the ranking prompt (arXiv 2407.02485, appendix C, FEVER). Before the
    model is asked about a passage, a place must be found there that a reader can be pointed at (see
    `place`): a relevance says that a passage is about the same thing, not that it says the same. At most one
    passage is cited for a sentence: the one of the highest relevance, if that reaches `threshold`.
    """

    ranker: Ranker
    threshold: float = 0.5

    def cite(self, question: Question, text: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
        """Return citations in the order of the text, none for a sentence without support."""
        if text.strip() == prompts.UNANSWERABLE:
            return ()
        cited = (self._cite(question, text, span, passages) for span in sentences(text))
        return tuple(citation for citation in cited if citation is not None)

    def _cite(
        self, question: Question, text: str, span: Span, passages: Sequence[Passage]
    ) -> Citation | None:
        sentence = text[slice(*span)]
        places = {passage.id: place(passage, sentence, question.text) for passage in passages}
        able = [Hit(passage, 0.0) for passage in passages if places[passage.id]]
        ranked = self.ranker.rank(prompts.claim(question, sentence), able) if able else []
        if not ranked or ranked[0].score < self.threshold:
            return None
        best = ranked[0]
        source = best.passage.source
        start, end = places[best.passage.id] or (0, 0)
        offset = source.start if source else None
        return Citation(
            start=span[0],
            end=span[1],
            passage_id=best.passage.id,
            relevance=best.score,
            source=source.path if source else "",
            source_start=None if offset is None else offset + start,
            source_end=None if offset is None else offset + end,
        )


def place(passage: Passage, sentence: str, question: str) -> Span | None:
    """Return the span of a passage that says what a sentence of an answer says, about what was asked.

    It is a sentence of the passage, or one with the sentence before it, which says what "it" is. It has
    three quarters of what the sentence tells beyond the question, and a word of the question unless
    the passage's title has one. A sentence that tells nothing of its own ("Yes.") needs as much of
    the question there. Names and numbers of the sentence must all stand in the passage or its title. None:
    there is no such place, and whoever was sent there would find something else.
    """
    if not words(sentence) or not _has_names(passage, sentence):
        return None
    asked, said = _telling(question), _telling(sentence)
    own = said - asked
    wanted = own or (said & asked) or asked
    title = _telling(passage.title)
    best, most = None, (0.0, 0)
    for span in _places(passage.text):
        held = _telling(passage.text[slice(*span)])
        share = len(wanted & (held if own else held | title)) / max(1, len(wanted))
        about = len(asked & held)
        is_about = about or asked & title or not asked
        if is_about and share >= HELD and (share, about) > most:
            best, most = span, (share, about)
    return best


def _places(text: str) -> Iterator[Span]:
    """Yield the sentences of a text, then each two that follow each other, those that are not too long."""
    spans = list(worded(text))
    for start, end in (*spans, *((first[0], second[1]) for first, second in pairwise(spans))):
        if end - start <= LONGEST:
            yield start, end


def _has_names(passage: Passage, sentence: str) -> bool:
    """Return whether a passage (or its title) has every name and number of a sentence."""
    text = f"{passage.title}\n{passage.text}"
    known = {folded(word) for word in words(text)}
    return _names(sentence) <= known and _numbers(sentence) <= _numbers(text)


def _names(sentence: str) -> set[str]:
    """Return the capitalised words, lower-cased; the first only if it is no plain word."""
    capitalised = [folded(word) for word in words(sentence) if word[0].isupper()]
    return {word for word in capitalised if word not in PLAIN_WORDS}


def _telling(text: str) -> frozenset[str]:
    return telling(_COMMA.sub("", text))


def _numbers(text: str) -> frozenset[str]:
    return frozenset(_NUMBER.findall(_COMMA.sub("", text)))
