"""A file's passages, portion by portion: what a builder stores, with what there is to tell about the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, MissingExtraError, RankRAGError, amount
from ...types import Passage, Source
from ..settings import WORDS
from ..stores.store import StoredPassage
from .cut import cut
from .json_lines import LineSpan, json_lines
from .kinds import COLLECTIONS, DOCUMENTS
from .parse import parse, parse_bytes
from .records import CollectionRecord, Enclosed, Told, Unreadable
from .texts import Section, Text
from .walk import File

if TYPE_CHECKING:
    import numpy as np

SEPARATOR = " › "
"""Stands between the title of a document and the headings that lead to a passage."""

NAMED = 20
"""Lines of a collection that are named one by one where they cannot be read; further ones are counted."""


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """`words` bounds a passage (0: no cuts); `strict` refuses a collection for its first broken line.

    `ocr` reads the scanned pages of PDFs.
    """

    words: int = WORDS
    strict: bool = False
    ocr: bool = False


@dataclass(frozen=True, slots=True)
class Portion:
    """Passages of one file in their order: of a document, or whole records of a collection.

    `read` says how many bytes of the file were read up to here. `vectors` has a row a passage where the
    reader also encodes. `records` and `skipped` count the records of a collection in this portion, read and
    not; `notes` tell what was guessed, cut or not read.
    """

    rows: list[StoredPassage]
    read: int
    vectors: np.ndarray | None = None
    records: int = 0
    skipped: int = 0
    notes: tuple[str, ...] = ()


def is_apart(kind: str) -> bool:
    """Say whether a kind of file is read in a process of its own."""
    return DOCUMENTS[kind].apart if kind in DOCUMENTS else COLLECTIONS[kind].apart


def records_of(
    file: File, words: int, after: int = 0, part: LineSpan | None = None, ocr: bool = False
) -> Iterator[CollectionRecord | Unreadable | Told]:
    """Yield the records of a collection or of a part of it, its broken lines, and what to tell of it."""
    if part is not None:
        records = json_lines(file.path, file.name, after, part)
    else:
        records = COLLECTIONS[file.kind].read(file.path, file.name, after)
    for item in records:
        if isinstance(item, Enclosed):
            yield from _enclosed(item, file.name, words, ocr)
        else:
            yield item


def _enclosed(
    item: Enclosed, file_name: str, words: int, ocr: bool
) -> Iterator[CollectionRecord | Unreadable | Told]:
    name = f"{file_name}#{item.number}"
    try:
        text = parse_bytes(item.data, name, item.kind, words, ocr)
    except MissingExtraError:
        raise
    except RankRAGError as error:
        yield Unreadable(item.number, f"{name}: {_line(str(error))}", item.read)
        return
    except MemoryError:
        raise
    except Exception as error:
        yield Unreadable(item.number, f"{name}: {_reason(error)}", item.read)
        return
    yield from (Told(f"{name}: {_line(note)}") for note in text.notes)
    yield CollectionRecord(
        item.number, Passage(name, text.text, text.title, None, text.attributes), item.read
    )


def read_portions(
    file: File, settings: ReadSettings, after: int = 0, part: LineSpan | None = None
) -> Iterator[Portion]:
    """Yield a document as one portion, a collection (or a part of it) as a portion a record.

    Raises an error of ours for a file that cannot be read, whatever went wrong in its parser.
    """
    try:
        if file.kind in COLLECTIONS:
            yield from _collection(file, settings, after, part)
        else:
            yield _document(file, settings)
    except InvalidInputError as error:  # it may quote a library, or the file itself
        raise InvalidInputError(_line(str(error))) from error
    except (RankRAGError, OSError, MemoryError):
        raise
    except Exception as error:
        raise InvalidInputError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, whose parser failed in a way that nobody foresaw."""
    first = (str(error).splitlines() or [""])[0]
    return f"it cannot be read ({type(error).__name__}: {_line(first)[:200]})"


def _line(text: str) -> str:
    """Return a text as one line that does nothing to a terminal."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _document(file: File, settings: ReadSettings) -> Portion:
    text = parse(file.path, file.kind, settings.words, settings.ocr)
    passages = passages_of_text(text, file.name, settings.words)
    rows = [StoredPassage(passage, file.name, 1) for passage in passages]
    return Portion(rows, file.size, notes=tuple(map(_line, text.notes)))


def _collection(file: File, settings: ReadSettings, after: int, part: LineSpan | None) -> Iterator[Portion]:
    skipped = 0
    cut_names: dict[str, int] = {}
    for item in records_of(file, settings.words, after, part, settings.ocr):
        if isinstance(item, Told):
            yield Portion([], 0, notes=(item.note,))
        elif isinstance(item, Unreadable):
            if settings.strict:
                raise InvalidInputError(item.problem)
            skipped += 1
            notes = (f"passed over {item.problem}",) if skipped <= NAMED else ()
            yield Portion([], item.read, skipped=1, notes=notes)
        else:
            for name in item.cut:
                cut_names[name] = cut_names.get(name, 0) + 1
            passages = passages_of_record(item, file.name, settings.words)
            document = item.passage.id
            yield Portion(
                [StoredPassage(passage, document, item.number) for passage in passages], item.read, records=1
            )
    if skipped > NAMED:
        yield Portion([], 0, notes=(f"passed over {amount(skipped - NAMED, 'more line')}",))
    if cut_names:
        yield Portion([], 0, notes=(_cut_note(cut_names),))


def _cut_note(names: dict[str, int]) -> str:
    """Return what to tell of attributes that were too long, by name with the records that it happened in."""
    shown = ", ".join(repr(name[:40]) for name in list(names)[:3])
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    count = max(names.values())
    return f"attributes cut or left out as too long, in up to {amount(count, 'record')}: {shown}{more}"


def passages_of_record(record: CollectionRecord, name: str, words: int) -> list[Passage]:
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


def passages_of_text(document: Text, name: str, words: int) -> list[Passage]:
    """Return a document's passages under `name#1`, `name#2`, ..., each titled by the section it stands in."""
    borders = sorted({*document.pages, *document.borders, *(section.start for section in document.sections)})
    passages: list[Passage] = []
    page = at = 0
    title = document.title
    for n, (start, end) in enumerate(cut(document.text, words, borders), 1):
        while page < len(document.pages) and document.pages[page] <= start:
            page += 1
        while at < len(document.sections) and document.sections[at].start <= start:
            title = titled(document.title, document.sections[at])
            at += 1
        source = Source(name, page or None, start, end)
        text = document.text[start:end]
        passages.append(Passage(f"{name}#{n}", text, title, source, document.attributes))
    return passages


def titled(title: str, section: Section) -> str:
    """Return the title of a passage: that of its document, then the headings that lead to it."""
    trail = section.trail
    if trail and trail[0].casefold() == title.casefold():
        trail = trail[1:]
    return SEPARATOR.join((title, *trail))
