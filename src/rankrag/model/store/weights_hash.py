"""Hashes of what a model computes with: every byte of its weights, and how they are put together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ...files import remember, remembered, sha256

_READ = ("*.safetensors", "config.json", "adapter_config.json")


def weights_hash(folders: Sequence[Path], notes: Path) -> str:
    """Return 64 hex digits that change with any byte of the weights and configurations in folders, in order.

    `notes` is the file of `file_hashes`.
    """
    digest = hashlib.sha256()
    paths = [
        path for folder in folders for path in sorted({path for name in _READ for path in folder.glob(name)})
    ]
    for path, known in zip(paths, file_hashes(paths, notes), strict=True):
        digest.update(f"{path.name} {known}\n".encode())
    return digest.hexdigest()


def file_hashes(paths: Sequence[Path], notes: Path) -> list[str]:
    """Return the SHA-256 of files, in hex, in their order.

    `notes` is a file for hashes by path, size and time of change, so that 16 GB are not read at every start;
    without the right to write it they are. What it holds of files that are gone is left out.
    """
    kept = remembered(notes)
    known = kept if all(isinstance(value, str) for value in kept.values()) else {}
    marks = [_mark(path) for path in paths]
    hashes = {mark: known.get(mark) or sha256(path) for mark, path in zip(marks, paths, strict=True)}
    if not hashes.keys() <= known.keys():
        there = {mark: value for mark, value in known.items() if Path(mark.rsplit(" ", 2)[0]).is_file()}
        remember(notes, there | hashes)
    return [hashes[mark] for mark in marks]


def _mark(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
