"""Example questions out of an index: those that the documents ask themselves, else about their headings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..spans import sentences
from ..types import Passage
from .reading.passages import SEPARATOR

EXAMPLES = 4
_ASKS = re.compile(
    r"(?:how|what|why|when|where|which|who|can|do|does|is|are|should)\b[^?\n]{8,80}\?", re.IGNORECASE
)
_LEANS = re.compile(r"\b(?:it|its|they|them|their|this|that|these|those)\b", re.IGNORECASE)
"""Words that point at what stood before."""
_NAMES = re.compile(r"(?:the |a |an )?[^\W\d_][\w' -]{3,40}", re.IGNORECASE)


def suggested(passages: Iterable[Passage]) -> tuple[str, ...]:
    """Return at most four questions, one of a document before a second of any; none where nothing offers."""
    asked: dict[str, list[str]] = {}
    named: dict[str, list[str]] = {}
    for passage in passages:
        path = passage.source.path if passage.source else ""
        asked.setdefault(path, []).extend(_asked(passage))
        named.setdefault(path, []).extend(_of_heading(passage))
    # What a document asks itself before what is made of a heading.
    first = [questions[0] for questions in asked.values() if questions]
    first += [named[path][0] for path, questions in asked.items() if named[path] and not questions]
    return tuple(dict.fromkeys(first))[:EXAMPLES]


def _asked(passage: Passage) -> Iterator[str]:
    heading = passage.title.rpartition(SEPARATOR)[2]
    for text in (heading, *(passage.text[start:end] for start, end in sentences(passage.text))):
        sentence = " ".join(text.strip("#*_ \n").split())
        if _ASKS.fullmatch(sentence) and not _LEANS.search(sentence):
            yield sentence[0].upper() + sentence[1:]


def _of_heading(passage: Passage) -> Iterator[str]:
    """Yield a question about the section of a passage, by the name of its document where that has one.

    Many documents have an "Installation".
    """
    title, *sections = map(str.strip, passage.title.split(SEPARATOR))
    if sections and _NAMES.fullmatch(sections[-1]):
        about = f"does “{title}”" if _NAMES.fullmatch(title) else "do the documents"
        yield f"What {about} say about “{sections[-1]}”?"
