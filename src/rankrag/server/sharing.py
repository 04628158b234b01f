"""One language model for many requests: what they want scored at the same time shares a pass."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Self, cast

import numpy as np

from ..errors import FailureError, RankRAGError
from ..types import LanguageModel, MixtureLanguageModel, Prompt, Usage

_log = logging.getLogger("rankrag.server")

STOPPED: ContextVar[Event | None] = ContextVar("STOPPED", default=None)
"""Set for the threads of a request: says that its client has left or its time is over."""

GLANCE_S = 0.05
"""Seconds between two looks of a waiting thread at whether its request is over."""


class StoppedError(RankRAGError):
    """The request that this was done for is over; nobody waits for it."""


class ClosingError(Exception):
    """The server ends, and this request was not through in the time that it had left."""

    def __init__(self) -> None:
        super().__init__("found the server closing, wanted it to run: ask again in a moment")


def check_stopped() -> None:
    """Raise StoppedError if the request of this thread is over."""
    event = STOPPED.get()
    if event is not None and event.is_set():
        raise StoppedError("the request is over")


@dataclass(slots=True, eq=False)
class _Waiting:
    prompts: Sequence[Prompt]
    choices: tuple[str, ...]
    stopped: Event | None
    taken: int = 0  # prompts that went into a pass
    scores: np.ndarray = field(init=False)
    left: int = field(init=False)
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.scores = np.zeros((len(self.prompts), len(self.choices)))
        self.left = len(self.prompts)

    def is_over(self) -> bool:
        return self.error is not None or (self.stopped is not None and self.stopped.is_set())

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()


@dataclass(frozen=True, slots=True)
class _Share:
    job: _Waiting
    first: int
    end: int

    @property
    def prompts(self) -> Sequence[Prompt]:
        return self.job.prompts[self.first : self.end]


class _Watched(Iterator[str]):
    """Pieces of an answer, ending once its request is over; what the model counted is told on."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        check_stopped()
        return next(self._pieces)

    @property
    def usage(self) -> Usage | None:
        """The tokens, where the model counts them."""
        told: Usage | None = getattr(self._pieces, "usage", None)
        return told


class SharedLanguageModel:
    """A language model that many threads use at once.

    One thread of its own runs the passes. While a pass runs, whatever is asked meanwhile gathers; the next
    pass takes at most `batch` of it, from each request in turn, so that a request of a thousand passages
    does not keep one of ten waiting. Nothing waits for company. A request that is over (see `STOPPED`)
    leaves the line, and what it is generating ends.
    """

    def __init__(
        self, lm: LanguageModel, batch: int = 32, observe: Callable[[int, int], None] | None = None
    ) -> None:
        """Start the thread. `observe` is called with (prompts, requests) of every pass."""
        self._lm = lm
        self._batch = batch
        self.observe = observe
        self._line: list[_Waiting] = []
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._work, name="rankrag-model", daemon=True)
        self._thread.start()

    @property
    def context_length(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return self._lm.context_length

    def n_tokens(self, text: str) -> int:
        """Return the number of tokens of a text on its own, without special tokens.

        Prompts are cut to fit by this, so it is where a request that is over ends its preparations.
        """
        check_stopped()
        return self._lm.n_tokens(text)

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        """Return natural-log probabilities of each choice right after each prompt, (prompts, choices).

        Raises what the model raises for these prompts, StoppedError once the request is over.
        """
        check_stopped()
        if not prompts:
            return np.zeros((0, len(choices)))
        job = _Waiting(prompts, tuple(choices), STOPPED.get())
        with self._changed:
            if self._closed:
                raise ClosingError
            self._line.append(job)
            self._changed.notify()
        while not job.done.wait(GLANCE_S):
            check_stopped()  # what the pass finds for a request that is over, nobody reads
        if job.error is not None:
            raise job.error
        return job.scores

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        """Yield the greedy continuation piece by piece, ending once the request is over."""
        check_stopped()
        return _Watched(self._lm.generate(prompt, max_tokens, stop))

    def generate_mixture(
        self, prompts: Sequence[Prompt], weights: Sequence[float], max_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yield the greedy continuation by the prompts' weighted mean, ending once the request is over."""
        check_stopped()
        mixing = cast("MixtureLanguageModel", self._lm)  # a spec with another one was refused
        return _Watched(mixing.generate_mixture(prompts, weights, max_tokens, stop))

    def close(self) -> None:
        """End the thread after the pass it is in; what still waits fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def n_waiting(self) -> int:
        """Prompts that no pass has taken yet."""
        with self._changed:
            return sum(len(job.prompts) - job.taken for job in self._line)

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        while shares := self._next():
            try:
                self._run(shares)
            except BaseException as error:  # this thread has to outlive it: all requests need it
                _log.critical("bug in a pass of the model", exc_info=error)
                for share in shares:
                    share.job.fail(
                        FailureError("the model failed on this request: the server's log says why")
                    )

    def _next(self) -> list[_Share]:
        """Return what the next pass computes, waiting for it; nothing once the model is closed."""
        with self._changed:
            while True:
                self._leave()
                if self._closed:
                    for job in self._line:
                        job.fail(ClosingError())
                    return []
                if self._line:
                    return self._take()
                self._changed.wait(timeout=1.0)

    def _leave(self) -> None:
        """Take out of the line what is over."""
        for job in self._line:
            if job.is_over() and not job.done.is_set():
                job.fail(StoppedError("the request is over"))
        self._line = [job for job in self._line if not job.is_over()]

    def _take(self) -> list[_Share]:
        """Return up to `batch` prompts with the choices of the first job, a like number of each job."""
        alike = [job for job in self._line if job.choices == self._line[0].choices]
        room = dict.fromkeys(alike, 0)
        free = self._batch
        while free and (hungry := [j for j in alike if j.taken + room[j] < len(j.prompts)]):
            each = max(1, free // len(hungry))
            for job in hungry[:free]:
                more = min(each, len(job.prompts) - job.taken - room[job], free)
                room[job] += more
                free -= more
        shares = [_Share(job, job.taken, job.taken + n) for job, n in room.items() if n]
        for share in shares:
            share.job.taken = share.end
        served = {share.job for share in shares}
        unfinished = [job for job in self._line if job.taken < len(job.prompts)]
        # Who was served goes to the end: with more requests than a pass has room for, all get their turn.
        self._line = [j for j in unfinished if j not in served] + [j for j in unfinished if j in served]
        return shares

    def _run(self, shares: Sequence[_Share]) -> None:
        prompts = [prompt for share in shares for prompt in share.prompts]
        try:
            scores = self._lm.logprobs(prompts, shares[0].job.choices)
        except Exception as error:
            if len(shares) == 1:
                shares[0].job.fail(error)
                return
            for share in shares:  # one of them is at fault: the others are not to pay for it
                self._run([share])
            return
        if self.observe is not None:
            self.observe(len(prompts), len(shares))
        at = 0
        for share in shares:
            n = share.end - share.first
            share.job.scores[share.first : share.end] = scores[at : at + n]
            share.job.left -= n
            at += n
            if share.job.left == 0:
                share.job.done.set()
