"""Collections in JSON lines: a record on every line, read as a stream."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import FormatError, InvalidInputError
from .compressed import opened
from .encodings import encoding_of
from .records import (
    LONGEST_LINE,
    CollectionRecord,
    FromCollection,
    Told,
    Unreadable,
    encoding_of_file,
    record_of,
)


@dataclass(frozen=True, slots=True)
class LineSpan:
    """Whole lines of a file of JSON lines: bytes `start` to `end`, and how many lines come before them."""

    start: int
    end: int
    before: int


def json_lines(
    path: Path, name: str, after: int = 0, part: LineSpan | None = None
) -> Iterator[FromCollection]:
    """Yield the records of JSON lines, or of one part of them, that follow the first `after` lines.

    `name` is what messages and made-up ids call the file. Raises InvalidInputError for a file whose
    compression is broken, or that unpacks to too much.
    """
    if part is None:
        with opened(path) as (stream, position):
            reader = _JsonLines(path, name, position)
            yield from reader.records(_lines(stream), after, 0)
        if reader.note:
            yield Told(reader.note)
        return
    with path.open("rb") as raw:
        raw.seek(part.start)
        piece = io.BytesIO(raw.read(part.end - part.start))
    reader = _JsonLines(path, name, lambda: part.start + piece.tell())
    yield from reader.records(_bounded(piece.readline), after, part.before)


class _JsonLines:
    """Reads records; `position` says how many bytes of the file were read, `note` what to tell of it."""

    def __init__(self, path: Path, name: str, position: Callable[[], int]) -> None:
        self.path = path
        self.name = name
        self.position = position
        self.encoding: str | None = None
        self.note = ""

    def records(
        self, lines: Iterator[bytes | None], after: int, before: int
    ) -> Iterator[CollectionRecord | Unreadable]:
        """Yield what stands on the lines that follow the first `after`; `before` them come so many others."""
        for number, line in enumerate(lines, before + 1):
            if number > after and (line is None or line.strip()):
                try:
                    fields = self._object(number, line)
                    yield record_of(self.name, number, number, fields, self.position())
                except FormatError as error:
                    yield Unreadable(number, str(error), self.position())

    def _object(self, number: int, line: bytes | None) -> dict[str, object]:
        if line is None:
            raise FormatError(self.name, number, f"found more than {LONGEST_LINE:,} bytes on one line")
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
                self.encoding, self.note = encoding_of_file(self.path)
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
