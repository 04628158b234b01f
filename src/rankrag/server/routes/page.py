"""The page at `/`: one file, and a policy that lets nothing run or load but what is in it."""

from __future__ import annotations

import secrets
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

routes = APIRouter(include_in_schema=False)

NONCE = "__NONCE__"
"""Stands in the page where the number of one visit goes: scripts and styles without it do not run."""


@routes.get("/")
async def page() -> HTMLResponse:
    """Return the page."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return HTMLResponse(_page().replace(NONCE, nonce), headers=headers)


@routes.get("/favicon.ico")
async def icon() -> Response:
    """Say that there is none: the page holds its own."""
    return Response(status_code=204)


@cache
def _page() -> str:
    return (files(__package__) / "page.html").read_text(encoding="utf-8")
