"""Where the command line writes: what was asked for on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

QUIET = "bright_black"
"""The colour of what stands beside the matter."""

PIPED_WIDTH = 10_000
"""Columns when the reader is a program: nothing is wrapped or shortened there."""

_PIECE = re.compile(r"[^\s`]*(?:`[^`]*`\S*)|\S+")
"""A word, or words in backticks with the signs around them."""

_CONTROL = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}
_TURNS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # letters after these stand in another order
_drawing: list[Console] = []
_HARMLESS = dict.fromkeys(_CONTROL | _TURNS, "\ufffd")


class HarmlessConsole(Console):
    """A console whose terminal obeys nothing that a document says: its control characters are shown as �."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the pieces of what is printed, with the styles of our own."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=piece.text.translate(_HARMLESS))


def console(stream: IO[str]) -> Console:
    """Return a console on a stream; NO_COLOR, FORCE_COLOR, TERM and COLUMNS are respected by rich."""
    plain = HarmlessConsole(file=stream, highlight=False, emoji=False, markup=False)
    if not plain.is_terminal:
        plain.width = PIPED_WIDTH
    return plain


def out() -> Console:
    """Return the console of standard output."""
    return console(sys.stdout)


def err() -> Console:
    """Return the console of standard error: the one that draws there, where one does."""
    return _drawing[-1] if _drawing else console(sys.stderr)


@contextlib.contextmanager
def drawing(target: Console) -> Iterator[None]:
    """Have what is written to standard error meanwhile stand above what this console draws there.

    Another console knows nothing of the line that is drawn, and would write on in the middle of it.
    """
    _drawing.append(target)
    try:
        yield
    finally:
        _drawing.remove(target)


@contextlib.contextmanager
def working(words: str) -> Iterator[None]:
    """Show on a terminal's standard error that something takes a while."""
    target = err()
    spinner = target.status(Text(words, style=QUIET), spinner="dots", spinner_style="cyan")
    with drawing(target), spinner:
        yield


def progress(output: str) -> Console:
    """Return where to show work in progress: beside the text that will stand there, else standard error."""
    return out() if output == "text" and sys.stdout.isatty() else err()


def emit(record: Mapping[str, object]) -> None:
    """Write the one JSON document of a command to standard output."""
    sys.stdout.write(json.dumps(record, ensure_ascii=False, indent=2) + "\n")


def give(output: str, record: Mapping[str, object], words: str) -> None:
    """Write the result of a command to standard output: as a JSON document, or in words."""
    if output == "json":
        emit(record)
    else:
        say(words)


def table(rows: Iterable[Iterable[str | Text]], right: Sequence[int] = (), heads: Sequence[str] = ()) -> None:
    """Write rows in aligned columns to standard output; `right` numbers the columns that align right."""
    grid = Table.grid(padding=(0, 2))
    for row in ([Text(head, QUIET) for head in heads], *rows) if heads else rows:
        cells = [Text(cell) if isinstance(cell, str) else cell for cell in row]
        while len(grid.columns) < len(cells):
            number = len(grid.columns)
            side: Literal["left", "right"] = "right" if number in right else "left"
            # What is longer than its column, such as an address, goes on in the next line: it is never cut.
            grid.add_column(justify=side, no_wrap=number == 0, overflow="ellipsis" if number == 0 else "fold")
        grid.add_row(*cells)
    show(grid, out())


def show(layout: RenderableType, target: Console) -> None:
    """Write a table or the like; a program that reads it gets no spaces at the ends of lines."""
    if target.is_terminal:
        target.print(layout)
        return
    with target.capture() as written:
        target.print(layout)
    target.file.write("".join(line.rstrip() + "\n" for line in written.get().splitlines()))


def say(words: str) -> None:
    """Write a line of a report to standard output."""
    out().print(Text(words))


def note(kind: str, message: str, colour: str) -> None:
    """Write `rankrag: kind: message` to standard error: one line, broken between words on a terminal."""
    target, head = err(), f"rankrag: {kind}: "
    line = head + " ".join(message.split())
    if target.is_terminal:
        line = broken(line, target.width)
    target.print(Text.assemble((head, f"bold {colour}"), line[len(head) :]), soft_wrap=True)


def broken(line: str, width: int) -> str:
    """Return a line in lines of that many cells; what stands in backticks stays in one, to be copied.

    What is wider than a line begins one and runs on: the terminal wraps it, and it is still one text.
    """
    lines = [""]
    for piece in _PIECE.findall(line):
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(piece) > width:
            lines.append(piece)
        else:
            lines[-1] = f"{lines[-1]} {piece}".lstrip()
    return "\n".join(lines)


def error(message: str) -> None:
    """Write the line with which a command fails."""
    note("error", message, "red")


def warn(message: str) -> None:
    """Write a line about something that the user should know but that stops nothing."""
    note("warning", message, "yellow")
