"""A document to its text: its kind's parser, then what holds for all kinds."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path, PurePath

from ...errors import InvalidInputError, RankRAGError
from ..settings import WORDS
from .compressed import PACKED, read_whole
from .encodings import decode
from .kinds import DOCUMENTS, TEXT
from .ocr import scans_read
from .texts import (
    MOST_CHARACTERS,
    Attached,
    Block,
    Extract,
    Grid,
    Heading,
    Paragraph,
    Text,
    clean,
    composed,
    shortened,
)

_NAMED = 5
"""Attached files that are named where the same reason keeps them out."""

_DEPTH = 3
"""How deep files may be attached to files that are attached."""


def parse(path: Path, kind: str, words: int = WORDS, ocr: bool = False) -> Text:
    """Return the text of a document of that kind, laid out for passages of so many words.

    `ocr` reads scanned pages too.

    Raises InvalidInputError with the reason if it cannot be read or holds no text, MissingExtraError if
    the package that reads it is not installed.
    """
    return parse_bytes(read_whole(path), path.name, kind, words, ocr)


def parse_bytes(data: bytes, name: str, kind: str, words: int = WORDS, ocr: bool = False) -> Text:
    """Return the text of a document given as bytes; `name` is that of its file. Raises as `parse` does."""
    content = _read(data, _unpacked(name), kind, ocr)
    if isinstance(content, Extract):
        content = composed(opened_up(content, words, ocr), words)
    text = clean(content.text)
    if not text.strip():
        raise InvalidInputError("it holds no text")
    if len(text) > MOST_CHARACTERS:
        raise InvalidInputError(
            f"it holds {len(text):,} characters, the most is {MOST_CHARACTERS:,}: split it"
        )
    title = clean(shortened(content.title)) or PurePath(_unpacked(name)).stem
    attributes = {key: clean(value) for key, value in content.attributes.items()}
    return replace(content, title=title, text=text, attributes=attributes)


def _read(data: bytes, name: str, kind: str, ocr: bool) -> Text | Extract:
    content = DOCUMENTS[kind].read(data, name)
    return scans_read(content, data, ocr) if isinstance(content, Extract) and content.scanned else content


def _unpacked(name: str) -> str:
    """Return a file's name without the ending of its compression."""
    path = PurePath(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in PACKED else name


def opened_up(extract: Extract, words: int, ocr: bool = False, depth: int = 0) -> Extract:
    """Return an extract with attached files read, each under its name, and a note on what cannot be read."""
    if not any(isinstance(block, Attached) for block in extract.blocks):
        return extract
    blocks: list[Block] = []
    notes = list(extract.notes)
    left: dict[str, list[str]] = {}
    for block in extract.blocks:
        if not isinstance(block, Attached):
            blocks.append(block)
            continue
        try:
            inner = _attached(block, words, ocr, depth)
        except (RankRAGError, RecursionError) as error:
            left.setdefault(str(error), []).append(block.name)
            continue
        blocks += [Heading(1, block.name), *inner.blocks]
        notes += [f"attached {block.name}: {note}" for note in inner.notes]
    for reason, names in left.items():
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        notes.append(f"attached {', '.join(names[:_NAMED])}{more}: {reason}")
    return replace(extract, blocks=blocks, notes=tuple(notes))


def _attached(block: Attached, words: int, ocr: bool, depth: int) -> Extract:
    kind = PurePath(block.name).suffix.lower() or TEXT
    if kind in _TABLES:
        return _table(block, _TABLES[kind])
    if kind not in DOCUMENTS:
        raise InvalidInputError("not read, it is of no kind that is read here")
    if depth >= _DEPTH:
        raise InvalidInputError(f"not read, it is attached {depth} files deep")
    try:
        content = _read(block.data, block.name, kind, ocr)
    except RankRAGError:
        raise
    except Exception as error:
        raise InvalidInputError(f"it cannot be read ({type(error).__name__}: {error})") from error
    if isinstance(content, Text):
        return Extract(content.title, [Paragraph(content.text)], content.notes)
    return opened_up(content, words, ocr, depth + 1)


_TABLES = {".csv": ",;\t|", ".tsv": "\t"}


def _table(block: Attached, commas: str) -> Extract:
    decoded = decode(block.data)
    comma = max(commas, key=decoded.text.partition("\n")[0].count)
    try:
        rows = list(csv.reader(io.StringIO(decoded.text, newline=""), delimiter=comma))
    except csv.Error as error:
        raise InvalidInputError(f"found broken CSV ({error})") from error
    return Extract("", [Grid(rows)], (decoded.note,) if decoded.note else ())
