"""Do several pieces of work side by side, each on one thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

Piece = TypeVar("Piece")
Outcome = TypeVar("Outcome")

_lock = Lock()
_usual: list[int] = []
"""The usual number of threads of a product, once for each caller that works apart now."""


def n_workers() -> int:
    """Return how many pieces can run side by side: the threads that PyTorch uses for one product."""
    import torch

    with _lock:
        return _usual[0] if _usual else torch.get_num_threads()


def run_apart(
    pool: ThreadPoolExecutor, work: Callable[[Piece], Outcome], items: Sequence[Piece]
) -> Iterator[Outcome]:
    """Yield what the work finds for each item, in order.

    Products of a few hundred rows gain less from a second thread than a second piece of work does, since
    the steps between them run on one thread and every product waits for its slowest part.
    """
    with _one_thread_a_product():
        futures: list[Future[Outcome]] = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _one_thread_a_product() -> Iterator[None]:
    """Set PyTorch to one thread a product, and back; the setting is the process's, so callers share it."""
    import torch

    with _lock:
        _usual.append(_usual[0] if _usual else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(_usual.pop())
