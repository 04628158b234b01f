"""Text, lines and JSON, out of files that may be packed."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, cast

from ..errors import FormatError, NotFoundError
from .compression import BROKEN

Record = dict[str, object]

_OPENERS: Mapping[str, Callable[..., object]] = {".gz": gzip.open, ".xz": lzma.open}


@contextlib.contextmanager
def open_text(path: str) -> Iterator[IO[str]]:
    """Open a text file for reading, decompressing by its ending; `-` is standard input.

    Raises NotFoundError if it is not there, FormatError if it is not UTF-8 or its compression is broken.
    """
    if path != "-":
        check_file(path)
    try:
        if path == "-":
            yield _standard_input()
            return
        opened = _OPENERS.get(Path(path).suffix, open)(path, "rt", encoding="utf-8-sig")
        with cast("IO[str]", opened) as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise FormatError(path, None, f"found bytes that are not UTF-8 ({error.reason})") from error
    except BROKEN as error:
        raise FormatError(path, None, f"found broken compression ({error})") from error


def check_file(path: str) -> None:
    """Raise NotFoundError unless something can be read at a path: a file, or a pipe of a shell."""
    if Path(path).is_dir():
        raise NotFoundError(f"found the folder {path}, wanted a file: name one")
    if not Path(path).exists():
        raise NotFoundError(f"found no file at {path}: check the path")


def _standard_input() -> IO[str]:
    # Some systems put what is no UTF-8 into half surrogates, which then fail far from here.
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")
    return sys.stdin


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line) of every line that is not blank."""
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, line.rstrip("\r\n")


def read_records(path: str) -> Iterator[tuple[int, Record]]:
    """Yield (line number from 1, object) of a JSON-lines file."""
    for number, line in read_lines(path):
        yield number, parse_object(path, number, line)


def read_json(path: str) -> object:
    """Return the content of a JSON file; FormatError names the line of what is broken."""
    with open_text(path) as stream:
        try:
            value = json.load(stream)
        except json.JSONDecodeError as error:
            raise FormatError(path, error.lineno, f"found broken JSON ({error.msg})") from error
    check_text(path, None, value)
    return value


def parse_object(path: str, number: int, line: str) -> Record:
    """Return the JSON object of one line; FormatError names the line of anything else."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise FormatError(path, number, f"found broken JSON ({error.msg} at column {error.colno})") from error
    if "\\u" in line:
        check_text(path, number, value)
    return as_object(path, number, value)


def as_object(path: str, line: int | None, value: object) -> Record:
    """Return a value that has to be a JSON object."""
    if not isinstance(value, dict):
        raise FormatError(path, line, f"found {kind_of(value)}, wanted a JSON object")
    return value


def kind_of(value: object) -> str:
    """Return what JSON calls a value: object, list, text, boolean, number or null."""
    names = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def check_text(path: str, line: int | None, value: object) -> None:
    """Raise FormatError where something read from JSON holds text that UTF-8 cannot."""
    if not is_text(json.dumps(value, ensure_ascii=False)):
        raise FormatError(path, line, "found half of a surrogate pair, wanted whole characters")


def is_text(text: str) -> bool:
    """Say whether UTF-8 can hold a text: JSON and a command line can smuggle in half a surrogate pair."""
    return text.encode(errors="ignore").decode() == text
