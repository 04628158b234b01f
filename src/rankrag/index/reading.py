"""Reading files into passages: what a builder asks of whoever does it, and the reader of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..types import Passage, Source
from .cut import cut
from .parse import parse
from .records import RECORDS, Part, Record, records
from .store import Row
from .walk import File

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Portion:
    """Passages of one file in their order: of a document, or whole records of a collection.

    `read` says how many bytes of the file were read up to here. `vectors` has a row a passage where the
    reader also encodes.
    """

    rows: list[Row]
    read: int
    vectors: np.ndarray | None = None


Plan = Callable[[File, str], int | None]
"""Told a file and its digest, says after which record to read it: 0 from the start, None not at all."""


class Reader(Protocol):
    """Reads files for a builder, which asks for them one by one and in the order of `begin`."""

    def begin(self, files: Sequence[File], plan: Plan) -> None:
        """Take note of what will be asked for; one that reads ahead starts here."""
        ...

    def digest(self, file: File) -> str:
        """Return the digest of a file's bytes; raises OSError."""
        ...

    def portions(self, file: File, after: int) -> Iterator[Portion]:
        """Yield the passages of a file, of a collection only those of records after that one.

        Raises InvalidInputError, MissingExtraError or OSError for what cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalReader:
    """Reads in this process, when it is asked; `words` bounds a passage."""

    words: int

    def begin(self, files: Sequence[File], plan: Plan) -> None:
        """Do nothing: a file is read when it is asked for."""

    def digest(self, file: File) -> str:
        """Return the digest of a file's bytes; raises OSError."""
        return file.sha256()

    def portions(self, file: File, after: int) -> Iterator[Portion]:
        """Yield the document, or a portion a record."""
        return read_portions(file, self.words, after)


def read_portions(file: File, words: int, after: int = 0, part: Part | None = None) -> Iterator[Portion]:
    """Yield a document as one portion, a collection (or a part of it) as a portion a record."""
    if file.kind not in RECORDS:
        yield Portion([Row(passage, file.name, 1) for passage in passages_of_file(file, words)], file.size)
        return
    for record in records(file.path, file.name, file.kind, after, part):
        document = record.passage.id
        passages = passages_of_record(record, file.name, words)
        yield Portion([Row(passage, document, record.number) for passage in passages], record.read)


def passages_of_record(record: Record, name: str, words: int) -> list[Passage]:
    """Return a record's passages: whole under its own id, or cut under `id#1`, `id#2`, ...

    Offsets count in the text of the record.
    """
    item = record.passage
    spans = cut(item.text, words)
    return [
        Passage(
            id=item.id if len(spans) == 1 else f"{item.id}#{n}",
            text=item.text[start:end],
            title=item.title,
            source=Source(name, None, start, end),
            attributes=item.attributes,
        )
        for n, (start, end) in enumerate(spans, 1)
    ]


def passages_of_file(file: File, words: int) -> list[Passage]:
    """Return a document's passages under `name#1`, `name#2`, ...

    Raises InvalidInputError if it cannot be read.
    """
    document = parse(file.path, file.kind)
    passages: list[Passage] = []
    page = 0
    for n, (start, end) in enumerate(cut(document.text, words, document.pages), 1):
        while page < len(document.pages) and document.pages[page] <= start:
            page += 1
        source = Source(file.name, page or None, start, end)
        passages.append(Passage(f"{file.name}#{n}", document.text[start:end], document.title, source))
    return passages
