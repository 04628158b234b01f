"""`rankrag rank` and `rankrag ask` with a model behind a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rankrag
import remote_server
from cli_call import call
from rankrag.cli.app import run
from rankrag.model.remote.client import Way
from remote_server import CURIE, KEY, QUESTION, WAYS, Server, without_logprobs

server = remote_server.server


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("remote")
    (folder / "page.txt").write_text("Marie Curie was born in Warsaw. She moved to Paris in 1891.")
    (folder / "snow.txt").write_text("Snow is white in winter.")
    place = str(folder / "index")
    assert (
        run(["index", str(folder / "page.txt"), str(folder / "snow.txt"), "-i", place, "--encoder", "none"])
        == 0
    )
    return place


@WAYS
def test_the_command_line_ranks_with_a_server(
    server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path, way: Way
) -> None:
    (tmp_path / "passages.txt").write_text("Snow is white.\nMarie Curie was born in Warsaw.\n")
    name = f"{way}:tiny@{server.url}"
    out, err = call(
        capsys,
        "rank",
        QUESTION.text,
        "--passages",
        str(tmp_path / "passages.txt"),
        "-m",
        name,
        "--output",
        "json",
    )
    assert json.loads(out)["ranked"][0]["text"] == "Marie Curie was born in Warsaw."
    assert "may never have been trained to rank" in err


def test_the_command_line_asks_a_server(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    out, err = call(capsys, "ask", QUESTION.text, "-i", index, "-m", "openai:tiny", "--output", "json")
    answer = json.loads(out)
    assert answer["text"] == "Marie Curie was born in Warsaw."
    assert answer["citations"]
    assert answer["usage"]["prompt_tokens"] == 77
    assert KEY not in out + err
    assert {headers["Authorization"] for _, _, headers in server.requests} == {f"Bearer {KEY}"}


def test_a_server_that_cannot_rank_answers_without_ranking(
    server: Server, capsys: pytest.CaptureFixture[str], index: str
) -> None:
    server.always = without_logprobs
    asking = ("ask", QUESTION.text, "-i", index, "-m", f"openai:tiny@{server.url}", "--output", "json")
    _, err = call(capsys, *asking, code=6)
    assert "rankrag: error: found no token probabilities from" in err
    assert "Traceback" not in err
    server.requests.clear()
    out, err = call(capsys, *asking, "--no-rank")
    assert json.loads(out)["text"] == "Marie Curie was born in Warsaw."
    assert json.loads(out)["citations"] == []
    assert err == ""
    assert [path for path, _, _ in server.requests] == ["/v1/models", "/v1/chat/completions"]


def test_without_a_server_the_command_line_says_what_to_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    _, err = call(capsys, "ask", "Why?", "-i", index, "-m", "openai:gpt-4o", code=2)
    assert "set OPENAI_BASE_URL=" in err


def test_load_takes_a_server(server: Server) -> None:
    rag = rankrag.load(model=f"openai:tiny@{server.url}")
    assert rag.rank(QUESTION.text, ["Snow.", CURIE.text])[0].passage.text == CURIE.text
    assert not rag.trained
