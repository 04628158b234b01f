"""Which server a job belongs to: each holds a file of its own, which the system frees when it ends."""

from __future__ import annotations

import contextlib
import importlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SUFFIX = ".owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """A server, as others that share the folder see it."""

    name: str
    path: Path
    stream: IO[str]

    def leave(self) -> None:
        """Let others take over what this process has not done."""
        self.stream.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def enter(folder: Path) -> Owner:
    """Return an owner that is alive until it leaves or its process ends, however it ends."""
    name = uuid.uuid4().hex
    path = folder / f"{name}{_SUFFIX}"
    stream = path.open("w", encoding="ascii")
    _lock(stream)
    return Owner(name, path, stream)


def is_alive(folder: Path, name: str) -> bool:
    """Whether the process of an owner still runs; what an ended one left is cleared away."""
    path = folder / f"{name}{_SUFFIX}"
    if not name or not path.is_file():
        return False
    with path.open("r+", encoding="ascii") as stream:
        if not _lock(stream):
            return True
    with contextlib.suppress(OSError):
        path.unlink()
    return False


def _lock(stream: IO[str]) -> bool:
    """Lock a file for this process; say whether it could be had."""
    try:
        import fcntl
    except ImportError:
        windows = importlib.import_module("msvcrt")
        before = os.lseek(stream.fileno(), 0, os.SEEK_CUR)
        try:
            os.lseek(stream.fileno(), 2**20, os.SEEK_SET)
            windows.locking(stream.fileno(), windows.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(stream.fileno(), before, os.SEEK_SET)
        return True
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
