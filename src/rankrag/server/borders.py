"""What every request passes on its way in, outermost first: watched, let in or not, measured.

Plain ASGI: these leave `receive` alone, so that a route can see its client leave.
"""

from __future__ import annotations

import hmac
import re
import time
import uuid
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import faults
from .settings import Access, Limits
from .telemetry import Telemetry, say

OPEN = frozenset({"/", "/healthz", "/health", "/readyz", "/favicon.ico"})
"""Paths that need no key: the page asks for one itself, and whoever watches a process has none."""

UPLOAD = "/v1/documents"

_ID = re.compile(r"[\w.:-]{1,100}")


class Watched:
    """Gives every request an id, counts it, and writes a line about it: never its words or its key."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex
        started, status = time.perf_counter(), 499  # the client left before an answer began

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception:  # after the answer had begun: see Caught
            status = 500
            raise
        finally:
            self._note(scope, name, status, started)

    def _note(self, scope: Scope, name: str, status: int, started: float) -> None:
        route = getattr(scope.get("route"), "path", "") or "other"  # a path of a client's making is no label
        self.telemetry.request(route, status, started)
        seconds = round(time.perf_counter() - started, 4)
        facts = {"id": name, "method": scope["method"], "route": route, "status": status, "seconds": seconds}
        say("request", facts)


class Guard:
    """Lets in whoever has a key, by a name that is ours, from a page that is ours.

    The last two stop pages of other sites: their scripts can send a form to this machine without asking,
    and can have their own name point at it.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access
        self._keys = [key.encode() for key in access.keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self.access.hosts is not None and _host(headers) not in self.access.hosts:
            refusal = faults.response(
                f"found the host {_host(headers)!a}, wanted a name that this server knows: start it with "
                "--allow-host",
                faults.Kind(421, "permission_error", "unknown_host"),
            )
        elif not self._is_ours(headers):
            refusal = faults.response(
                "found a script of another site, wanted one that may call: start the server with "
                "--allow-origin",
                faults.Kind(403, "permission_error", "unknown_origin"),
            )
        elif self._keys and scope["path"] not in OPEN and not self._has_key(headers):
            refusal = faults.response(
                "found no valid API key, wanted one as `Authorization: Bearer KEY`",
                faults.Kind(401, "authentication_error", "invalid_api_key"),
            )
            refusal.headers["www-authenticate"] = "Bearer"
        else:
            await self.app(scope, receive, send)
            return
        await refusal(scope, receive, send)

    def _is_ours(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or origin in self.access.origins:
            return True
        return origin.split("://", 1)[-1] == headers.get("host", "")

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = given.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        # Every key is compared, each in constant time: how long it takes says nothing about any of them.
        found = [hmac.compare_digest(key.encode(), known) for known in self._keys]
        return any(found)


def _host(headers: Headers) -> str:
    """Return the name of the host that was asked for, without its port."""
    return re.sub(r":\d+$", "", headers.get("host", "")).lower()


class Sized:
    """Refuses bodies that are too large, by what they say of themselves and by what comes."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self._most(scope)
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isdecimal() or int(said) > most:
            await _too_large(most)(scope, receive, send)
            return
        came = 0

        async def measured() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > most:
                raise HTTPException(413, _said(most))
            return message

        await self.app(scope, measured, send)

    def _most(self, scope: Mapping[str, object]) -> int:
        if scope["path"] == UPLOAD and scope["method"] == "POST":
            return self.limits.upload_bytes + 2**20  # the form around the files
        return self.limits.body_bytes


class Caught:
    """Answers an error that nothing else knew, so that it has its id, is counted and may be read elsewhere.

    Where the answer had begun, the error goes on, and the server breaks off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        begun = scope["type"] != "http"

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception as error:
            if begun:
                raise
            await faults.answer_to(error)(scope, receive, answer)


def _said(most: int) -> str:
    return f"found a body larger than {most / 2**20:g} MiB, wanted less: send less"


def _too_large(most: int) -> ASGIApp:
    return faults.response(_said(most), faults.Kind(413, faults.INVALID, "too_large"))
