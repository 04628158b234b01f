"""A real HTTP server on the loopback that speaks OpenAI's API, for tests of what asks one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rankrag import Passage, Prompt, Question, prompts
from rankrag.model import FakeLanguageModel
from rankrag.model.remote import client as remote
from rankrag.model.remote.client import RemoteLanguageModel, Way
from rankrag.model.remote.http import Endpoint

KEY = "sk-secret-1234"
QUESTION = Question("q", "Where was Marie Curie born?")
CURIE = Passage("curie", "Marie Curie was born in Warsaw.", title="Marie Curie")
SNOW = Passage("snow", "Snow is white in winter.")
LABELS = (prompts.TRUE, prompts.FALSE)
WAYS = pytest.mark.parametrize("way", ["openai", "openai-text"])

Json = dict[str, Any]
Act = Callable[["Handler", Json], None]


class Server(ThreadingHTTPServer):
    """Speaks OpenAI's API with word overlap for a model; `acts` are played first, one a request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.acts: list[Act] = []
        self.always: Act | None = None
        self.requests: list[tuple[str, Json, Mapping[str, str]]] = []
        self.models: Json | None = None
        self.broken = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def bodies(self) -> list[Json]:
        return [body for _, body, _ in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        self.broken.set()  # the client left: no traceback on the terminal


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {}, dict(self.headers)))
        if self.server.models is None:
            self.error(404, "Not Found")
        else:
            self.json(self.server.models)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((self.path, body, dict(self.headers)))
            act = self.server.acts.pop(0) if self.server.acts else self.server.always or model
        act(self, body)

    def raw(self, content: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        fields = {"Content-Type": kind, "Content-Length": str(len(content)), **headers}
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def json(self, content: object, status: int = 200, **headers: str) -> None:
        self.raw(json.dumps(content).encode(), status, **headers)

    def error(self, status: int, message: str, **headers: str) -> None:
        kind = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        self.json({"error": kind}, status, **headers)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def line(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, content: Json) -> None:
        self.line(f"data: {json.dumps(content)}\n\n")

    def end(self) -> None:
        self.line("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def read(body: Json) -> Prompt:
    """Return what the fake model reads: the prompt of a request, whichever way it came."""
    if "prompt" in body:
        before, _, after = body["prompt"].rpartition("\n\nUser:")
        return Prompt(before, after)
    said = body["messages"]
    return Prompt(said[0]["content"], " ".join(turn["content"] for turn in said[1:]))


def chunk(body: Json, text: str | None, reason: str | None = None) -> Json:
    """Return one event of a stream (FIELD: `chat.completion.chunk`, or `text_completion`)."""
    choice: Json = {"index": 0, "finish_reason": reason, "logprobs": None}
    choice |= {"text": text or ""} if "prompt" in body else {"delta": {"content": text} if text else {}}
    kind = "text_completion" if "prompt" in body else "chat.completion.chunk"
    return {"id": "c-1", "object": kind, "created": 1, "model": body["model"], "choices": [choice]}


def stream(*texts: str, reason: str = "stop", usage: Json | None = None) -> Act:
    """Return an act that writes these pieces."""

    def act(handler: Handler, body: Json) -> None:
        handler.begin()
        handler.line(": keep-alive\n\n")
        if "messages" in body:
            first = chunk(body, None)
            first["choices"][0]["delta"] = {"role": "assistant", "content": ""}
            handler.event(first)
        for text in texts:
            handler.event(chunk(body, text))
        handler.event(chunk(body, None, reason))
        if usage:
            handler.event({**chunk(body, None), "choices": [], "usage": usage})
        handler.end()

    return act


def model(handler: Handler, body: Json) -> None:
    """Answer as the fake language model would."""
    lm, prompt = FakeLanguageModel(), read(body)
    if body.get("stream"):
        texts = list(lm.generate(prompt, body["max_tokens"]))
        counted = {"prompt_tokens": 77, "completion_tokens": len(texts), "total_tokens": 77 + len(texts)}
        stream(*texts, usage=counted)(handler, body)
        return
    true, false = lm.logprobs([prompt], ["True", "False"])[0]
    listed(
        handler,
        body,
        {"True": true, "False": false} if "messages" in body else {" True": true, " False": false},
    )


def listed(handler: Handler, body: Json, tokens: Mapping[str, float]) -> None:
    """Answer a request for probabilities, in the shape of its endpoint."""
    best = max(tokens, key=lambda token: tokens[token])
    if "messages" in body:
        tops = [{"token": token, "logprob": score, "bytes": None} for token, score in tokens.items()]
        place = {"token": best, "logprob": tokens[best], "bytes": None, "top_logprobs": tops}
        choice: Json = {"message": {"role": "assistant", "content": best}, "logprobs": {"content": [place]}}
    else:
        found = {
            "tokens": [best],
            "token_logprobs": [tokens[best]],
            "top_logprobs": [tokens],
            "text_offset": [9],
        }
        choice = {"text": best, "logprobs": found}
    handler.json({"choices": [{"index": 0, "finish_reason": "length", **choice}], "model": body["model"]})


def lists(tokens: Mapping[str, float]) -> Act:
    return lambda handler, body: listed(handler, body, tokens)


def says(status: int, message: str, **headers: str) -> Act:
    return lambda handler, body: handler.error(status, message, **headers)


def hangs_up(handler: Handler, body: Json) -> None:
    handler.hang_up()


def without_logprobs(handler: Handler, body: Json) -> None:
    if "logprobs" in body:
        handler.json({"choices": [{"message": {"content": "True"}, "text": "True", "logprobs": None}]})
    else:
        model(handler, body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "RANKRAG_CONTEXT_LENGTH", "RANKRAG_TIMEOUT_S"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def connect(server: Server, way: Way = "openai", **settings: Any) -> RemoteLanguageModel:
    wait = {"pause_s": 0.001, **settings}
    return RemoteLanguageModel(Endpoint(server.url, KEY, **wait), "tiny", way, context_length=4096)


def asked(way: Way, *passages: Passage, question: Question = QUESTION) -> Prompt:
    return prompts.answer(question, passages, remote.FORMS[way])


def ranked(way: Way, passage: Passage = CURIE) -> Prompt:
    return prompts.rank(QUESTION, passage, remote.FORMS[way])
