"""Finding the files that paths, folders and globs name, what to call them, and what is passed over."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ...errors import InvalidInputError, NotFoundError, RankRAGError
from ...files import sha256
from .compressed import PACKED, opened
from .encodings import decode
from .kinds import COLLECTIONS, DOCUMENTS, PACKS, TEXT

READABLE = (*DOCUMENTS, *COLLECTIONS)
"""Endings of files that can be indexed, without those of compression."""

KINDS = "text, HTML, PDF, office files, mail, source code, CSV or JSON lines (`rankrag index --help`)"
"""What can be indexed, in words: the endings alone fill eight lines of a terminal."""

_SNIFFED = 4096

MADE = ("node_modules", "__pycache__", "_static", "site-packages")
"""Folders that programs fill, with code that nobody here wrote."""

LINK = "a link to a folder: give the folder itself to have it read"
UNREAD = "of no kind that is read: save as PDF, HTML or text"


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
        return sha256(self.path)


@dataclass(frozen=True, slots=True)
class Walked:
    """What paths lead to: the files to index, ordered by name, and what was passed over, with the reason."""

    files: list[File]
    passed_over: tuple[tuple[str, str], ...] = ()


def find_kind(path: Path) -> str | None:
    """Return the kind of a file (its ending, without compression), or None if nothing here reads it.

    A file whose name has no ending is looked into: it is read if it holds text.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    if packed:
        suffixes.pop()
    if suffixes and (suffixes[-1] in DOCUMENTS or suffixes[-1] in COLLECTIONS):
        return suffixes[-1] if not packed or suffixes[-1] in PACKS else None
    return TEXT if not suffixes and _is_text(path) else None


def _is_text(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with opened(path) as (stream, _):
            start = stream.read(_SNIFFED)
        whole = start[: start.rfind(b"\n") + 1] if b"\0" not in start else start[: len(start) // 4 * 4]
        return bool(start.strip()) and bool(decode(whole or start).text)
    except (RankRAGError, OSError):
        return False


def find(paths: Iterable[str], root: Path, may_miss: bool = False) -> Walked:
    """Return the files that the paths name, each once, and what is passed over.

    A folder is walked (hidden files and files of other kinds are passed over), a glob is expanded (`**`
    crosses folders). Raises NotFoundError for a path that is not there, InvalidInputError for a file
    of a kind that nothing reads, or if there is nothing to index at all; with `may_miss` only for the
    second of these.
    """
    files: dict[str, File] = {}
    passed_over: dict[str, str] = {}
    given = list(paths)
    for path in given:
        for file, reading in _files(path, may_miss):
            name = name_of(file, root)
            if reading in DOCUMENTS or reading in COLLECTIONS:
                files[name] = File(file, name, reading)
            else:
                passed_over[name] = reading
    if not files and not may_miss:
        raise InvalidInputError(
            f"found no file to index in {', '.join(given) or 'an empty list of paths'}, "
            f"wanted {KINDS}: give such files or a folder that holds some"
        )
    left = tuple(sorted((name, reason) for name, reason in passed_over.items() if name not in files))
    return Walked([files[name] for name in sorted(files)], left)


def name_of(path: Path, root: Path) -> str:
    """Return what the index calls a file."""
    absolute = _absolute(path)
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()


def is_under(name: str, path: str, root: Path) -> bool:
    """Say whether a path given by the user (file, folder or glob) covers the file of that name."""
    file, above = root / name, _absolute(Path(path))
    if glob.has_magic(path) and not Path(path).exists():
        return fnmatchcase(file.as_posix(), above.as_posix())
    return file.is_relative_to(above)


def _absolute(path: Path) -> Path:
    # The folder is resolved, so that a link or /tmp on macOS does not give one file two names; the last
    # part is not, so that a link in the folder keeps the name under which the user sees it.
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`
    return absolute.parent.resolve() / absolute.name


def _files(path: str, may_miss: bool) -> Iterator[tuple[Path, str]]:
    """Yield files with their kind, or with the reason why they are passed over."""
    if Path(path).is_dir():
        yield from _walk(path)
    elif Path(path).exists():
        if not Path(path).is_file():
            raise InvalidInputError(f"found {path}, which is no file, wanted {KINDS}: write it into one")
        if (reading := find_kind(Path(path))) is None:
            raise InvalidInputError(
                f"found {path}, of no kind that is read, wanted {KINDS}: convert it first"
            )
        yield Path(path), reading
    elif glob.has_magic(path):
        yield from _expand(path)
    elif not may_miss:
        raise NotFoundError(f"found nothing at {path}, wanted a file, a folder or a glob: check the path")


def _walk(folder: str) -> Iterator[tuple[Path, str]]:
    closed: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=closed.append):
        seen = sorted(name for name in folders if not name.startswith("."))
        folders.clear()
        for name in seen:
            if Path(here, name).is_symlink():  # which the walk does not follow
                yield Path(here, name), LINK
            elif name in MADE:
                yield Path(here, name), "a folder that programs fill: give it by name to have it read"
            elif _is_index(Path(here, name)):
                yield Path(here, name), "an index"
            else:
                folders.append(name)
        for name in names:
            path = Path(here, name)
            if not name.startswith("."):
                yield path, (find_kind(path) or UNREAD) if path.is_file() else "no file, or a link to nothing"
    for error in closed:
        yield Path(error.filename), f"a folder that cannot be opened ({error.strerror})"


def _is_index(folder: Path) -> bool:
    """Say whether a folder holds an index: its tables and its lock are no documents."""
    manifest = folder / "manifest.json"
    try:
        return (
            manifest.is_file() and {"format", "n_passages"} <= json.loads(manifest.read_text("utf-8")).keys()
        )
    except (OSError, ValueError, AttributeError):
        return False


def _expand(pattern: str) -> Iterator[tuple[Path, str]]:
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - patterns may be absolute
        if Path(match).is_file():
            yield Path(match), find_kind(Path(match)) or UNREAD
        elif "**" not in pattern:
            yield Path(match), "a folder: give it by name, or `**` in the glob, to have it read"
