"""Relevances on disk, so that no passage is ranked twice for the same question by the same model."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from ..errors import InvalidInputError
from ..types import Hit, Question, Ranker, best_first


class RelevanceCache:
    """A file of relevances by key, or none at all; safe for several threads and processes."""

    def __init__(self, path: Path | None) -> None:
        """Open the file, made where there is none; without a path nothing is kept for another run."""
        self._lock = Lock()
        self._file = sqlite3.connect(
            path or ":memory:", timeout=60, check_same_thread=False, isolation_level=None
        )
        try:
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS relevance (key BLOB PRIMARY KEY, score REAL, cut INT)"
            )
        except sqlite3.DatabaseError as problem:
            raise InvalidInputError(
                f"found no relevances in {path} ({problem}): delete the file, it is made anew"
            ) from problem

    def get(self, key: bytes) -> tuple[float, int] | None:
        """Return relevance and cut characters, None where there are none."""
        with self._lock:
            row = self._file.execute("SELECT score, cut FROM relevance WHERE key = ?", (key,)).fetchone()
        return (float(row[0]), int(row[1])) if row else None

    def put(self, rows: Sequence[tuple[bytes, float, int]]) -> None:
        """Write relevances in one commit."""
        with self._lock:
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR REPLACE INTO relevance VALUES (?, ?, ?)", rows)
            self._file.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


@dataclass(frozen=True, slots=True)
class CachedRanker:
    """Ranks as `ranker` does, and asks it only about pairs that are not on file.

    `identity` has to change whenever the ranker would give other relevances: the hashes of checkpoint and
    template. `reused` collects the ids of questions for which something was on file: the time of their
    ranking says nothing.
    """

    ranker: Ranker
    cache: RelevanceCache
    identity: str
    reused: set[str] = field(default_factory=set)

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same passages, best first, ties by passage id."""
        keys = {hit.passage.id: _key(self.identity, question, hit) for hit in hits}
        known = {name: kept for name, key in keys.items() if (kept := self.cache.get(key))}
        if known:
            self.reused.add(question.id)
        fresh = self.ranker.rank(question, [hit for hit in hits if hit.passage.id not in known])
        self.cache.put([(keys[hit.passage.id], hit.score, hit.cut) for hit in fresh if hit.scored])
        old = [
            replace(hit, score=known[hit.passage.id][0], scored=True, cut=known[hit.passage.id][1])
            for hit in hits
            if hit.passage.id in known
        ]
        scored = [hit for hit in fresh if hit.scored] + old
        return best_first(scored) + [hit for hit in fresh if not hit.scored]


def _key(identity: str, question: Question, hit: Hit) -> bytes:
    turns = [[turn.role, turn.text] for turn in question.history]
    asked = [question.text, question.style, turns]
    whole = json.dumps([identity, asked, hit.passage.title, hit.passage.text])
    return hashlib.sha256(whole.encode()).digest()
