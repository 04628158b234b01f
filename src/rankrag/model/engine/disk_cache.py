"""Keys and values of prefixes that come again, on disk: passages stay warm from one process to the next.

One file a prefix, and a table of what was used when and how often, which processes share. A prefix is
written at its second use, so ranking a hundred passages once writes nothing. States are kept exactly, so
relevance is what it would be without. A file that cannot be read is as if it were not there.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FailureError
from ...files import replacing

if TYPE_CHECKING:
    import torch

    from .packed import States

_log = logging.getLogger("rankrag.model")

FREQUENT = 2
"""Uses from which a prefix is written."""

_QUEUE_BYTES = 256 * 2**20
"""States that may wait to be written; what comes beyond them waits for its next use."""

_ROWS = 1_000_000
"""Prefixes whose uses are counted; those not used for longest are forgotten first."""

_CHECKSUM = "crc32"
_NAME = "name"

_LOCKED_S = 30
"""Seconds that one process waits for another to let go of the table."""

_HALF_WRITTEN_S = 3600
"""Age from which a file that was never finished is one that nobody will finish."""


@dataclass(slots=True)
class Counts:
    """What happened in this process."""

    hits: int = 0
    misses: int = 0
    written: int = 0


class DiskCache:
    """States by prefix in a folder, at most `limit` bytes of them; safe for several processes and threads.

    `fingerprint` has to differ whenever a model would compute other states: it stands for the weights and
    the numbers they are computed with.
    """

    def __init__(self, folder: Path, limit: int, fingerprint: str) -> None:
        """Open the folder, made where there is none; raises FailureError if nothing can be written there."""
        self.folder = folder
        self.limit = limit
        self.counts = Counts()
        self._key = hashlib.sha256(fingerprint.encode()).digest()
        self._lock = threading.Lock()
        self._waiting = 0
        self._broken = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rankrag-disk")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._table = _open_table(folder)
            self._tidy()
        except (OSError, sqlite3.Error) as error:
            raise FailureError(
                f"found no folder for the states of passages at {folder} ({error}), wanted one that can be "
                "written to: give another, or leave it out"
            ) from error

    def name(self, prefix: bytes) -> str:
        """Return what the states of a prefix are called: 32 hex digits."""
        return hashlib.blake2b(prefix, digest_size=16, key=self._key).hexdigest()

    def use(self, names: Sequence[str]) -> list[bool]:
        """Note that prefixes are used; return which of them are used often enough to be written."""
        rows = [(name, time.time()) for name in names]
        count = (
            "INSERT INTO prefix VALUES (?, 1, ?, 0) "
            "ON CONFLICT (name) DO UPDATE SET uses = uses + 1, used = excluded.used RETURNING uses"
        )
        try:
            with self._change() as table:
                return [table.execute(count, row).fetchone()[0] >= FREQUENT for row in rows]
        except sqlite3.Error as error:
            self._give_up(error)
            return [False] * len(names)

    def get(self, name: str, device: torch.device) -> States | None:
        """Return the states of a whole prefix, None if none are kept; a broken file is removed."""
        from safetensors import SafetensorError

        path, found = self._path(name), None
        try:
            found = _read(path, name, device)
        except FileNotFoundError:
            pass
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            _log.warning("%s cannot be read and is removed (%s)", path, error)
            with suppress(OSError):
                path.unlink()
        self.counts.hits += found is not None
        self.counts.misses += found is None
        return found

    def put(self, name: str, parts: Sequence[States]) -> None:
        """Write the states of a prefix, oldest part first, in the background, unless they are there.

        Nobody may change them afterwards. Where too much waits already nothing is written.
        """
        n_bytes = sum(half.nbytes for states in parts for layer in states for half in layer)
        with self._lock:
            full = self._waiting + n_bytes > _QUEUE_BYTES or n_bytes > self.limit
            if self._broken or full or self._path(name).exists():
                return
            self._waiting += n_bytes
        self._pool.submit(self._write, name, parts, n_bytes)

    @property
    def n_bytes(self) -> int:
        """Bytes of the states in the folder, those of other models among them; 0 once the table is broken."""
        try:
            with self._lock:
                return _n_bytes(self._table)
        except sqlite3.Error as error:
            self._give_up(error)
            return 0

    def flush(self) -> None:
        """Return once everything that waits now is written."""
        self._pool.submit(int).result()

    def close(self) -> None:
        """Write what waits, and close."""
        self._pool.shutdown()
        self._table.close()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.safetensors"

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Change the table in one step for all threads and processes."""
        with self._lock:
            self._table.execute("BEGIN IMMEDIATE")
            try:
                yield self._table
            except BaseException:
                self._table.execute("ROLLBACK")
                raise
            self._table.execute("COMMIT")

    def _write(self, name: str, parts: Sequence[States], n_bytes: int) -> None:
        from safetensors import SafetensorError  # a full disk is one of these

        path = self._path(name)
        try:
            if not path.exists():
                self._make_room(name, n_bytes)
                _save(path, name, parts)
                self.counts.written += 1
        except (OSError, SafetensorError, sqlite3.Error) as error:
            self._give_up(error)
            with suppress(sqlite3.Error), self._change() as table:
                table.execute("UPDATE prefix SET bytes = 0 WHERE name = ?", (name,))
        finally:
            with self._lock:
                self._waiting -= n_bytes

    def _make_room(self, name: str, n_bytes: int) -> None:
        """Count a file before it is written, so that no other process takes its room; remove older ones."""
        count = (
            "INSERT INTO prefix VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes"
        )
        gone: list[str] = []
        with self._change() as table:
            table.execute("UPDATE prefix SET bytes = 0 WHERE name = ?", (name,))
            there = _n_bytes(table)
            oldest = "SELECT name, bytes FROM prefix WHERE bytes > 0 ORDER BY used"
            for old, size in table.execute(oldest):
                if there + n_bytes <= self.limit:
                    break
                gone.append(old)
                there -= size
            table.executemany("UPDATE prefix SET bytes = 0, uses = 0 WHERE name = ?", [(n,) for n in gone])
            table.execute(count, (name, FREQUENT, time.time(), n_bytes))
        for old in gone:
            with suppress(OSError):
                self._path(old).unlink()

    def _tidy(self) -> None:
        """Remove what a killed process left half written, and counts of what was used long ago."""
        for path in self.folder.rglob("*.partial"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _HALF_WRITTEN_S:
                    path.unlink()
        with self._change() as table:
            last = table.execute("SELECT used FROM prefix ORDER BY used DESC LIMIT 1 OFFSET ?", (_ROWS,))
            if row := last.fetchone():
                table.execute("DELETE FROM prefix WHERE bytes = 0 AND used <= ?", row)

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            known, self._broken = self._broken, True
        if not known:
            _log.warning("no more states of passages are kept in %s (%s)", self.folder, error)


def _open_table(folder: Path) -> sqlite3.Connection:
    """Return the table of a folder; a broken one is made anew. Raises OSError or sqlite3.Error."""
    from filelock import FileLock

    path = folder / "uses.sqlite"
    # SQLite does not wait where several processes make the same new table.
    with FileLock(folder / "opening.lock", timeout=_LOCKED_S):
        try:
            return _table(path)
        except sqlite3.OperationalError:  # no room, or no right to write: nothing is wrong with the table
            raise
        except sqlite3.DatabaseError as error:
            _log.warning("%s is broken and made anew (%s)", path, error)
            for part in folder.glob(f"{path.name}*"):
                part.unlink()
            return _table(path)


def _table(path: Path) -> sqlite3.Connection:
    table = sqlite3.connect(path, timeout=_LOCKED_S, check_same_thread=False, isolation_level=None)
    try:
        table.execute("PRAGMA journal_mode=WAL")
        # A crash of the machine may break the table, which is then made anew; files are checked when read.
        table.execute("PRAGMA synchronous=OFF")
        if (state := table.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(state)
        table.execute(
            "CREATE TABLE IF NOT EXISTS prefix "
            "(name TEXT PRIMARY KEY, uses INT NOT NULL, used REAL NOT NULL, bytes INT NOT NULL) WITHOUT ROWID"
        )
        table.execute("CREATE INDEX IF NOT EXISTS kept ON prefix (used, bytes) WHERE bytes > 0")
        if not table.execute("SELECT EXISTS (SELECT 1 FROM prefix)").fetchone()[0]:
            # Files of a table that was lost count, too, or they would stay for ever.
            files = ((f.stem, FREQUENT, f.stat()) for f in path.parent.glob("*/*.safetensors"))
            rows = [(name, uses, stat.st_mtime, stat.st_size) for name, uses, stat in files]
            table.executemany("INSERT INTO prefix VALUES (?, ?, ?, ?)", rows)
    except BaseException:
        table.close()
        raise
    return table


def _n_bytes(table: sqlite3.Connection) -> int:
    return int(table.execute("SELECT coalesce(sum(bytes), 0) FROM prefix WHERE bytes > 0").fetchone()[0])


def _save(path: Path, name: str, parts: Sequence[States]) -> None:
    import torch
    from safetensors.torch import save_file

    halves = [
        torch.cat(pieces) for layers in zip(*parts, strict=True) for pieces in zip(*layers, strict=True)
    ]
    path.parent.mkdir(exist_ok=True)
    about = {_NAME: name, _CHECKSUM: _checksum(halves)}
    with replacing(path) as partial:
        save_file({f"{n:04}": half for n, half in enumerate(halves)}, partial, about)


def _read(path: Path, name: str, device: torch.device) -> States:
    """Return the states of a file; raises FileNotFoundError, or another error for a broken one."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        about = file.metadata()
        # Copies: what stays mapped would take room on disk once the file is gone, and changes with it.
        halves = [file.get_tensor(half).clone() for half in sorted(file.keys())]
    if about[_NAME] != name:
        raise ValueError("it is of another prefix")
    if len(halves) % 2 or _checksum(halves) != about[_CHECKSUM]:
        raise ValueError("its checksum is another")
    placed = [half.to(device) for half in halves]
    return list(zip(placed[::2], placed[1::2], strict=True))


def _checksum(halves: Sequence[torch.Tensor]) -> str:
    import torch

    found = 0
    for half in halves:
        found = zlib.crc32(half.cpu().view(torch.uint8).numpy().data, found)
    return f"{found:08x}"
