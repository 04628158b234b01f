"""Connections that say too little, too slowly or too much: closed in time, and never in the way of others."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from rankrag.server import Limits, ServerSettings, listening
from rankrag.server.listening import most_connections
from rankrag.server.safety import bodies
from rankrag.server.safety.bodies import UNCOUNTED
from serving import PATIENCE_S, bodies_of, client, live, make_app, make_index, until

HEAD = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


def connect(url: str, said: bytes = b"") -> socket.socket:
    place = urlsplit(url)
    connection = socket.create_connection((place.hostname, place.port), timeout=PATIENCE_S)
    connection.sendall(said)
    return connection


def all_of(connection: socket.socket) -> bytes:
    """Return everything that comes until the server closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    connection.close()
    return b"".join(parts)


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return bool(connection.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False


@pytest.mark.parametrize("said", [b"", b"GET /heal", HEAD])
@pytest.mark.slow
def test_a_head_has_its_time(index: Path, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(listening, "HEAD_S", 0.1)
    with live(make_app(index)) as url:
        assert all_of(connect(url, said)) == b""


@pytest.mark.slow
def test_a_second_head_on_a_connection_has_its_time_too(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEAD_S", PATIENCE_S)
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with live(make_app(index)) as url:
        connection = connect(url, whole)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(listening, "HEAD_S", 0.1)
        connection.sendall(whole + b"GET /heal")
        assert all_of(connection).count(b"HTTP/1.1 200") == 1


def test_a_body_has_its_time(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.1)
    with live(make_app(index)) as url:
        answer = all_of(connect(url, HEAD + b'Content-Length: 100\r\n\r\n{"question"'))
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["message"].startswith("found a body that")


def test_a_refused_body_is_not_read_for_ever(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LINGER_S", 0.1)
    with live(make_app(index)) as url:
        connection = connect(url, HEAD + b"Content-Length: 999999999\r\n\r\n{")
        assert all_of(connection).startswith(b"HTTP/1.1 413")  # it is closed, though the body is not whole


def test_who_speaks_gets_the_place_of_who_is_silent(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "most_connections", lambda: 3)
    monkeypatch.setattr(listening, "HEAD_S", PATIENCE_S)
    with live(make_app(index)) as url:
        silent = [connect(url) for _ in range(3)]
        assert httpx.get(f"{url}/healthz", timeout=PATIENCE_S).status_code == 200
        until(lambda: not is_open(silent[0]))  # the one that was silent for the longest
        assert is_open(silent[2])
        for connection in silent:
            connection.close()


def test_too_many_at_work_are_told_to_come_back(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "most_connections", lambda: 2)
    monkeypatch.setattr(bodies, "PATIENCE_S", PATIENCE_S)
    app, sent = make_app(index), b" " * (UNCOUNTED + 1)
    with live(app) as url:
        busy = [connect(url, HEAD + b"Content-Length: 100000\r\n\r\n" + sent) for _ in range(2)]
        until(lambda: bodies_of(app)._json.n_bytes == 2)  # both are at work
        refused = httpx.get(f"{url}/healthz", timeout=PATIENCE_S)
        assert refused.status_code == 503
        assert "too many connections" in refused.json()["error"]["message"]
        for connection in busy:
            connection.close()
        until(lambda: httpx.get(f"{url}/healthz", timeout=PATIENCE_S).status_code == 200)


def test_what_is_no_http_is_told_so_in_our_shape(index: Path) -> None:
    with live(make_app(index)) as url:
        answer = all_of(connect(url, b"\x16\x03\x01 no http\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["type"] == "invalid_request_error"


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of open files")
@pytest.mark.parametrize(("soft", "most"), [(1024, 512), (65536, 4096), (-1, 4096), (64, 32), (1, 1)])
def test_connections_stay_below_the_files(monkeypatch: pytest.MonkeyPatch, soft: int, most: int) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, 1_000_000))
    assert most_connections() == most


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def little_room(index: Path) -> FastAPI:
    return make_app(index, settings=ServerSettings(Limits(body_bytes=300_000, bodies_bytes=380_000)))


def test_bodies_are_bounded_in_sum(little_room: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_S", PATIENCE_S)
    body = json.dumps({"question": "x" * 90_000}).encode()
    with live(little_room) as url:

        def ask(content: bytes) -> httpx.Response:
            return httpx.post(f"{url}/v1/ask", content=content, headers=JSON, timeout=PATIENCE_S)

        half = [connect(url, HEAD + b"Content-Length: 255000\r\n\r\n" + b" " * 250_000) for _ in range(2)]
        until(lambda: bodies_of(little_room)._json.n_bytes == 2 * (250_000 - UNCOUNTED))
        refused = ask(body)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "too many large requests" in refused.json()["error"]["message"]
        assert ask(b'{"question": "How many toes does a cat have?"}').status_code == 200  # a small one
        for connection in half:
            connection.close()
        until(lambda: ask(body).status_code == 200)  # what clients held is given back when they leave


@pytest.mark.parametrize("path", ["/v1/ask", "/rerank", "/mcp"])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_json_is_refused(index: Path, path: str, opening: bytes) -> None:
    with client(make_app(index)) as http:
        body = opening * 100_000
        found = http.post(path, content=body, headers=JSON)
        assert found.status_code == 400
        assert "found JSON nested more than 64 deep" in found.json()["error"]["message"]


def test_brackets_in_texts_are_not_depth(index: Path) -> None:
    question = 'What are "[[[[[" and \\"{{{{\\\\ ' * 20 + "?"
    with client(make_app(index)) as http:
        assert http.post("/v1/ask", json={"question": question}).status_code == 200
        body = json.dumps({"question": question}).encode()
        pieces = (body[at : at + 1] for at in range(len(body)))  # a backslash may end a piece
        found = http.post("/v1/ask", content=pieces, headers=JSON)
        assert found.status_code == 200


MESSAGE = {"role": "user", "content": "cats?"}
ASKED: dict[str, dict[str, object]] = {
    "/v1/ask": {"question": "cats?"},
    "/v1/search": {"question": "cats?"},
    "/v1/chat/completions": {"messages": [MESSAGE]},
    "/rerank": {"query": "cats?"},
    "/score": {},
}
MANY = {str(n): "x" for n in range(33)}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/ask", {"filters": {str(n): "x" for n in range(60_000)}}, "filters: found 60,000 entries"),
        ("/v1/search", {"filters": MANY}, "filters: found 33 entries, wanted at most 32: send fewer"),
        ("/v1/search", {"filters": {"a": "x" * 1001}}, "filters.a: found 1,001 characters, wanted"),
        ("/v1/search", {"filters": {"a" * 300: "x"}}, "found 300 characters, wanted at most 200"),
        ("/v1/ask", {"history": [MESSAGE] * 1001}, "history: found 1,001 entries"),
        ("/v1/ask", {"question": "x" * 100_001}, "question: found 100,001 characters"),
        ("/v1/chat/completions", {"messages": [MESSAGE] * 1001}, "messages: found 1,001 entries"),
        ("/v1/chat/completions", {"documents": ["x"] * 1001}, "documents: found 1,001 passages, wanted"),
        ("/v1/chat/completions", {"filters": MANY}, "filters: found 33 entries"),
        ("/v1/chat/completions", {"model": "x" * 1001}, "model: found 1,001 characters"),
        ("/v1/chat/completions", {"stop": ["."] * 17}, "stop: found 17 entries"),
        ("/rerank", {"documents": ["x"] * 1001}, "documents: found 1,001 passages"),
        ("/rerank", {"documents": ["x"], "rank_fields": ["x"] * 101}, "rank_fields: found 101 entries"),
        ("/score", {"queries": "x", "documents": ["x"] * 1001}, "documents: found 1,001 passages"),
    ],
)
def test_numbers_and_lengths_are_bounded(index: Path, path: str, body: dict[str, object], said: str) -> None:
    with client(make_app(index)) as http:
        found = http.post(path, json=ASKED[path] | body)
    assert found.status_code == 400
    message = found.json()["error"]["message"]
    assert said in message
    assert "\n" not in message
    assert len(message) < 500
