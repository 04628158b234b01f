"""`rankrag serve` on the command line: what it refuses to start with, and a process that serves and ends."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

import serve_process
from rankrag.cli import serve, served
from rankrag.cli.app import run
from rankrag.errors import FailureError
from rankrag.server import ServerSettings
from rankrag.system import SystemSpec
from serving import PATIENCE_S, QUESTION, client, make_index, until

KEY = "correct-horse-battery"


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["serve", "--model", "fake", *arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if ": warning: " not in line]
    assert len(lines) == 1
    return code, lines[0]


def test_it_wants_keys_where_others_can_reach_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = fails(capsys, "--host", "0.0.0.0")
    assert code == 2
    assert "give --api-key-file, or --no-key" in said
    weak = tmp_path / "keys"
    weak.write_text("# mine\nshort\n")
    assert fails(capsys, "--api-key-file", str(weak))[0] == 2
    weak.write_text("# none\n\n")
    assert "with none, wanted keys of 16" in fails(capsys, "--api-key-file", str(weak))[1]
    assert fails(capsys, "--api-key-file", str(tmp_path / "nowhere"))[0] == 4


def test_it_says_what_it_cannot_serve(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert fails(capsys, "--index", str(tmp_path / "nowhere"))[0] == 4
    assert fails(capsys, "--read-k", "9", "--retrieve-k", "3")[0] == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = fails(capsys, "--port", str(taken.getsockname()[1]))
    assert code == 6
    assert "wanted a free port" in said


@pytest.mark.parametrize(
    ("host", "more", "hosts"),
    [
        ("127.0.0.1", (), {"localhost", "127.0.0.1", "[::1]"}),
        ("localhost", ("rag.example",), {"localhost", "127.0.0.1", "[::1]", "rag.example"}),
        ("::1", (), {"localhost", "127.0.0.1", "[::1]"}),
        ("0.0.0.0", (), None),
        ("0.0.0.0", ("RAG.example",), {"localhost", "127.0.0.1", "[::1]", "0.0.0.0", "rag.example"}),
    ],
)
def test_names_that_browsers_may_use(host: str, more: tuple[str, ...], hosts: set[str] | None) -> None:
    assert serve.hosts(host, more) == hosts


# ── without an index ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))  # no encoder
    monkeypatch.setenv("RANKRAG_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("RANKRAG_INDEX", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_an_index_is_made_in_the_data_folder(data: Path) -> None:
    assert served.default_index() == data / "index"
    assert served.make_index(served.default_index())
    assert not served.make_index(served.default_index())  # it is there
    app = served.app_of(SystemSpec(data / "index", model="fake"), ServerSettings(), read_only=False)
    with client(app) as http:
        info = http.get("/v1/info").json()
        assert info["index"] == {"n_documents": 0, "n_passages": 0}
        assert info["upload"]
        answer = http.post("/v1/ask", json={"question": "What is in here?"}).json()
        assert answer["abstained"]
        http.post("/v1/documents", files={"file": ("owl.md", b"Owls hoot.")})
        until(lambda: http.get("/v1/info").json()["index"]["n_documents"])
        assert [one["path"] for one in http.get("/v1/documents").json()["data"]] == ["uploads/owl.md"]


def test_an_empty_folder_becomes_an_index_and_no_other(data: Path, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    assert served.make_index(tmp_path / "volume")
    assert not served.make_index(tmp_path / "misspelt")
    assert not (tmp_path / "misspelt").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    assert not served.make_index(tmp_path / "other")


def test_two_that_start_at_once_do_not_share_an_address() -> None:
    with serve.bound("127.0.0.1", 0) as first:
        taken = first.getsockname()[1]
        with pytest.raises(FailureError, match="wanted a free port"), serve.bound("127.0.0.1", taken):
            pass


def test_index_and_no_index_exclude_each_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = fails(capsys, "--no-index", "--index", str(tmp_path))
    assert code == 2
    assert "found --index beside --no-index" in said


@pytest.mark.slow
def test_a_process_without_an_index_makes_one(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rankrag", "serve", "--model", "fake", "--port", "0"]
    with serve_process.served(command, tmp_path / "log") as server:
        assert f"new: an empty index at {data / 'index'}" in server.log.read_text()
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as http:
            sent = http.post("/v1/documents", files={"file": ("owl.md", b"An owl has two ears.")})
            job = sent.json()["job"]["id"]
            until(lambda: http.get(f"/v1/jobs/{job}").json()["job"]["status"] == "done")
            found = http.post("/v1/ask", json={"question": "How many ears has an owl?"})
        assert "two ears" in found.json()["text"]


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_process_serves_until_it_is_told_to_end(tmp_path: Path, ending: signal.Signals) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}  # mine\n")
    with serve_process.serve(make_index(tmp_path), tmp_path / "log", "--api-key-file", str(keys)) as server:
        assert "rankrag: ready: fake at http://127.0.0.1:" in server.log.read_text()
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as http:
            assert http.get("/v1/models").status_code == 401
            key = {"authorization": f"Bearer {KEY}"}
            found = http.post("/v1/ask", json={"question": QUESTION}, headers=key)
        assert "eighteen toes" in found.json()["text"]
        server.process.send_signal(ending)
        server.process.wait(PATIENCE_S)
        assert KEY not in server.log.read_text()
        assert "Traceback" not in server.log.read_text()
        assert server.process.returncode == (130 if ending is signal.SIGINT else -signal.SIGTERM)
        assert ("rankrag: ended: " in server.log.read_text()) == (ending is signal.SIGINT)
        assert "error: interrupted" not in server.log.read_text()
