"""Disks that are full or may only be read: nobody is told to delete what is sound, and sources stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rankrag.errors import FailureError, InvalidInputError, RankRAGError
from rankrag.index import build, copy_index, open_store
from rankrag.index.manifest import COPYING, building
from rankrag.index.stores.lance_tables import broken

INDEX = Path("idx")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    for n in range(40):
        Path(f"docs/{n}.txt").write_text(f"Document {n}. " + " ".join(f"w{n}x{m}" for m in range(80)))


def contents(place: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in place.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.parametrize("locked", [True, False])
def test_a_copy_writes_nothing_to_its_source(locked: bool) -> None:
    build(["docs"], INDEX)
    if not locked:
        (INDEX / "lock").unlink()
    before = contents(INDEX)
    copy_index(INDEX, Path("copy"))
    assert contents(INDEX) == before
    assert open_store(Path("copy")).ids() == open_store(INDEX).ids()


def test_an_index_that_is_being_built_is_not_copied() -> None:
    build(["docs"], INDEX)
    with building(INDEX), pytest.raises(FailureError, match="found a build of idx running"):
        copy_index(INDEX, Path("copy"))


def test_a_copy_that_was_killed_at_its_very_end_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    build(["docs"], INDEX)
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name == COPYING:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            copy_index(INDEX, Path("copy"))
    assert copy_index(INDEX, Path("copy")).n_passages == 40
    assert not Path("copy", COPYING).exists()
    with pytest.raises(InvalidInputError, match="found an index at copy, wanted a new folder"):
        copy_index(INDEX, Path("copy"))


@pytest.mark.parametrize(
    ("said", "is_broken"),
    [
        (
            "LanceError(IO): Generic LocalFileSystem error: No space left on device (os error 28), a/b.rs",
            False,
        ),
        ("Permission denied (os error 13)", False),
        ("Too many open files (os error 24)", False),
        ("LanceError(IO): Input/output error (os error 5)", False),
        ("LanceError: encountered corrupt file: magic number is wrong", True),
    ],
)
def test_nobody_is_told_to_delete_an_index(said: str, is_broken: bool) -> None:
    error: RankRAGError = broken(INDEX, OSError(said))
    assert "delete" not in str(error)
    assert isinstance(error, FailureError) != is_broken


def confined(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the shell with mounts of its own; skip where the system allows none."""
    allowed = (
        subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False) if UNSHARE else None
    )
    if allowed is None or allowed.returncode:
        pytest.skip("needs Linux with unshare and mounts for users")
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)


UNSHARE = sys.platform == "linux" and any(Path(p, "unshare").exists() for p in ("/usr/bin", "/bin"))
RANKRAG = f"'{sys.executable}' -m rankrag"


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 16, 40, 80])
def test_a_full_disk_is_named_and_what_was_there_stays(kilobytes: int) -> None:
    Path("small").mkdir()
    done = confined(
        f"mount -t tmpfs -o size={kilobytes}k none small && {RANKRAG} index docs --index small/idx "
        "--encoder none; echo code $?; mount -o remount,size=50m small; "
        f"{RANKRAG} index docs --index small/idx --encoder none && {RANKRAG} search w7x7 --index small/idx"
    )
    first = done.stderr.splitlines()[0]
    assert "code 6" in done.stdout, done
    assert "delete" not in done.stderr
    assert first.startswith("rankrag: error: ")
    assert "docs/7.txt" in done.stdout
    assert done.returncode == 0


@pytest.mark.slow
def test_a_source_that_may_only_be_read_is_searched_and_copied() -> None:
    build(["docs"], INDEX)
    done = confined(
        "mount --bind idx idx && mount -o remount,ro,bind idx && ! touch idx/lock 2>/dev/null && "
        f"{RANKRAG} search w7x7 --index idx && {RANKRAG} documents copy copy --index idx"
    )
    assert done.returncode == 0, done
    assert "docs/7.txt" in done.stdout
    assert len(open_store(Path("copy"))) == 40
