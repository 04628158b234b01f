"""Anything at all sent to any route: an answer or a refusal, never a failure of the server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serving import client, live, make_app, make_index

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


def check(response: object) -> None:
    """Whatever came, it is an answer, or an error of the one shape."""
    status = response.status_code  # type: ignore[attr-defined]
    assert status < 500, response.text  # type: ignore[attr-defined]
    if status >= 400:
        body = response.json()  # type: ignore[attr-defined]
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["message"]
        assert "Traceback" not in body["error"]["message"]


def test_every_route_takes_what_its_description_allows(index: Path) -> None:
    import schemathesis  # here, since to collect this file is part of every run

    app = make_app(index)
    described: Any = schemathesis.openapi.from_asgi("/openapi.json", app)
    routes = [one.ok() for one in described.get_all_operations()]
    assert len(routes) >= 15
    for route in routes:

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(route.as_strategy())
        def send(case: Any) -> None:
            check(case.call())

        send()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    "question history style retrieve_k read_k filters stream messages documents query texts top_n top_k "
    "queries max_tokens stop rank min_relevance k rank_fields".split()
)
PATHS = ["/v1/ask", "/v1/search", "/v1/chat/completions", "/rerank", "/v2/rerank", "/score", "/mcp"]


@pytest.fixture(scope="module")
def http(index: Path) -> Iterator[TestClient]:
    with client(make_app(index)) as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(FIELDS, JSON, max_size=5) | JSON)
def test_any_json(http: TestClient, path: str, body: object) -> None:
    response = http.post(path, json=_finite(body))
    if path == "/mcp":  # its errors have the shape of its protocol
        assert response.status_code < 500
    else:
        check(response)


def _finite(value: object) -> object:
    """Return a value that JSON can hold, and that the client can send."""
    if isinstance(value, dict):
        return {str(_finite(name)): _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    if isinstance(value, float):
        return value if abs(value) < 1e300 else 0.5
    return value.encode(errors="ignore").decode() if isinstance(value, str) else value


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=200),
    kind=st.sampled_from(["application/json", "text/plain", "multipart/form-data", ""]),
)
def test_any_bytes(http: TestClient, path: str, body: bytes, kind: str) -> None:
    if path != "/mcp":
        check(http.post(path, content=body, headers={"content-type": kind}))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.text(max_size=40),
    content=st.binary(max_size=100),
    suffix=st.sampled_from([".md", ".pdf", ".docx", ".csv", ""]),
)
def test_any_upload(http: TestClient, name: str, content: bytes, suffix: str) -> None:
    name = name.encode(errors="ignore").decode()
    check(http.post("/v1/documents", files={"file": (name + suffix, content)}))


def test_any_bytes_on_the_wire(index: Path) -> None:
    with live(make_app(index)) as url:
        place = urlsplit(url)

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.binary(max_size=300), st.booleans())
        def speak(data: bytes, begins_well: bool) -> None:
            head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\n" if begins_well else b""
            with socket.create_connection((place.hostname, place.port)) as connection:
                connection.sendall(head + data)

        speak()
        with socket.create_connection((place.hostname, place.port)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in connection.recv(100)
