"""A server in a process of its own is killed, told to end, and shares its index with others."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from rankrag.index import faults
from serve_process import Served, serve, served
from serving import PATIENCE_S, QUESTION, make_index, until

pytestmark = pytest.mark.slow

ROUNDS = max(2, int(os.environ.get("RANKRAG_KILLS", "10")) // 10)

HELD = """
import socket, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from serving import SlowModel, make_app
from rankrag.server import listen, log_lines

app = make_app(Path({index!r}), SlowModel())
log_lines()
listener = socket.create_server(("127.0.0.1", 0))
print("held at http://127.0.0.1:%d, y" % listener.getsockname()[1], file=sys.stderr, flush=True)
listen(app, listener, {grace_s})
"""
"""A server whose model never comes to an end."""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path)


def send(server: Served, name: str, text: str) -> str:
    sent = httpx.post(f"{server.url}/v1/documents", files={"file": (name, text.encode())}, timeout=PATIENCE_S)
    assert sent.status_code == 202, sent.text
    return str(sent.json()["job"]["id"])


def job_of(server: Served, name: str) -> dict[str, Any]:
    return dict(httpx.get(f"{server.url}/v1/jobs/{name}", timeout=PATIENCE_S).json()["job"])


def done(server: Served, *names: str) -> None:
    for name in names:
        until(lambda name=name: job_of(server, name)["status"] == "done")


def documents(server: Served) -> list[dict[str, Any]]:
    return list(httpx.get(f"{server.url}/v1/documents", timeout=PATIENCE_S).json()["data"])


def listed(server: Served) -> list[str]:
    return sorted(Path(document["path"]).name for document in documents(server))


def test_what_was_accepted_survives_a_kill(index: Path, tmp_path: Path) -> None:
    """Each round accepts uploads and a deletion and is killed; the last server has what it should, once."""
    generator = random.Random(os.environ.get("RANKRAG_SEED", "1"))
    names: list[str] = []
    wanted: set[str] = set()
    for round_ in range(ROUNDS):
        with serve(index, tmp_path / "log") as server:
            for name in [name for name in listed(server) if name in wanted][:1]:
                path = next(d["id"] for d in documents(server) if d["id"].endswith(f"/{name}"))
                if httpx.delete(f"{server.url}/v1/documents/{path}", timeout=PATIENCE_S).status_code == 200:
                    wanted.remove(name)
            names += [send(server, f"{round_}-{n}.md", f"Owl {round_} {n} flies.") for n in range(5)]
            wanted |= {f"{round_}-{n}.md" for n in range(5)}
            time.sleep(generator.uniform(0, 1))
            server.process.kill()
    with serve(index, tmp_path / "log") as server:
        done(server, *names[-100:])
        files = [name for name in listed(server) if name[0].isdigit()]
    assert files == sorted(wanted)
    assert faults(index) == []


def test_two_servers_and_a_build_share_an_index(index: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for n in range(5):
        (tmp_path / "more" / f"build{n}.md").write_text(f"Owl build{n} sleeps.")
    build = [sys.executable, "-m", "rankrag", "index", str(tmp_path / "more"), "--index", str(index)]
    with serve(index, tmp_path / "a") as one, serve(index, tmp_path / "b") as two:
        with ThreadPoolExecutor(4) as pool:
            building = pool.submit(_built, build)
            names = list(pool.map(lambda n: send((one, two)[n % 2], f"{n}.md", f"Owl {n} flies."), range(20)))
            building.result()
        done(one, *names)
        assert {f"{n}.md" for n in range(20)} | {f"build{n}.md" for n in range(5)} <= set(listed(two))


def _built(command: list[str]) -> None:
    """Build, again where an upload held the index: a build does not wait."""
    for _ in range(20):
        if subprocess.run([*command, "--encoder", "none"], capture_output=True).returncode == 0:
            return
        time.sleep(0.3)
    raise AssertionError("the index was never free")


def test_it_ends_in_its_time_and_tells_whoever_waits(index: Path, tmp_path: Path) -> None:
    script = HELD.format(tests=str(Path(__file__).parents[1]), index=str(index), grace_s=1)
    bodies: list[tuple[str, dict[str, object]]] = [
        ("/v1/ask", {"question": QUESTION}),
        ("/rerank", {"query": QUESTION, "documents": ["x"]}),
    ]
    events: list[str] = []

    def follow(url: str) -> None:
        body = {"question": QUESTION, "stream": True}
        with httpx.stream("POST", f"{url}/v1/ask", json=body, timeout=PATIENCE_S) as answer:
            for line in answer.iter_lines():
                events.append(line)

    with served([sys.executable, "-c", script], tmp_path / "log") as server, ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(httpx.post, server.url + path, json=body, timeout=PATIENCE_S) for path, body in bodies
        ]
        followed = pool.submit(follow, server.url)
        until(lambda: events)  # it has retrieved
        until(lambda: "running 3.0" in httpx.get(f"{server.url}/metrics", timeout=PATIENCE_S).text)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE_S)
        assert time.monotonic() - started < 1 + 20  # its model would hold it for far longer
        followed.result()
        for answer in (sent.result() for sent in asked):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "closing")
        assert [line for line in events if line.startswith("event: ")][-1] == "event: error"
        lines = server.log.read_text().splitlines()[1:]
        assert not any("traceback" in json.loads(line) for line in lines)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGSTOP")
def test_a_stopped_server_goes_on_where_it_was(index: Path, tmp_path: Path) -> None:
    with serve(index, tmp_path / "log") as server:
        names = [send(server, f"{n}.md", f"Owl {n} flies.") for n in range(3)]
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGCONT)
        done(server, *names)
        answer = httpx.post(f"{server.url}/v1/ask", json={"question": QUESTION}, timeout=PATIENCE_S)
        assert "eighteen toes" in answer.json()["text"]
