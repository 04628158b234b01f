"""Ids that no two passages of an index share: a record or document whose id is taken gets another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from .reading import COLLECTIONS
from .stores.store import Store, StoredPassage


class PassageIds:
    """The ids of the passages of an index, known from the first collection on that brings its own."""

    def __init__(self, store: Store, files: Iterable[str]) -> None:
        self.store = store
        self.has_records = any(map(_is_collection, files))
        self.taken: set[str] | None = None

    def load(self) -> None:
        """Read the ids, once and not for each of many files: it takes time that grows with the index."""
        if self.taken is None:
            self.taken = self.store.ids()

    def forget(self) -> None:
        """Have the ids read again where they are needed."""
        self.taken = None

    def add(self, ids: Iterable[str]) -> None:
        """Take note of ids that are given."""
        if self.taken is not None:
            self.taken.update(ids)

    def free(self, ids: Iterable[str]) -> None:
        """Take note of ids that may be given again."""
        if self.taken is not None:
            self.taken.difference_update(ids)

    def of_records(self, name: str, rows: list[StoredPassage]) -> tuple[list[StoredPassage], int]:
        """Return the passages of records under ids that no other passage has, and how many were renamed.

        An id that is taken is the file's own: `42` becomes `NAME#42`.
        """
        distinct: list[StoredPassage] = []
        renamed = 0
        for (document, record), group in groupby(rows, key=lambda row: (row.document, row.record)):
            passages = list(group)
            ids = [row.passage.id for row in passages]
            own = f"{name}#{document}"
            names = (document, own, f"{own}@{record}", f"{name}#@{record}")
            new = next(
                new for new in names if not self._is_taken(new, [new + i[len(document) :] for i in ids])
            )
            if new != document:
                renamed += 1
                passages = [_under(new, row) for row in passages]
            self.add(row.passage.id for row in passages)
            distinct += passages
        return distinct, renamed

    def _is_taken(self, document: str, ids: list[str]) -> bool:
        taken = self.taken or set()
        return document in taken or f"{document}#1" in taken or any(id in taken for id in ids)

    def of_documents(self, rows: list[StoredPassage]) -> list[StoredPassage]:
        """Return the passages of documents, `./` before names under which the index has records."""
        if not self.has_records:
            return rows
        names = {row.document: row.passage.source.path if row.passage.source else "" for row in rows}
        owners = {row.passage.id: row.document for row in rows} | {name: name for name in names}
        while taken := {
            owners[id]
            for id, passage in self.store.passages(owners).items()
            if passage.source is None or passage.source.path != names[owners[id]]
        }:
            rows = [_under(f"./{row.document}", row) if row.document in taken else row for row in rows]
            names = {f"./{name}": names[name] for name in taken}
            owners = {row.passage.id: row.document for row in rows if row.document in names}
            self.add(owners)
            owners |= {name: name for name in names}
        return rows


def _is_collection(name: str) -> bool:
    return any(suffix.lower() in COLLECTIONS for suffix in Path(name).suffixes[-2:])


def _under(document: str, row: StoredPassage) -> StoredPassage:
    """Return a passage under another name of its document."""
    name = document + row.passage.id[len(row.document) :]
    return replace(row, document=document, passage=replace(row.passage, id=name))
