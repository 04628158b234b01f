"""Cutting a text into passages of about 100 words with exact offsets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from ...spans import IDEOGRAPH, SPACELESS, Span, paragraphs, sentences, stripped

# Nothing longer than 32 characters counts as one word, so the limit in words also bounds characters (base64,
# long URLs).
_WORD = re.compile(rf"[{IDEOGRAPH}]|[{SPACELESS}]{{1,4}}|[^\s{IDEOGRAPH}{SPACELESS}]{{1,32}}")

_HEADING_WORDS = 12


def n_words(text: str) -> int:
    """Return the number of words of a text, as the limit of a passage counts them."""
    return sum(1 for _ in _WORD.finditer(text))


def cut(text: str, words: int, pages: Sequence[int] = ()) -> list[Span]:
    """Return the passages of a text, in order: at most `words` words each (0: do not cut).

    Every character that is not white space lies in exactly one span, and no span begins or ends with
    white space. `pages` are the offsets at which pages begin; no passage crosses one.
    """
    borders = [0, *(p for p in pages if 0 < p < len(text)), len(text)]
    spans: list[Span] = []
    for start, end in pairwise(borders):
        page = stripped(text, start, end)
        if page[0] == page[1]:
            continue
        spans += [page] if _short(text[page[0] : page[1]], words) else _pack(_units(text, page, words), words)
    return spans


def _short(text: str, words: int) -> bool:
    """Say whether a text stays whole.

    Words as white space divides them decide, so that a collection cut by others stays as it is, unless
    the text has three times as many by our count (scripts without spaces, long tokens).
    """
    if words <= 0:
        return True
    if len(text.split()) > words:
        return False
    # Prose in ASCII has 6 characters a word, so the slower count is seldom needed.
    return (text.isascii() and len(text) <= 8 * words) or n_words(text) <= 3 * words


# ── units: what is not cut apart ─────────────────────────────────────────────────────────────────────

Unit = tuple[int, int, int, float]
"""Start, end, words, and what it costs to end a passage after it, in squared words."""

# A break inside a sentence is worse than a passage half as long as allowed; one between a heading and
# its text likewise; one between sentences costs as much as 22 words of 100 lacking, one between
# paragraphs nothing.
_INSIDE, _AFTER_SENTENCE, _AFTER_PARAGRAPH = 0.25, 0.05, 0.0


def _units(text: str, page: Span, words: int) -> list[Unit]:
    units: list[Unit] = []
    for paragraph in paragraphs(text, page):
        for sentence in sentences(text, paragraph):
            units += _pieces(text, sentence, words)
        cost = _INSIDE if _leads(text[paragraph[0] : paragraph[1]]) else _AFTER_PARAGRAPH
        units[-1] = (*units[-1][:3], cost * words**2)
    return units


def _pieces(text: str, sentence: Span, words: int) -> list[Unit]:
    """Return a sentence as one unit, or, where it is longer than a passage, cut at word borders."""
    found = [(m.start(), m.end()) for m in _WORD.finditer(text, *sentence)]
    pieces: list[Unit] = []
    first = 0
    while first < len(found):
        last = _border(text, found, first, first + words)
        pieces.append((found[first][0], found[last - 1][1], last - first, _INSIDE * words**2))
        first = last
    pieces[-1] = (*pieces[-1][:3], _AFTER_SENTENCE * words**2)
    return pieces


def _border(text: str, words: list[Span], first: int, last: int) -> int:
    """Return after how many words, at most `last`, a piece ends: not within a hash, a name or a phrase."""
    if last >= len(words):
        return len(words)
    for n in range(last, last - (last - first) // 3, -1):
        end = words[n - 1][1]
        if end < words[n][0] or not text[end - 1].isalnum():
            return n
    return last


def _leads(paragraph: str) -> bool:
    """Say whether a paragraph belongs to what follows: a heading, or a line that ends in a colon."""
    if paragraph.endswith(":") or paragraph.startswith("#"):
        return True
    return len(paragraph.split()) <= _HEADING_WORDS and not paragraph.endswith(
        (".", "!", "?", "。", ";", ",")
    )


# ── packing: which units make a passage ──────────────────────────────────────────────────────────────


def _pack(units: list[Unit], words: int) -> list[Span]:
    """Return the cheapest way to group units into passages of at most `words` words.

    The cost of a passage is the square of the words it lacks, as a typesetter breaks a paragraph into
    lines (Knuth and Plass 1981), so the rest of a text is shared out and not left as a stub.
    """
    best: list[float] = [0.0] + [float("inf")] * len(units)
    back = [0] * (len(units) + 1)
    for last in range(1, len(units) + 1):
        size = 0
        for first in range(last - 1, -1, -1):
            size += units[first][2]
            if size > words:
                break
            cost = best[first] + (words - size) ** 2 + (units[last - 1][3] if last < len(units) else 0.0)
            if cost < best[last]:
                best[last], back[last] = cost, first
    spans: list[Span] = []
    last = len(units)
    while last:
        spans.append((units[back[last]][0], units[last - 1][1]))
        last = back[last]
    return spans[::-1]
