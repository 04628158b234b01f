"""The pieces of a report as plain data, built once and drawn twice: in Markdown and on the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..results import Value

DASH = "–"
"""What stands where nothing was measured: never a zero, which would be a result."""

QUOTED = "quoted from the paper: other model size, corpus and sample"

BOLD = (
    "Intervals are 95 %. Bold is the best measured value of a column, and only where a paired test shows the "
    "difference to the second (Holm-corrected p < 0.05)."
)

Tone = Literal["", "better", "worse", "open"]
"""Of a comparison: shown to be better, shown to be worse, or not decided by the sample."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """What stands in a cell: the text, smaller lines below it, and a mark that a note explains.

    `bold` is for the best of a column where a test says so.
    """

    text: str = DASH
    small: tuple[str, ...] = ()
    mark: str = ""
    bold: bool = False
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class ReportHeading:
    """The title of a column; neighbours with the same `group` stand under it together."""

    title: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row: its head, smaller lines below the head, and an entry for each column."""

    head: str
    entries: tuple[TableCell, ...]
    small: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that belong together; quoted ones are drawn apart from measured ones."""

    rows: tuple[TableRow, ...]
    title: str = ""
    kind: Literal["measured", "quoted"] = "measured"


@dataclass(frozen=True, slots=True)
class Table:
    """A whole table; `corner` is the title of the column of heads.

    On the page `folded` closes it, and `flat` puts the smaller lines of an entry beside its text.
    """

    title: str
    corner: str
    headings: tuple[ReportHeading, ...]
    groups: tuple[RowGroup, ...]
    notes: tuple[str, ...] = ()
    folded: bool = False
    flat: bool = False

    @property
    def empty(self) -> bool:
        """Whether the table has no measured row."""
        return not any(group.rows for group in self.groups if group.kind == "measured")


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A part of the report: paragraphs, a command as it was typed, tables, and points of a list."""

    name: str
    title: str
    text: tuple[str, ...] = ()
    command: str = ""
    tables: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()


# ── numbers as text ──────────────────────────────────────────────────────────────────────────────────


def percent(fraction: float, sign: bool = False) -> str:
    """Return a fraction times 100 with one decimal: `50.6`, with its sign `+4.2` or `−1.0`."""
    if not math.isfinite(fraction):
        return DASH
    return _typeset(f"{100 * fraction:{'+' if sign else ''}.1f}")


def _typeset(number: str) -> str:
    """Return a number with a minus sign instead of a hyphen, and no sign on what was rounded to zero."""
    if float(number) == 0:
        return number.lstrip("+-")
    return number.replace("-", "−")


def interval(value: Value, sign: bool = False) -> str:
    """Return the 95 % interval of a fraction times 100: `45.1–56.2`, signed `−1.0 to +9.1`."""
    return f"{percent(value.low, sign)}{' to ' if sign else DASH}{percent(value.high, sign)}"


def seconds(value: float) -> str:
    """Return seconds with three digits: `0.0123`, `1.23`, `123`."""
    if not math.isfinite(value):
        return DASH
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def probability(p: float) -> str:
    """Return a p-value with three decimals, `<0.001` below."""
    if not math.isfinite(p):
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def sample_size(value: Value) -> tuple[str, ...]:
    """Return the number of questions, and below it that of independent units where they are fewer."""
    return (f"n {value.n:,}", *([f"{value.units:,} units"] if value.units < value.n else []))


def measured(value: Value | None, bold: bool = False) -> TableCell:
    """Return the entry of a fraction: value, interval and sample; a dash for None."""
    if value is None:
        return TableCell()
    return TableCell(percent(value.value), (interval(value), *sample_size(value)), bold=bold)


def quoted(value: float | None, digits: int) -> TableCell:
    """Return the entry of a number that the paper prints, in its digits."""
    return TableCell() if value is None else TableCell(f"{value:.{digits}f}")
