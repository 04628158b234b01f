"""Files, whatever is in them: written whole or not at all, hashed, held by one process."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ..errors import InvalidInputError, NotFoundError

_BEHIND = 2**20
"""Windows locks bytes: those far behind the end leave what is in the file readable for others."""

# ── writing ──────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a file beside `path` to write into; it takes the name of `path` once the block ended well.

    Whoever reads `path` sees the old content or the new, whatever happens. `durable` holds this promise
    through a power cut too, at the price of a wait for the disk.
    """
    if not path.resolve().parent.is_dir():
        raise NotFoundError(f"found no folder {path.resolve().parent}: make it first")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)  # mkstemp makes files private; a result is an ordinary file
        if durable:
            sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


@contextlib.contextmanager
def writing(path: str, *, durable: bool = False) -> Iterator[IO[str]]:
    """Open a text file for writing that takes its name once it is whole; `-` is standard output."""
    if path == "-":
        yield sys.stdout
        return
    with (
        replacing(Path(path), durable=durable) as partial,
        partial.open("w", encoding="utf-8", newline="\n") as stream,
    ):
        yield stream


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Write a JSON file for people and programs, in place of one that is there."""
    with writing(str(path), durable=durable) as stream:
        stream.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remembered(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file that may be gone or broken: then what it held is found out again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def remember(path: Path, content: Mapping[str, object]) -> None:
    """Write what was found out, where one may write."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)


def write_records(path: str, records: Iterable[Mapping[str, object]]) -> int:
    """Write a JSON-lines file; return the number of lines."""
    count = 0
    with writing(path) as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def sync(path: Path) -> None:
    """Have a file's content, or the names in a folder, survive a power cut, where the system can.

    `RANKRAG_SYNC=off` leaves it out.
    """
    if not _is_synced() or (path.is_dir() and os.name != "posix"):
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_synced() -> bool:
    given = os.environ.get("RANKRAG_SYNC", "on")
    if given not in ("on", "off"):
        raise InvalidInputError(f"found RANKRAG_SYNC={given!r}, wanted on or off")
    return given == "on"


# ── what it is, and whose ────────────────────────────────────────────────────────────────────────────


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def summed(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values of a JSON file with a checksum of them, as `sha256`."""
    return {**values, "sha256": _sum(values)}


def unsummed(values: dict[str, Any]) -> dict[str, Any]:
    """Return values without their checksum; raises ValueError if they are not those that it was made of.

    Values without a checksum are taken as they are.
    """
    if values.get("sha256", _sum(values)) != _sum(values):
        raise ValueError("its content is not what was written")
    return {name: value for name, value in values.items() if name != "sha256"}


def _sum(values: Mapping[str, object]) -> str:
    rest = {name: value for name, value in values.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def locked(descriptor: int, shared: bool = False) -> bool:
    """Lock an open file until it is closed, or its process ends; say whether it could be had at once."""
    try:
        import fcntl
    except ImportError:
        # There is no shared lock on Windows: whoever asks for one has to look whether something changed.
        return shared or _locked_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked_on_windows(descriptor: int) -> bool:
    msvcrt = importlib.import_module("msvcrt")
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, _BEHIND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)  # the stream over it does not know that it was moved
    return True
