"""Files that clients send: named safely, no larger than allowed, of the kind that their name says."""

from __future__ import annotations

import struct
import unicodedata
import zipfile
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from fastapi import UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ...errors import InvalidInputError
from ...files import BROKEN, UNPACK, sync

UNPACKED = 16
"""How many times the size of an upload its archive may hold: documents of text pack about ten to one."""

ENTRIES = 10_000
"""Most files in an archive: a document with a thousand pictures has a tenth of that."""

_ZIPPED = (".docx", ".docm", ".pptx", ".pptm", ".xlsx", ".xlsm", ".xlsb", ".odt", ".odp", ".ods", ".epub")
_OLE = (".xls",)
_OLE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # of the container of older Office files
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # marks of UTF-16 and UTF-32, which hold zeros
_ENTRY = 200  # bytes of an archive's table of contents for each of its files, name and all
_LONGEST_NAME = 200  # bytes; file systems allow 255, and a temporary name is longer
_PIECE = 2**20
_START = 8192  # bytes that tell text from what is none


def safe_name(given: str | None, suffixes: Sequence[str]) -> str:
    """Return the last part of a file's name, without anything that could lead out of a folder.

    Raises InvalidInputError for a name without letters or digits, or of a kind that the index does not read.
    """
    last = PureWindowsPath(unicodedata.normalize("NFC", given or "")).name  # / and \ both separate there
    name = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(" .")
    while len(name.encode(errors="replace")) > _LONGEST_NAME:
        name = name[1:]
    if not any(c.isalnum() for c in Path(name).stem):
        raise InvalidInputError(
            f"found a file named {given!a}, wanted a name with letters or digits: rename it"
        )
    suffix, packing = _endings(name)
    if (suffix and suffix not in suffixes) or (packing and suffix in (*_ZIPPED, *_OLE)):
        raise HTTPException(415, f"found {name!r}, wanted one of {' '.join(suffixes)}: convert it first")
    return name


def _endings(name: str) -> tuple[str, str]:
    """Return the ending of a name that says how it is read, "" for text, and that of its compression."""
    path = Path(name)
    packing = path.suffix.lower() if path.suffix.lower() in UNPACK else ""
    return Path(path.stem if packing else name).suffix.lower(), packing


async def save(file: UploadFile, name: str, partial: Path, most: int) -> Path:
    """Write an upload to a file of its own and check it; return that file, not yet under its name.

    It is on the disk when this returns, not in memory only: a power cut does not take it. Raises 413 where
    it, or what it packs, is larger than `most`, 415 where it is not what its name says.
    """
    size = 0
    try:
        with partial.open("wb") as stream:
            while piece := await file.read(_PIECE):
                size += len(piece)
                if size > most:
                    raise HTTPException(
                        413, f"found {name!r} larger than {most / 2**20:.0f} MiB, wanted less: split it"
                    )
                stream.write(piece)
        await run_in_threadpool(sync, partial)
        await run_in_threadpool(check_content, partial, name, most)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def check_content(path: Path, name: str, most: int) -> None:
    """Raise 415 where the content is not what the name says, 413 for an archive that would burst."""
    suffix, packing = _endings(name)
    if suffix in _ZIPPED:
        with path.open("rb") as stream:
            _check_archive(stream, most)
        return
    start = _start(path, packing)
    if suffix == ".pdf":
        _check(b"%PDF-" in start[:1024], "a PDF")
    elif suffix in _OLE:
        _check(start.startswith(_OLE_MARK), "a spreadsheet")
    else:
        _check(start.startswith(_WIDE) or b"\0" not in start, "text")


def _start(path: Path, packing: str) -> bytes:
    """Return the first bytes of a file, unpacked: what reads a compressed one later bounds the rest."""
    try:
        with path.open("rb") as raw:
            return (UNPACK[packing](raw) if packing else raw).read(_START)
    except BROKEN as error:
        raise HTTPException(
            415, "found a file that is not compressed, as its name says, wanted one: check it"
        ) from error


def _check_archive(stream: BinaryIO, most: int) -> None:
    """Look at the sizes that an archive promises; what reads it later stops at these."""
    if _table(stream) > ENTRIES * _ENTRY:
        raise _too_many()
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise HTTPException(
            415, "found a file that is no archive, as its name says, wanted one: check it"
        ) from error
    if len(entries) > ENTRIES:
        raise _too_many()
    size = sum(entry.file_size for entry in entries)
    if size > most * UNPACKED:
        raise HTTPException(
            413,
            f"found an archive of {size / 2**20:,.0f} MiB unpacked, "
            f"wanted at most {most * UNPACKED / 2**20:,.0f} MiB",
        )


def _too_many() -> HTTPException:
    return HTTPException(413, f"found an archive of too many files, wanted at most {ENTRIES:,}")


def _table(stream: BinaryIO) -> int:
    """Return the bytes of an archive's table of contents, which is read whole, as its last record has them.

    An archive of more than 4 GiB says so elsewhere, and has all ones here.
    """
    stream.seek(0, 2)
    stream.seek(max(0, stream.tell() - 2**16 - 22))
    tail = stream.read()
    at = tail.rfind(b"PK\5\6")
    stream.seek(0)
    return int(struct.unpack_from("<I", tail, at + 12)[0]) if 0 <= at <= len(tail) - 22 else 0


def _check(fits: bool, wanted: str) -> None:
    if not fits:
        raise HTTPException(415, f"found a file that is not {wanted}, wanted what its name says: check it")
