"""Processes that are killed by `kill -9`. RANKRAG_KILLS says how many, RANKRAG_SEED makes others of them."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

KILLS = int(os.environ.get("RANKRAG_KILLS", "10"))
"""The short form is for every change of the code, the long one is run by hand."""

_PROCESSES = multiprocessing.get_context("forkserver")
_SAID = Path("said.txt")
_IMPORTED = ["numpy", "pyarrow", "torch", "transformers", "trl", "peft", "train_tiny"]
"""What takes long to import and may be imported before a fork; LanceDB has threads and may not."""


def chance() -> random.Random:
    """Return the generator of a test."""
    return random.Random(os.environ.get("RANKRAG_SEED", "1"))


def killed(work: Callable[..., None], after_s: float, *given: object) -> tuple[bool, float]:
    """Kill a process after some seconds of work; return whether it was at work, and for how long it was.

    `work` is called in the folder of this process with an event and what was given; it sets the event when
    what takes long to import is there.
    """
    _PROCESSES.set_forkserver_preload([*_IMPORTED, work.__module__])
    ready = _PROCESSES.Event()
    process = _PROCESSES.Process(target=_at_work, args=(work, Path.cwd(), ready, *given))
    process.start()
    while process.is_alive() and not ready.wait(0.5):
        pass
    started = time.monotonic()
    process.join(after_s)
    was_alive = process.is_alive()
    process.kill()
    process.join()
    assert was_alive or process.exitcode == 0, _SAID.read_text()[-2000:]
    return was_alive, time.monotonic() - started


def _at_work(work: Callable[..., None], folder: Path, ready: Event, *given: object) -> None:
    os.chdir(folder)
    said = os.open(_SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    work(ready, *given)
