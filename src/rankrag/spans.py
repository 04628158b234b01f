"""Spans of a text: its paragraphs, its sentences, the words that tell, and the sentence that matters.

One home for all who look into a passage: it is cut here, cited here, and shown from here. Offsets are
characters: `text[start:end]`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

Span = tuple[int, int]
"""Offsets of the first character and of the one after the last: `text[start:end]`."""

# Scripts that do not write spaces: a Chinese or Japanese character counts as a word, four Thai, Lao,
# Myanmar or Khmer ones do.
IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"

# No pattern begins with a run of white space: on a megabyte of blanks that would take hours.
_BLANKS = re.compile(r"\s+")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n|\f")
_SENTENCE = re.compile(
    r"""(?<=[.!?…])(?P<close>["'”’»)\]]*)\s+(?=["'“‘«(\[]*[^\W_a-zß-öø-ÿ])"""
    r"""|(?<=[。！？])(?P<wide>[」』”）]*)"""
    r"""|\n[^\S\n]*(?=[-*•–+#>|]\s|\d{1,3}[.)]\s)"""
)
_ABBREVIATION = re.compile(
    r"(?<![\w.])(?:[^\W\d_a-z]|[cpv]|Mrs?|Ms|Dr|Prof|Sr|Jr|St|vs|cf|e\.g|i\.e|etc|al|No|Fig|Eq|Gen|Col|Lt|Rev|Gov"
    r"|Sen|Inc|Ltd|Co|Mt|Ft|ca|approx"
    r"|(?:[^\W\d_]\.)+[^\W\d_])\.$"
)

RULE_SIGNS = r"=\-~^\"'`#*+.:_"
"""The signs that lines under headings are drawn with, as a class of a pattern."""

RULES = re.compile(rf"^[^\S\n]*(?:[{RULE_SIGNS}|\u2500-\u257f][^\S\n]*){{3,}}$", re.MULTILINE)
"""Lines that are drawn and say nothing: under headings, between paragraphs, in tables."""

_WORD = re.compile(
    rf"[{IDEOGRAPH}]|[{SPACELESS}]{{1,4}}|[^\W_{IDEOGRAPH}{SPACELESS}]+(?:['’][^\W_{IDEOGRAPH}{SPACELESS}]+)*"
)

PLAIN_WORDS = frozenset(
    """
    a about above according across after again against all almost alone along also although always am
    among an and another any are around as at based be because been before being below between both but
    by can could despite did do does due during each either even every few first following for from given
    had has have having he hence her here his how however i if in instead into is it its later less like
    many may might more most much must my neither no none nor not of off often on once one only or other
    our over per possibly probably several shall she should since so some sometimes still such than that
    the their them then there therefore these they this those though through thus to together too two
    under unless unlike until up upon usually was we were what when where whereas whether which while who
    whom whose why will with within without would yes yet you your
    """.split()
)
"""Words that are no names when a sentence begins with them, and that show no likeness between texts."""

_ENDINGS = ("ing", "ion", "ies", "ed", "es", "s", "e", "y")
_LONGEST_LEAD = 300


# ── paragraphs and sentences ─────────────────────────────────────────────────────────────────────────


def stripped(text: str, start: int, end: int) -> Span:
    """Return a span without the white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def paragraphs(text: str, span: Span | None = None) -> Iterator[Span]:
    """Yield the spans between empty lines and page breaks, in order, none of them empty."""
    return _split(text, span or (0, len(text)), _PARAGRAPH)


def sentences(text: str, span: Span | None = None) -> Iterator[Span]:
    """Yield the spans of the sentences, in order: a line that ends inside one does not end it.

    Items of a list are sentences, and an abbreviation (`Dr. Smith`, `the U.S. Army`) ends none.
    """
    for paragraph in paragraphs(text, span):
        parts = list(_split(text, paragraph, _SENTENCE))
        open_at: int | None = None
        for start, end in parts:
            first = start if open_at is None else open_at
            if end != parts[-1][1] and _ABBREVIATION.search(text, max(first, end - 24), end):
                open_at = first
                continue
            yield first, end
            open_at = None


def worded(text: str) -> Iterator[Span]:
    """Yield what `sentences` yields, but cut at lines that are drawn (`RULES`), and without those lines."""
    for sentence in sentences(text):
        yield from _split(text, sentence, RULES)


def flat(text: str) -> str:
    """Return a text as one line to show, without the lines that are drawn."""
    return _BLANKS.sub(" ", RULES.sub("", text))


def _split(text: str, span: Span, border: re.Pattern[str]) -> Iterator[Span]:
    start, end = span
    for match in border.finditer(text, start, end):
        closing = match.lastgroup
        part = stripped(text, start, match.end(closing) if closing else match.start())
        if part[0] < part[1]:
            yield part
        start = match.end()
    part = stripped(text, start, end)
    if part[0] < part[1]:
        yield part


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


def words(text: str) -> list[str]:
    """Return the words of a text as they are written."""
    return _WORD.findall(text)


def folded(word: str) -> str:
    """Return a word as words are compared: in lower case, without 's."""
    return word.casefold().replace("’", "'").removesuffix("'s")


def telling(text: str) -> frozenset[str]:
    """Return the words that tell what a text is about, without their endings."""
    return frozenset(_stem(word) for word in map(folded, words(text)) if word not in PLAIN_WORDS)


@lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    """Return an English word without its ending: `sleep`, `sleeps` and `sleeping` are the same."""
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3 and not word.endswith("ss"):
            return stem[:-1] if ending in ("ing", "ed") and stem[-1] == stem[-2] not in "ls" else stem
    return word


# ── what matters ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The sentence of a text that matters most, and all words in the text that tell so."""

    start: int
    end: int
    marks: tuple[Span, ...]


@lru_cache(maxsize=1 << 12)
def excerpt(text: str, question: str, answer: str = "") -> Excerpt:
    """Return the sentence that carries the answer, or without one the sentence nearest to the question.

    A word counts less the more sentences hold it, a word of the answer twice as much as one of the question,
    and a sentence that asks something itself half. The first of equals; a text without words is taken whole.
    """
    asked, said = telling(question), telling(answer) - telling(question)
    spans = [span for span in worded(text) if words(text[slice(*span)])] or [(0, len(text))]
    held = [telling(text[start:end]) for start, end in spans]
    known = Counter(word for words_held in held for word in words_held)

    def weight(n: int) -> float:
        value = sum((2 if word in said else 1) / known[word] for word in held[n] & (asked | said))
        return value / 2 if text[slice(*spans[n])].endswith("?") else value

    start, end = spans[max(range(len(spans)), key=weight)]
    return Excerpt(start, end, tuple(marks(text, asked | said)))


def marks(text: str, wanted: AbstractSet[str]) -> Iterator[Span]:
    """Yield the spans of the words of a text that are among the telling words wanted."""
    for match in _WORD.finditer(text):
        word = folded(match.group())
        if word not in PLAIN_WORDS and _stem(word) in wanted:
            yield match.span()


def window(text: str, excerpt: Excerpt, most: int = _LONGEST_LEAD) -> Span:
    """Return what to show of a text in at most `most` characters: it begins at the sentence that matters.

    Of a sentence that is too long it begins a little before the first mark. White space inside is as it was.
    """
    start = excerpt.start
    first = next((mark for mark in excerpt.marks if start <= mark[0] < excerpt.end), None)
    if first and excerpt.end - start > most and first[1] > start + most // 2:
        start = text.rfind(" ", start, max(start + 1, first[0] - most // 4)) + 1 or start
    if len(text) - start <= most:
        return stripped(text, start, len(text))
    end = text.rfind(" ", start, start + most)
    return stripped(text, start, end if end > start else start + most)
