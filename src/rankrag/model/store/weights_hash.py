"""A hash of all that a model computes with: every byte of its weights, and how they are put together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ...files import remember, remembered, sha256

_READ = ("*.safetensors", "config.json", "adapter_config.json")


def weights_hash(folders: Sequence[Path], notes: Path) -> str:
    """Return 64 hex digits that change with any byte of the weights and configurations in folders, in order.

    `notes` is a file for hashes by path, size and time of change, so that 16 GB are not read at every start;
    without the right to write it they are.
    """
    kept = remembered(notes)
    known = kept if all(isinstance(value, str) for value in kept.values()) else {}
    found, digest = {}, hashlib.sha256()
    for folder in folders:
        for path in sorted({path for pattern in _READ for path in folder.glob(pattern)}):
            stat = path.stat()
            mark = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
            found[mark] = known.get(mark) or sha256(path)
            digest.update(f"{path.name} {found[mark]}\n".encode())
    if not found.keys() <= known.keys():
        remember(notes, known | found)
    return digest.hexdigest()
