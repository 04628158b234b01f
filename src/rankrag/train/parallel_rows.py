"""Rows made by several processes: a large blend takes minutes on one, while a GPU waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

from ..types import Example
from .recipe import Stage
from .rows import RowCounts, TokenRow, Vocabulary, make_rows
from .start import find_start, vocabulary

CHUNK = 500
"""Examples that a process gets at once: half a second's work."""

AHEAD = 4
"""Chunks in the works for each process, so that a blend of any size takes no memory."""

_words: Vocabulary | None = None
"""How a worker reads the template, settled when it starts."""


def rows_apart(examples: Iterable[Example], stage: Stage, counts: RowCounts) -> Iterator[TokenRow]:
    """Yield the rows of `make_rows`, in the same order, made by `stage.dataset_num_proc` processes."""
    rest = iter(examples)
    chunks = iter(lambda: list(islice(rest, CHUNK)), [])
    # Spawned: threads of the tokenizer and of PyTorch do not survive a fork.
    with ProcessPoolExecutor(stage.dataset_num_proc, get_context("spawn"), _begin, (stage,)) as pool:
        running: deque[Future[tuple[list[TokenRow], RowCounts]]] = deque()
        try:
            for chunk in chunks:
                running.append(pool.submit(_make, chunk, stage.max_length))
                if len(running) >= AHEAD * stage.dataset_num_proc:
                    yield from _taken(running.popleft(), counts)
            while running:
                yield from _taken(running.popleft(), counts)
        finally:
            for future in running:
                future.cancel()


def _begin(stage: Stage) -> None:
    global _words
    _words = vocabulary(find_start(stage), stage.template)


def _make(examples: list[Example], max_length: int) -> tuple[list[TokenRow], RowCounts]:
    assert _words is not None
    counts = RowCounts()
    return list(make_rows(examples, _words, max_length, counts)), counts


def _taken(future: Future[tuple[list[TokenRow], RowCounts]], counts: RowCounts) -> list[TokenRow]:
    rows, found = future.result()
    counts.add(found)
    return rows
