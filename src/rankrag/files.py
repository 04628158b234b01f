"""Files, whatever is in them: how one is hashed, and how a process holds one for itself."""

from __future__ import annotations

import hashlib
import importlib
import os
from pathlib import Path

_BEHIND = 2**20
"""Windows locks bytes: those far behind the end leave what is in the file readable for others."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def locked(descriptor: int, shared: bool = False) -> bool:
    """Lock an open file until it is closed, or its process ends; say whether it could be had at once."""
    try:
        import fcntl
    except ImportError:
        # There is no shared lock on Windows: whoever asks for one has to look whether something changed.
        return shared or _locked_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked_on_windows(descriptor: int) -> bool:
    msvcrt = importlib.import_module("msvcrt")
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, _BEHIND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)  # the stream over it does not know that it was moved
    return True
