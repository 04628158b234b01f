"""Connections and bodies of all kinds against a server in a process of its own, on this machine alone."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from serve_process import Served, serve
from serving import PATIENCE_S, QUESTION, make_index, until

pytestmark = pytest.mark.slow

FILES = 1024
MIB = 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    with serve(make_index(folder), folder / "log", files=FILES) as found:
        yield found


def connect(server: Served, n: int, said: bytes = b"") -> list[socket.socket]:
    """Open connections that say something, or nothing, and then are silent."""
    place = urlsplit(server.url)
    connections = []
    for _ in range(n):
        with contextlib.suppress(OSError):
            connection = socket.create_connection((place.hostname, place.port), timeout=5)
            connections.append(connection)
            connection.sendall(said)
    return connections


def close(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def asks(server: Served) -> float:
    """Ask a question as a client does; return the seconds that the answer took."""
    started = time.monotonic()
    answer = httpx.post(f"{server.url}/v1/ask", json={"question": QUESTION}, timeout=PATIENCE_S)
    assert "eighteen toes" in answer.json()["text"]
    return time.monotonic() - started


def most_s(server: Served) -> float:
    """Return the seconds that an answer may take among others: more where the machine is busy with others."""
    return 5 + 10 * max(asks(server) for _ in range(3))


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process itself have as many connections as the test needs."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"needs 4,096 open files, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_silent_connections_than_files_keep_nobody_out(server: Served, many_files: None) -> None:
    most = most_s(server)
    connections = connect(server, FILES // 2 + 38)
    connections += connect(server, FILES // 2 + 38, b"POST /v1/ask HTTP/1.1\r\nHost: localh")
    try:
        assert all(asks(server) < most for _ in range(3))
        until(lambda: all(is_closed(one) for one in connections))  # each has the time that a head may take
    finally:
        close(connections)
    assert asks(server) < most
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text()


def test_unfinished_bodies_are_bounded_in_sum(server: Served) -> None:
    most = most_s(server)
    before = server.resident_bytes
    head = "POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {8 * MIB}\r\n\r\n"
    piece = b'{"question": "' + b"x" * (8 * MIB - 100)
    connections = connect(server, 100, head.encode())

    def send(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(piece)

    try:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(send, connections))
        time.sleep(1)
        assert server.resident_bytes - before < 250 * MIB
        assert asks(server) < most
    finally:
        close(connections)
    assert asks(server) < most
