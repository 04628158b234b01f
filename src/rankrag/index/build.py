"""Building an index: files in, passages committed, safe against a kill at any moment.

What makes it safe is the order of commits. A file's row in `files` goes before its passages when it is
removed, and is marked complete after its passages when it is added. A document that changed is encoded
first; then the new passages take the place of the old in one commit, and its row changes after that. So
passages without a row are left from a kill and go at the next start; a collection with a row that is not
complete goes on after the last record that is in, if its digest is still the same; any other file is read
again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError, MissingExtraError, NotFoundError
from ..types import Progress
from .manifest import building, plan, updated, write_manifest
from .reading import (
    COLLECTIONS,
    Apart,
    File,
    FileReader,
    LocalReader,
    Portion,
    ReadSettings,
    clean,
    exists,
    find,
    is_under,
)
from .settings import PassageEncoder, Settings
from .stores.by_name import make_store
from .stores.store import REPLACED, FileRow, Store, StoredPassage
from .words import scripts

BATCH = 16_384
"""Passages in a commit. With vectors a commit comes after fewer, since each costs much to make again."""

BATCH_WITH_VECTORS = 512

BATCH_FROM_WORKERS = 4096
"""Passages in a commit where workers encode: many do it at once, and each commit is one more file."""

_SHARE = 100
"""A commit holds at least the index's passages divided by this, up to `BATCH`: a kill then loses a hundredth
at most. Each commit writes a list of all before it, 50 bytes for each: 21 million passages in commits of 512
would write 85 GB of lists."""

_ENCODED_AT_ONCE = 128

_CHARACTERS = 64 * 2**20
"""Characters in a commit, whatever the number of passages: this bounds memory."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did, by names of files; `failed` pairs a name with the reason.

    `passed_over` pairs what was met in folders and not read with the reason, `notes` a file that was read
    with what was guessed, cut or left out of it. `n_files` and `n_passages` count what the index holds
    afterwards; of what was read this time, `n_records` counts the records of collections, `n_skipped` those
    that were broken, and `n_made` the passages made. `scripts` says how many of the
    passages that went in are written in each script; one in two counts for both.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    n_files: int = 0
    n_passages: int = 0
    scripts: Mapping[str, int] = field(default_factory=dict)
    passed_over: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    n_records: int = 0
    n_skipped: int = 0
    n_made: int = 0


def build(
    paths: Iterable[str],
    folder: Path,
    settings: Settings | None = None,
    progress: Progress | None = None,
    ray: str | None = None,
) -> BuildReport:
    """Bring an index up to date with files, folders and globs, making it if it is not there.

    Files with the digest they had are passed over, changed ones replaced. A file that cannot be read is
    reported with its reason, the others go in, and an older version of it stays (of a collection, whose
    records are committed as they are read, nothing stays). Interrupt or kill it at any moment: the index
    opens and searches, and the same call goes on where it was. Raises NotFoundError or InvalidInputError
    for paths and settings that cannot be used, before anything is written.

    `ray` is the address of a Ray cluster (`spread.joined` says which there are) whose workers read, cut and
    encode; the index is the same. It raises MissingExtraError without Ray, FailureError without the cluster.
    """
    given, settings = list(paths), settings or Settings()
    manifest = plan(folder, settings)
    root = manifest.root_of(folder)
    walked = find(given, root, may_miss=settings.prune)
    progress = progress or _silent
    reading = ReadSettings(manifest.words, settings.strict)
    with _reader(ray, reading, settings.encoder, progress) as reader, building(folder):
        write_manifest(folder, manifest)
        store = make_store(folder, manifest)
        builder = _Builder(store, settings.encoder, progress, reader, ahead=ray is not None)
        builder.recover()
        if settings.prune:
            builder.prune(given, root)
        builder.read_all(walked.files)
        return replace(builder.finish(), passed_over=walked.passed_over)


@contextlib.contextmanager
def _reader(
    ray: str | None, reading: ReadSettings, encoder: PassageEncoder | None, progress: Progress
) -> Iterator[FileReader]:
    """Give the reader of this machine, or one whose workers are on a Ray cluster."""
    if ray is None:
        with Apart() as apart:
            yield LocalReader(reading, apart)
        return
    from .cluster.reader import RayReader
    from .cluster.spread import joined

    with joined(ray):
        yield RayReader(reading, encoder, progress)


def _silent(done: int, total: int, unit: str) -> None:
    pass


@dataclass
class _Done:
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    n_records: int = 0
    n_skipped: int = 0
    n_made: int = 0


class _Builder:
    """Builds an index; `ahead` says that its reader also encodes."""

    def __init__(
        self,
        store: Store,
        encoder: PassageEncoder | None,
        progress: Progress,
        reader: FileReader,
        ahead: bool,
    ) -> None:
        self.store = store
        self.encoder = None if ahead else encoder
        self.progress = progress
        self.reader = reader
        self.total = 0  # bytes of all files
        self.finished = 0  # bytes of the files that are through
        self.at = 0  # bytes read
        self.shown = 0  # bytes whose passages also have their vectors
        self.known = store.files()
        self.batch = (BATCH_FROM_WORKERS if ahead else BATCH_WITH_VECTORS) if encoder else BATCH
        self.n_passages = len(store)
        self.rows: list[StoredPassage] = []
        self.vectors: list[np.ndarray] = []
        self.characters = 0
        self.files: list[FileRow] = []
        self.changed: list[str] = []  # those of them that the index knows in an older version
        self.done = _Done()
        self.ids: set[str] | None = None
        self.scripts: Counter[str] = Counter()

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

    def finish(self) -> BuildReport:
        """Commit what is left, bring the indexes up to date and count."""
        self._commit()
        done = self.done
        n_passages = len(self.store)
        if done.added or done.replaced or done.removed or self.store.n_unindexed:
            self.progress(0, n_passages, "passages")
            self.store.index()
            self.progress(n_passages, n_passages, "passages")
        n_files = len(self.store.files())
        write_manifest(self.store.folder, updated(self.store.manifest, n_files, n_passages, self.scripts))
        return BuildReport(
            tuple(done.added), tuple(done.replaced), tuple(done.unchanged), tuple(done.removed),
            tuple(done.failed), n_files, n_passages, dict(self.scripts.most_common()), (), tuple(done.notes),
            done.n_records, done.n_skipped, done.n_made,
        )  # fmt: skip

    # ── files ────────────────────────────────────────────────────────────────────────────────────────

    def read_all(self, files: list[File]) -> None:
        """Read what is new or changed among the files."""
        self.total = sum(file.size for file in files)
        self.reader.begin(files, self.after)
        for file in files:
            self.read(file)

    def after(self, file: File, digest: str) -> int | None:
        """Say after which record to read a file, None if it is in: a killed build left a part of it."""
        before = self.known.get(file.name)
        if before is None or before.sha256 != digest:
            return 0
        return None if before.complete else self.store.last_record(file.name)

    def read(self, file: File) -> None:
        """Read a file if it is new or changed; its failure is noted and does not end the build."""
        before = self.known.get(file.name)
        size = 0
        try:
            if clean(file.name) != file.name:
                raise InvalidInputError("its name is no UTF-8: rename it")
            size = file.size
            digest = self.reader.digest(file)
            if (after := self.after(file, digest)) is None:
                self.done.unchanged.append(file.name)
            else:
                self._read(file, digest, after)
                (self.done.replaced if before and before.complete else self.done.added).append(file.name)
        except (InvalidInputError, MissingExtraError, OSError) as error:
            self.done.failed.append((clean(file.name), str(error)))
        self.finished += size
        self._advance(self.finished)

    def _read(self, file: File, digest: str, after: int) -> None:
        if file.kind in COLLECTIONS:
            self._commit()
            self._read_collection(file, digest, after)
            return
        for portion in self.reader.portions(file, 0):
            self._hold(portion)
            self._note(file.name, portion)
        self.files.append(FileRow(file.name, digest, complete=True))
        if file.name in self.known:
            self.changed.append(file.name)
        if self._full():
            self._commit()

    def _read_collection(self, file: File, digest: str, after: int) -> None:
        self._begin_collection(file.name, digest)
        problem, renamed = "it holds no text", 0
        try:
            for portion in self.reader.portions(file, after):
                rows, again = self._distinct(file.name, portion.rows)
                renamed += again
                if portion.skipped and portion.notes and not self.done.n_records:
                    problem = portion.notes[0].removeprefix("passed over ")
                self._hold(replace(portion, rows=rows))
                self._note(file.name, portion)
                if self._full():
                    self.at = self.finished + portion.read
                    self._commit()
                    self._advance(self.at)
            self._commit()
            if not self.store.last_record(file.name):
                raise InvalidInputError(problem)
        except (InvalidInputError, MissingExtraError, OSError):
            self.rows, self.vectors, self.characters = [], [], 0
            self._remove([file.name])
            raise
        if renamed:
            note = f"{renamed:,} ids are in the index already: here they are called {file.name}#ID"
            self.done.notes.append((file.name, note))
        self.store.set_files([FileRow(file.name, digest, complete=True)])

    def _note(self, name: str, portion: Portion) -> None:
        """Count what a portion holds, and take down what there is to tell about it."""
        self.done.n_records += portion.records
        self.done.n_skipped += portion.skipped
        self.done.n_made += len(portion.rows)
        self.done.notes += [(name, note) for note in portion.notes]

    def _begin_collection(self, name: str, digest: str) -> None:
        """Note that a collection is being read, unless a killed build has read part of this very file."""
        before = self.known.get(name)
        if before is None or before.sha256 != digest:
            if before:
                self._remove([name])
            self.store.set_files([FileRow(name, digest, complete=False)])
        if self.ids is None:  # once, not for each of many files: it takes time that grows with the index
            self.ids = self.store.ids()

    def _distinct(self, name: str, rows: list[StoredPassage]) -> tuple[list[StoredPassage], int]:
        """Return the passages of records under ids that no other passage has, and how many were renamed.

        An id that is taken is the file's own: `42` becomes `NAME#42`.
        """
        found: list[StoredPassage] = []
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
                passages = [
                    replace(
                        row,
                        document=new,
                        passage=replace(row.passage, id=new + row.passage.id[len(document) :]),
                    )
                    for row in passages
                ]
            if self.ids is not None:
                self.ids.update(row.passage.id for row in passages)
            found += passages
        return found, renamed

    def _is_taken(self, document: str, ids: list[str]) -> bool:
        taken = self.ids or set()
        return document in taken or f"{document}#1" in taken or any(one in taken for one in ids)

    # ── commits ──────────────────────────────────────────────────────────────────────────────────────

    def _hold(self, portion: Portion) -> None:
        for row in portion.rows:
            self.rows.append(row)
            self.characters += len(row.passage.text)
            self.scripts.update(scripts(row.passage.text))
            if self.ids is not None:
                self.ids.add(row.passage.id)
        if portion.vectors is not None:
            self.vectors.append(portion.vectors)

    def _full(self) -> bool:
        enough = max(self.batch, min(BATCH, self.n_passages // _SHARE))
        many = len(self.rows) >= enough or self.characters >= _CHARACTERS
        return many or len(self.changed) >= REPLACED

    def _commit(self) -> None:
        """Commit the passages held; those of documents also replace older ones and complete their files."""
        if self.rows:
            # Encoding may take long: what is replaced is found until it is done, and after that the new.
            vectors = np.concatenate(self.vectors) if self.vectors else self._encoded()
            if self.changed:
                self.store.replace(self.changed, self.rows, vectors)
                self.ids = None
            else:
                self.store.add(self.rows, vectors)
            self.n_passages += len(self.rows)
        if self.files:
            self.store.set_files(self.files)
        self.rows, self.vectors, self.files, self.changed, self.characters = [], [], [], [], 0

    def _remove(self, names: list[str]) -> None:
        self.store.remove_files(names)
        self.ids = None

    def _encoded(self) -> np.ndarray | None:
        if self.encoder is None:
            return None
        passages = [row.passage for row in self.rows]
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
