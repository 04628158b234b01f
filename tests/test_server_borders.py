"""Who is let in, how much may come in, and what the server says of itself."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rankrag.errors import FailureError
from rankrag.server import Access, Limits, ServerSettings
from rankrag.server.telemetry import Lines
from serving import QUESTION, client, make_app, make_index

KEY, OTHER = "correct-horse-battery", "staple-of-another-kind"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def guarded(index: Path) -> Iterator[TestClient]:
    access = Access((KEY, OTHER), frozenset({"testserver"}), ("https://friend.example",))
    with client(make_app(index, settings=ServerSettings(access=access))) as found:
        yield found


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "headers", [bearer(KEY), bearer(OTHER), {"x-api-key": KEY}, {"authorization": f"bearer {KEY}"}]
)
def test_a_key_lets_in(guarded: TestClient, headers: dict[str, str]) -> None:
    assert guarded.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("wrong"),
        bearer(KEY[:-1]),
        bearer(KEY + "x"),
        {"authorization": KEY},
        bearer("ключ"),
    ],
)
def test_nothing_else_does(guarded: TestClient, headers: dict[str, str]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    for path in ("/v1/models", "/v1/info", "/metrics", "/openapi.json", "/v1/documents", "/mcp", "/nowhere"):
        response = guarded.get(path, headers=encoded)
        assert response.status_code == 401, path
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["error"]["code"] == "invalid_api_key"


def test_the_page_and_the_watchers_need_no_key(guarded: TestClient) -> None:
    for path in ("/", "/healthz", "/health", "/readyz"):
        assert guarded.get(path).status_code == 200


# ── names and other sites ────────────────────────────────────────────────────────────────────────────


def test_only_known_names_are_answered(guarded: TestClient) -> None:
    response = guarded.get("/healthz", headers={"host": "evil.example"})
    assert response.status_code == 421
    assert "evil.example" in response.json()["error"]["message"]
    assert guarded.get("/healthz", headers={"host": "testserver:8000"}).status_code == 200


def test_scripts_of_other_sites_may_not_call(guarded: TestClient) -> None:
    form = {"file": ("a.md", b"# Planted")}
    refused = guarded.post(
        "/v1/documents", files=form, headers={**bearer(KEY), "origin": "https://evil.example"}
    )
    assert refused.status_code == 403
    assert guarded.get("/v1/models", headers={**bearer(KEY), "origin": "null"}).status_code == 403
    ours = guarded.get("/v1/models", headers={**bearer(KEY), "origin": "http://testserver"})
    assert ours.status_code == 200
    assert "access-control-allow-origin" not in ours.headers
    friend = guarded.get("/v1/models", headers={**bearer(KEY), "origin": "https://friend.example"})
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    asks = {"origin": "https://friend.example", "access-control-request-method": "POST"}
    assert guarded.options("/v1/ask", headers=asks).status_code == 200  # without a key, as browsers do


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────


def test_scripts_of_friends_may_read_when_to_come_back(guarded: TestClient) -> None:
    friend = {"origin": "https://friend.example", **bearer(KEY)}
    told = guarded.get("/v1/models", headers=friend).headers
    assert told["access-control-allow-origin"] == "https://friend.example"
    assert told["access-control-expose-headers"] == "Retry-After, X-Request-ID"


def test_refusals_of_the_framework_are_the_client_s(guarded: TestClient) -> None:
    broken = {"content-type": "multipart/form-data; boundary=x", **bearer(KEY)}
    found = guarded.post("/v1/documents", content=b"no form", headers=broken)
    assert (found.status_code, found.json()["error"]["type"]) == (400, "invalid_request_error")
    stream = guarded.get("/mcp", headers=bearer(KEY))
    assert (stream.status_code, stream.headers["allow"]) == (405, "POST")


def test_large_bodies_are_refused_by_what_they_say_and_by_what_comes(index: Path) -> None:
    limits = Limits(body_bytes=1000, upload_bytes=2000)
    with client(make_app(index, settings=ServerSettings(limits))) as http:
        body = json.dumps({"question": "x" * 2000}).encode()
        said = http.post("/v1/ask", content=body, headers={"content-type": "application/json"})
        pieces = (body[at : at + 100] for at in range(0, len(body), 100))
        came = http.post("/v1/ask", content=pieces, headers={"content-type": "application/json"})
        for response in (said, came):
            assert response.status_code == 413
            assert "larger than" in response.json()["error"]["message"]
        lie = http.post("/v1/ask", content=b"{}", headers={"content-length": "x"})
        assert lie.status_code in (400, 413)
        assert http.post("/v1/documents", files={"file": ("a.md", b"x" * 2001)}).status_code == 413
        assert http.get("/v1/documents").json()["data"][0]["path"].endswith("cats.md")


# ── what it says of itself ───────────────────────────────────────────────────────────────────────────


def test_requests_have_ids(guarded: TestClient) -> None:
    assert guarded.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    forged = guarded.get("/healthz", headers={"x-request-id": 'a"\tb'}).headers["x-request-id"]
    assert len(forged) == 32
    assert "x-request-id" in guarded.get("/v1/models").headers  # refusals too


def test_the_log_has_a_line_a_request_and_no_secret(
    guarded: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "rankrag.server"):
        guarded.post("/v1/ask", json={"question": "a private question"}, headers=bearer(KEY))
        guarded.get("/v1/ask?key=" + KEY, headers=bearer("wrong-but-secret"))
    lines = [Lines().format(record) for record in caplog.records if record.name == "rankrag.server"]
    facts = [json.loads(line) for line in lines]
    assert [(one["route"], one["status"]) for one in facts] == [("/v1/ask", 200), ("other", 401)]
    assert set(facts[0]) == {"time", "level", "message", "id", "method", "route", "status", "seconds"}
    for secret in (KEY, "private", "wrong-but-secret"):
        assert secret not in "\n".join(lines)


def test_metrics(index: Path) -> None:
    with client(make_app(index)) as http:
        http.post("/v1/ask", json={"question": QUESTION})
        http.post("/v1/ask", json={"question": QUESTION, "min_relevance": 1})
        http.get("/some/thing/of/a/client")
        text = http.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['rankrag_requests_total{route="/v1/ask",status="200"}'] == "2.0"
    assert lines['rankrag_requests_total{route="other",status="404"}'] == "1.0"
    assert lines["rankrag_answers_total"] == "2.0"
    assert lines["rankrag_abstentions_total"] == "1.0"
    for step in ("retrieve", "rank", "generate", "cite"):
        assert float(lines[f'rankrag_step_seconds_count{{step="{step}"}}']) >= 1
    assert float(lines["rankrag_batch_prompts_count"]) >= 2
    assert float(lines["rankrag_prompts_scored_total"]) >= 2
    assert float(lines['rankrag_tokens_total{kind="completion"}']) > 0
    assert lines["rankrag_requests_waiting"] == "0.0"
    if sys.platform == "linux":
        assert float(lines["process_resident_memory_bytes"]) > 1e7


def test_ready_only_between_start_and_end(index: Path) -> None:
    app = make_app(index)
    before = client(app)
    assert before.get("/readyz").status_code == 503
    with client(app) as http:
        assert http.get("/readyz").status_code == 200
    assert before.get("/readyz").status_code == 503


def test_a_bug_is_logged_and_not_told(index: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def search(self, query: str, k: int, filters: object = None) -> list[object]:
            if query == "fail":
                raise FailureError("found a full disk, wanted room")
            raise ZeroDivisionError("secret place /home/me")

    app = make_app(index)
    state = app.state.rankrag
    object.__setattr__(state.pipeline, "retriever", Broken())
    with client(app) as http, caplog.at_level(logging.ERROR, "rankrag.server"):
        for stream in (False, True):
            response = http.post("/v1/ask", json={"question": QUESTION, "stream": stream})
            assert response.status_code == 500
            assert "secret place" not in response.text
            assert response.json()["error"]["code"] == "bug"
            assert response.headers["x-request-id"]
        known = http.post("/v1/ask", json={"question": "fail"})
    assert known.status_code == 503
    assert known.json()["error"]["message"] == "found a full disk, wanted room"
    assert b'route="/v1/ask",status="500"} 2.0' in state.telemetry.text()
    assert any(record.exc_info for record in caplog.records)


def test_the_page_runs_nothing_but_its_own(index: Path) -> None:
    with client(make_app(index)) as http:
        first, second = http.get("/"), http.get("/")
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert f'nonce="{nonce}"' in first.text
    assert "__NONCE__" not in first.text
    assert policy != second.headers["content-security-policy"]
    assert "http://" not in first.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in first.text
