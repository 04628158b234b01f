"""Building an index: files in, passages committed, safe against a kill at any moment.

What makes it safe is the order of commits. A file's row in `files` goes before its passages when it is
removed, and is marked complete after its passages when it is added. So passages without a row are left
from a kill and go at the next start; a collection with a row that is not complete goes on after the
last record that is in, if its digest is still the same; any other file is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError, MissingExtraError, NotFoundError
from ..types import Passage, Progress, Source
from .cut import cut
from .manifest import building, plan, updated, write_manifest
from .parse import clean, parse
from .records import RECORDS, Record, records
from .settings import Settings
from .store import FileRow, Row, Store
from .stores import make_store
from .walk import File, exists, find, is_under

BATCH = 16_384
"""Passages in a commit. With vectors a commit comes after fewer, since each costs much to make again."""

BATCH_WITH_VECTORS = 512

_ENCODED_AT_ONCE = 128

_CHARACTERS = 64 * 2**20
"""Characters in a commit, whatever the number of passages: this bounds memory."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a build did, by names of files; `failed` pairs a name with the reason.

    `n_files` and `n_passages` count what the index holds afterwards.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    n_files: int = 0
    n_passages: int = 0


def build(
    paths: Iterable[str],
    folder: Path,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring an index up to date with files, folders and globs, making it if it is not there.

    Files with the digest they had are passed over, changed ones replaced. A file that cannot be read is
    reported with its reason, the others go in, and an older version of it stays (of a collection, whose
    records are committed as they are read, nothing stays). Interrupt or kill it at any moment: the index
    opens and searches, and the same call goes on where it was. Raises NotFoundError or InvalidInputError
    for paths and settings that cannot be used, before anything is written.
    """
    given, settings = list(paths), settings or Settings()
    manifest = plan(folder, settings)
    root = manifest.root_of(folder)
    files = find(given, root, may_miss=settings.prune)
    with building(folder):
        write_manifest(folder, manifest)
        store = make_store(folder, manifest)
        builder = _Builder(store, settings, progress or _silent, sum(file.size for file in files))
        builder.recover()
        if settings.prune:
            builder.prune(given, root)
        for file in files:
            builder.read(file)
        return builder.finish()


def passages_of_record(record: Record, name: str, words: int) -> list[Passage]:
    """Return a record's passages: whole under its own id, or cut under `id#1`, `id#2`, ...

    Offsets count in the text of the record.
    """
    item = record.passage
    spans = cut(item.text, words)
    return [
        Passage(
            id=item.id if len(spans) == 1 else f"{item.id}#{n}",
            text=item.text[start:end],
            title=item.title,
            source=Source(name, None, start, end),
            attributes=item.attributes,
        )
        for n, (start, end) in enumerate(spans, 1)
    ]


def passages_of_file(file: File, words: int) -> list[Passage]:
    """Return a document's passages under `name#1`, `name#2`, ...

    Raises InvalidInputError if it cannot be read.
    """
    document = parse(file.path, file.kind)
    passages: list[Passage] = []
    page = 0
    for n, (start, end) in enumerate(cut(document.text, words, document.pages), 1):
        while page < len(document.pages) and document.pages[page] <= start:
            page += 1
        source = Source(file.name, page or None, start, end)
        passages.append(Passage(f"{file.name}#{n}", document.text[start:end], document.title, source))
    return passages


def _silent(done: int, total: int, unit: str) -> None:
    pass


@dataclass
class _Done:
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


class _Builder:
    def __init__(self, store: Store, settings: Settings, progress: Progress, total: int) -> None:
        self.store = store
        self.encoder = settings.encoder
        self.progress = progress
        self.total = total
        self.finished = 0  # bytes of the files that are through
        self.at = 0  # bytes read
        self.shown = 0  # bytes whose passages also have their vectors
        self.known = store.files()
        self.batch = BATCH_WITH_VECTORS if settings.encoder else BATCH
        self.rows: list[Row] = []
        self.characters = 0
        self.files: list[FileRow] = []
        self.done = _Done()
        self.ids: set[str] | None = None

    # ── before and after ─────────────────────────────────────────────────────────────────────────────

    def recover(self) -> None:
        """Remove passages that a killed build left without the row of their file."""
        self.store.remove_files(self.store.names() - set(self.known))

    def prune(self, given: list[str], root: Path) -> None:
        """Remove the documents under the given paths whose files are gone."""
        gone: set[str] = set()
        for path in given:
            covered = [name for name in self.known if is_under(name, path, root)]
            if not covered and not Path(path).exists():
                raise NotFoundError(f"found nothing at {path} and nothing of it in the index: check the path")
            gone |= {name for name in covered if not exists(name, root)}
        self.done.removed += sorted(gone)
        self.store.remove_files(gone)

    def finish(self) -> Report:
        """Commit what is left, bring the indexes up to date and count."""
        self._commit()
        done = self.done
        n_passages = len(self.store)
        if done.added or done.replaced or done.removed or self.store.n_unindexed:
            self.progress(0, n_passages, "passages")
            self.store.index()
            self.progress(n_passages, n_passages, "passages")
        n_files = len(self.store.files())
        write_manifest(self.store.folder, updated(self.store.manifest, n_files, n_passages))
        return Report(
            tuple(done.added), tuple(done.replaced), tuple(done.unchanged), tuple(done.removed),
            tuple(done.failed), n_files, n_passages,
        )  # fmt: skip

    # ── files ────────────────────────────────────────────────────────────────────────────────────────

    def read(self, file: File) -> None:
        """Read a file if it is new or changed; its failure is noted and does not end the build."""
        before = self.known.get(file.name)
        size = 0
        try:
            if clean(file.name) != file.name:
                raise InvalidInputError("its name is no UTF-8: rename it")
            size = file.size
            digest = file.sha256()
            if before and before.complete and before.sha256 == digest:
                self.done.unchanged.append(file.name)
            else:
                self._read(file, digest)
                (self.done.replaced if before and before.complete else self.done.added).append(file.name)
        except (InvalidInputError, MissingExtraError, OSError) as error:
            self.done.failed.append((clean(file.name), str(error)))
        self.finished += size
        self._advance(self.finished)

    def _read(self, file: File, digest: str) -> None:
        if file.kind in RECORDS:
            self._commit()
            self._read_collection(file, digest)
            return
        self._hold(
            Row(passage, file.name, 1) for passage in passages_of_file(file, self.store.manifest.words)
        )
        self.files.append(FileRow(file.name, digest, complete=True))
        if self._full():
            self._commit()

    def _read_collection(self, file: File, digest: str) -> None:
        after = self._begin_collection(file.name, digest)
        try:
            for record in records(file.path, file.name, file.kind, after):
                self._hold(self._rows(file.name, record))
                if self._full():
                    self.at = self.finished + record.read
                    self._commit()
                    self._advance(self.at)
            self._commit()
            if not self.store.last_record(file.name):
                raise InvalidInputError("it holds no text")
        except (InvalidInputError, OSError):
            self.rows, self.characters = [], 0
            self.store.remove_files([file.name])
            raise
        self.store.set_files([FileRow(file.name, digest, complete=True)])

    def _begin_collection(self, name: str, digest: str) -> int:
        """Return after which record to go on: 0, unless a killed build has read part of this very file."""
        before = self.known.get(name)
        if before and before.sha256 == digest:
            after = self.store.last_record(name)
        else:
            after = 0
            if before:
                self.store.remove_files([name])
            self.store.set_files([FileRow(name, digest, complete=False)])
        self.ids = self.store.ids()
        return after

    def _rows(self, name: str, record: Record) -> Iterator[Row]:
        for passage in passages_of_record(record, name, self.store.manifest.words):
            if self.ids is not None and passage.id in self.ids:
                raise InvalidInputError(
                    f"{name}:{record.number}: found the id {passage.id!r} a second time, wanted ids that no "
                    "other passage in the index has: rename it, or use another index"
                )
            yield Row(passage, record.passage.id, record.number)

    # ── commits ──────────────────────────────────────────────────────────────────────────────────────

    def _hold(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.rows.append(row)
            self.characters += len(row.passage.text)
            if self.ids is not None:
                self.ids.add(row.passage.id)

    def _full(self) -> bool:
        return len(self.rows) >= self.batch or self.characters >= _CHARACTERS

    def _commit(self) -> None:
        """Commit the passages held; those of documents also replace older ones and complete their files."""
        if changed := [row.name for row in self.files if row.name in self.known]:
            self.store.remove_files(changed)
        if self.rows:
            self.store.add(self.rows, self._vectors([row.passage for row in self.rows]))
        if self.files:
            self.store.set_files(self.files)
        self.rows, self.files, self.characters = [], [], 0

    def _vectors(self, passages: list[Passage]) -> np.ndarray | None:
        if self.encoder is None:
            return None
        parts: list[np.ndarray] = []
        for first in range(0, len(passages), _ENCODED_AT_ONCE):
            parts.append(self.encoder.encode_passages(passages[first : first + _ENCODED_AT_ONCE]))
            done = min(1.0, (first + _ENCODED_AT_ONCE) / len(passages))
            self.progress(round(self.shown + (self.at - self.shown) * done), self.total, "bytes")
        self.shown = self.at
        return np.concatenate(parts)

    # ── progress ─────────────────────────────────────────────────────────────────────────────────────

    def _advance(self, at: int) -> None:
        """Tell how far reading is; encoding takes far longer, so with an encoder that is what is told."""
        self.at = at
        if self.encoder is None or not self.rows:
            self.progress(at, self.total, "bytes")
