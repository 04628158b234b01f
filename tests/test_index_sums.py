"""What has reached the disk, what a power cut takes back, and what is found to be damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankrag.errors import InvalidInputError
from rankrag.index import IndexDocuments, build, copy_index, faults, open_store
from rankrag.index import sums as sums_module
from rankrag.index.stores.store import FileRow, StoredPassage
from rankrag.index.sums import SUMS, TABLES, begin, read_sums, unsealed
from rankrag.types import Passage, Source

INDEX = Path("idx")


@pytest.fixture(autouse=True)
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Sync as users do, on an index of three documents; return how large each file was when it was synced."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKRAG_SYNC", "on")
    seen: dict[str, int] = {}
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}")
        if path.exists():
            seen[os.path.relpath(path.readlink())] = path.stat().st_size

    monkeypatch.setattr(os, "fsync", noted)
    Path("docs").mkdir()
    for name in ("cats", "owls", "tea"):
        Path(f"docs/{name}.txt").write_text(f"About {name}.")
    build(["docs"], INDEX)
    return seen


def files_of_tables() -> set[str]:
    paths = (path for table in TABLES for path in (INDEX / table).rglob("*") if path.is_file())
    return {str(path) for path in paths if path.name != "latest_version_hint.json"}


def moved_machine() -> None:
    """Let the index look as if the machine was started anew since it was built."""
    (INDEX / "lock").write_text("1\nanother start\n")


def found(words: str) -> list[str]:
    return [hit.passage.id for hit in open_store(INDEX).search_words(words, 9)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="sees what is synced through /proc")
def test_all_that_a_build_wrote_has_reached_the_disk(synced: dict[str, int]) -> None:
    IndexDocuments(INDEX).delete(["docs/tea.txt"])
    copy_index(INDEX, Path("copy"))
    for path in files_of_tables():
        assert synced[path] == Path(path).stat().st_size
        assert str(Path(path).parent) in synced
    assert {str(INDEX / table) for table in TABLES} | {str(INDEX), "."} <= synced.keys()
    assert {path.split("/")[0] for path in synced if path.endswith(".manifest")} == {"idx", "copy"}


def test_the_list_is_that_of_sha256sum() -> None:
    assert {str(INDEX / name) for name in read_sums(INDEX)} == files_of_tables()
    try:
        subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=INDEX, check=True)
    except FileNotFoundError:
        pytest.skip("there is no sha256sum here")


def test_syncing_can_be_left_out(synced: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    synced.clear()
    monkeypatch.setenv("RANKRAG_SYNC", "off")
    build(["docs"], Path("other"))
    assert synced == {}
    assert faults(Path("other")) == []
    monkeypatch.setenv("RANKRAG_SYNC", "no")
    with pytest.raises(InvalidInputError, match="found RANKRAG_SYNC='no', wanted on or off"):
        build(["docs"], INDEX)


# ── power cuts ───────────────────────────────────────────────────────────────────────────────────────


def commit() -> None:
    """Commit a change that does not reach the disk, as a process does until it syncs."""
    store = open_store(INDEX)
    row = StoredPassage(Passage("new#1", "About zebras.", source=Source("new")), "new", 1)
    store.add([row])
    store.set_files([FileRow("new", "0" * 64, complete=True)])
    store.remove_files(["docs/owls.txt"])


@pytest.mark.skipif(not sums_module.boot(), reason="the system does not tell when it was started")
@pytest.mark.parametrize("torn", ["nothing", "manifest", "data"])
def test_a_power_cut_takes_back_what_was_not_synced(torn: str) -> None:
    commit()
    assert found("zebras") == ["new#1"]
    assert found("owls") == []
    left = unsealed(INDEX)
    assert len(left) == 4
    for path in left if torn == "manifest" else ():
        path.write_bytes(b"")
    known = read_sums(INDEX)
    for name in files_of_tables() if torn == "data" else ():
        if "/data/" in name and str(Path(name).relative_to(INDEX)) not in known:
            Path(name).write_bytes(b"")
    moved_machine()
    assert found("owls") == ["docs/owls.txt#1"]
    assert found("zebras") == []
    assert unsealed(INDEX) == []
    assert faults(INDEX) == []
    assert build(["docs"], INDEX).unchanged == ("docs/cats.txt", "docs/owls.txt", "docs/tea.txt")


@pytest.mark.skipif(not sums_module.boot(), reason="the system does not tell when it was started")
def test_a_power_cut_in_the_first_build_leaves_what_the_next_one_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin(INDEX)  # which the build did before it made the tables, and nothing was synced since
    for path in (INDEX / "passages.lance" / "_versions").glob("*.manifest"):
        path.write_bytes(b"")
    moved_machine()
    with pytest.raises(InvalidInputError, match="first build was stopped before it began"):
        open_store(INDEX)
    assert len(build(["docs"], INDEX).added) == 3
    assert found("owls") == ["docs/owls.txt#1"]


@pytest.mark.skipif(not sums_module.boot(), reason="the system does not tell when it was started")
@pytest.mark.parametrize(("every_s", "kept"), [(-1.0, 40), (60.0, 0)])
def test_a_build_reaches_the_disk_on_its_way(
    every_s: float, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["rankrag.index.commits"], "SYNCED_S", every_s)
    monkeypatch.setattr(sys.modules["rankrag.index.commits"], "BATCH", 10)
    Path("more.jsonl").write_text("".join(json.dumps({"text": f"number {n}"}) + "\n" for n in range(40)))

    def cut(done: int, total: int, unit: str) -> None:
        if unit == "passages":  # all are committed
            raise InterruptedError

    with pytest.raises(InterruptedError):
        build(["more.jsonl"], INDEX, progress=cut)
    assert len(open_store(INDEX)) == 43
    moved_machine()
    assert len(open_store(INDEX)) == 3 + kept
    assert build(["more.jsonl"], INDEX).n_passages == 43


def test_a_killed_process_loses_nothing_that_was_committed() -> None:
    commit()
    assert found("zebras") == ["new#1"]
    assert build(["docs"], INDEX).n_passages == 4
    assert unsealed(INDEX) == []


def test_an_index_without_a_list_is_opened_and_gets_one() -> None:
    (INDEX / SUMS).unlink()
    moved_machine()
    assert found("owls") == ["docs/owls.txt#1"]
    build(["docs"], INDEX)
    assert {str(INDEX / name) for name in read_sums(INDEX)} == files_of_tables()


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_flip_in_any_file_of_the_tables_is_found() -> None:
    for name in files_of_tables():
        path = Path(name)
        before = path.read_bytes()
        path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
        assert faults(INDEX) == [f"{path.relative_to(INDEX)}: its content is not what was written"]
        path.write_bytes(before)
    assert faults(INDEX) == []


def test_what_is_gone_and_what_does_not_fit_is_found() -> None:
    store = open_store(INDEX)
    twice = StoredPassage(Passage("docs/cats.txt#1", "Again.", source=Source("stray")), "docs/cats.txt", 1)
    store.add([twice])
    store.set_files([FileRow("half.jsonl", "0" * 64, complete=False)])
    assert faults(INDEX) == [
        "docs/cats.txt#1: 2 passages have this id",
        "stray: 1 passage of a file that the index does not know",
        "half.jsonl: not all of it is in",
    ]
    name = min(read_sums(INDEX))
    (INDEX / name).unlink()
    assert faults(INDEX) == [f"{name}: it is gone"]


def test_a_broken_list_is_named() -> None:
    (INDEX / SUMS).write_text((INDEX / SUMS).read_text().replace("passages.lance", "passages.lanca", 1))
    with pytest.raises(InvalidInputError, match=f"found a broken idx/{SUMS}"):
        faults(INDEX)
