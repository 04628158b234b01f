"""The documents of an index, for whoever changes it while it runs (server, command line)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import PartialError
from ..types import Document, Passage, Progress
from .build import build
from .limits import check_ids
from .location import line
from .manifest import building, read_manifest, updated, write_manifest
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
        self,
        paths: Iterable[str],
        progress: Progress | None = None,
        note: Callable[[str], None] | None = None,
    ) -> tuple[Document, ...]:
        """Index the files, replacing those that changed; return what was added or replaced.

        `note` is told what was guessed, cut or passed over in a file that was read. Raises PartialError if
        some files could not be read; the others are in.
        """
        report = build(paths, self.folder, Settings(encoder=self.encoder), progress)
        if note is not None:
            for _, words in report.notes:
                note(words)
        if report.failed:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in report.failed[:5])
            raise PartialError(
                f"found {len(report.failed)} files that cannot be read, the others are in: {reasons}"
            )
        changed = {*report.added, *report.replaced}
        return tuple(document for document in self.list() if document.path in changed)

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
