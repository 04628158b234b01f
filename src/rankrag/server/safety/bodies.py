"""How much may come in, how fast and how deep: one body, and all bodies that are held at the same time."""

from __future__ import annotations

import re

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..settings import Limits

UPLOAD = "/v1/documents"

UNCOUNTED = 2**16
"""Bytes of each body that its sum leaves out: small requests get through while large ones fill the room."""

PATIENCE_S = 20.0
"""Seconds that a body may take, whatever its size."""

RATE = 2**16
"""Bytes a second that come on top: a body of 8 MiB may take two minutes more."""

DEPTH = 64
"""Lists and objects inside each other in a JSON body; what clients send has fewer than ten."""

_DIGITS = 18  # of a length; Python itself reads no number of thousands of digits

_CLOSE = {"connection": "close"}  # the rest of the body is not read
_MARKS = re.compile(rb'["\\\[\]{}]')


class BytesHeld:
    """Counts the bytes of all bodies of one kind that are held in memory or on disk."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.n_bytes = 0

    def has_room(self, n_bytes: int) -> bool:
        """Whether so many more may come."""
        return self.n_bytes + n_bytes <= self.most


class Depth:
    """Follows how deep a JSON body nests, piece by piece; it does not check that it is JSON."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = False
        self._escaped_at = -1  # place of the byte that a backslash before it took the meaning from

    def check(self, piece: bytes) -> None:
        """Raise 400 where a piece of the body goes deeper than `DEPTH`."""
        for mark in _MARKS.finditer(piece):
            if mark.start() == self._escaped_at:
                continue
            sign = mark.group()
            if sign == b"\\":
                self._escaped_at = mark.end()
            elif sign == b'"':
                self._in_text = not self._in_text
            elif not self._in_text:
                self._depth += 1 if sign in b"[{" else -1
                if self._depth > DEPTH:
                    raise HTTPException(
                        400,
                        f"found JSON nested more than {DEPTH} deep, wanted a plain request: send it flat",
                        _CLOSE,
                    )
        self._escaped_at -= len(piece)  # a backslash may end a piece


class BodyLimits:
    """Refuses bodies that are too large, too many together, too slow or too deep.

    Plain ASGI: a route still sees by `receive` that its client leaves.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self._json = BytesHeld(limits.bodies_bytes)
        self._uploads = BytesHeld(limits.uploads_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_upload = scope["path"] == UPLOAD and scope["method"] == "POST"
        most = self.limits.upload_bytes + 2**20 if is_upload else self.limits.body_bytes  # the form around it
        held = self._uploads if is_upload else self._json
        body = _Body(receive, most, held, None if is_upload else Depth())
        body.expect(Headers(scope=scope).get("content-length", "0"))
        try:
            await self.app(scope, body.receive, send)
        finally:
            body.forget()


class _Body:
    """One body as it comes."""

    def __init__(self, receive: Receive, most: int, held: BytesHeld, depth: Depth | None) -> None:
        self._receive = receive
        self._most = most
        self._held = held
        self._depth = depth
        self._came = 0
        self._counted = 0
        self._waited_s = 0.0
        self._whole = False
        self._refusal: HTTPException | None = None

    def expect(self, said: str) -> None:
        """Take what a request says of its length: who reads its body is told at once if it is too long."""
        if not said.isdecimal() or len(said) > _DIGITS or int(said) > self._most:
            self._refusal = HTTPException(413, _larger(self._most), _CLOSE)
        elif not self._held.has_room(int(said) - UNCOUNTED):
            self._refusal = no_room()

    async def receive(self) -> Message:
        """Return the next message, as ASGI's `receive` does; raises 400, 408, 413 or 503."""
        if self._whole:  # what comes now is that the client leaves, which may take as long as it likes
            return await self._receive()
        if self._refusal is not None:
            raise self._refusal
        started = anyio.current_time()
        try:
            with anyio.fail_after(PATIENCE_S + self._came / RATE - self._waited_s):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, "found a body that comes too slowly, wanted all of it: send it again", _CLOSE
            ) from None
        self._waited_s += anyio.current_time() - started
        self._count(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    def _count(self, piece: bytes) -> None:
        self._came += len(piece)
        if self._came > self._most:
            raise HTTPException(413, _larger(self._most), _CLOSE)
        more = max(0, self._came - UNCOUNTED) - self._counted
        if more and not self._held.has_room(more):
            raise no_room()
        self._counted += more
        self._held.n_bytes += more
        if self._depth is not None:
            self._depth.check(piece)

    def forget(self) -> None:
        """Give back what was held."""
        self._held.n_bytes -= self._counted


def _larger(most: int) -> str:
    return f"found a body larger than {most / 2**20:g} MiB, wanted less: send less"


def no_room() -> HTTPException:
    """Return the refusal of a body while others fill the memory that bodies may take."""
    return HTTPException(
        503,
        "found too many large requests at once, wanted room for this one: send it again in a moment",
        {"retry-after": "5", **_CLOSE},
    )
