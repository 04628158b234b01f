"""Which server a job belongs to: each holds a file of its own, which the system frees when it ends."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..files import locked

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
    locked(stream.fileno())
    return Owner(name, path, stream)


def is_alive(folder: Path, name: str) -> bool:
    """Whether the process of an owner still runs; what an ended one left is cleared away."""
    path = folder / f"{name}{_SUFFIX}"
    if not name or not path.is_file():
        return False
    with path.open("r+", encoding="ascii") as stream:
        if not locked(stream.fileno()):
            return True
    with contextlib.suppress(OSError):
        path.unlink()
    return False
