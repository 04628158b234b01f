"""Many clients at once, some of whom leave, while documents come in and the server is started anew."""

from __future__ import annotations

import itertools
import json
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from scale import times

from serve_process import Served, serve
from serving import PATIENCE_S, QUESTION, make_index, until

pytestmark = pytest.mark.slow

CLIENTS = 32
SECONDS = times(20)
"""How long they ask, divided among the servers that follow each other."""

SERVERS = 2
ACTS = ("ask", "chat", "rerank", "search", "upload", "left")
EACH = 5
"""How often a server has done each of these before its memory is looked at, and again before it ends."""

MOST_BYTES = 150 * 2**20
"""Memory that a server may take while it is asked, beyond what it had once it had done all of this."""

REFUSED = {429, 503}
"""Answers of a server that is full, or about to end."""


@dataclass
class Crowd:
    """What the clients know together: where the server is, what was accepted, what they were told."""

    server: Served | None = None
    over: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def client(self, seed: int) -> None:
        """Ask, send and leave until all is over; a server that is not there is waited for."""
        chance = random.Random(seed)
        acts: tuple[Callable[[str, int], str], ...] = (
            ask,
            chat,
            rerank,
            search,
            self.upload,
            leave,
            leave_stream,
        )
        while not self.over.is_set():
            if (server := self.server) is None:
                time.sleep(0.05)
                continue
            act = chance.choice(acts)
            try:
                self.counts[act(server.url, next(self.numbers))] += 1
            except (httpx.TransportError, OSError):
                self.counts["no server"] += 1
                time.sleep(0.05)
            except AssertionError as error:
                self.faults.append(f"{act.__name__}: {error}")

    def busy(self) -> None:
        """Wait until the clients were answered a few times more in each way."""
        before = self.counts.copy()
        until(lambda: self.faults or all(self.counts[act] >= before[act] + EACH for act in ACTS))

    def upload(self, url: str, number: int) -> str:
        """Send a document."""
        files = {"file": (f"owl{number}.md", f"Owl{number} has {number} feathers.".encode())}
        if said := refused(answer := httpx.post(f"{url}/v1/documents", files=files, timeout=PATIENCE_S)):
            return said
        assert answer.status_code == 202, answer.text
        self.sent.append(f"owl{number}.md")
        return "upload"


def refused(answer: httpx.Response) -> str:
    """Say that an answer is one of a server that is full or ends."""
    if answer.status_code not in REFUSED:
        return ""
    assert answer.json()["error"]["message"]
    return "refused"


def ask(url: str, number: int) -> str:
    """Ask of the index."""
    answer = httpx.post(f"{url}/v1/ask", json={"question": QUESTION}, timeout=PATIENCE_S)
    if said := refused(answer):
        return said
    assert "eighteen toes" in answer.json()["text"], answer.text
    return "ask"


def chat(url: str, number: int) -> str:
    """Ask of a document of one's own: the answer has its words, and those of no other client."""
    body = {
        "messages": [{"role": "user", "content": f"What has project{number}?"}],
        "documents": [f"Other things stand here. The project{number} has code{number}x."],
    }
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=PATIENCE_S)
    if said := refused(answer):
        return said
    text = answer.json()["choices"][0]["message"]["content"]
    assert set(re.findall(r"code\d+x", text)) == {f"code{number}x"}, answer.text
    return "chat"


def rerank(url: str, number: int) -> str:
    """Have documents of one's own ordered: all come back, each once."""
    documents = [f"mine{number} says {n}" for n in range(5)]
    body = {"query": f"mine{number}", "documents": documents, "return_documents": True}
    answer = httpx.post(f"{url}/v2/rerank", json=body, timeout=PATIENCE_S)
    if said := refused(answer):
        return said
    texts = [hit["document"]["text"] for hit in answer.json()["results"]]
    assert sorted(texts) == documents, answer.text
    return "rerank"


def search(url: str, number: int) -> str:
    """Search the index while it changes."""
    answer = httpx.post(f"{url}/v1/search", json={"question": "whales breathe", "k": 3}, timeout=PATIENCE_S)
    if said := refused(answer):
        return said
    assert "whale" in answer.json()["data"][0]["text"].lower(), answer.text
    return "search"


def leave(url: str, number: int) -> str:
    """Leave before the answer, or in the middle of the question."""
    place = urlsplit(url)
    body = json.dumps({"question": QUESTION}).encode()
    head = f"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    data = f"{head}Content-Type: application/json\r\n\r\n".encode() + body
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE_S) as connection:
        connection.sendall(data[: len(data) if number % 2 else number % len(data)])
    return "left"


def leave_stream(url: str, number: int) -> str:
    """Leave while the answer is written."""
    body = {"question": QUESTION, "stream": True}
    with httpx.stream("POST", f"{url}/v1/ask", json=body, timeout=PATIENCE_S) as answer:
        if answer.status_code in REFUSED:
            return "refused"
        for _ in answer.iter_raw():
            break
    return "left"


def listed(server: Served) -> list[str]:
    """Return the names of all documents."""
    names: list[str] = []
    after = ""
    while True:
        page = httpx.get(
            f"{server.url}/v1/documents", params={"after": after, "limit": 1000}, timeout=PATIENCE_S
        ).json()
        names += [Path(document["path"]).name for document in page["data"]]
        if not page.get("has_more"):
            return names
        after = page["data"][-1]["id"]


def test_everybody_is_answered_from_their_own_passages(tmp_path: Path) -> None:
    index, crowd = make_index(tmp_path), Crowd()
    clients = [threading.Thread(target=crowd.client, args=(seed,)) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for number in range(SERVERS):
            with serve(index, tmp_path / f"log{number}") as server:
                crowd.server = server
                crowd.busy()
                first = server.resident_bytes
                time.sleep(SECONDS / SERVERS)
                crowd.busy()
                assert server.resident_bytes - first < MOST_BYTES
                crowd.server = None
                server.process.send_signal(signal.SIGTERM)
                server.process.wait(PATIENCE_S)
                assert "Traceback" not in server.log.read_text()
    finally:
        crowd.over.set()
        for client in clients:
            client.join()
    print(dict(crowd.counts))
    assert crowd.faults == []
    with serve(index, tmp_path / "log") as server:
        names = Counter(listed(server))
        while left := set(crowd.sent) - set(names):
            until(lambda left=left: left & set(listed(server)))  # it goes on, however long all of them take
            names = Counter(listed(server))
        assert {names[name] for name in crowd.sent} == {1}
