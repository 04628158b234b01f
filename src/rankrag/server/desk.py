"""The work of a request: it gets a place, runs in threads, and ends when its client leaves or time is up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from threading import Event
from typing import TypeVar

import anyio
from starlette.requests import Request

from ..errors import RankRAGError
from .sharing import STOPPED, ClosingError, StoppedError

T = TypeVar("T")

_NOTHING = object()

_log = logging.getLogger("rankrag.server")


class BusyError(Exception):
    """There is no room, or what is wanted is in use; `retry_s` is about when that will have changed."""

    def __init__(self, retry_s: int, said: str = "found the line full, wanted room") -> None:
        super().__init__(f"{said}: ask again in {retry_s} s")
        self.retry_s = retry_s


class OverdueError(Exception):
    """The request took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"found no end after {seconds:g} s, the most that a request may take: send fewer passages, or "
            "start the server with more --timeout"
        )


class LateError(Exception):
    """What a caller wanted to wait for did not come in time; the request itself may still be answered."""


class _Place:
    """Held by a request and by its threads: it is free again when the last of them is through.

    A thread cannot be stopped from outside: were the place free once the client has left, clients that come
    and go would fill the machine with threads that nobody waits for.
    """

    def __init__(self, free: Callable[[], None]) -> None:
        self._free = free
        self._holders = 1

    def hold(self) -> None:
        self._holders += 1

    def let_go(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._free()


_PLACE: ContextVar[tuple[_Place, ThreadPoolExecutor]] = ContextVar("_PLACE")


async def in_thread(work: Callable[[], T]) -> T:
    """Return what a function returns, run in a thread of the place that the caller holds.

    Cancelled, the caller goes on at once; the thread keeps the place until it is through.
    """
    place, threads = _PLACE.get()
    future = asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)
    place.hold()
    future.add_done_callback(lambda _: place.let_go())
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(_unwanted)
        raise


def _unwanted(future: asyncio.Future[T]) -> None:
    """Note what a thread ended with that nobody waits for any more: only a bug is worth a line."""
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, RankRAGError):
        _log.error("bug in a request that was over", exc_info=error)


class Desk:
    """Gives places to requests: some work, some wait in line, the others are sent away."""

    def __init__(self, running: int, waiting: int, seconds: float) -> None:
        self.seconds = seconds
        self._most = running + waiting
        self._inside = 0
        self._running = running
        self._limiter: anyio.CapacityLimiter | None = None
        self._threads = ThreadPoolExecutor(running, "rankrag-work")
        self._mean_s = 1.0
        self._scopes: set[anyio.CancelScope] = set()
        self._ends = math.inf

    @property
    def n_waiting(self) -> int:
        """Requests in line."""
        return max(0, self._inside - self._running)

    @property
    def n_running(self) -> int:
        """Requests that work."""
        return min(self._inside, self._running)

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, once there is one; raises BusyError at once where the line is full.

        What the model does inside ends with the block, at its next pass or token.
        """
        if self._inside >= self._most:
            raise BusyError(self._retry_s())
        limiter = self._limiter = self._limiter or anyio.CapacityLimiter(self._running)
        borrower = object()
        self._inside += 1
        try:
            await limiter.acquire_on_behalf_of(borrower)
        except BaseException:
            self._inside -= 1
            raise
        place = _Place(lambda: self._leave(borrower))
        started, over = time.monotonic(), Event()
        tokens = STOPPED.set(over), _PLACE.set((place, self._threads))
        try:
            yield
            self._mean_s += 0.1 * (time.monotonic() - started - self._mean_s)
        finally:
            over.set()
            place.let_go()
            with contextlib.suppress(ValueError):  # another task may end an abandoned stream
                STOPPED.reset(tokens[0])
                _PLACE.reset(tokens[1])

    def close(self, seconds: float) -> None:
        """Give what is running and what still comes so many seconds; after them it ends in ClosingError."""
        self._ends = anyio.current_time() + seconds
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, self._ends)

    @contextlib.contextmanager
    def in_time(self) -> Iterator[None]:
        """End the block when its time is over (OverdueError) or the server ends (ClosingError)."""
        now = anyio.current_time()
        with anyio.CancelScope(deadline=min(now + self.seconds, self._ends)) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            raise ClosingError if anyio.current_time() >= self._ends else OverdueError(self.seconds)

    def _leave(self, borrower: object) -> None:
        assert self._limiter is not None
        self._limiter.release_on_behalf_of(borrower)
        self._inside -= 1

    async def run(self, request: Request, work: Callable[[], T], wait_s: float | None = None) -> T:
        """Return what a function returns, run in a thread.

        Raises BusyError, OverdueError, ClosingError, StoppedError where the client has left, LateError where
        it is not through, the wait for a place included, after `wait_s` seconds, or what the function raises.
        """

        async def whole() -> T:
            with anyio.move_on_after(wait_s):
                async with self.place():
                    return await in_thread(work)
            raise LateError

        return await self._while_there(request, whole)

    def _retry_s(self) -> int:
        return max(1, math.ceil(self._mean_s * self._inside / self._running))

    async def _while_there(self, request: Request, work: Callable[[], Awaitable[T]]) -> T:
        results: list[T] = []

        async def watch() -> None:
            await left(request)
            group.cancel_scope.cancel()

        with self.in_time():
            async with alone() as group:
                group.start_soon(watch)
                results.append(await work())
                group.cancel_scope.cancel()
        if not results:
            raise StoppedError("the client has left")
        return results[0]


@contextlib.asynccontextmanager
async def alone() -> AsyncIterator[anyio.abc.TaskGroup]:
    """Hold a task group whose only error comes out as itself, not in a group of one."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


async def left(request: Request) -> None:
    """Return once the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def each(items: Iterator[T]) -> AsyncIterator[T]:
    """Yield the items of an iterator whose every step may take long, each computed in a thread."""
    while (item := await in_thread(lambda: next(items, _NOTHING))) is not _NOTHING:
        yield item  # type: ignore[misc]  # `next` gives an item or the mark
