"""How a server ends: what runs may finish for a while, then is told so in the shape that it expects."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from rankrag.server.desk import Desk
from rankrag.server.routes.tools import tools
from rankrag.server.safety.bodies import UNCOUNTED
from rankrag.server.telemetry import Lines, log_lines
from serving import PATIENCE_S, QUESTION, SlowModel, bodies_of, client, live, make_app, make_index, until

TOOL = {"name": "ask", "arguments": {"question": QUESTION}}
CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": TOOL}
MCP = {"accept": "application/json, text/event-stream"}
MESSAGES = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


def at_end(index: Path, path: str, body: dict[str, Any], grace_s: float = 0.2, **more: Any) -> httpx.Response:
    """Return what a request is told whose server ends while its model is at work."""
    model = SlowModel()
    app = make_app(index, model)
    with ThreadPoolExecutor(1) as pool:
        with live(app, grace_s) as url:
            sent: Future[httpx.Response] = pool.submit(
                httpx.post, url + path, json=body, timeout=PATIENCE_S, **more
            )
            until(lambda: model.begun)  # it has retrieved
            started = time.monotonic()
        assert time.monotonic() - started < grace_s + 10  # the model is held for far longer
        model.go.set()
        return sent.result()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/ask", {"question": QUESTION}),
        ("/v1/chat/completions", {"messages": MESSAGES}),
        ("/rerank", {"query": QUESTION, "documents": ["x"]}),
    ],
)
@pytest.mark.slow
def test_a_request_that_is_not_through_is_told_in_our_shape(
    index: Path, path: str, body: dict[str, Any]
) -> None:
    answer = at_end(index, path, body)
    assert answer.status_code == 503
    assert answer.json()["error"] == {
        "message": "found the server closing, wanted it to run: ask again in a moment",
        "type": "server_error",
        "param": None,
        "code": "closing",
    }


def test_a_stream_that_has_begun_ends_with_an_event(index: Path) -> None:
    answer = at_end(index, "/v1/ask", {"question": QUESTION, "stream": True})
    assert answer.status_code == 200  # it had retrieved
    last = answer.text.rstrip().rsplit("\n\n", 1)[-1]
    assert last.startswith("event: error\ndata: ")
    assert '"code":"closing"' in last


def test_a_tool_is_told_in_its_protocol(index: Path) -> None:
    answer = at_end(index, "/mcp", CALL, headers=MCP)
    said = answer.json()
    assert said["id"] == 7
    assert said["result"]["isError"]
    assert "found the server closing" in said["result"]["content"][0]["text"]


@pytest.mark.slow
def test_an_upload_that_is_still_coming_is_told_so(index: Path) -> None:
    ended, app = threading.Event(), make_app(index)

    def slowly() -> Iterator[bytes]:
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n'
        yield head + b"hello" * UNCOUNTED
        ended.wait(PATIENCE_S)
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    with ThreadPoolExecutor(1) as pool:
        with live(app, 0.1) as url:
            sent = pool.submit(
                httpx.post, f"{url}/v1/documents", content=slowly(), headers=headers, timeout=PATIENCE_S
            )
            until(lambda: bodies_of(app)._uploads.n_bytes)  # the server reads it
        ended.set()
        answer = sent.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "closing")


@pytest.mark.slow
def test_what_is_through_in_time_is_answered(index: Path) -> None:
    model = SlowModel()
    app = make_app(index, model)
    with ThreadPoolExecutor(2) as pool:
        with live(app, PATIENCE_S) as url:
            sent = pool.submit(httpx.post, f"{url}/v1/ask", json={"question": QUESTION}, timeout=PATIENCE_S)
            until(lambda: app.state.rankrag.desk.n_running == 1)
            threading.Timer(0.3, model.go.set).start()
        assert sent.result().json()["done"]


@pytest.mark.slow
def test_it_is_not_ready_once_it_closes(index: Path) -> None:
    model = SlowModel()
    app = make_app(index, model)
    with live(app) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
        assert http.get("/readyz").status_code == 200
        app.state.ready = False
        assert (http.get("/readyz").status_code, http.get("/readyz").json()["status"]) == (503, "closing")
        model.go.set()


@pytest.mark.slow
def test_the_end_leaves_no_traceback(index: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        at_end(index, "/v1/ask", {"question": QUESTION})
        at_end(index, "/v1/chat/completions", {"messages": MESSAGES, "stream": True})
    lines = [json.loads(Lines().format(record)) for record in caplog.records if record.levelno > logging.INFO]
    assert not any("traceback" in line for line in lines)


def test_a_desk_that_closes_tells_whoever_comes_later() -> None:
    import anyio

    from rankrag.server.sharing import ClosingError

    async def come() -> None:
        desk = Desk(1, 1, 30)
        desk.close(0.01)
        with pytest.raises(ClosingError), desk.in_time():
            await anyio.sleep(10)

    anyio.run(come)


# ── requests of assistants that cannot be read ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"garbage", "application/json", 400, -32700),
        (b"", "application/json", 400, -32700),
        (b"\xff\xfe", "application/json", 400, -32700),
        (b"[]", "application/json", 400, -32602),
        (b'{"a": 1}', "application/json", 400, -32602),
        (b"[" * 1000, "application/json", 400, -32700),
        (b"{}", "text/plain", 415, -32700),
        (b"x" * 9_000_000, "application/json", 413, -32700),
    ],
)
def test_what_is_no_request_is_told_in_the_protocol(
    index: Path, body: bytes, kind: str, status: int, code: int
) -> None:
    with client(make_app(index)) as http:
        answer = http.post("/mcp", content=body, headers={"content-type": kind, **MCP})
    said = answer.json()
    assert (answer.status_code, said["jsonrpc"], said["error"]["code"]) == (status, "2.0", code)


# ── the log, and a loop that ends ────────────────────────────────────────────────────────────────────


def test_tools_leave_the_log_of_the_process_alone(index: Path) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    tools(make_app(index).state.rankrag)
    assert (root.handlers, root.level) == before


def test_everything_is_logged_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("", "rankrag", "uvicorn", "mcp")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    try:
        log_lines()
        logging.getLogger("asyncio").error("socket.accept() out of system resource")
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["level"] == "error"


LOOP_ENDS = """
import socket, sys, threading
sys.path.insert(0, {tests!r})
from pathlib import Path
from serving import SlowModel, make_app
from rankrag.server import listen, log_lines

app = make_app(Path({index!r}), SlowModel())
threading.Thread(target=threading.Event().wait).start()  # as a thread of the model, it never ends

@app.get("/break")
async def broken() -> None:
    import asyncio
    asyncio.get_running_loop().call_soon(sys.exit)

log_lines()
listener = socket.create_server(("127.0.0.1", 0))
print("x at http://127.0.0.1:%d, y" % listener.getsockname()[1], file=sys.stderr, flush=True)
listen(app, listener, 1)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of open files")
def test_a_loop_that_ends_ends_the_process(index: Path, tmp_path: Path) -> None:
    from serve_process import served

    script = LOOP_ENDS.format(tests=str(Path(__file__).parent), index=str(index))
    with served([sys.executable, "-c", script], tmp_path / "log") as server:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{server.url}/break", timeout=PATIENCE_S)
        assert server.process.wait(PATIENCE_S) == 1
        last = json.loads(server.log.read_text().splitlines()[-1])
        assert (last["level"], last["message"]) == ("critical", "the loop that answers requests ended")


@pytest.mark.slow
def test_a_process_that_reads_no_requests_on_standard_input_answers_the_next(index: Path) -> None:
    command = [sys.executable, "-m", "rankrag", "mcp", "--index", str(index), "--model", "fake"]
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    said = b"garbage\n[]\n" + json.dumps(hello).encode() + b"\n"
    ran = subprocess.run(command, input=said, capture_output=True, timeout=PATIENCE_S)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert any(answer.get("id") == 1 and "result" in answer for answer in answers)
    assert sum("error" in answer for answer in answers) == 2
