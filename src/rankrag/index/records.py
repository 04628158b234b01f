"""Collections: files that hold a document on every line (JSON lines) or row (CSV), read as a stream."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, AnyStr, cast

from ..errors import FormatError
from ..formats import passage
from ..types import Passage
from .parse import clean

LONGEST_LINE = 64 * 2**20
"""Bytes that one record may have: a compressed file can hold a line that no memory could."""


@dataclass(frozen=True, slots=True)
class Record:
    """A document of a collection: its line or row (from 1), its content, the bytes read so far."""

    number: int
    passage: Passage
    read: int


@dataclass(frozen=True, slots=True)
class Part:
    """Whole lines of a file of JSON lines: bytes `start` to `end`, and how many lines come before them."""

    start: int
    end: int
    before: int


def records(path: Path, name: str, kind: str, after: int = 0, part: Part | None = None) -> Iterator[Record]:
    """Yield the records of a collection, or of one part of it, that follow the first `after` lines or rows.

    `name` is what messages and made-up ids call the file. Raises FormatError with the line that cannot
    be read, or for a file whose compression is broken.
    """
    if part is not None:
        yield from _records_of_part(path, name, after, part)
        return
    try:
        with _opened(path) as (stream, position):
            for number, item in RECORDS[kind](stream, name, after):
                yield Record(number, item, position())
    except (lzma.LZMAError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(name, None, f"found broken compression ({error})") from error


def _records_of_part(path: Path, name: str, after: int, part: Part) -> Iterator[Record]:
    with path.open("rb") as raw:
        raw.seek(part.start)
        stream = io.BytesIO(raw.read(part.end - part.start))
    for number, item in _json_lines(stream, name, after, part.before):
        yield Record(number, item, part.start + stream.tell())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.BufferedReader, Callable[[], int]]]:
    """Open a file, unpacking it by its ending; the second value says how many of its bytes were read."""
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        if (unpack := _UNPACK.get(path.suffix.lower())) is None:
            yield raw, raw.tell
        else:
            yield cast("io.BufferedReader", stack.enter_context(unpack(raw))), raw.tell


_UNPACK: Mapping[str, Callable[[IO[bytes]], AbstractContextManager[object]]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".xz": lzma.LZMAFile,
}


def _lines(stream: IO[AnyStr], name: str, before: int = 0) -> Iterator[AnyStr]:
    number = before
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise FormatError(name, number, f"found more than {LONGEST_LINE:,} bytes on one line")
        yield line


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────────

_READ = {"_id", "id", "text", "contents", "title", "metadata", "attributes"}


def _json_lines(stream: IO[bytes], name: str, after: int, before: int = 0) -> Iterator[tuple[int, Passage]]:
    for number, line in enumerate(_lines(stream, name, before), before + 1):
        if number > after and line.strip():
            yield number, _passage(name, number, _object(name, number, line))


def _object(name: str, number: int, line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise FormatError(name, number, f"found broken JSON ({error.msg} at column {error.colno})") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise FormatError(name, number, f"found JSON that cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise FormatError(name, number, "found JSON that is no object, wanted one record a line")
    return value


def _passage(name: str, number: int, record: dict[str, object]) -> Passage:
    """Return a record as `formats.passage` reads it, with its other plain fields as attributes."""
    if "_id" not in record and "id" not in record:
        record = {**record, "id": f"{name}#{number}"}
    if (record.get("text", record.get("contents"))) == "":
        record = {**record, "text": record.get("title") or " "}  # BEIR has documents that are but a title
    read = passage(name, number, record)
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in record.items()
        if key not in _READ and isinstance(value, str | int | float | bool)
    }
    return _storable(replace(read, source=None, attributes=attributes | dict(read.attributes)))


def _storable(item: Passage) -> Passage:
    """Return a passage that UTF-8 can hold (JSON may escape half a surrogate pair)."""
    attributes = {clean(key): clean(value) for key, value in item.attributes.items()}
    return replace(
        item, id=clean(item.id), text=clean(item.text), title=clean(item.title), attributes=attributes
    )


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────


def _csv(stream: io.BufferedReader, name: str, after: int) -> Iterator[tuple[int, Passage]]:
    """Read rows under a header. Without a column `text` a row's text is its cells, `column: value` a line."""
    csv.field_size_limit(LONGEST_LINE)
    encoding = _encoding(stream.peek(2**16))
    try:
        with io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
            lines = _lines(text, name)
            header = next(lines, "")
            comma = max(",;\t|", key=header.count)
            columns = [column.strip() for column in next(csv.reader([header], delimiter=comma), [])]
            for number, row in enumerate(csv.reader(lines, delimiter=comma), 1):
                if number > after and any(cell.strip() for cell in row):
                    yield number, _row(name, number, columns, row)
    except csv.Error as error:
        raise FormatError(name, None, f"found broken CSV ({error})") from error
    except UnicodeDecodeError as error:
        raise FormatError(name, None, f"found bytes that are not {error.encoding}") from error


def _row(name: str, number: int, columns: list[str], row: list[str]) -> Passage:
    if len(row) > len(columns):
        raise FormatError(
            name, None, f"row {number}: found {len(row)} cells, wanted {len(columns)} as in the header"
        )
    cells = {column: cell for column, cell in zip(columns, row, strict=False) if cell.strip()}
    record: dict[str, object] = dict(cells)
    if not {"text", "contents"} & set(columns):
        record["text"] = "\n".join(f"{c}: {v}" for c, v in cells.items() if c not in ("id", "_id"))
    else:
        record.setdefault("text", cells.get("contents", ""))
    return _passage(name, number, record)


def _encoding(start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        start[: start.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


Reader = Callable[[io.BufferedReader, str, int], Iterator[tuple[int, Passage]]]

RECORDS: Mapping[str, Reader] = {".jsonl": _json_lines, ".csv": _csv}
"""What reads a collection, by the ending of its file (before that of its compression)."""
