"""Server-sent events: a response that begins with its first event and ends when its client has left."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .desk import Desk, alone, left

BEAT_S = 10.0
"""Seconds of silence after which a comment is sent: proxies cut connections that say nothing."""


def event(data: Mapping[str, object] | str, name: str = "") -> str:
    """Return one event; `data` is JSON, which never holds a line end, or a word."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


class EventStream(Response):
    """Streams events from work that holds a place at the desk.

    What fails before the first event is an ordinary error response; what fails later is told by an event
    that `fault` makes of it, and ends the stream.
    """

    media_type = "text/event-stream"

    def __init__(self, desk: Desk, events: AsyncIterator[str], fault: Callable[[Exception], str]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._desk = desk
        self._events = events
        self._fault = fault
        self._begun = False
        self._spoke = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, until they end or the client leaves."""
        request, lock = Request(scope, receive), anyio.Lock()

        async def say(text: str) -> None:
            async with lock:
                if not self._begun:
                    self._begun = True
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                self._spoke = anyio.current_time()

        async with alone() as group:

            async def watch() -> None:
                await left(request)
                group.cancel_scope.cancel()

            group.start_soon(watch)
            group.start_soon(self._beat, say)
            await self._say_all(say)
            async with lock:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()

    async def _say_all(self, say: Callable[[str], Awaitable[None]]) -> None:
        try:
            with self._desk.in_time():
                async with self._desk.place():
                    async for text in self._events:
                        await say(text)
        except Exception as error:
            if not self._begun:
                raise error from None
            await say(self._fault(error))

    async def _beat(self, say: Callable[[str], Awaitable[None]]) -> None:
        while True:
            await anyio.sleep(BEAT_S / 2)
            if self._begun and anyio.current_time() - self._spoke >= BEAT_S:
                await say(": still at it\n\n")
