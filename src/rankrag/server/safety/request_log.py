"""Every request has an id, is counted, and has its line in the log."""

from __future__ import annotations

import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..telemetry import Telemetry, say

_ID = re.compile(r"[\w.:-]{1,100}")


class RequestLog:
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
        except Exception:  # after the answer had begun: see CatchAll
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
