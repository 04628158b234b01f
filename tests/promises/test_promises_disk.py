"""Disks that are full, files that may not grow, calls of the system that fail: an error, and nothing lost.

RANKRAG_SIZES says how many sizes of what is left on the disk; the long form is run by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from rankrag.errors import FailureError
from rankrag.index import IndexDocuments, build, copy_index, faults, open_store

pytestmark = pytest.mark.slow

SIZES = int(os.environ.get("RANKRAG_SIZES", "6"))


def write_documents(version: int) -> None:
    Path("docs").mkdir(exist_ok=True)
    for n in range(20):
        text = " ".join(f"w{n}x{m}v{version}" for m in range(80))
        Path(f"docs/{n}.txt").write_text(f"Document {n}. {text}")


def texts(index: Path) -> dict[str, str]:
    return {row.passage.id: row.passage.text for rows, _ in open_store(index).batches() for row in rows}


def wanted() -> dict[str, str]:
    return {f"docs/{n}.txt#1": Path(f"docs/{n}.txt").read_text() for n in range(20)}


VERBS: dict[str, Callable[[], object]] = {
    "build": lambda: build(["docs"], Path("new")),
    "update": lambda: build(["docs"], Path("idx")),
    "delete": lambda: IndexDocuments(Path("idx")).delete(["docs/3.txt"]),
    "copy": lambda: copy_index(Path("idx"), Path("copied")),
}


def attempt(verb: str) -> bool:
    """Return whether an attempt failed, which it may do in one way only."""
    try:
        VERBS[verb]()
    except (FailureError, OSError) as error:  # the second is what the system says of our own files
        said = str(error)
    else:
        return False
    assert "delete" not in said
    assert "\n" not in said
    return True


def left_behind(verb: str, old: dict[str, str], failed: bool) -> None:
    """Check what an attempt left, and that the same again ends well."""
    rest = {id: text for id, text in old.items() if id != "docs/3.txt#1"}
    new = {"build": wanted(), "update": wanted(), "delete": rest, "copy": old}[verb]
    there = texts(Path("idx"))
    allowed = wanted() if verb == "update" else old
    assert all(text in (old[name], allowed[name]) for name, text in there.items())
    assert old.keys() - there.keys() <= ({"docs/3.txt#1"} if verb == "delete" else set())
    if failed:
        VERBS[verb]()
    index = Path({"build": "new", "copy": "copied"}.get(verb, "idx"))
    assert texts(index) == new
    assert faults(index) == []


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKRAG_SYNC", "on")
    write_documents(1)
    build(["docs"], Path("idx"))
    old = wanted()
    write_documents(2)
    return old


# ── full disks ───────────────────────────────────────────────────────────────────────────────────────


SMALL = """
import contextlib, os, shutil, subprocess, sys
from collections import Counter
from pathlib import Path
sys.path[:0] = [{tests!r}, {here!r}]
import test_promises_disk as disk

def mount(*options):
    subprocess.run(["mount", *options, "none", "small"], check=True)

small = Path("small")
small.mkdir()
old = disk.texts(Path("idx"))
for verb in disk.VERBS:
    seen = Counter()
    for n in range(disk.SIZES):
        mount("-t", "tmpfs", "-o", "size=64m")
        for name in ("idx", "docs"):
            shutil.copytree(name, small / name)
        about = os.statvfs(small)
        used = (about.f_blocks - about.f_bfree) * about.f_frsize // 1024
        mount("-o", f"remount,size={{used + 4 * n * max(1, 24 // disk.SIZES)}}k")
        with contextlib.chdir(small):
            failed = disk.attempt(verb)
        seen[failed] += 1
        mount("-o", "remount,size=64m")
        with contextlib.chdir(small):
            disk.left_behind(verb, old, failed)
        subprocess.run(["umount", "small"], check=True)
    print(verb, "failed", seen[True], "went through", seen[False], flush=True)
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    if sys.platform != "linux" or not shutil.which("unshare"):
        pytest.skip("needs Linux with unshare and mounts for users")
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs Linux with unshare and mounts for users")
    script = SMALL.format(tests=str(Path(__file__).parents[1]), here=str(Path(__file__).parent))
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "failed 0" not in done.stdout


def test_a_file_that_may_not_grow_loses_nothing(
    made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    n_failed = 0
    for verb in VERBS:
        for n in range(SIZES):
            for name in ("idx", "docs"):
                shutil.copytree(name, Path(f"{verb}{n}", name))
            monkeypatch.chdir(tmp_path / f"{verb}{n}")
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200 * 2**n, before[1]))
            try:
                failed = attempt(verb)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            left_behind(verb, made, failed)
            monkeypatch.chdir(tmp_path)
            n_failed += failed
    assert n_failed > 0


# ── calls that fail ──────────────────────────────────────────────────────────────────────────────────

FAILING = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    sys.path[:0] = [{tests!r}, {here!r}]
    import test_promises_disk as disk
    disk.texts(Path("idx"))  # what is imported and opened once is

    sys.exit(10 + disk.attempt("update"))
    """
)


@pytest.mark.parametrize(
    ("call", "error", "when"),  # `when` counts the calls of each thread
    [("fsync", "EIO", 2), ("fsync", "ENOSPC", 2), ("linkat", "EIO", 1), ("renameat", "EACCES", 1)],
)
def test_a_call_that_fails_loses_nothing(call: str, error: str, when: int, made: dict[str, str]) -> None:
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    script = FAILING.format(tests=str(Path(__file__).parents[1]), here=str(Path(__file__).parent))
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}+"]
    command = ["strace", "-f", "-qqq", "-o", "calls", *inject, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 11, (done.stderr, Path("calls").read_text()[-500:])
    left_behind("update", made, failed=True)
