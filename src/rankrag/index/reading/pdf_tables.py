"""Tables on a page of a PDF, which only says where its letters stand.

pypdf gives a page's text twice: in the order in which it is drawn, and laid out by its place, with spaces.
Where lines of the second have gaps one below the other, their words are cells and take the place of the same
words in the first. Where that does not come out to the letter, the page stays as it is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby, pairwise

from .texts import Grid

_ROWS = 3
"""Rows with several cells that make a table."""

_SHORT = 6
"""Words of a line that may be a row, unless it has numbers."""

_CELL_WORDS = 4
"""Words of a cell on the average: more of them are prose in columns."""

_CROSSING = 20
"""One line in so many may have letters where the others have a gap, but none of the first ones."""

_NAMING = 2
"""Lines at the beginning that may name the columns."""

_TRIMMED = 4
"""Lines at either end of a block that may be none of its table: captions and the like."""

_WIDE = 3
"""Signs of a gap between columns: two are the space between the words of a justified line."""

_GAP = re.compile(rf"(?<=\S) {{{_WIDE},}}(?=\S)")
_FIGURE = re.compile(r"[^\w\s]*\d[\d\W]*(?:[^\W\d]{1,4}\.?)?")
"""A number with its signs, and a unit."""

_MOST_LINES, _MOST_SIGNS = 2000, 1000
"""Lines of a page and signs of a line from which on no table is looked for: the work stays bounded."""

_MARGIN = 2
"""Lines above or below a table that do not end it at the border of a page: page numbers, running titles."""

Cells = list[str]


def with_tables(page: str, laid_out: Callable[[], str]) -> list[str | Grid]:
    """Return a page's text and tables in their order; `laid_out` is asked where there may be some."""
    if not _may_hold_tables(page):
        return [page]
    parts: list[str | Grid] = []
    rest = page
    for block in _blocks(laid_out().splitlines()):
        if (cut := _cut_out(rest, block)) is not None:
            before, rows, rest = cut
            parts += [before, Grid(rows, header=(_names_columns(rows[0]) and _figures(rows[1:])) or None)]
    return [*parts, rest]


def headed(pages: list[list[str | Grid]]) -> list[list[str | Grid]]:
    """Return pages where a table that goes on at the top of the next one has its header row there too."""
    tables: list[list[str | Grid]] = []
    header: Cells = []
    for page in pages:
        first = next((n for n, part in enumerate(page) if isinstance(part, Grid)), None)
        if first is not None and header and _is_margin(page[:first]):
            table = page[first]
            if isinstance(table, Grid) and len(table.rows[0]) == len(header) and not table.header:
                page = [*page[:first], Grid([header, *table.rows], header=True), *page[first + 1 :]]
        tables.append(page)
        last = max((n for n, part in enumerate(page) if isinstance(part, Grid)), default=0)
        lowest = page[last]
        goes_on = isinstance(lowest, Grid) and lowest.header and _is_margin(page[last + 1 :])
        header = [*lowest.rows[0]] if goes_on and isinstance(lowest, Grid) else []
    return tables


def _is_margin(parts: Sequence[str | Grid]) -> bool:
    """Say whether parts of a page are no more than what stands at its top or foot."""
    return sum(len(part.split("\n")) for part in parts if isinstance(part, str)) <= _MARGIN + len(parts)


def _may_hold_tables(page: str) -> bool:
    lines = page.splitlines()
    if len(lines) > _MOST_LINES:
        return False
    rows = (line.split() for line in lines)
    short = (len(words) <= _SHORT or sum(any(map(str.isdigit, word)) for word in words) > 1 for words in rows)
    return any(is_short and len([*run]) >= _ROWS for is_short, run in groupby(short))


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield runs of lines with gaps in them; a line without any may stand between."""
    block: list[str] = []
    between: list[str] = []
    for line in (*(line for line in lines if line.strip() and len(line) <= _MOST_SIGNS), "", ""):
        if _GAP.search(line.strip()):
            block += [*between, line] if block else [line]
            between = []
        elif between or not block:
            if len(block) >= _ROWS:
                yield block
            block, between = [], []
        else:
            between = [line]


def _cut_out(page: str, block: list[str]) -> tuple[str, list[Cells], str] | None:
    """Return what is before a table, its rows and what is after it; None if the page does not hold it."""
    for first, last in sorted(
        ((first, last) for first in range(_TRIMMED) for last in range(_TRIMMED)), key=sum
    ):
        rows = _cells(block[first : len(block) - last])
        if rows and (span := _place(page, rows)):
            start, end = span
            return page[:start], _as_drawn(page[start:end], rows), page[end:]
    return None


def _as_drawn(text: str, rows: list[Cells]) -> list[Cells]:
    """Return rows with the spaces that the text has between their words, if those are in its order."""
    bare = "".join("".join(row) for row in rows).replace(" ", "")
    if "".join(text.split()) != bare:
        return rows
    letters = re.finditer(r"\S", text)
    ends = [0, *(letter.end() for letter in letters)]
    counts = (len(cell.replace(" ", "")) for row in rows for cell in row)
    borders = [ends[n] for n in accumulate(counts, initial=0)]
    cells = (text[start:end].strip() for start, end in pairwise(borders))
    return [[next(cells) for _ in row] for row in rows]


def _cells(lines: list[str]) -> list[Cells]:
    """Return lines as rows, cut where all of them have a gap; nothing if that makes no table."""
    if len(lines) < _ROWS:
        return []
    width = max(map(len, lines))
    most = len(lines) // _CROSSING
    filled = [
        any(line[n : n + 1].strip() for line in lines[:_NAMING])
        or sum(1 for line in lines if line[n : n + 1].strip()) > most
        for n in range(width)
    ]
    borders = [0]
    for is_filled, run in groupby(range(width), key=filled.__getitem__):
        places = [*run]
        if not is_filled and len(places) >= _WIDE and places[0] > 0:
            borders.append(places[-1] + 1)
    rows = [_divided(line, borders[1:]) for line in lines]
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    rows = [[*row] for row in zip(*_named(columns), strict=True)]
    cells = [cell for row in rows for cell in row if cell]
    full = sum(sum(map(bool, row)) > max(1, len(row) // 2) for row in rows)
    is_full = full >= _ROWS and 2 * full >= len(rows)
    is_table = len(rows[0]) > 1 and is_full and len(" ".join(cells).split()) <= _CELL_WORDS * len(cells)
    return rows if is_table and (len(rows[0]) > 2 or _figures(rows)) else []


def _named(columns: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return columns, each together with its name where that stands beside it.

    Where the first cell of a line is empty, the others are laid out some signs from their places.
    """
    names: list[tuple[str, ...]] = []
    for column in columns:
        before = names[-1] if names else column
        is_name = not any(before[_NAMING:]) or not any(column[_NAMING:])
        if names and is_name and not any(left and right for left, right in zip(before, column, strict=True)):
            names[-1] = tuple(left or right for left, right in zip(before, column, strict=True))
        else:
            names.append(column)
    return names


def _divided(line: str, borders: list[int]) -> Cells:
    """Return the cells of a line; a word across a border belongs to the cell in which it begins."""
    cells, start = [], 0
    for border in borders:
        end = max(start, border)
        while end > start and line[end - 1 : end].strip() and line[end : end + 1].strip():
            end += 1
        cells.append(line[start:end].strip())
        start = end
    return [*cells, line[start:].strip()]


def _figures(rows: list[Cells]) -> bool:
    """Say whether most cells beside the first column are figures."""
    cells = [cell for row in rows for cell in row[1:] if cell]
    return 2 * sum(1 for cell in cells if _FIGURE.fullmatch(cell)) >= len(cells)


def _names_columns(row: Cells) -> bool:
    names = [cell for cell in row if cell]
    return len(names) > 1 and not any(map(_FIGURE.fullmatch, names))


def _place(page: str, rows: list[Cells]) -> tuple[int, int] | None:
    """Return where the lines of a page begin and end that hold the letters of a table and no others.

    In another order than that of the rows only for figures: lists in columns are read down, not across.
    """
    wanted = "".join("".join(row) for row in rows).replace(" ", "")
    lines = page.splitlines(keepends=True)
    bare = ["".join(line.split()) for line in lines]
    ends = [0, *accumulate(map(len, bare))]
    at = {end: n for n, end in enumerate(ends)}
    for n in range(len(lines)):
        if (last := at.get(ends[n] + len(wanted))) is None or not bare[n]:
            continue
        text = "".join(bare[n:last])
        if text == wanted or (sorted(text) == sorted(wanted) and _figures(rows)):
            offsets = [0, *accumulate(map(len, lines))]
            return offsets[n], offsets[last]
    return None
