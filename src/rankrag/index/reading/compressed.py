"""Compressed files (`.gz`, `.xz`) and archives (Word, PowerPoint, EPUB): opened, and measured before that.

A few kilobytes can unpack to what no memory could hold, so what unpacks to far more than any text does is
refused.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from ...errors import InvalidInputError
from ...files import BROKEN, UNPACK
from .texts import LARGEST

RATIO = 200
"""How many times its size a file may unpack to. Text packs 3 to 10 times, a log file up to 50 times."""

ALWAYS = 4 * 2**20
"""Bytes that any file may unpack to, however small it is."""

ARCHIVE_RATIO, ARCHIVE_ALWAYS = 60, 8 * 2**20
"""The same for archives: the XML of a Word file packs 10 to 20 times, and takes ten times that in memory."""

_SMALL = 2**20
"""Files up to this size are unpacked once to be measured before they are read; larger ones while they are."""

ENTRIES = 10_000
"""Most files in an archive."""

PACKED = tuple(UNPACK)
"""Endings of compressed files."""


def most_unpacked(size: int) -> int:
    """Return the bytes that a compressed file of that size may unpack to."""
    return max(ALWAYS, RATIO * size)


@contextmanager
def opened(path: Path) -> Iterator[tuple[io.BufferedReader, Callable[[], int]]]:
    """Open a file, unpacking it by its ending; the second value says how many of its bytes were read.

    Raises InvalidInputError where the compression is broken, or where too much comes out.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        if (unpack := UNPACK.get(path.suffix.lower())) is None:
            yield raw, raw.tell
            return
        size = path.stat().st_size
        try:
            if size <= _SMALL:
                _measure(path, size)
            stream = stack.enter_context(unpack(raw))
            yield io.BufferedReader(_Bounded(cast("IO[bytes]", stream), size), 2**20), raw.tell
        except BROKEN as error:
            raise InvalidInputError(f"found broken compression ({error})") from error


def _measure(path: Path, size: int) -> None:
    with path.open("rb") as raw, UNPACK[path.suffix.lower()](raw) as stream:
        bounded = _Bounded(cast("IO[bytes]", stream), size)
        while bounded.read(2**20):
            pass


class _Bounded(io.RawIOBase):
    """A stream that unpacks, and fails where more comes out than its packed size allows."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream = stream
        self.size = size
        self.left = most_unpacked(size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        data = self.stream.read(len(view))
        view[: len(data)] = data
        self.left -= len(data)
        if self.left < 0:
            raise InvalidInputError(
                f"it has {self.size:,} bytes and unpacks to more than {most_unpacked(self.size):,}: "
                "unpack it yourself if it is what you expect"
            )
        return len(data)


def read_whole(path: Path) -> bytes:
    """Return the bytes of a document, unpacked; raises InvalidInputError where they are too many."""
    if (size := path.stat().st_size) > LARGEST:
        raise InvalidInputError(f"it has {size:,} bytes, the most is {LARGEST:,}: split it")
    with opened(path) as (stream, _):
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InvalidInputError(f"it unpacks to more than {LARGEST:,} bytes: split it")
    return data


class Archive:
    """The parts of a ZIP file by name, measured when it is opened and bounded again when a part is read."""

    def __init__(self, data: bytes, what: str) -> None:
        """Open an archive; `what` is how messages call the kind of file. Raises InvalidInputError."""
        self.what = what
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
            members = self.zip.infolist()
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise InvalidInputError(f"it is broken or no {what} file ({error})") from error
        if any(member.flag_bits & 1 for member in members):
            raise InvalidInputError("it is encrypted: save a copy without password")
        size = sum(member.file_size for member in members)
        most = min(LARGEST, max(ARCHIVE_ALWAYS, ARCHIVE_RATIO * len(data)))
        if size > most or len(members) > ENTRIES:
            raise InvalidInputError(
                f"it unpacks to {size:,} bytes in {len(members):,} files, the most for its size is {most:,} "
                f"in {ENTRIES:,}: split it"
            )
        self.names = {member.filename: member for member in members}

    def read(self, name: str) -> bytes:
        """Return a part; b"" for one that is not there."""
        member = self.names.get(name.lstrip("/"))
        if member is None:
            return b""
        try:
            with self.zip.open(member) as stream:
                return stream.read(member.file_size)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, *BROKEN) as error:
            raise InvalidInputError(f"it is a broken {self.what} file ({name}: {error})") from error
