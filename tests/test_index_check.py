"""Is an index as its files are, and does it stay so while they change?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_call import call
from rankrag.errors import NotFoundError
from rankrag.index import IndexDocuments, Settings, build, changing, compare, open_store
from serving import PATIENCE_S, until

INDEX = Path("idx")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    for name in ("cats.md", "dogs.txt", "deep/owls.md"):
        (tmp_path / "docs" / name).write_text(f"About {name}.")
    build(["docs"], INDEX)
    return tmp_path


def test_an_index_that_is_as_its_files_are() -> None:
    result = compare(INDEX)
    assert (result.n_same, result.n_differences) == (3, 0)


@pytest.mark.slow
def test_every_difference_is_named() -> None:
    Path("docs/cats.md").write_text("Other words.")
    Path("docs/dogs.txt").unlink()
    Path("docs/new.md").write_text("New words.")
    Path("docs/broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    Path("docs/photo.png").write_bytes(b"\x89PNG")
    Path("docs/lines.jsonl").write_text('{"text": null}\n')
    result = compare(INDEX)
    assert (result.n_same, result.missing, result.changed) == (1, ("docs/dogs.txt",), ("docs/cats.md",))
    assert result.new == ("docs/new.md",)
    assert [name for name, _ in result.unreadable] == ["docs/broken.pdf", "docs/lines.jsonl"]
    assert result.unreadable[1][1] == "passed over docs/lines.jsonl:1: found no text in 'text' or 'contents'"
    Path("docs/lines.jsonl").unlink()
    assert [name for name, _ in result.passed_over] == ["docs/photo.png"]
    assert compare(INDEX, ["docs/deep"]).n_differences == 0
    assert compare(INDEX, ["docs/*.txt"]).missing == ("docs/dogs.txt",)
    build(["docs"], INDEX, Settings(prune=True))
    result = compare(INDEX)
    assert [name for name, _ in result.unreadable] == ["docs/broken.pdf"]
    assert result.n_differences == 1


def test_a_folder_that_is_gone_and_one_that_never_was() -> None:
    Path("docs").rename("elsewhere")
    assert len(compare(INDEX).missing) == len(compare(INDEX, ["docs"]).missing) == 3
    with pytest.raises(NotFoundError):
        compare(INDEX, ["nowhere"])


def test_an_index_without_files_has_nothing_to_compare() -> None:
    IndexDocuments(INDEX).delete([document.id for document in IndexDocuments(INDEX).list()])
    assert compare(INDEX).n_same == compare(INDEX).n_differences == 0
    assert len(compare(INDEX, ["docs"]).new) == 3


def test_what_a_server_keeps_in_the_index_is_compared_but_never_new() -> None:
    uploads = INDEX / "uploads"
    uploads.mkdir()
    (uploads / "sent.md").write_text("Sent words.")
    build([str(uploads / "sent.md")], INDEX)
    (uploads / "other.md").write_text("Not yet in.")
    assert compare(INDEX).n_differences == 0
    (uploads / "sent.md").unlink()
    assert compare(INDEX).missing == ("idx/uploads/sent.md",)


def test_the_command_says_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = call(capsys, "documents", "check", "--index", "idx")
    assert out == "idx: 3 files unchanged\n"
    Path("docs/dogs.txt").unlink()
    out, err = call(capsys, "documents", "check", "docs", "--index", "idx", code=7)
    assert "1 missing" in out
    assert "docs/dogs.txt" in out
    assert "--prune" in err
    out, _ = call(capsys, "documents", "check", "--index", "idx", "--output", "json", code=7)
    assert json.loads(out)["missing"] == ["docs/dogs.txt"]


def _until(changes: Iterator[list[str]]) -> list[str]:
    end = time.monotonic() + PATIENCE_S
    found: list[str] = []
    while not found and time.monotonic() < end:
        found = next(changes)
    return [str(Path(path).relative_to(Path.cwd())) for path in found]


def test_changes_below_the_paths_are_seen_and_no_others() -> None:
    changes = changing(["docs"], INDEX)
    Path("new.md").write_text("New words.")
    Path("new.md").rename("docs/new.md")  # one change, not one of the name and one of the words
    Path("docs/.hidden.md").write_text("Hidden words.")
    Path("docs/photo.png").write_bytes(b"\x89PNG")
    Path("other.md").write_text("Other words.")
    assert _until(changes) == ["docs/new.md"]
    Path("docs/cats.md").unlink()
    assert _until(changes) == ["docs/cats.md"]


@pytest.mark.slow
def test_a_watched_folder_is_in_the_index_as_it_changes(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "rankrag",
        "index",
        ".",
        "--index",
        "idx",
        "--encoder",
        "none",
        "--watch",
    ]
    log = folder.with_suffix(".log")
    with (
        log.open("w") as stream,
        subprocess.Popen(command, stderr=stream, stdout=subprocess.DEVNULL) as process,
    ):
        try:
            until(lambda: "Watching" in log.read_text())
            Path("docs/new.md").write_text("New words.")
            Path("docs/cats.md").unlink()
            Path("moved").mkdir()
            Path("docs/deep").rename("moved/deep")
            wanted = {"docs/dogs.txt", "docs/new.md", "moved/deep/owls.md"}
            until(lambda: set(open_store(INDEX).files()) == wanted)
            assert compare(INDEX).n_differences == 0
        finally:
            os.kill(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


def test_damage_of_the_index_itself_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    (data,) = (INDEX / "files.lance" / "data").iterdir()
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    _, err = call(capsys, "documents", "check", "--index", "idx", code=6)
    assert f"found 1 fault in the index at idx itself ({data.relative_to(INDEX)}: its content" in err
    data.write_bytes(content)
    call(capsys, "documents", "check", "--index", "idx")
