"""Finding the files that paths, folders and globs name, and what to call them."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import InvalidInputError, NotFoundError
from .parse import PARSERS
from .records import RECORDS

_PACKED = (".gz", ".xz")

READABLE = (*PARSERS, *RECORDS)
"""Endings of files that can be indexed, without those of compression."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to index: where it lies, what the index calls it, and its kind (`.pdf`, `.jsonl`, ...).

    `name` is its path from the root of the index (see `manifest.Manifest.root`), with forward slashes;
    a file outside the root keeps its absolute path. So a name does not change with the working directory.
    """

    path: Path
    name: str
    kind: str

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    def sha256(self) -> str:
        """Return the digest of the file's bytes."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def kind(path: Path) -> str | None:
    """Return the kind of a file (its ending, without compression), or None if nothing here reads it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
        return suffixes[-1] if suffixes and suffixes[-1] in RECORDS else None
    return suffixes[-1] if suffixes and (suffixes[-1] in PARSERS or suffixes[-1] in RECORDS) else None


def find(paths: Iterable[str], root: Path, may_miss: bool = False) -> list[File]:
    """Return the files that the paths name, each once, ordered by name.

    A folder is walked (hidden files and files of other kinds are passed over), a glob is expanded (`**`
    crosses folders). Raises NotFoundError for a path that is not there, InvalidInputError for a file
    of a kind that nothing reads, or if there is nothing to index at all; with `may_miss` only for the
    second of these.
    """
    found: dict[str, File] = {}
    given = list(paths)
    for path in given:
        for file in _files(path, may_miss):
            name = name_of(file, root)
            found[name] = File(file, name, kind(file) or "")
    if not found and not may_miss:
        raise InvalidInputError(
            f"found no file to index in {', '.join(given) or 'an empty list of paths'}, "
            f"wanted {_kinds()}: give files of these kinds or a folder that holds some"
        )
    return [found[name] for name in sorted(found)]


def name_of(path: Path, root: Path) -> str:
    """Return what the index calls a file."""
    absolute = _absolute(path)
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()


def is_under(name: str, path: str, root: Path) -> bool:
    """Say whether a path given by the user (file, folder or glob) covers the file of that name."""
    place, above = root / name, _absolute(Path(path))
    if glob.has_magic(path) and not Path(path).exists():
        return fnmatchcase(place.as_posix(), above.as_posix())
    return place.is_relative_to(above)


def exists(name: str, root: Path) -> bool:
    """Say whether the file of that name is still there."""
    return (root / name).exists()


def _absolute(path: Path) -> Path:
    # The folder is resolved, so that a link or /tmp on macOS does not give one file two names; the last
    # part is not, so that a link in the folder keeps the name under which the user sees it.
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`
    return absolute.parent.resolve() / absolute.name


def _files(path: str, may_miss: bool) -> Iterator[Path]:
    if Path(path).is_dir():
        yield from _walk(path)
    elif Path(path).exists():
        if kind(Path(path)) is None:
            raise InvalidInputError(f"found {path}, wanted {_kinds()}: convert it first")
        yield Path(path)
    elif glob.has_magic(path):
        yield from _expand(path)
    elif not may_miss:
        raise NotFoundError(f"found nothing at {path}, wanted a file, a folder or a glob: check the path")


def _walk(folder: str) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(here, name)
            if not name.startswith(".") and kind(path) and path.is_file():
                yield path


def _expand(pattern: str) -> Iterator[Path]:
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - patterns may be absolute
        if Path(match).is_file() and kind(Path(match)):
            yield Path(match)


def _kinds() -> str:
    return f"{' '.join(PARSERS)} {' '.join(RECORDS)} (the last {len(RECORDS)} also as .gz and .xz)"
