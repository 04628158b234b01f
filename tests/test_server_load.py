"""Many clients at once: who waits, who is sent away, and what ends when a client leaves."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from rankrag.model import FakeLanguageModel
from rankrag.server import Limits, ServerSettings
from rankrag.server.desk import Desk, in_thread
from rankrag.types import Prompt
from serving import PATIENCE_S, QUESTION, SlowModel, client, live, make_app, make_index, until

DOCUMENTS = [f"Cat number {n} has many toes." for n in range(5)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


def test_no_free_thread_is_waited_for_where_nothing_takes_long(index: Path) -> None:
    async def ask() -> int:
        threads = anyio.to_thread.current_default_thread_limiter()
        for _ in range(int(threads.total_tokens)):
            threads.acquire_on_behalf_of_nowait(object())
        transport = httpx.ASGITransport(make_app(index))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            with anyio.fail_after(PATIENCE_S):
                return (await http.get("/v1/models")).status_code

    assert anyio.run(ask) == 200


@pytest.fixture
def busy(index: Path) -> Iterator[SimpleNamespace]:
    """A server with two places to work and two to wait, whose model is held."""
    model = SlowModel()
    app = make_app(index, model, ServerSettings(Limits(running=2, waiting=2, seconds=PATIENCE_S)))
    with live(app) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
        yield SimpleNamespace(model=model, app=app, url=url, http=http, desk=app.state.rankrag.desk)
        model.go.set()


def rerank(place: SimpleNamespace, n: int = 5) -> httpx.Response:
    return httpx.post(
        place.url + "/rerank", json={"query": "cats", "documents": DOCUMENTS[:n]}, timeout=PATIENCE_S
    )


def metrics(place: SimpleNamespace) -> dict[str, float]:
    lines = place.http.get("/metrics").text.splitlines()
    return {key: float(value) for key, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}


def test_the_line_is_bounded_and_whoever_stood_in_it_is_served(busy: SimpleNamespace) -> None:
    with ThreadPoolExecutor(4) as pool:
        inside = [pool.submit(rerank, busy) for _ in range(4)]
        until(lambda: busy.desk.n_waiting == 2)
        assert metrics(busy)["rankrag_requests_running"] == 2
        refused = rerank(busy)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        streamed = busy.http.post("/v1/ask", json={"question": QUESTION, "stream": True})
        assert streamed.status_code == 429  # a stream is refused before it begins
        assert busy.http.get("/healthz").status_code == 200  # who watches is never in line
        busy.model.go.set()
        assert [one.result().status_code for one in inside] == [200] * 4
    assert rerank(busy).status_code == 200


def test_requests_at_the_same_time_share_passes(busy: SimpleNamespace) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(rerank, busy, 1)
        until(lambda: busy.desk.n_running == 1)
        second = pool.submit(rerank, busy, 5)
        until(lambda: busy.desk.n_running == 2)
        busy.model.go.set()
        for one in (first, second):
            scores = [hit["relevance_score"] for hit in one.result().json()["results"]]
            assert scores == sorted(scores, reverse=True)
    assert sum(busy.model.passes) == 6


def send(url: str, path: str, body: dict[str, Any]) -> socket.socket:
    """Send a request and return its open connection."""
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    connection = socket.create_connection((place.hostname, place.port))
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    head += "Accept: application/json, text/event-stream\r\n"
    connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return connection


@pytest.mark.parametrize("path", ["/rerank", "/v1/ask", "/v1/chat/completions"])
def test_a_client_that_leaves_stops_its_work(busy: SimpleNamespace, path: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/rerank": {"query": "cats", "documents": DOCUMENTS * 40},
        "/v1/ask": {"question": QUESTION},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": QUESTION}]},
    }
    connection = send(busy.url, path, bodies[path])
    until(lambda: busy.desk.n_running == 1)
    until(lambda: busy.app.state.rankrag.desk.n_running == 1)
    connection.close()
    until(lambda: busy.desk.n_running == 0)  # its place is free at once
    busy.model.go.set()
    assert rerank(busy, 1).status_code == 200
    assert sum(busy.model.passes) <= 32 + 1  # the pass that it was in, no more of its 200
    assert busy.model.pieces == 0


@pytest.mark.slow
def test_a_client_that_leaves_a_stream_stops_the_writing(index: Path) -> None:
    model = SlowModel(piece_s=0.2)
    model.go.set()
    app = make_app(index, model)
    with live(app) as url:
        connection = send(url, "/v1/ask", {"question": QUESTION, "stream": True})
        until(lambda: model.pieces >= 1)
        connection.close()
        until(lambda: app.state.rankrag.desk.n_running == 0)
        written = model.pieces
        threading.Event().wait(0.6)
        assert model.pieces <= written + 1


@pytest.mark.slow
def test_time_is_limited(index: Path) -> None:
    model = SlowModel()
    app = make_app(index, model, ServerSettings(Limits(seconds=0.5)))
    with live(app) as url:
        for path, body in (
            ("/rerank", {"query": "cats", "documents": DOCUMENTS}),
            ("/v1/ask", {"question": QUESTION}),
        ):
            response = httpx.post(url + path, json=body, timeout=PATIENCE_S)
            assert response.status_code == 504
            assert "no end after 0.5 s" in response.json()["error"]["message"]
        app.state.rankrag.desk.seconds = 5  # time enough to retrieve
        begun = httpx.post(url + "/v1/ask", json={"question": QUESTION, "stream": True}, timeout=PATIENCE_S)
        assert begun.status_code == 200  # it had retrieved
        assert begun.text.rstrip().rsplit("\n\n", 1)[-1].startswith("event: error")
        assert '"code":"timeout"' in begun.text
        model.go.set()


@pytest.mark.slow
def test_ending_lets_what_runs_finish(index: Path) -> None:
    model = SlowModel(piece_s=0.05)
    app = make_app(index, model)
    with ThreadPoolExecutor(1) as pool:
        with live(app, PATIENCE_S) as url:
            asked = pool.submit(httpx.post, url + "/v1/ask", json={"question": QUESTION}, timeout=PATIENCE_S)
            until(lambda: app.state.rankrag.desk.n_running == 1)
            threading.Timer(0.5, model.go.set).start()
        assert asked.result().json()["done"]


@pytest.mark.slow
def test_silence_is_filled(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankrag.server.event_stream.BEAT_S", 0.2)
    model, lines, body = SlowModel(), [], {"question": QUESTION, "stream": True}
    with (
        live(make_app(index, model)) as url,
        httpx.stream("POST", f"{url}/v1/ask", json=body, timeout=PATIENCE_S) as answer,
    ):
        for line in answer.iter_lines():
            lines.append(line)
            if line == ": still at it":
                model.go.set()
    assert ": still at it" in lines
    assert any('"done":true' in line for line in lines)


def test_a_place_is_held_until_its_thread_is_through() -> None:
    go, desk = threading.Event(), Desk(running=1, waiting=1, seconds=PATIENCE_S)

    async def leaves() -> None:
        loop, scope = asyncio.get_running_loop(), anyio.CancelScope()

        def work() -> None:
            loop.call_soon_threadsafe(scope.cancel)
            go.wait(PATIENCE_S)

        with scope:
            async with desk.place():
                await in_thread(work)
        assert desk.n_running == 1  # nobody waits for the thread, but it is there
        go.set()
        while desk.n_running:
            await anyio.sleep(0.01)
        async with desk.place():
            assert await in_thread(lambda: 7) == 7

    anyio.run(leaves)


def test_an_assistant_that_leaves_stops_its_work(busy: SimpleNamespace) -> None:
    call = {"name": "ask", "arguments": {"question": QUESTION}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    connection = send(busy.url, "/mcp", body)
    until(lambda: busy.desk.n_running == 1)
    connection.close()
    until(lambda: busy.desk.n_running == 0)


def test_an_answer_that_the_model_s_own_limit_cut_says_so(index: Path) -> None:
    class Endless(FakeLanguageModel):
        def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
            yield from (f" word{n}" for n in range(max_tokens))

    with client(make_app(index, Endless())) as http:
        for wish in ({}, {"max_tokens": 5000}):
            body = {"messages": [{"role": "user", "content": QUESTION}], **wish}
            (choice,) = http.post("/v1/chat/completions", json=body).json()["choices"]
            assert choice["finish_reason"] == "length"
