"""The documents of an index, for whoever changes it while it runs (server, command line)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..types import Added, Document, Passage, Progress
from .build import build
from .limits import check_ids
from .location import line
from .manifest import building, read_manifest, updated, write_manifest
from .reading.walk import name_of
from .settings import PassageEncoder, Settings
from .stores.by_name import open_store
from .suggest import suggested

_LOOKED_AT = 300
"""Passages that are looked into for example questions."""


@dataclass(frozen=True, slots=True)
class IndexDocuments:
    """Adds to, lists and deletes from the index in a folder. An index with vectors needs its encoder."""

    folder: Path
    encoder: PassageEncoder | None = None

    def add(
        self, paths: Iterable[str], progress: Progress | None = None, more: bool = False
    ) -> dict[str, Added]:
        """Index files, replacing those that changed; return what became of each, by its path as given.

        With `more` the index for words may wait for the files that follow; a search finds these all the same.
        """
        given = list(paths)
        report = build(given, self.folder, Settings(encoder=self.encoder, more=more), progress)
        root, problems = read_manifest(self.folder).root_of(self.folder), dict(report.failed)
        names = {path: name_of(Path(path), root) for path in given}
        documents: dict[str, list[Document]] = {name: [] for name in names.values()}
        for document in open_store(self.folder).documents(documents):
            documents[document.path].append(document)
        notes: dict[str, list[str]] = {}
        for name, words in report.notes:
            notes.setdefault(name, []).append(words)
        return {
            path: Added(
                () if name in problems else tuple(documents[name]),
                problems.get(name, ""),
                tuple(notes.get(name, ())),
            )
            for path, name in names.items()
        }

    def count(self) -> tuple[int, int]:
        """Return the number of files and of passages, as the last build counted them."""
        manifest = read_manifest(self.folder)
        return manifest.n_files, manifest.n_passages

    def list(self) -> tuple[Document, ...]:
        """Return every document in the index, ordered by id."""
        return tuple(open_store(self.folder).documents())

    def place(self, document: Document) -> Path:
        """Return the absolute path of a document's file."""
        return read_manifest(self.folder).root_of(self.folder) / document.path

    def line(self, passage: Passage) -> int | None:
        """Return the line of its file at which a passage begins, None where it has no lines to count."""
        return line(self.folder, passage)

    def examples(self) -> tuple[str, ...]:
        """Return a few questions that the documents suggest, of as many documents as can be."""
        store = open_store(self.folder)
        ids = sorted(store.ids())
        some = [ids[n * len(ids) // _LOOKED_AT] for n in range(_LOOKED_AT)] if len(ids) > _LOOKED_AT else ids
        return suggested(store.passages(some).values())

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents and their passages; return how many documents were there.

        A file goes in again with the next build of its folder; a record of a collection stays away until
        the collection changes.
        """
        wanted = set(ids)
        check_ids([*wanted])
        manifest = read_manifest(self.folder)
        with building(self.folder):
            store = open_store(self.folder)
            there = [document.id for document in store.documents() if document.id in wanted]
            store.remove_documents(there)
            store.sync()
            write_manifest(self.folder, updated(manifest, len(store.files()), len(store)))
        return len(there)
