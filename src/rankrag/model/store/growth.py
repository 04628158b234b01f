"""Tells how far a fetch is by the growth of the folder that it fills."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PullProgress = Callable[[str, int, int], None]
"""Told a step (`download`, `join`, `convert`, `check`), how much is done and how much there is (bytes, or
tensors for `convert`). Calls may come from another thread, one at a time."""

_EVERY_S = 0.2


def silent(step: str, done: int, total: int) -> None:
    """Say nothing: the progress of a pull that nobody watches."""


@contextmanager
def watched(folder: Path, total: int, progress: PullProgress) -> Iterator[None]:
    """Report the growth of a folder, in bytes, until the block ends."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            progress("download", min(size(folder), total), total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    progress("download", total, total)


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder, which others may be changing."""
    total = 0
    for place, _, names in os.walk(folder):  # passes over folders that vanish meanwhile; rglob does not
        for name in names:
            with suppress(FileNotFoundError):  # moved while we looked
                total += Path(place, name).stat().st_size
    return total
