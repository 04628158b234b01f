"""Where a passage stands in its document: the file is read again, so that nothing of it need be kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import RankRAGError
from ..types import Passage, Source
from .manifest import read_manifest
from .reading.code import LANGUAGES
from .reading.kinds import DOCUMENTS
from .reading.parse import parse
from .reading.walk import find_kind

_LARGEST = 16 * 2**20
"""Bytes of a file beyond which nobody wants to wait for a line number."""

_OWN = frozenset(name for name, row in DOCUMENTS.items() if not row.apart) | frozenset(LANGUAGES)
"""Kinds whose file is its own text, so that a line of the text is a line of the file."""


@dataclass(frozen=True, slots=True)
class Location:
    """The text of a document, where a passage begins in it, and on which line if the file is that text."""

    text: str
    start: int
    line: int | None


def locate(folder: Path, passage: Passage) -> Location | None:
    """Return where a passage of an index stands, None where that cannot be told any more.

    So it is for records of collections, and for a file that is gone or has changed since it was indexed.
    """
    source = passage.source
    if source is None or source.start is None or source.end is None:
        return None
    path = _path(folder, source)
    text = _text(path)
    if text is None or text[source.start : source.end] != passage.text:
        return None
    line = text.count("\n", 0, source.start) + 1 if find_kind(path) in _OWN else None
    return Location(text, source.start, line)


def line(folder: Path, passage: Passage) -> int | None:
    """Return the line of its file at which a passage begins, None where its file has no lines to count."""
    if passage.source is None or find_kind(_path(folder, passage.source)) not in _OWN:
        return None
    location = locate(folder, passage)
    return location.line if location else None


def _path(folder: Path, source: Source) -> Path:
    return read_manifest(folder).root_of(folder) / source.path


def _text(path: Path) -> str | None:
    reading = find_kind(path)
    if reading not in DOCUMENTS or not path.is_file() or (stat := path.stat()).st_size > _LARGEST:
        return None
    return _parsed(path, reading, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _parsed(path: Path, reading: str, _changed: int) -> str | None:
    try:
        return parse(path, reading).text
    except (RankRAGError, OSError):
        return None
