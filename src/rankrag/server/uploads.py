"""Files that clients send: named safely, no larger than allowed, of the kind that their name says."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from fastapi import UploadFile
from starlette.exceptions import HTTPException

from ..errors import InvalidInputError

UNPACKED = 16
"""How many times the size of an upload its archive may hold: documents of text pack about ten to one."""

_ZIPPED = (".docx", ".pptx")
_LONGEST_NAME = 200  # bytes; file systems allow 255, and a temporary name is longer
_PIECE = 2**20


def safe_name(given: str | None, suffixes: Sequence[str]) -> str:
    """Return the last part of a file's name, without anything that could lead out of a folder.

    Raises InvalidInputError for a name without letters or digits, or of a kind that the index does not read.
    """
    last = PureWindowsPath(unicodedata.normalize("NFC", given or "")).name  # / and \ both separate there
    name = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(" .")
    while len(name.encode(errors="replace")) > _LONGEST_NAME:
        name = name[1:]
    suffix = Path(name).suffix.lower()
    if not any(c.isalnum() for c in Path(name).stem):
        raise InvalidInputError(
            f"found a file named {given!a}, wanted a name with letters or digits: rename it"
        )
    if suffix not in suffixes:
        raise HTTPException(415, f"found {name!r}, wanted one of {' '.join(suffixes)}: convert it first")
    return name


async def save(file: UploadFile, target: Path, most: int) -> None:
    """Write an upload to a file of its own; raises 413 where it, or what it packs, is larger than `most`."""
    partial = target.with_name(f".{target.name}.part")
    size = 0
    try:
        with partial.open("wb") as stream:
            while piece := await file.read(_PIECE):
                size += len(piece)
                if size > most:
                    raise too_large(target.name, most)
                stream.write(piece)
        check_content(partial, target.suffix.lower(), most)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def too_large(name: str, most: int) -> HTTPException:
    """Return the refusal of a file that is too large."""
    return HTTPException(413, f"found {name!r} larger than {most / 2**20:.0f} MiB, wanted less: split it")


def check_content(path: Path, suffix: str, most: int) -> None:
    """Raise 415 where the content is not what the name says, 413 for an archive that would burst."""
    with path.open("rb") as stream:
        if suffix == ".pdf":
            _check(b"%PDF-" in stream.read(1024), "a PDF")
        elif suffix in _ZIPPED:
            _check_archive(stream, most)
        else:
            _check(b"\0" not in stream.read(8192), "text")


def _check_archive(stream: BinaryIO, most: int) -> None:
    """Look at the sizes that an archive promises; what reads it later stops at these."""
    try:
        with zipfile.ZipFile(stream) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise HTTPException(415, "found a file that is no Office document, wanted one: check it") from error
    if size > most * UNPACKED:
        raise HTTPException(
            413,
            f"found an archive of {size / 2**20:,.0f} MiB unpacked, "
            f"wanted at most {most * UNPACKED / 2**20:,.0f} MiB",
        )


def _check(fits: bool, wanted: str) -> None:
    if not fits:
        raise HTTPException(415, f"found a file that is not {wanted}, wanted what its name says: check it")
