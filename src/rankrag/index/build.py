"""Building an index: files in, passages committed, safe against a kill at any moment.

What makes it safe is the order of commits. A file's row in `files` goes before its passages when it is
removed, and is marked complete after its passages when it is added. What changed is encoded first; then the
new passages take the place of the old in one commit: those of a document together, those of a collection
record by record, and the row of the file changes after that. So passages without a row are left from a kill
and go when the build ends, unless it has read their file again; a new collection with a row that is not
complete goes on after the last record that is in, if its digest is still the same; any other file is read
again, and of a collection the records that are in as they are stay.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import InvalidInputError, MissingExtraError, NotFoundError, amount
from ..types import Progress
from .commits import BytesRead, Commits
from .manifest import building, plan, updated, write_manifest
from .passage_ids import PassageIds
from .reading import (
    COLLECTIONS,
    Apart,
    File,
    FileReader,
    LocalReader,
    Portion,
    ReadSettings,
    clean,
    find,
    is_under,
)
from .reading.ocr import REMEDY
from .settings import PassageEncoder, Settings
from .stores.by_name import make_store
from .stores.store import SCANS, FileRow, Store, StoredPassage

_MAY_WAIT, _FEW = 500, 1000
"""Passages that may wait outside of the index for words while more files follow; at other times a thousandth
of all, and no more than these. A search goes through them one by one: among 200,000 passages it took 20 ms,
with 330 outside 35. To take them in writes that index anew: 3 s of a processor, for one as for a thousand."""


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

    Files with the digest they had are passed over, changed ones replaced, and so are, with `settings.ocr`,
    those whose scanned pages were left out. A file that cannot be read is reported with its reason, the
    others go in, and an older version of it stays; of a collection, whose records are committed as they are
    read, some may be newer then, and of a new one none stays. Interrupt or kill it at any moment: the index
    opens and searches, and the same call goes on where it was. Raises NotFoundError or InvalidInputError for
    paths and settings that cannot be used, before anything is written.

    `ray` is the address of a Ray cluster (`spread.joined` says which there are) whose workers read, cut and
    encode; the index is the same. It raises MissingExtraError without Ray, FailureError without the cluster.
    """
    given, settings = list(paths), settings or Settings()
    manifest = plan(folder, settings)
    root = manifest.root_of(folder)
    walked = find(given, root, may_miss=settings.prune)
    progress = progress or (lambda *_: None)
    reading = ReadSettings(manifest.words, settings.strict, settings.ocr)
    with _reader(ray, reading, settings.encoder, progress) as reader, building(folder):
        write_manifest(folder, manifest)
        store = make_store(folder, manifest)
        builder = _Builder(store, settings, reader, progress, from_workers=ray is not None)
        builder.recover()
        if settings.prune:
            builder.prune(given, root)
        builder.read_all(walked.files)
        return replace(builder.finish(settings.more), passed_over=walked.passed_over)


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
    """Builds an index; `from_workers` says that what its reader gives is encoded already."""

    def __init__(
        self, store: Store, settings: Settings, reader: FileReader, progress: Progress, from_workers: bool
    ) -> None:
        self.store = store
        self.reader = reader
        self.ocr = settings.ocr
        self.known = store.files()
        self.ids = PassageIds(store, self.known)
        self.progress = BytesRead(progress)
        self.commits = Commits(store, self.ids, settings.encoder, self.progress, from_workers)
        self.finished = 0  # bytes of the files that are through
        self.scanned: set[str] = set()  # files whose scanned pages were left
        self.stray: set[str] = set()  # files without a row whose passages a killed build left
        self.done = _Done()

    # ── before and after ─────────────────────────────────────────────────────────────────────────────

    def recover(self) -> None:
        """See what a killed build left, and have it survive a power cut."""
        self.stray = self.store.names() - set(self.known)
        self.store.sync()

    def prune(self, given: list[str], root: Path) -> None:
        """Remove the documents under the given paths whose files are gone."""
        gone: set[str] = set()
        for path in given:
            covered = [name for name in self.known if is_under(name, path, root)]
            if not covered and not Path(path).exists():
                raise NotFoundError(f"found nothing at {path} and nothing of it in the index: check the path")
            gone |= {name for name in covered if not (root / name).exists()}
        self.done.removed += sorted(gone)
        self.store.remove_files(gone)

    def finish(self, more: bool) -> BuildReport:
        """Commit what is left, bring the indexes up to date, or nearly so, and count."""
        self.commits.commit()
        self.store.remove_files(self.stray)
        done, scripts = self.done, self.commits.scripts
        n_passages = len(self.store)
        if done.added or done.replaced or done.removed or self.store.n_unindexed:
            self.progress.report(0, n_passages, "passages")
            may_wait = 0 if done.removed else _MAY_WAIT if more else min(_MAY_WAIT, n_passages // _FEW)
            self.store.index(may_wait)
            self.progress.report(n_passages, n_passages, "passages")
        self.store.sync()
        n_files = len(self.store.files())
        write_manifest(self.store.folder, updated(self.store.manifest, n_files, n_passages, scripts))
        return BuildReport(
            added=tuple(done.added),
            replaced=tuple(done.replaced),
            unchanged=tuple(done.unchanged),
            removed=tuple(done.removed),
            failed=tuple(done.failed),
            n_files=n_files,
            n_passages=n_passages,
            scripts=dict(scripts.most_common()),
            notes=tuple(done.notes),
            n_records=done.n_records,
            n_skipped=done.n_skipped,
            n_made=done.n_made,
        )

    # ── files ────────────────────────────────────────────────────────────────────────────────────────

    def read_all(self, files: list[File]) -> None:
        """Read what is new or changed among the files."""
        self.progress.total = sum(file.size for file in files)
        self.reader.begin(files, self.after)
        for file in files:
            self.read(file)

    def after(self, file: File, digest: str) -> int | None:
        """Say after which record to read a file, None if it is in: a killed build left a part of it."""
        before = self.known.get(file.name)
        if before is None or not self._is_as_it_was(before, digest):
            return 0
        return None if before.complete else self.store.last_record(file.name)

    def _is_as_it_was(self, before: FileRow, digest: str) -> bool:
        """Say whether a file is the one that is in, with all that would be read of it now."""
        return digest == (before.state if self.ocr else before.sha256)

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
        self.commits.advance(self.finished)

    def _read(self, file: File, digest: str, after: int) -> None:
        if file.kind in COLLECTIONS:
            self.commits.commit()
            self._read_collection(file, digest, after)
            return
        for portion in self.reader.portions(file, 0):
            self.commits.hold(portion)
            self._note(file.name, portion)
        has_older = file.name in self.known or file.name in self.stray
        self.commits.hold_file(self._whole(file.name, digest), has_older)
        self.stray.discard(file.name)
        if self.commits.is_full:
            self.commits.commit()

    def _read_collection(self, file: File, digest: str, after: int) -> None:
        older = self._begin_collection(file.name, digest)
        problem, renamed, seen = "", 0, set[str]()
        counts = self.done.n_records, self.done.n_skipped, self.done.n_made
        try:
            for portion in self.reader.portions(file, after):
                rows, again = self.ids.of_records(file.name, portion.rows)
                renamed += again
                if portion.skipped and portion.notes and not problem:
                    problem = portion.notes[0].removeprefix("passed over ")
                seen.update(row.document for row in rows if row.document in older)
                self.commits.hold(_changed(replace(portion, rows=rows), older), older)
                self._note(file.name, portion)
                if self.commits.is_full:
                    self.progress.at = self.finished + portion.read
                    self.commits.commit(file.name)
                    self.commits.advance(self.progress.at)
            self.commits.commit(file.name)
            if self.done.n_made == counts[-1] and (older or not self.store.last_record(file.name)):
                raise InvalidInputError(problem or "it holds no text")
        except (InvalidInputError, MissingExtraError, OSError):
            self.commits.let_go()
            self.ids.forget()
            if not older:
                self.store.remove_files([file.name])
                self.done.n_records, self.done.n_skipped, self.done.n_made = counts
            raise
        if renamed:
            note = f"{amount(renamed, 'id')} in the index already, here called {file.name}#ID"
            self.done.notes.append((file.name, note))
        if gone := older.keys() - seen:
            self.store.remove_documents(gone)
        self.store.set_files([self._whole(file.name, digest)])
        self.ids.has_records = True

    def _whole(self, name: str, digest: str) -> FileRow:
        """Return the row of a file that is read, marked where scanned pages of it were left."""
        return FileRow(name, digest + SCANS if name in self.scanned else digest, complete=True)

    def _note(self, name: str, portion: Portion) -> None:
        """Count what a portion holds, and take down what there is to tell about it."""
        self.done.n_records += portion.records
        self.done.n_skipped += portion.skipped
        self.done.n_made += len(portion.rows)
        self.done.notes += [(name, note) for note in portion.notes]
        if any(REMEDY in note for note in portion.notes):
            self.scanned.add(name)

    def _begin_collection(self, name: str, digest: str) -> dict[str, int]:
        """Note a new file; return the fingerprints of the documents of an older version."""
        before = self.known.get(name)
        if before is None:
            self.store.set_files([FileRow(name, digest, complete=False)])
        self.ids.load()
        older: dict[str, int] = defaultdict(int)
        if before is not None and not self._is_as_it_was(before, digest):
            for row in self.store.rows_of(name):
                older[row.document] += _fingerprint(row)
                self.ids.free([row.passage.id])
        return older


def _changed(portion: Portion, older: Mapping[str, int]) -> Portion:
    """Return a portion of whole records without those that are in the index as they are."""
    if not older:
        return portion
    new: dict[str, int] = defaultdict(int)
    for row in portion.rows:
        new[row.document] += _fingerprint(row)
    at = [n for n, row in enumerate(portion.rows) if older.get(row.document) != new[row.document]]
    vectors = None if portion.vectors is None else portion.vectors[at]
    return replace(portion, rows=[portion.rows[n] for n in at], vectors=vectors)


def _fingerprint(row: StoredPassage) -> int:
    """Return a number that stands for a passage; the sum of several stands for all of them in any order."""
    passage = replace(row.passage, attributes=dict(sorted(row.passage.attributes.items())))
    return int.from_bytes(hashlib.blake2b(repr((row.document, passage)).encode(), digest_size=16).digest())
