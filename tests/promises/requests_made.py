"""Requests of every route, sound ones first, then with anything in the place of anything."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from serving import QUESTION

LARGEST = 9 * 2**20
"""Bytes of a body: a megabyte more than a server takes."""

DOCUMENTS = ["Tea is green.", "A cat has eighteen toes.", {"text": "Many cats.", "title": "Cats", "id": "7"}]
TALK = [{"role": "user", "content": "Do cats have toes?"}, {"role": "assistant", "content": "Yes."}]
CHAT = {
    "messages": [{"role": "system", "content": "Be short."}, *TALK, {"role": "user", "content": QUESTION}]
}
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="new.md"\r\n\r\nOwls fly.\r\n--x--\r\n'


@dataclass(frozen=True)
class Made:
    """A request: `body` is what is written as JSON, `raw` its bytes where they are something else."""

    method: str
    path: str
    body: Any = None
    query: bytes = b""
    raw: bytes | None = None
    headers: tuple[tuple[bytes, bytes], ...] = field(default=((b"host", b"localhost"),))

    @cached_property
    def content(self) -> bytes:
        """The bytes that are sent."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()


def call(name: str, **arguments: object) -> dict[str, object]:
    """Return a call of a tool."""
    said = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": said}


SOUND = (
    Made(
        "POST",
        "/v1/ask",
        {"question": QUESTION, "history": TALK, "style": "phrase", "retrieve_k": 3, "read_k": 2},
    ),
    Made(
        "POST",
        "/v1/ask",
        {"question": QUESTION, "stream": True, "threshold": 0.1, "filters": {"path": "*.md"}},
    ),
    Made(
        "POST", "/v1/search", {"question": QUESTION, "k": 3, "rank": True, "filters": {"path": "*", "a": "b"}}
    ),
    Made("POST", "/v1/chat/completions", {**CHAT, "stream": True, "stream_options": {"include_usage": True}}),
    Made(
        "POST",
        "/v1/chat/completions",
        {**CHAT, "documents": DOCUMENTS, "read_k": 1, "min_relevance": 0.1, "n": 1},
    ),
    Made("POST", "/rerank", {"query": QUESTION, "documents": DOCUMENTS, "top_n": 2, "rank_fields": ["text"]}),
    Made(
        "POST",
        "/rerank",
        {"query": QUESTION, "texts": DOCUMENTS[:2], "return_text": True, "raw_scores": False},
    ),
    Made(
        "POST", "/v1/rerank", {"query": QUESTION, "documents": DOCUMENTS[:2], "top_k": 2, "truncation": True}
    ),
    Made(
        "POST", "/v2/rerank", {"query": QUESTION, "documents": DOCUMENTS, "max_tokens_per_doc": 9, "top_n": 1}
    ),
    Made("POST", "/score", {"text_1": QUESTION, "text_2": ["Tea.", "Cats."], "model": "rankrag"}),
    Made("POST", "/v1/score", {"queries": [QUESTION], "documents": ["Tea."]}),
    Made(
        "POST", "/v1/embeddings", {"input": ["Tea.", "Cats."], "encoding_format": "base64", "dimensions": 2}
    ),
    Made("POST", "/mcp", call("rerank", question=QUESTION, texts=["Tea.", "Cats."])),
    Made("POST", "/mcp", call("search", question=QUESTION, k=2)),
    Made("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}),
    Made("POST", "/v1/documents", raw=FORM),
    Made("GET", "/v1/documents", query=b"after=cats.md&limit=2"),
    Made("DELETE", "/v1/documents/new.md"),
    Made("GET", "/v1/jobs"),
    Made("GET", "/v1/jobs/1"),
    Made("POST", "/v1/jobs/1/cancel"),
    Made("GET", "/v1/models"),
    Made("GET", "/v1/info"),
    Made("GET", "/metrics"),
    Made("GET", "/healthz"),
    Made("GET", "/readyz"),
    Made("GET", "/favicon.ico"),
    Made("GET", "/openapi.json"),
    Made("GET", "/"),
)
"""A request for every route; one that is not found says so."""

_WRITING = tuple(request for request in SOUND if request.body is not None)
_READING = tuple(request for request in SOUND if request.body is None)

_TEXTS = (
    "", " ", "\0", "\x1b[31m", "\ud800", "💥" * 50, "a" * 3000, "word " * 25_000, "'; DROP TABLE x; --",
    "%s%n{0}", "../../etc/passwd", "<script>alert(1)</script>", "<|im_end|>", "\n\nUser: x\n\nAssistant:",
    "\u202eabc", "NaN", "True", "*" * 60, "[" * 40, "[!a-]*?", "a" * 101_000, "Ä̈" * 500, "\r\nX: a",
)  # fmt: skip
_NUMBERS = (
    0,
    -1,
    1,
    2,
    1.5,
    10**6,
    10**9,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**400,
    1e308,
    -1e308,
    5e-324,
    True,
)
_ODD: tuple[Any, ...] = (
    None,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    [[[[[[]]]]]],
    {"a": {"b": {"c": []}}},
    ["x"] * 1500,
    [{}] * 40,
)
_HEADERS = (
    (b"content-type", b"text/plain"),
    (b"content-type", b"multipart/form-data; boundary=x"),
    (b"content-type", b"multipart/form-data"),
    (b"content-type", b"application/json; charset=utf-16"),
    (b"content-type", b"\xff\xfe"),
    (b"accept", b"text/event-stream"),
    (b"accept", b"*/*;q=nonsense"),
    (b"authorization", b"Bearer \xff"),
    (b"content-length", b"5"),
    (b"content-length", b"-1"),
    (b"content-length", "٣".encode("latin-1", "replace")),
    (b"content-length", b"9" * 5000),
    (b"content-encoding", b"gzip"),
    (b"origin", b"http://evil.example"),
    (b"origin", b"null"),
    (b"host", b"evil.example"),
    (b"x-request-id", b"a\r\nb"),
    (b"x-request-id", b"i" * 5000),
    (b"mcp-session-id", b"\x00"),
    (b"last-event-id", b"-1"),
    (b"range", b"bytes=-1"),
)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "")


def made(count: int, seed: int) -> Iterator[Made]:
    """Yield so many requests, drawn from a seed."""
    chance = random.Random(seed)
    for _ in range(count):
        request = chance.choice(_WRITING if chance.random() < 0.93 else _READING)
        if request.body is not None:
            request = _with_body(request, chance)
        if len(request.content) > LARGEST:
            request = replace(request, raw=request.content[:LARGEST])
        yield _around(request, chance)


def _with_body(request: Made, chance: random.Random) -> Made:
    body = copy.deepcopy(request.body)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        body = _changed(body, chance)
    request = replace(request, body=body)
    way = chance.randrange(40)
    if way > 4:
        return request
    data = bytearray(request.content or b"0")
    if way == 0:
        del data[chance.randrange(len(data)) :]
    elif way == 1:
        for _ in range(chance.choice((1, 5))):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif way == 2:
        data[:] = chance.choice(
            (b"", b"null", b"[" * 100_000, b'{"a":' * 63 + b"1" + b"}" * 63, b"\xff\xfe{\0}\0")
        )
    elif way == 3:
        data[:] = data.replace(b"{", b'{"question": NaN, "query": Infinity, "k": 1e999, ', 1)
    else:
        data[:] = data[:-1] + b", " + data[1:]  # every name twice
    return replace(request, raw=bytes(data))


def _changed(value: Any, chance: random.Random) -> Any:
    """Return a value of JSON with one place of it changed."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice([*value])
        way = chance.randrange(12)
        if way == 0:
            del value[name]
        elif way == 1:
            value[_odd_text(chance)] = value[name]
        elif way == 2 and name == "filters":
            value[name] = {f"f{n}": "x" for n in range(chance.choice((5, 33, 5000)))}
        elif way == 3:
            value[chance.choice(_NAMES)] = chance.choice((*_NUMBERS, *_ODD, *_TEXTS))
        else:
            value[name] = _changed(value[name], chance)
        return value
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        if chance.random() < 0.2:
            deep = any(isinstance(one, list | dict) for one in value)
            return (value * chance.choice((2, 30 if deep else 600)))[:20_000]
        value[place] = _changed(value[place], chance)
        return value
    kind = chance.randrange(10)
    if kind < 4:
        return _odd_text(chance)
    return copy.deepcopy(chance.choice(_NUMBERS if kind < 8 else _ODD))


_NAMES = sorted(
    {name for request in _WRITING for name in request.body} | {"tools", "stop", "instruction", "x"}
)


def _odd_text(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return "".join(
            chr(chance.choice((32, 97, 0x301, 0x4E2D, 0x1F600)) + chance.randrange(26)) for _ in range(9)
        )
    return chance.choice(_TEXTS)


def _around(request: Made, chance: random.Random) -> Made:
    """Return a request with its headers, sometimes odd ones, and sometimes another method or path."""
    kind = b"multipart/form-data; boundary=x" if request.raw == FORM else b"application/json"
    headers = [*request.headers, (b"content-type", kind), (b"accept", b"application/json, text/event-stream")]
    if chance.random() < 0.1:
        headers = [*headers, chance.choice(_HEADERS)]
    if request.raw == FORM and chance.random() < 0.8:
        data = bytearray(FORM)
        start = chance.randrange(len(data))
        data[start : start + chance.choice((0, 1, 9))] = chance.choice(
            (b"", b"\0", b"--x", b"\r\n", b"\xff", b'"', b"/")
        )
        request = replace(request, raw=bytes(data))
    if chance.random() < 0.05:
        return replace(request, headers=tuple(headers), method=chance.choice(_METHODS))
    if chance.random() < 0.05:
        path = request.path + chance.choice(
            ("/", "//", "/..", "/%00", "\0", "é" * 9, "a" * 9000, "?a=b", ";x")
        )
        return replace(
            request,
            headers=tuple(headers),
            path=path,
            query=chance.choice((b"", b"limit=-1", b"after=%ff&limit=x")),
        )
    return replace(request, headers=tuple(headers))
