"""`SHA256SUMS` in the folder of an index: the files of its tables that have reached the disk, and their sums.

LanceDB writes each commit as new files and never changes one, but does not wait until they are on the disk:
after a power cut a commit may be there whose passages are not. So `seal` waits for them and lists them, and
commits that are not on the list after a power cut are taken back. `sha256sum --check` reads the list, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from ..errors import InvalidInputError
from ..files import sha256, sync, writing

SUMS = "SHA256SUMS"

TABLES = ("passages.lance", "files.lance")
"""The folders of the tables in that of an index."""

_VERSIONS = "_versions"
_HINT = "latest_version_hint.json"  # the one file that is written anew; any content of it is as good as none
_AT_ONCE = 8  # files that are synced side by side: the disk takes them together


def seal(folder: Path) -> None:
    """Have all commits so far survive a power cut, and list their files. Only who holds the index may."""
    known, there = read_sums(folder), _names(folder)
    new = [name for name in there if name not in known]
    if not new and len(known) == len(there):
        return
    _sync(folder / name for name in new)
    _sync(folder / inner for inner in {parent for name in new for parent in Path(name).parents})
    _write_sums(folder, {name: known.get(name) or sha256(folder / name) for name in there})


def begin(folder: Path) -> None:
    """Begin a list for tables that are to be made: what of them is not on it will count for nothing."""
    _write_sums(folder, {})
    sync(folder.resolve().parent)


def _write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    with writing(str(folder / SUMS), durable=True) as stream:
        stream.write(_head(lines) + lines)


def _head(lines: str) -> str:
    """Return the first line of a list, its own sum, which `sha256sum` takes for a comment."""
    return f"# {hashlib.sha256(lines.encode()).hexdigest()}\n"


def _sync(paths: Iterable[Path]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(sync, paths))


def read_sums(folder: Path) -> Mapping[str, str]:
    """Return the SHA-256 of each file on the list, by its path in the folder; empty where there is no list.

    Raises InvalidInputError for a list that is broken.
    """
    try:
        text = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    head, _, lines = text.partition("\n")
    if f"{head}\n" != _head(lines):
        raise InvalidInputError(
            f"found a broken {folder / SUMS}, wanted the checksums of the index as they were written: "
            "restore it, or remove this one file, and what is there is taken to be sound"
        )
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines.splitlines())}


def damaged(folder: Path) -> Iterator[str]:
    """Yield what differs from the list: files that are gone, and files whose content is another."""
    for name, digest in read_sums(folder).items():
        if not (folder / name).is_file():
            yield f"{name}: it is gone"
        elif sha256(folder / name) != digest:
            yield f"{name}: its content is not what was written"


# ── after a power cut ────────────────────────────────────────────────────────────────────────────────


def unsealed(folder: Path) -> list[Path]:
    """Return the commits that are not on the list; none of an index without a list."""
    if not (folder / SUMS).exists():
        return []
    known = read_sums(folder)
    commits = (path for table in TABLES for path in (folder / table / _VERSIONS).glob("*.manifest"))
    return [path for path in commits if path.relative_to(folder).as_posix() not in known]


def take_back(folder: Path) -> None:
    """Take back the commits that are not on the list, so that those before them count again."""
    commits = unsealed(folder)
    for path in commits:
        path.unlink()
    _sync({path.parent for path in commits})


@cache
def boot() -> str:
    """Return what names the time since the machine was started, empty where the system does not tell."""
    with contextlib.suppress(OSError):  # Linux
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # macOS
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""


def _names(folder: Path) -> list[str]:
    """Return the files of the tables by their paths in the folder, without those that are not whole yet."""
    # Strings, and no `Path` for each: a busy server has 20,000 files, which took 2 s for each of its uploads.
    paths: list[str] = []
    for table in TABLES:
        for here, _, names in os.walk(folder / table):
            inner = Path(os.path.relpath(here, folder)).as_posix()
            paths += [f"{inner}/{name}" for name in names if name[0] != "." and name != _HINT]
    return sorted(paths)
