"""A server that fails in every way we know of: tried again, or told in one line without the key."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

import remote_server
from rankrag.errors import FailureError
from rankrag.model.remote.client import RemoteLanguageModel
from rankrag.model.remote.http import Endpoint
from remote_server import (
    CURIE,
    KEY,
    Act,
    Handler,
    Json,
    Server,
    asked,
    chunk,
    connect,
    hangs_up,
    says,
)
from serving import PATIENCE_S, until

server = remote_server.server


def hangs_up_later(handler: Handler, body: Json) -> None:
    handler.begin()
    handler.line(": hello\n\n")
    handler.hang_up()


def fails_later(handler: Handler, body: Json) -> None:
    handler.begin()
    handler.event({"error": {"message": "out of memory"}})
    handler.end()


BUSY: dict[str, Act] = {
    "429": says(429, "slow down"),
    "503": says(503, "loading"),
    "hang up": hangs_up,
    "hang up in the body": hangs_up_later,
    "no body": lambda handler, body: handler.raw(b"", 502, "text/html"),
}


@pytest.mark.parametrize("name", BUSY)
def test_a_passing_failure_is_tried_again(server: Server, name: str) -> None:
    server.acts = [BUSY[name]] * 2
    assert "Warsaw" in "".join(connect(server).generate(asked("openai", CURIE), 32))
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_left(server: Server) -> None:
    server.always = says(429, "slow down")
    with pytest.raises(
        FailureError, match=r"found status 429 from 127.0.0.1:\d+ \(slow down\), wanted an answer"
    ):
        list(connect(server, attempts=4).generate(asked("openai"), 32))
    assert len(server.requests) == 4


def test_a_server_that_says_how_long_is_waited_for(server: Server) -> None:
    server.acts = [says(429, "slow down", Retry_After="0.2")]
    started = time.monotonic()
    list(connect(server).generate(asked("openai"), 32))
    assert time.monotonic() - started >= 0.2


YESTERDAY = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
TOMORROW = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)


@pytest.mark.parametrize("soon", [YESTERDAY, "soon"], ids=["date", "no time"])
def test_a_date_that_is_past_is_not_waited_for(server: Server, soon: str) -> None:
    server.acts = [says(429, "slow down", Retry_After=soon)]
    list(connect(server).generate(asked("openai"), 32))
    assert len(server.requests) == 2


@pytest.mark.parametrize("late", ["3600", TOMORROW], ids=["seconds", "date"])
def test_a_server_that_asks_for_an_hour_is_not_waited_for(server: Server, late: str) -> None:
    server.acts = [says(429, "come tomorrow", Retry_After=late)]
    with pytest.raises(FailureError, match=r"it asks to wait \d+ s"):
        list(connect(server).generate(asked("openai"), 32))
    assert len(server.requests) == 1


FINAL: dict[str, tuple[Act, str]] = {
    "key": (says(401, f"Incorrect API key provided: {KEY}."), "found status 401 from 127.0.0.1"),
    "model": (says(404, "The model `tiny` does not exist."), "The model `tiny` does not exist."),
    "long": (says(400, "maximum context length is 512 tokens"), "RANKRAG_CONTEXT_LENGTH"),
    "detail": (lambda h, b: h.json({"detail": "no such way"}, 405), "no such way"),
    "page": (lambda h, b: h.raw(b"<h1>Hello</h1>", kind="text/html"), r"found no JSON object .*<h1>Hello"),
    "list": (lambda h, b: h.json([1, 2]), "found no JSON object in what 127.0.0.1"),
    "half": (lambda h, b: h.raw(b'{"choices": ['), "found no JSON object"),
    "bad event": (lambda h, b: h.raw(b"data: {nope\n\n", kind="text/event-stream"), "found no JSON object"),
    "error in a stream": (fails_later, "out of memory"),
}


@pytest.mark.parametrize("name", FINAL)
def test_a_final_failure_is_one_line_without_the_key(server: Server, name: str) -> None:
    act, said = FINAL[name]
    server.always = act
    with pytest.raises(FailureError, match=said) as caught:
        list(connect(server).generate(asked("openai"), 32))
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.always = lambda h, b: h.json({}, 307, Location=f"{server.url}/elsewhere")
    with pytest.raises(FailureError, match="redirects are not followed"):
        list(connect(server).generate(asked("openai"), 32))
    assert len(server.requests) == 1


def test_an_answer_that_breaks_off_is_no_answer(server: Server) -> None:
    def act(handler: Handler, body: Json) -> None:
        handler.begin()
        handler.event(chunk(body, "In War"))
        handler.hang_up()

    server.acts = [act]
    answer = connect(server).generate(asked("openai"), 32)
    assert next(answer) == "In War"
    with pytest.raises(FailureError, match=r"breaks off|found no answer"):
        next(answer)
    assert len(server.requests) == 1


def test_a_silent_server_is_left_after_the_time_limit(server: Server) -> None:
    go_on = threading.Event()

    def silent(handler: Handler, body: Json) -> None:
        go_on.wait(PATIENCE_S)
        handler.hang_up()

    server.always = silent
    with pytest.raises(FailureError, match="timed out"):
        list(connect(server, timeout_s=0.05, attempts=2).generate(asked("openai"), 32))
    until(lambda: len(server.requests) == 2)  # the client may have left before its request was read
    go_on.set()


def test_where_nobody_listens_it_says_what_to_start(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", pause_s=0.001)
        lm = RemoteLanguageModel(endpoint, "tiny", context_length=9)
        with pytest.raises(FailureError, match=f"found no answer from 127.0.0.1:{port} .*start the server"):
            list(lm.generate(asked("openai"), 32))


def test_a_long_message_is_cut(server: Server) -> None:
    server.acts = [says(400, "long\n" * 500)]
    with pytest.raises(FailureError) as caught:
        list(connect(server).generate(asked("openai"), 32))
    assert len(str(caught.value)) < 500
