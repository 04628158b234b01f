"""Chunks side by side: in order, all of them, and PyTorch's threads as they were."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

from model_tiny import WORDS, config, write
from rankrag import prompts
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.engine.workers import n_workers, run_apart
from rankrag.types import Passage, Question

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def test_the_work_is_done_side_by_side_in_order_and_on_one_thread_each(pool: ThreadPoolExecutor) -> None:
    meeting = Barrier(2, timeout=120)

    def work(item: int) -> tuple[int, int]:
        meeting.wait()  # passes only if two are at work at once
        return item, torch.get_num_threads()

    assert list(run_apart(pool, work, range(6))) == [(item, 1) for item in range(6)]
    assert torch.get_num_threads() == n_workers() == 2


def test_an_error_comes_out_and_the_threads_are_set_back(pool: ThreadPoolExecutor) -> None:
    def work(item: int) -> int:
        return 1 // item

    found = run_apart(pool, work, [1, 0, 1])
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert torch.get_num_threads() == n_workers() == 2


def test_two_callers_leave_the_threads_as_they_were(pool: ThreadPoolExecutor) -> None:
    def inside(_: int) -> int:
        return n_workers()

    outer = run_apart(pool, inside, [1, 2])
    assert next(outer) == 2
    seen: list[int] = []
    other = Thread(target=lambda: seen.extend(run_apart(pool, inside, [1, 2])))
    other.start()
    other.join()
    assert seen == [2, 2]
    assert list(outer) == [2]
    assert torch.get_num_threads() == n_workers() == 2


def test_many_chunks_side_by_side_are_as_good_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankrag.model.engine.scorer._WORTH_A_CHUNK", 50)
    folder = write(tmp_path, config("llama"))
    passages = [Passage(str(n), WORDS[n : 40 + 13 * n]) for n in range(7)]
    asked = [prompts.rank(Question("q", "Why?"), passage, prompts.PAPER) for passage in passages]
    lm = LocalLanguageModel(folder)
    chunks: list[int] = []
    together = lm._network.packed_apart

    def watched(parts: list[Any]) -> Any:
        chunks.append(len(parts))
        return together(parts)

    monkeypatch.setattr(lm._network, "packed_apart", watched)
    found = lm.logprobs(asked, prompts.PAPER.labels())
    torch.set_num_threads(1)
    alone = LocalLanguageModel(folder).logprobs(asked, prompts.PAPER.labels())
    assert chunks == [2]
    assert np.abs(found - alone).max() < 2e-5
