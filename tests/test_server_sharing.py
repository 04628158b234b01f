"""One language model for many requests: passes are shared fairly, and what is over leaves the line."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from types import SimpleNamespace

import numpy as np
import pytest

from rankrag.errors import FailureError, InvalidInputError
from rankrag.model import FakeLanguageModel
from rankrag.server import SharedLanguageModel
from rankrag.server.sharing import STOPPED, ClosingError, StoppedError
from rankrag.types import Prompt
from serving import PATIENCE_S, SlowModel, until

LABELS = ("True", "False")


def asks(name: str, count: int) -> list[Prompt]:
    return [
        Prompt(f"System\n\nPassage: {name} {n} cats\n\n", f"Question: {name} cats?") for n in range(count)
    ]


class Caller(threading.Thread):
    """Asks in a thread of its own, as a request does."""

    def __init__(self, lm: SharedLanguageModel, prompts: list[Prompt], stop: threading.Event | None = None):
        super().__init__()
        self.lm, self.prompts, self.stopped = lm, prompts, stop
        self.found: np.ndarray | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        context = copy_context()
        context.run(STOPPED.set, self.stopped)
        try:
            self.found = context.run(self.lm.logprobs, self.prompts, LABELS)
        except Exception as error:
            self.error = error


@pytest.fixture
def slow() -> Iterator[SimpleNamespace]:
    model, seen = SlowModel(), []
    shared = SharedLanguageModel(model, 8, lambda prompts, requests: seen.append((prompts, requests)))
    yield SimpleNamespace(model=model, lm=shared, seen=seen)
    model.go.set()
    shared.close()


def test_scores_are_those_of_the_model_alone(slow: SimpleNamespace) -> None:
    slow.model.go.set()
    prompts = asks("a", 21)
    np.testing.assert_array_equal(
        slow.lm.logprobs(prompts, LABELS), FakeLanguageModel().logprobs(prompts, LABELS)
    )
    assert slow.model.passes == [8, 8, 5]
    assert slow.lm.logprobs([], LABELS).shape == (0, 2)


def test_requests_that_wait_share_a_pass_and_none_waits_for_a_long_one(slow: SimpleNamespace) -> None:
    first = Caller(slow.lm, asks("first", 1))
    until(lambda: slow.model.begun == 1)  # it is in its pass, which is held
    long = Caller(slow.lm, asks("long", 40))
    until(lambda: slow.lm.n_waiting == 40)
    short = [Caller(slow.lm, asks(f"short{n}", 2)) for n in range(3)]
    until(lambda: slow.lm.n_waiting == 46)
    slow.model.go.set()
    for caller in (first, long, *short):
        caller.join()
        assert caller.found is not None
        np.testing.assert_array_equal(caller.found, FakeLanguageModel().logprobs(caller.prompts, LABELS))
    assert slow.seen[0] == (1, 1)
    assert slow.seen[1] == (8, 4)  # two of each: the short ones are through, the long one has begun
    assert all(requests == 1 for _, requests in slow.seen[2:])


def test_more_requests_than_a_pass_holds_all_get_their_turn(slow: SimpleNamespace) -> None:
    first = Caller(slow.lm, asks("first", 1))
    until(lambda: slow.model.begun == 1)
    callers = [Caller(slow.lm, asks(f"r{n}", 2)) for n in range(20)]
    until(lambda: slow.lm.n_waiting == 40)
    slow.model.go.set()
    for caller in (first, *callers):
        caller.join()
        assert caller.error is None
    assert [prompts for prompts, _ in slow.seen] == [1, 8, 8, 8, 8, 8]
    assert slow.seen[1] == (8, 8)
    assert slow.seen[2] == (8, 8)  # others than before: who was served goes to the end


def test_one_bad_prompt_fails_its_own_request_only() -> None:
    class Picky(SlowModel):
        def logprobs(self, prompts, choices):  # type: ignore[no-untyped-def]
            if any("bad" in prompt.prefix for prompt in prompts):
                assert self.go.wait(PATIENCE_S)
                raise InvalidInputError("found a bad prompt")
            return super().logprobs(prompts, choices)

    model = Picky()
    shared = SharedLanguageModel(model, 8)
    first = Caller(shared, asks("first", 1))
    until(lambda: model.begun == 1)
    good, bad = Caller(shared, asks("good", 2)), Caller(shared, asks("bad", 2))
    until(lambda: shared.n_waiting == 4)
    model.go.set()
    for caller in (first, good, bad):
        caller.join()
    assert good.error is None
    assert good.found is not None
    assert isinstance(bad.error, InvalidInputError)
    shared.close()


def test_the_thread_outlives_whatever_a_pass_ends_with() -> None:
    class Panics(FakeLanguageModel):
        def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
            if "panic" in prompts[0].prefix:
                raise BaseException("as a panic of Rust arrives")
            return super().logprobs(prompts, choices)

    lm = SharedLanguageModel(Panics())
    with pytest.raises(FailureError, match="log says why"):
        lm.logprobs(asks("panic", 1), LABELS)
    assert lm.logprobs(asks("calm", 2), LABELS).shape == (2, 2)
    lm.close()


def test_what_is_over_prepares_no_more() -> None:
    lm, over = SharedLanguageModel(FakeLanguageModel()), threading.Event()
    context = copy_context()
    context.run(STOPPED.set, over)
    assert context.run(lm.n_tokens, "two words") == 2
    over.set()
    with pytest.raises(StoppedError):
        context.run(lm.n_tokens, "two words")
    lm.close()


def test_what_is_over_leaves_the_line(slow: SimpleNamespace) -> None:
    stop = threading.Event()
    first = Caller(slow.lm, asks("first", 1))
    until(lambda: slow.model.begun == 1)
    gone = Caller(slow.lm, asks("gone", 30), stop)
    until(lambda: slow.lm.n_waiting == 30)
    stop.set()
    slow.model.go.set()
    gone.join()
    first.join()
    assert isinstance(gone.error, StoppedError)
    assert slow.model.passes == [1]


def test_what_is_over_writes_no_more(slow: SimpleNamespace) -> None:
    stop = threading.Event()
    token = STOPPED.set(stop)
    try:
        (prompt,) = asks("a", 1)
        pieces = slow.lm.generate(prompt, 10)
        next(pieces)
        stop.set()
        with pytest.raises(StoppedError):
            list(pieces)
        with pytest.raises(StoppedError):
            slow.lm.generate(prompt, 10)
        assert slow.model.pieces == 1
    finally:
        STOPPED.reset(token)


def test_closing_fails_who_still_waits(slow: SimpleNamespace) -> None:
    first = Caller(slow.lm, asks("first", 1))
    until(lambda: slow.model.begun == 1)
    late = Caller(slow.lm, asks("late", 30))
    until(lambda: slow.lm.n_waiting == 30)
    closing = threading.Thread(target=slow.lm.close)
    closing.start()
    until(lambda: slow.lm._closed)
    slow.model.go.set()
    for thread in (closing, first, late):
        thread.join()
    assert first.error is None
    assert isinstance(late.error, ClosingError)
    with pytest.raises(ClosingError):
        slow.lm.logprobs(asks("x", 1), LABELS)
