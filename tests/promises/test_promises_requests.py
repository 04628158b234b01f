"""Any request at all, in this process: answered, or refused in one shape, in bounded time and memory."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from requests_made import LARGEST, SOUND, Made, made
from scale import times

from rankrag.server import ServerSettings, Vectors
from serving import make_app, make_index

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SEED = int(os.environ.get("RANKRAG_SEED", "7"))

MOST_S = 5
"""Seconds of a processor that one request may take."""

MOST_BYTES = 150 * 2**20
"""Memory that all of them together may leave behind, beyond what the first tenth took."""

OURS = {429, 501, 503}
"""Refusals of the server itself."""


async def send(app: FastAPI, request: Made) -> tuple[int, bytes]:
    """Send a request to an app as a server would; return the status and the body."""
    status, pieces = 0, bytearray()
    left = [{"type": "http.request", "body": request.content, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop()
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def answer(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        pieces.extend(message.get("body", b""))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
        "method": request.method, "path": request.path, "raw_path": request.path.encode(),
        "query_string": request.query, "headers": list(request.headers),
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await app(scope, receive, answer)
    return status, bytes(pieces)


def check(request: Made, status: int, body: bytes) -> None:
    """Whatever came, it is an answer, or an error of the one shape."""
    said = f"{request.method} {request.path} {request.content[:500]!r}: {status} {body[:500]!r}"
    assert 200 <= status < 500 or status in OURS, said
    assert b"Traceback" not in body, said
    assert b'"code":"bug"' not in body.replace(b": ", b":"), said
    if status >= 400 and request.path.rstrip("/") != "/mcp" and request.method != "HEAD":
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}, said
        assert error["message"], said
        assert len(error["message"]) < 5000, said


def resident_bytes() -> int:
    """Return the memory that this process holds; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def test_any_request_is_answered(tmp_path: Path) -> None:
    def numbers(texts: object) -> np.ndarray:
        return np.array([[len(text), 1.5] for text in texts], dtype=np.float32)  # type: ignore[attr-defined]

    app = make_app(
        make_index(tmp_path), settings=ServerSettings(encoder=Vectors("small", 2, numbers, numbers))
    )
    statuses: Counter[int] = Counter()
    total = times(3000)

    async def run() -> int:
        async with app.router.lifespan_context(app):
            first = 0
            for number, request in enumerate(chain(SOUND, made(total, SEED))):
                assert len(request.content) <= LARGEST  # it is made here, and costs time of its own
                started = time.process_time()
                status, body = await send(app, request)
                assert time.process_time() - started < MOST_S, request
                check(request, status, body)
                statuses[status] += 1
                if number == total // 10:
                    first = resident_bytes()
                if number % 10_000 == 0:  # a long run may be ended before its time
                    print(f"{number:,} requests, {resident_bytes() / 2**20:.0f} MiB", flush=True)
        return resident_bytes() - first

    grown = asyncio.run(run())
    print(
        f"{sum(statuses.values()):,} requests, {grown / 2**20:.0f} MiB more, {dict(sorted(statuses.items()))}"
    )
    assert grown < MOST_BYTES
    assert statuses[200] > total // 20
    assert statuses[400] > total // 5
