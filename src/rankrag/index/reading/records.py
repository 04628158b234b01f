"""Collections: files that hold a document on every line (JSON lines) or row (CSV, TSV), read as a stream.

A line that cannot be read is named and passed over. What is kept of a record is bounded: its line, its
title, its id and its attributes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ...errors import FormatError, InvalidInputError
from ...formats import passage
from ...types import Passage
from .encodings import encoding_of
from .packed import opened
from .texts import LONGEST_TITLE, clean, shortened

LONGEST_LINE = 16 * 2**20
"""Bytes that one record may have: a compressed file can hold a line that no memory could."""

LONGEST_ID = 1000
"""Characters of an id: each passage has it."""

LONGEST_ATTRIBUTE = 1000
"""Characters of an attribute: what a filter compares, each passage of the record holds."""

ATTRIBUTES = 16_000
"""Characters of all attributes of a record, names and values."""


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A document of a collection: its line or row (from 1), its content, the bytes read so far.

    `cut` names the attributes that were too long, or too many, to be kept whole.
    """

    number: int
    passage: Passage
    read: int
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line or row (from 1) that cannot be read, and why; `problem` names the line itself."""

    number: int
    problem: str
    read: int


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell of the file as a whole."""

    note: str


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A document within a collection, to be read as a file of that kind is (a mail in a mailbox)."""

    number: int
    kind: str
    data: bytes
    read: int


@dataclass(frozen=True, slots=True)
class LineSpan:
    """Whole lines of a file of JSON lines: bytes `start` to `end`, and how many lines come before them."""

    start: int
    end: int
    before: int


FromCollection = CollectionRecord | Unreadable | Told | Enclosed
"""What comes out of a collection, in the order of the file."""

RecordOutcome = tuple[int, Passage | str, tuple[str, ...]]
"""The number of a record, and what it holds or why it cannot be read, and the attributes that were cut."""


def json_lines(
    path: Path, name: str, after: int = 0, part: LineSpan | None = None
) -> Iterator[FromCollection]:
    """Yield the records of JSON lines, or of one part of them, that follow the first `after` lines.

    `name` is what messages and made-up ids call the file. Raises InvalidInputError for a file whose
    compression is broken, or that unpacks to too much.
    """
    reader = _JsonLines(path, name)
    if part is None:
        with opened(path) as (stream, position):
            for number, item, cut in reader.of(stream, after, 0):
                yield _record(number, item, cut, position())
        if reader.note:
            yield Told(reader.note)
        return
    with path.open("rb") as raw:
        raw.seek(part.start)
        piece = io.BytesIO(raw.read(part.end - part.start))
    for number, item, cut in reader.of(piece, after, part.before):
        yield _record(number, item, cut, part.start + piece.tell())


def csv_rows(path: Path, name: str, after: int = 0) -> Iterator[FromCollection]:
    """Yield the rows of a CSV or TSV file under its header; raises as `json_lines` does.

    Without a column `text` a row's text is its cells, `column: value` a line.
    """
    encoding, note = _encoding(path)
    if note:
        yield Told(note)
    with opened(path) as (stream, position):
        text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
        for number, item, cut in _Rows(name, ".tsv" in (s.lower() for s in path.suffixes[-2:])).of(
            text, after
        ):
            yield _record(number, item, cut, position())


def _record(
    number: int, item: Passage | str, cut: tuple[str, ...], read: int
) -> CollectionRecord | Unreadable:
    return (
        Unreadable(number, item, read) if isinstance(item, str) else CollectionRecord(number, item, read, cut)
    )


# ── encodings ────────────────────────────────────────────────────────────────────────────────────────


def _encoding(path: Path) -> tuple[str, str]:
    """Return the encoding of a file by the whole of it, and what to tell of it."""
    with opened(path) as (stream, _):
        start = stream.peek(4)[:4]
        if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
            return "utf-32", ""
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16", ""
        encoding, note = encoding_of(iter(lambda: stream.read(2**20), b""))
        return ("utf-8-sig" if encoding == "utf-8" else encoding), note


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────────

_READ = {"_id", "id", "text", "contents", "page_content", "title", "metadata", "attributes"}


class _JsonLines:
    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.encoding: str | None = None
        self.note = ""

    def of(self, stream: io.BufferedIOBase, after: int, before: int) -> Iterator[RecordOutcome]:
        for number, line in enumerate(_lines(stream), before + 1):
            if number <= after:
                continue
            if line is None:
                yield number, f"{self.name}:{number}: found more than {LONGEST_LINE:,} bytes on one line", ()
            elif line.strip():
                yield self._item(number, line)

    def _item(self, number: int, line: bytes) -> RecordOutcome:
        try:
            return (number, *_passage(self.name, number, self._object(number, line)))
        except FormatError as error:
            return number, str(error), ()

    def _object(self, number: int, line: bytes) -> dict[str, object]:
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise FormatError(
                self.name, number, f"found broken JSON ({error.msg} at column {error.colno})"
            ) from error
        except UnicodeDecodeError:
            value = self._decoded(number, line)
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits; lists in lists without end
            raise FormatError(self.name, number, f"found JSON that cannot be read ({error})") from error
        if not isinstance(value, dict):
            raise FormatError(self.name, number, "found JSON that is no object, wanted one record a line")
        return value

    def _decoded(self, number: int, line: bytes) -> object:
        """Read a line that is no UTF-8, in the encoding of the whole file."""
        try:
            if self.encoding is None:
                self.encoding, self.note = _encoding(self.path)
            return json.loads(line.decode(self.encoding, "replace"))
        except (ValueError, RecursionError, InvalidInputError) as error:
            raise FormatError(self.name, number, f"found JSON that cannot be read ({error})") from error


def _lines(stream: io.BufferedIOBase) -> Iterator[bytes | None]:
    """Yield lines; None for one that is too long, of which no more than a piece is in memory at a time."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE + 1)
        yield None


def _passage(name: str, number: int, record: dict[str, object]) -> tuple[Passage, tuple[str, ...]]:
    """Return a record as `formats.passage` reads it, with its other plain fields as attributes."""
    if isinstance(inner := record.get("kwargs"), dict) and "page_content" in inner:
        record = inner  # a document as LangChain serialises it
    if record.get("_id", record.get("id")) in (None, ""):
        record = {**record, "_id": f"{name}#{number}"}
    if not record.get("text") and record.get("page_content"):
        record = {**record, "text": record["page_content"]}
    if _is_title_alone(record):
        record = {**record, "text": record["title"]}  # BEIR has documents that are but a title
    read = passage(name, number, record)
    if len(read.id) > LONGEST_ID:
        raise FormatError(
            name, number, f"found an id of {len(read.id):,} characters, wanted at most {LONGEST_ID:,}"
        )
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in record.items()
        if key not in _READ and isinstance(value, str | int | float | bool)
    }
    kept, cut = _kept(attributes | dict(read.attributes))
    title = read.title if len(read.title) <= LONGEST_TITLE else shortened(read.title)
    return _storable(replace(read, source=None, title=title, attributes=kept)), cut


def _is_title_alone(record: dict[str, object]) -> bool:
    given = [record.get(key) for key in ("text", "contents")]
    return not any(given) and isinstance(record.get("title"), str) and bool(str(record["title"]).strip())


def _kept(attributes: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the attributes within their limits, and the names of those that were cut or left out."""
    if sum(map(len, attributes.values())) <= LONGEST_ATTRIBUTE and len(attributes) <= 16:
        return dict(attributes), ()
    kept: dict[str, str] = {}
    cut: list[str] = []
    left = ATTRIBUTES
    for key, value in attributes.items():
        whole = value if len(value) <= LONGEST_ATTRIBUTE else value[: LONGEST_ATTRIBUTE - 1] + "…"
        left -= len(key) + len(whole)
        if left >= 0:
            kept[key] = whole
        if left < 0 or whole is not value:
            cut.append(key)
    return kept, tuple(cut)


def _storable(item: Passage) -> Passage:
    """Return a passage that UTF-8 can hold (JSON may escape half a surrogate pair)."""
    attributes = {clean(key): clean(value) for key, value in item.attributes.items()}
    return replace(
        item, id=clean(item.id), text=clean(item.text), title=clean(item.title), attributes=attributes
    )


# ── CSV and TSV ──────────────────────────────────────────────────────────────────────────────────────

_MADE_UP = {2: ["id", "text"], 3: ["id", "text", "title"]}
"""Columns of a TSV file without a header, by their number (MS MARCO's passages, DPR's)."""

_LOOKED_AT = 50
"""Lines of a TSV file that show whether its cells hold line ends."""


class _Rows:
    """Reads rows; `line` is the line of the file that was read last."""

    def __init__(self, name: str, tabs: bool) -> None:
        self.name = name
        self.tabs = tabs
        self.line = 0

    def of(self, text: io.TextIOBase, after: int) -> Iterator[RecordOutcome]:
        csv.field_size_limit(LONGEST_LINE)
        lines = self._lines(text)
        first = next(lines, "")
        comma = "\t" if self.tabs else max(",;\t|", key=first.count)
        if first[:4].lower() == "sep=" and len(first.strip()) == 5:
            comma, first = first[4], next(lines, "")
        start = [first, *islice(lines, _LOOKED_AT)]
        columns, start = self._columns(start, comma)
        rows = self._read(start, lines, comma, len(columns))
        for number, row in enumerate(rows, 1):
            if number <= after or (not isinstance(row, str) and not any(cell.strip() for cell in row)):
                continue
            yield self._item(number, columns, row)

    def _lines(self, text: io.TextIOBase) -> Iterator[str]:
        while line := text.readline(LONGEST_LINE + 1):
            while len(line) > LONGEST_LINE and not line.endswith("\n"):
                line = line[:16] + text.readline(LONGEST_LINE + 1)[-LONGEST_LINE:]
            yield line.replace("\0", "")

    def _columns(self, start: list[str], comma: str) -> tuple[list[str], list[str]]:
        """Return the names of the columns, and the lines that follow them."""
        cells = next(csv.reader(start[:1], delimiter=comma), [])
        second = start[1].split(comma) if len(start) > 1 else []
        if (
            self.tabs
            and len(cells) in _MADE_UP
            and cells[0].isdecimal()
            and second[:1]
            and second[0].isdecimal()
        ):
            return _MADE_UP[len(cells)], start
        self.line = 1
        return _distinct([cell.strip() for cell in cells]), start[1:]

    def _read(
        self, start: list[str], rest: Iterator[str], comma: str, width: int
    ) -> Iterator[list[str] | str]:
        """Yield the cells of each row, or why it cannot be read."""
        begun = self.line
        lines = (line for part in (start, rest) for line in part)
        if self.tabs and all(line.count("\t") == width - 1 for line in start if line.strip()):
            for line in lines:  # no cell goes over several lines, so a quote alone is a quote
                self.line += 1
                yield [_unquoted(cell) for cell in line.rstrip("\r\n").split("\t")]
            return
        reader = csv.reader(lines, delimiter=comma)
        while True:
            try:
                row: list[str] | str = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                row = f"found broken CSV ({error})"
            self.line = begun + reader.line_num
            yield row

    def _item(self, number: int, columns: list[str], row: list[str] | str) -> RecordOutcome:
        if isinstance(row, str):
            return number, f"{self.name}:{self.line}: {row}", ()
        if any(cell.strip() for cell in row[len(columns) :]):
            problem = f"found {len(row)} cells, wanted {len(columns)} as in the header"
            return number, f"{self.name}:{self.line}: {problem}", ()
        cells = {column: cell for column, cell in zip(columns, row, strict=False) if cell.strip()}
        record: dict[str, object] = dict(cells)
        if not {"text", "contents", "page_content"} & set(columns):
            record["text"] = "\n".join(f"{c}: {v}" for c, v in cells.items() if c not in ("id", "_id"))
        elif "text" not in record:
            record["text"] = cells.get("contents", "")
        try:
            return (number, *_passage(self.name, number, record))
        except FormatError as error:
            return number, str(error).replace(f"{self.name}:{number}:", f"{self.name}:{self.line}:", 1), ()


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell.startswith('"') and cell.endswith('"'):
        return cell[1:-1].replace('""', '"')
    return cell


def _distinct(names: list[str]) -> list[str]:
    """Return names of columns, those that are empty or come again told apart by a number."""
    seen: dict[str, int] = {}
    found: list[str] = []
    for number, name in enumerate(names, 1):
        name = name or f"column {number}"
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
