"""Who may come in: whoever has a key, by a name that is ours, from a page that is ours."""

from __future__ import annotations

import hmac
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..settings import Access
from . import error_responses

OPEN = frozenset({"/", "/healthz", "/health", "/readyz", "/favicon.ico"})
"""Paths that need no key: the page asks for one itself, and whoever watches a process has none."""


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
            refusal = error_responses.response(
                f"found the host {_host(headers)!a}, wanted a name that this server knows: start it with "
                "--allow-host",
                error_responses.ErrorKind(421, "permission_error", "unknown_host"),
            )
        elif not self._is_ours(headers):
            refusal = error_responses.response(
                "found a script of another site, wanted one that may call: start the server with "
                "--allow-origin",
                error_responses.ErrorKind(403, "permission_error", "unknown_origin"),
            )
        elif self._keys and scope["path"] not in OPEN and not self._has_key(headers):
            refusal = error_responses.response(
                "found no valid API key, wanted one as `Authorization: Bearer KEY`",
                error_responses.ErrorKind(401, "authentication_error", "invalid_api_key"),
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
        matches = [hmac.compare_digest(key.encode(), known) for known in self._keys]
        return any(matches)


def _host(headers: Headers) -> str:
    return re.sub(r":\d+$", "", headers.get("host", "")).lower()
