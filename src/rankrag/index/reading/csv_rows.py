"""Collections in CSV and TSV: a record in every row, under a header or without one, read as a stream."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

from ...errors import FormatError, amount
from .compressed import opened
from .records import (
    LONGEST_LINE,
    CollectionRecord,
    FromCollection,
    Told,
    Unreadable,
    encoding_of_file,
    record_of,
)
from .texts import shortened

_MADE_UP = {2: ["id", "text"], 3: ["id", "text", "title"]}
"""Columns of a TSV file without a header, by their number (MS MARCO's passages, DPR's)."""

_LOOKED_AT = 50
"""Lines of a file that show what parts its cells, where its header is, and whether cells hold line ends."""


def csv_rows(path: Path, name: str, after: int = 0) -> Iterator[FromCollection]:
    """Yield the rows of a CSV or TSV file under its header that follow the first `after`.

    `name` is what messages and made-up ids call the file. Without a column `text` a row's text is its cells,
    `column: value` a line. Raises InvalidInputError for a file whose compression is broken, or that unpacks
    to too much.
    """
    encoding, note = encoding_of_file(path)
    if note:
        yield Told(note)
    with opened(path) as (stream, position):
        rows = _Rows(name, ".tsv" in (s.lower() for s in path.suffixes[-2:]), position)
        text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
        yield from rows.records(text, after)
    yield from map(Told, rows.notes)


class _Rows:
    """Reads rows; `line` is the line that was read last, `notes` tell what is odd about the file."""

    def __init__(self, name: str, tabs: bool, position: Callable[[], int]) -> None:
        self.name = name
        self.tabs = tabs
        self.position = position
        self.line = 0
        self.notes: list[str] = []

    def records(self, text: io.TextIOBase, after: int) -> Iterator[CollectionRecord | Unreadable]:
        """Yield what stands in the rows that follow the first `after`."""
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
            self.notes.append(f"above the header, not read: {shortened(' / '.join(told), 200)}")
        self.line += above
        columns, rows = self._columns(start[above:], lines, comma)
        for number, row in enumerate(rows, 1):
            if number <= after or (not isinstance(row, str) and not any(cell.strip() for cell in row)):
                continue
            try:
                fields = self._fields(columns, row)
                yield record_of(self.name, number, self.line, fields, self.position())
            except FormatError as error:
                yield Unreadable(number, str(error), self.position())

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
        """Yield the cells of each row, or why it cannot be read.

        Where a quote is never closed, each line from there to the end of the file is a row.
        """
        begun = self.line
        held: list[str] = []
        is_over = False

        def kept() -> Iterator[str]:
            nonlocal is_over
            for line in lines:
                held.append(line)
                yield line
            is_over = True

        reader = csv.reader(kept(), delimiter=comma)
        while True:
            held.clear()
            try:
                row: list[str] | str = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                row = f"found broken CSV ({error})"
            first = self.line + 1
            self.line = begun + reader.line_num
            if is_over and len(held) > 1:
                self.notes.append(f"line {first}: a quote that is never closed, read as a sign")
                for self.line, line in enumerate(held, first):
                    yield next(csv.reader([line], delimiter=comma, quoting=csv.QUOTE_NONE), [])
            else:
                yield row

    def _fields(self, columns: list[str], row: list[str] | str) -> dict[str, object]:
        if isinstance(row, str):
            raise FormatError(self.name, self.line, row)
        if any(cell.strip() for cell in row[len(columns) :]):
            problem = f"found {amount(len(row), 'cell')}, wanted {len(columns)} as in the header"
            raise FormatError(self.name, self.line, problem)
        cells = {column: cell for column, cell in zip(columns, row, strict=False) if cell.strip()}
        fields: dict[str, object] = dict(cells)
        if not {"text", "contents", "page_content"} & set(columns):
            fields["text"] = "\n".join(f"{c}: {v}" for c, v in cells.items() if c not in ("id", "_id"))
        elif "text" not in fields:
            fields["text"] = cells.get("contents", "")
        return fields


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
    distinct: list[str] = []
    for number, name in enumerate(names, 1):
        name = name or f"column {number}"
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct
