"""A server under load: sixteen clients at once against one after the other, and a soak that breaks things.

    python benchmarks/speed/serve.py throughput [--model smollm2-135m] [--documents 2,10] [--rounds 3]
    python benchmarks/speed/serve.py soak [--model fake] [--clients 16] [--minutes 10]

Both start `rankrag serve` as a process of its own. Throughput sends the same rerank requests one after the
other and then all at once, in turns, and prints the ratio of the times; every round has texts that no round
before had, so nothing is remembered. Soak has clients that ask, rerank, upload, delete, leave in the middle
and send what is no request, for some minutes; it fails if the server dies, if an accepted request is
answered wrongly, or if its memory grows by more than 5 % from the second fifth of the time to the last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from urllib.parse import urlsplit

import httpx

TEXTS = Path(__file__).parents[2] / "docs"
WORDS = [word for word in (TEXTS / "architecture.md").read_text().split() if word.isalpha()]
QUESTION = "What may a room import?"
GROWTH = 0.05


@contextlib.contextmanager
def serving(folder: Path, model: str) -> Iterator[tuple[str, int]]:
    """Run `rankrag serve` over this project's documents; give its URL and process number."""
    rankrag = [sys.executable, "-m", "rankrag"]
    index, log = folder / "index", folder / "log"
    pages = [str(page) for page in sorted(TEXTS.glob("*.md"))]
    subprocess.run([*rankrag, "index", *pages, "--index", str(index), "--encoder", "none"], check=True)
    command = [
        *rankrag,
        "serve",
        "--index",
        str(index),
        "--model",
        model,
        "--port",
        "0",
        "--max-waiting",
        "64",
        "--rerank-deadline",
        "0",  # all of it, however long it takes: times of half a ranking would compare nothing
    ]
    environment = {**os.environ, "RANKRAG_INDEX_CACHE_MB": "8"}  # full, and so level, soon
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream, env=environment)
    try:
        while " at http" not in log.read_text():
            if process.poll() is not None:
                raise SystemExit(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.2)
        url = log.read_text().split(" at ")[1].split(",")[0]
        _wait(url)
        yield url, process.pid
        if process.poll() is not None:
            raise SystemExit(f"the server died with {process.returncode}:\n{log.read_text()[-3000:]}")
    finally:
        process.terminate()
        process.wait(60)


def _wait(url: str) -> None:
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit("the server is not ready after a minute")


# ── throughput ───────────────────────────────────────────────────────────────────────────────────────


def throughput(url: str, clients: int, documents: int, rounds: int, seed: int) -> dict[str, object]:
    """Return the times of the same number of requests, one after the other and all at once."""
    draw = random.Random(seed)

    def request() -> dict[str, object]:
        texts = [" ".join(draw.choices(WORDS, k=80)) for _ in range(documents)]
        return {"query": QUESTION, "documents": texts}

    def send(body: dict[str, object]) -> None:
        httpx.post(f"{url}/rerank", json=body, timeout=600).raise_for_status()

    apart: list[float] = []
    together: list[float] = []
    send(request())
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(rounds):
            for times, run in ((apart, map), (together, pool.map)):
                bodies = [request() for _ in range(clients)]
                started = time.perf_counter()
                list(run(send, bodies))
                times.append(time.perf_counter() - started)
    return {
        "clients": clients,
        "documents": documents,
        "ratio": round(sum(apart) / sum(together), 2),
        "ratios": [round(a / t, 2) for a, t in zip(apart, together, strict=True)],
    }


# ── soak ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Soak:
    """What the clients of a soak share: when it ends, what they saw, what went wrong."""

    url: str
    end: float
    documents: bool = True
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def client(self, number: int) -> None:
        """Do one thing after the other until the time is up."""
        draw = random.Random(number)
        deeds = [self.ask, self.stream, self.rerank, self.leave, self.garbage, self.wrong]
        with httpx.Client(base_url=self.url, timeout=120) as http:
            while time.monotonic() < self.end:
                uploads = number == 0 and self.documents and draw.random() < 0.1
                deed = self.document if uploads else draw.choice(deeds)
                try:
                    deed(http, draw)
                    self.seen[deed.__name__] += 1
                except Exception as error:  # whatever it is, the soak is to end with its name
                    self.faults.append(f"{deed.__name__}: {type(error).__name__}: {error}"[:300])

    def answered(self, response: httpx.Response, *statuses: int) -> bool:
        """Say whether a request was answered; refusals for want of room are counted and are no fault."""
        if response.status_code == 429:
            assert int(response.headers["retry-after"]) >= 1
            self.seen["429"] += 1
            return False
        assert response.status_code in (statuses or (200,)), f"{response.status_code} {response.text[:200]}"
        return True

    def ask(self, http: httpx.Client, draw: random.Random) -> None:
        """Ask, and compare what is cited with what was read."""
        response = http.post("/v1/ask", json={"question": QUESTION, "retrieve_k": draw.randint(1, 8)})
        if self.answered(response):
            found = response.json()
            ids = {hit["id"] for hit in found["ranked"]}
            assert found["done"]
            assert {hit["id"] for hit in found["retrieved"]} == ids
            assert {citation["passage_id"] for citation in found["citations"]} <= ids

    def stream(self, http: httpx.Client, draw: random.Random) -> None:
        """Chat in a stream and see it end as it should."""
        words = " ".join(draw.choices(WORDS, k=5))
        body = {"messages": [{"role": "user", "content": words}], "stream": True, "retrieve_k": 4}
        response = http.post("/v1/chat/completions", json=body)
        if self.answered(response):
            assert response.text.rstrip().endswith("data: [DONE]"), response.text[-200:]

    def rerank(self, http: httpx.Client, draw: random.Random) -> None:
        """Rerank texts of which one repeats the question: it has to come back with its own place."""
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 60))) for _ in range(draw.randint(1, 12))]
        response = http.post("/v2/rerank", json={"query": QUESTION, "documents": texts})
        if self.answered(response):
            found = response.json()["results"]
            assert sorted(one["index"] for one in found) == list(range(len(texts)))
            scores = [one["relevance_score"] for one in found]
            assert scores == sorted(scores, reverse=True)

    def leave(self, _: httpx.Client, draw: random.Random) -> None:
        """Send a request and hang up."""
        body = json.dumps({"question": QUESTION, "stream": draw.random() < 0.5}).encode()
        head = "POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        with self._connection() as connection:
            connection.sendall(head.encode() + body[: draw.choice([len(body), len(body) // 2])])
            time.sleep(draw.random() * 0.3)

    def garbage(self, _: httpx.Client, draw: random.Random) -> None:
        """Send bytes that are no request."""
        with self._connection() as connection, contextlib.suppress(OSError):
            connection.sendall(draw.randbytes(draw.randint(0, 2000)))

    def wrong(self, http: httpx.Client, draw: random.Random) -> None:
        """Send a body that is no good and read why."""
        bodies: list[bytes] = [
            b"{",
            b"[]",
            b'{"question": 3}',
            b'{"question": "\\ud800"}',
            b"\xff\xfe",
            b"[" * 5000,
        ]
        headers = {"content-type": "application/json"}
        response = http.post(
            draw.choice(["/v1/ask", "/rerank"]), content=draw.choice(bodies), headers=headers
        )
        if self.answered(response, 400):
            assert response.json()["error"]["message"]

    def document(self, http: httpx.Client, draw: random.Random) -> None:
        """Upload a document under one of three names and see it through."""
        text = " ".join(draw.choices(WORDS, k=300))
        name = f"soak{draw.randint(1, 3)}.md"
        response = http.post("/v1/documents", files={"file": (name, text.encode())})
        assert response.status_code == 202, response.text[:200]
        place = f"/v1/jobs/{response.json()['job']['id']}"
        while (status := http.get(place).json()["job"]["status"]) in ("queued", "running"):
            time.sleep(0.2)
        assert status == "done", http.get(place).text

    def _connection(self) -> socket.socket:
        place = urlsplit(self.url)
        return socket.create_connection((place.hostname or "", place.port or 0), timeout=30)


def soak(url: str, process: int, clients: int, minutes: float, documents: bool) -> dict[str, object]:
    """Run the clients; return what they did, what went wrong and how memory went (MB)."""
    started = time.monotonic()
    run = Soak(url, started + minutes * 60, documents)
    threads = [threading.Thread(target=run.client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    memory: list[tuple[float, float]] = []
    while any(thread.is_alive() for thread in threads):
        memory.append(((time.monotonic() - started) / (minutes * 60), resident_mb(process)))
        time.sleep(1)
    fifths = [round(mean(mb for at, mb in memory if n <= 5 * at < n + 1), 1) for n in range(5)]
    answer = httpx.post(f"{url}/v1/ask", json={"question": QUESTION}, timeout=120)
    return {
        "minutes": minutes,
        "clients": clients,
        "seen": dict(sorted(run.seen.items())),
        "faults": run.faults,
        "memory_mb_by_fifths": fifths,
        "growth": round(fifths[4] / fifths[1] - 1, 4),
        "answers_afterwards": answer.status_code == 200,
    }


def resident_mb(process: int) -> float:
    """Return the memory of a process that is in use (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["throughput", "soak"])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--documents", default="2,10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--no-documents", action="store_true", help="leave uploads out of the soak")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), chosen.model) as (url, process):
        if chosen.what == "throughput":
            for number in map(int, chosen.documents.split(",")):
                print(json.dumps(throughput(url, chosen.clients, number, chosen.rounds, number)))
            return
        found = soak(url, process, chosen.clients, chosen.minutes, not chosen.no_documents)
    print(json.dumps(found, indent=2))
    if found["faults"] or not found["answers_afterwards"] or float(str(found["growth"])) > GROWTH:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
