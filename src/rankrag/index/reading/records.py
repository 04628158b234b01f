"""Collections: files that hold a document on every line (JSON lines) or row (CSV, TSV), read as a stream.

A line that cannot be read is named and passed over. What is kept of a record is bounded: its line, its
title, its id and its attributes.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from ...errors import FormatError, InvalidInputError, amount
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
            for number, item, cut in reader.of(_lines(stream), after, 0):
                yield _record(number, item, cut, position())
        if reader.note:
            yield Told(reader.note)
        return
    with path.open("rb") as raw:
        raw.seek(part.start)
        piece = io.BytesIO(raw.read(part.end - part.start))
    for number, item, cut in reader.of(_bounded(piece.readline), after, part.before):
        yield _record(number, item, cut, part.start + piece.tell())


def csv_rows(path: Path, name: str, after: int = 0) -> Iterator[FromCollection]:
    """Yield the rows of a CSV or TSV file under its header; raises as `json_lines` does.

    Without a column `text` a row's text is its cells, `column: value` a line.
    """
    encoding, note = _encoding(path)
    if note:
        yield Told(note)
    rows = _Rows(name, ".tsv" in (s.lower() for s in path.suffixes[-2:]))
    with opened(path) as (stream, position):
        text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
        for number, item, cut in rows.of(text, after):
            yield _record(number, item, cut, position())
    if rows.note:
        yield Told(rows.note)


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

    def of(self, lines: Iterator[bytes | None], after: int, before: int) -> Iterator[RecordOutcome]:
        for number, line in enumerate(lines, before + 1):
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


def _lines(stream: io.BufferedReader) -> Iterator[bytes | None]:
    """Yield the lines of a file as `_bounded` does, in UTF-8 where they are in UTF-16 or UTF-32."""
    start = stream.peek(_BEGINNING)[:_BEGINNING]
    encoding = encoding_of([start])[0] if b"\0" in start else "utf-8"
    if encoding == "utf-8":
        yield from _bounded(stream.readline)
        return
    text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="\n")
    try:
        yield from _bounded(lambda most: text.readline(most).encode("utf-8", "replace"))
    finally:
        text.detach()


_BEGINNING = 4096


def _bounded(readline: Callable[[int], bytes]) -> Iterator[bytes | None]:
    """Yield lines; None for one that is too long, of which no more than a piece is in memory at a time."""
    while line := readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = readline(LONGEST_LINE + 1)
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
    if not read.text.strip():
        raise FormatError(name, number, "found a text of nothing but white space")
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
"""Lines of a file that show what parts its cells, where its header is, and whether cells hold line ends."""


class _Rows:
    """Reads rows; `line` is the line that was read last, `note` tells of lines above the header."""

    def __init__(self, name: str, tabs: bool) -> None:
        self.name = name
        self.tabs = tabs
        self.line = 0
        self.note = ""

    def of(self, text: io.TextIOBase, after: int) -> Iterator[RecordOutcome]:
        csv.field_size_limit(LONGEST_LINE)
        lines = self._lines(text)
        start = [*islice(lines, _LOOKED_AT)]
        comma = "\t" if self.tabs else ""
        if start and start[0][:4].lower() == "sep=" and len(start[0].rstrip("\r\n")) == 5:
            comma = start.pop(0)[4]
            self.line += 1
        comma = comma or _comma(start)
        above = _above_header(start, comma)
        if any(told := [line.strip() for line in start[:above] if line.strip()]):
            self.note = f"above the header, not read: {shortened(' / '.join(told), 200)}"
        self.line += above
        columns, rows = self._columns(start[above:], lines, comma)
        for number, row in enumerate(rows, 1):
            if number <= after or (not isinstance(row, str) and not any(cell.strip() for cell in row)):
                continue
            yield self._item(number, columns, row)

    def _lines(self, text: io.TextIOBase) -> Iterator[str]:
        while line := text.readline(LONGEST_LINE + 1):
            while len(line) > LONGEST_LINE and not line.endswith("\n"):
                line = line[:16] + text.readline(LONGEST_LINE + 1)[-LONGEST_LINE:]
            yield line.replace("\0", "")

    def _columns(
        self, start: list[str], rest: Iterator[str], comma: str
    ) -> tuple[list[str], Iterator[list[str] | str]]:
        """Return the names of the columns, and the rows that follow them."""
        first, second = ([*start, "", ""][n].rstrip("\r\n").split(comma) for n in (0, 1))
        lines = chain(start, rest)
        widths = {line.count(comma) + 1 for line in start if line.strip()}
        is_plain = self.tabs and comma == "\t" and widths == {len(first)}
        rows = self._plain(lines) if is_plain else self._quoted(lines, comma)
        if self.tabs and len(first) in _MADE_UP and first[0].isdecimal() and second[0].isdecimal():
            return _MADE_UP[len(first)], rows
        header = next(rows, [])
        return _distinct([cell.strip() for cell in header] if isinstance(header, list) else []), rows

    def _plain(self, lines: Iterator[str]) -> Iterator[list[str] | str]:
        """Yield the cells of each line of a TSV file: none goes over several, so a quote alone is a quote."""
        for line in lines:
            self.line += 1
            yield [_unquoted(cell) for cell in line.rstrip("\r\n").split("\t")]

    def _quoted(self, lines: Iterator[str], comma: str) -> Iterator[list[str] | str]:
        """Yield the cells of each row, or why it cannot be read."""
        begun = self.line
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
            problem = f"found {amount(len(row), 'cell')}, wanted {len(columns)} as in the header"
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


def _comma(start: list[str]) -> str:
    """Return what parts the cells: the sign that comes most in the first line that has any outside quotes."""
    for line in start:
        bare = re.sub('"[^"]*"?', "", line)
        if any(sign in bare for sign in _COMMAS):
            return max(_COMMAS, key=bare.count)
    return _COMMAS[0]


_COMMAS = ",;\t|"


def _above_header(start: list[str], comma: str) -> int:
    """Return how many lines stand above the header: blank ones, and a title or comment of a single cell.

    A single word may be the name of the only column.
    """
    widths = [len(next(csv.reader([line[:_WIDE]], delimiter=comma), [])) for line in start]
    n = 0
    while n < len(start) and not start[n].strip():
        n += 1
    blank = n
    while n < len(start) and widths[n] <= 1 and not start[n].strip().strip('"').isidentifier():
        n += 1
    below = {width for width, line in zip(widths[n:], start[n:], strict=True) if line.strip()}
    return n if len(below) == 1 and min(below) > 1 and len(start) > n + 1 else blank


_WIDE = 2**16
"""Characters of a line that show how many cells it has."""


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
