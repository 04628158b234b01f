"""A server that runs is used by `ask` and `search`, for the same index and models alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from cli_call import call
from rankrag.cli import resident
from rankrag.cli.app import run
from rankrag.cli.served import app_of
from rankrag.errors import FailureError
from rankrag.server import ServerSettings
from rankrag.system import SystemSpec, open_system
from rankrag.types import Question, Turn

ASKED = Question("1", "When was it founded?", (Turn("user", "Nairobi?"), Turn("assistant", "A town.")))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKRAG_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> SystemSpec:
    folder = tmp_path_factory.mktemp("resident")
    (folder / "nairobi.txt").write_text("Nairobi was founded in 1899. Its river gave it the name.")
    assert run(["index", str(folder / "nairobi.txt"), "--index", str(folder / "i"), "--encoder", "none"]) == 0
    return SystemSpec(index=folder / "i", model="fake")


@pytest.fixture(scope="module")
def url(spec: SystemSpec) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app_of(spec, ServerSettings(), True), port=0, log_level="error", lifespan="on")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_only_a_server_with_the_same_things_loaded_is_found(spec: SystemSpec) -> None:
    assert resident.find(spec) is None
    with resident.announced(spec, "http://127.0.0.1:1", 30):
        assert resident.find(replace(spec, read_k=2, retrieve_k=9, ranking=False)) is not None
        assert resident.find(replace(spec, model="rankrag-135m")) is None
        assert resident.find(replace(spec, index=Path("other"))) is None
        assert resident.find(replace(spec, rewrite=True)) is None
        assert resident.find(replace(spec, reading="mixture")) is None
        assert resident.find(replace(spec, query_likelihood=0.0)) is None
        assert resident.find(replace(spec, retrieve_k=31)) is None
    assert resident.find(spec) is None
    with resident.announced(replace(spec, ranking=False), "http://127.0.0.1:1", 30):
        assert resident.find(spec) is None


def test_what_needs_less_is_found_whatever_else_is_loaded(spec: SystemSpec) -> None:
    search = replace(spec, generating=False, ranking=False, model="rankrag-135m")
    with resident.announced(spec, "http://127.0.0.1:1", 30):
        assert resident.find(search) is not None
        assert resident.find(replace(search, retriever="bm25")) is None
        assert resident.find(replace(search, ranking=True)) is None
        assert resident.find(replace(search, ranking=True, model="fake")) is not None
    other = replace(spec, ranker="fake", model="other", reading="mixture")
    with resident.announced(other, "http://127.0.0.1:1", 30):
        assert resident.find(replace(spec, generating=False)) is not None
        assert resident.find(spec) is None


def test_what_a_dead_server_left_is_cleared_away(spec: SystemSpec, tmp_path: Path) -> None:
    with resident.announced(spec, "http://127.0.0.1:1", 30):
        (path,) = (tmp_path / "data" / "serving").glob("*.json")
        left = path.read_text()
    path.write_text(left)  # as after a kill: the file is there and nobody holds it
    assert resident.find(spec) is None
    assert not path.exists()


def test_the_answer_is_the_one_that_would_be_made_here(spec: SystemSpec, url: str) -> None:
    *steps, found = resident.ResidentServer(url, spec).stream(ASKED, {"path": "*.txt"})
    here = open_system(spec).ask(ASKED, filters={"path": "*.txt"})
    assert steps[0].retrieved == here.retrieved
    assert replace(found, timings_s={}) == replace(here, timings_s={})


def test_a_refusal_of_the_server_is_told(spec: SystemSpec, url: str) -> None:
    with pytest.raises(FailureError, match="found 5,000 passages, wanted at most 1,000"):
        next(resident.ResidentServer(url, replace(spec, retrieve_k=5000)).stream(ASKED, {}))
    with pytest.raises(FailureError, match=r"no whole answer from the server at http://127\.0\.0\.1:1 "):
        next(resident.ResidentServer("http://127.0.0.1:1", spec).stream(ASKED, {}))


def test_ask_uses_it_and_says_so(spec: SystemSpec, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    question = ("ask", "When was Nairobi founded?", "--model", "fake", "--index", str(spec.index))
    with resident.announced(spec, url, 30):
        out, err = call(capsys, *question, "--output", "json")
    assert f"using: the server at {url}, which has fake loaded" in err
    assert json.loads(out)["text"] == "Nairobi was founded in 1899."
    assert "using" not in call(capsys, *question)[1]


@pytest.mark.parametrize("options", [(), ("--rank", "--model", "fake")], ids=["retrieved", "ranked"])
@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize("question", ["Nairobi river founded", "zzz"])
def test_search_uses_it_says_so_and_finds_the_same(
    spec: SystemSpec,
    url: str,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    kind: str,
    question: str,
) -> None:
    words = ("search", question, "--index", str(spec.index), "--output", kind, *options)
    here, _ = call(capsys, *words)
    with resident.announced(spec, url, 30):
        there, err = call(capsys, *words)
    loaded = "fake" if options else spec.index
    assert f"using: the server at {url}, which has {loaded} loaded" in err
    assert there == here
