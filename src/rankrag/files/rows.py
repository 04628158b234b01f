"""The containers that public datasets come in, all read as a stream of rows.

`.jsonl` and `.json` (an array, an object with an array under `data`, or JSON lines), `.csv`, `.parquet`,
each of the text ones also as `.gz` or `.xz`. Datasets of the hub are JSON lines, copied by `hub_datasets.py`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import FormatError, InvalidInputError
from ..types import Speaker, Turn
from .lines import Record, check_file, check_text, open_text, read_json, read_records

CHUNK = 1 << 20
"""Characters read at a time from a JSON array."""


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file, and where it stands; what is missing or of the wrong type is a FormatError."""

    path: str
    line: int | None
    values: Record
    number: int | None = None

    @property
    def place(self) -> int | None:
        """Which row of its file this is, to make an id of: an array may have all of its rows on one line."""
        return self.line if self.number is None else self.number

    def has(self, name: str) -> bool:
        """Say whether the row has a value of this name that is not null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """Return a text; numbers are turned into text."""
        if name not in self.values:
            raise self.error(f"found no {name!r}, only {', '.join(map(repr, sorted(self.values)[:8]))}")
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(f"found {name!r} of type {type(value).__name__}, wanted text")
        return str(value)

    def optional(self, name: str) -> str:
        """Return a text, empty where it is not there or null."""
        return self.text(name) if self.has(name) else ""

    def items(self, name: str) -> list[object]:
        """Return a list."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise self.error(f"found {name!r} of type {type(value).__name__}, wanted a list")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            raise self.error(f"found something else than text in {name!r}, wanted a list of texts")
        return [str(value) for value in values]

    def stripped(self, name: str) -> str:
        """Return a text that is not blank, without the whitespace around it; no number counts as text."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"found no text in {name!r}")
        return value.strip()

    def any_texts(self, name: str) -> list[str]:
        """Return a list of texts without what is blank; one text is a list of one, null an empty one."""
        value = self.values.get(name)
        entries: list[object] = value if isinstance(value, list) else [] if value is None else [value]
        texts = [entry.strip() for entry in entries if isinstance(entry, str)]
        if len(texts) < len(entries):
            raise self.error(f"found {name} that is no list of texts")
        return [text for text in texts if text]

    def any_rows(self, name: str) -> list[Row]:
        """Return a list of objects, empty where it is not there or null."""
        return self.rows(name) if self.values.get(name) else []

    def rows(self, name: str) -> list[Row]:
        """Return a list of objects."""
        return [self._row(name, value) for value in self.items(name)]

    def row(self, name: str) -> Row:
        """Return an object."""
        return self._row(name, self.values.get(name))

    def error(self, problem: str) -> FormatError:
        """Return an error that names the file and the line of this row."""
        return FormatError(self.path, self.line, problem)

    def _row(self, name: str, value: object) -> Row:
        if not isinstance(value, dict):
            raise self.error(f"found {type(value).__name__} in {name!r}, wanted an object")
        return Row(self.path, self.line, value)


def rows(path: str) -> Iterator[Row]:
    """Yield the rows of a file; lines count from 1, in Parquet rows."""
    kind = Path(path.removesuffix(".gz").removesuffix(".xz")).suffix
    readers = {".jsonl": _lines, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    if kind not in readers:
        raise InvalidInputError(
            f"found the file {path}, wanted one of {', '.join(readers)}: convert it first"
        )
    yield from readers[kind](path)


_ROLES: dict[str, Speaker] = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


def messages(row: Row, name: str = "messages", text_name: str = "content") -> list[Turn]:
    """Return the turns of a row's list of messages, without those of the system."""
    said = [(turn.text("role"), turn.text(text_name)) for turn in row.rows(name)]
    turns = []
    for role, text in said:
        if role != "system":
            if role not in _ROLES:
                raise row.error(f"found the role {role!r}, wanted one of {', '.join(_ROLES)}")
            turns.append(Turn(_ROLES[role], text))
    return turns


def whole_object(path: str) -> Row:
    """Return a JSON file that is one object, read at once."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise FormatError(path, 1, f"found {type(value).__name__}, wanted a JSON object")
    return Row(path, 1, value)


def stem(path: str) -> str:
    """Return a file's name without the endings of its container: what tells it from the files beside it."""
    return re.sub(r"\.(jsonl?|csv|parquet)(\.gz|\.xz)?$", "", Path(path).name)


def _lines(path: str) -> Iterator[Row]:
    for line, record in read_records(path):
        yield Row(path, line, record)


def _csv(path: str) -> Iterator[Row]:
    with open_text(path) as stream:
        reader = csv.DictReader(stream)
        try:
            for record in reader:
                if None in record or None in record.values():
                    raise FormatError(
                        path, reader.line_num, "found a row with more or fewer columns than names"
                    )
                yield Row(path, reader.line_num, dict(record))
        except csv.Error as error:
            raise FormatError(path, reader.line_num, f"found broken CSV ({error})") from error


def _parquet(path: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    check_file(path)
    count = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for record in batch.to_pylist():
                count += 1
                yield Row(path, count, record)
    except pyarrow.ArrowInvalid as error:
        raise FormatError(path, count + 1, f"found broken Parquet ({error})") from error


# ── JSON arrays, piece by piece ──────────────────────────────────────────────────────────────────────


def _json(path: str) -> Iterator[Row]:
    """Yield the objects of a JSON array without holding the array (DPR's are over a gigabyte)."""
    with open_text(path) as stream:
        head = stream.read(CHUNK)
        start = re.match(r"\s*\[", head) or re.search(r'"data"\s*:\s*\[', head[:4096])
        if start:
            line = 1 + head.count("\n", 0, start.end())
            yield from _array(path, stream, head[start.end() :], line)
            return
    yield from _lines(path)


def _array(path: str, stream: IO[str], buffer: str, line: int) -> Iterator[Row]:
    decoder, position, count = json.JSONDecoder(), 0, 0
    while True:
        after = re.compile(r"[\s,]*").match(buffer, position)
        begin = after.end() if after else position
        line, position = line + buffer.count("\n", position, begin), begin
        if buffer.startswith("]", position):
            return
        try:
            value, end = decoder.raw_decode(buffer, position)
        except json.JSONDecodeError as error:
            more = stream.read(max(CHUNK, len(buffer))) if _unfinished(error, buffer) else ""
            if not more:
                at = line + buffer.count("\n", position, error.pos)
                raise FormatError(path, at, f"found broken JSON ({error.msg})") from error
            buffer, position = buffer[position:] + more, 0
            continue
        if not isinstance(value, dict):
            raise FormatError(path, line, f"found {type(value).__name__} in the array, wanted objects")
        check_text(path, line, value)
        count += 1
        yield Row(path, line, value, count)
        line, position = line + buffer.count("\n", position, end), end


def _unfinished(error: json.JSONDecodeError, buffer: str) -> bool:
    """Say whether more text could mend the error: it lies at the end, or in a string that was not closed."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(buffer) - 16
