"""Copying an index into another store: passages, attributes, vectors and files; no encoder is needed."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import FailureError, InvalidInputError
from ..files import typed, write_json
from ..types import Progress
from .commits import SYNCED_S
from .manifest import (
    COPYING,
    FORMAT,
    MANIFEST,
    IndexManifest,
    building,
    moment,
    read_manifest,
    root_from,
    unchanging,
    updated,
    vacant,
    write_manifest,
)
from .place import LANCEDB, StorePlace, check_place
from .stores.by_name import drop_store, make_store, open_store
from .stores.store import Batch, Store
from .words import scripts


@dataclass(frozen=True, slots=True)
class _Note:
    """What a copy that is under way leaves beside its target, to go on after a kill.

    `source` names the index that is copied, `state` is a digest of what is in it, `created` marks the target.
    """

    source: str
    state: str
    created: str
    store: StorePlace


def copy_index(
    source: Path, target: Path, store: StorePlace | None = None, progress: Progress | None = None
) -> IndexManifest:
    """Copy an index into a new folder and the store named (LanceDB by default); return its manifest.

    Nothing is written to the source. The target opens only when it is whole and its counts are those of the
    source: its manifest is written last. After a kill the same call goes on, unless the source changed, which
    begins anew. Raises
    InvalidInputError for a target that cannot be used, FailureError if the source is being changed.
    """
    place = store or LANCEDB
    check_place(place)
    read_manifest(source)
    if _is_whole(source, target):
        (target / COPYING).unlink()
        return read_manifest(target)
    vacant(target)
    with unchanging(source), building(target):
        before = open_store(source)
        state = _state(before)
        manifest = _begun(before, target, place, state)
        after = make_store(target, manifest)
        seen = _copy(before, after, progress)
        if _state(open_store(source)) != state:
            raise FailureError(
                f"found that {source} changed while it was copied, wanted it to stay as it is: copy it again"
            )
        _check(before, after)
        manifest = updated(manifest, len(after.files()), len(after), seen)
        write_manifest(target, manifest)
        (target / COPYING).unlink()
    return manifest


def _is_whole(source: Path, target: Path) -> bool:
    """Say whether a copy of the source as it is was killed when all that was left was to remove its note."""
    note = _read_note(target / COPYING)
    if note is None or not (target / MANIFEST).is_file():
        return False
    return (note.source, note.state) == (source.resolve().as_posix(), _state(open_store(source)))


def _begun(before: Store, target: Path, place: StorePlace, state: str) -> IndexManifest:
    """Return the manifest of the target, and note what it is a copy of; a beginning of another goes."""
    manifest = replace(
        before.manifest,
        root=root_from(before.manifest.root_of(before.folder), target),
        created=moment(),
        format=FORMAT,
        store=place,
    )
    note = _Note(before.folder.resolve().as_posix(), state, manifest.created, place)
    old = _read_note(target / COPYING)
    if old is not None and replace(old, created=note.created) == note:
        return replace(manifest, created=old.created)
    if old is not None:
        drop_store(target, replace(manifest, created=old.created, store=old.store))
    write_json(target / COPYING, asdict(note), durable=True)
    return manifest


def _state(store: Store) -> str:
    files = sorted((row.name, row.sha256) for row in store.files().values())
    known = [store.manifest.updated, len(store), *files]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _read_note(path: Path) -> _Note | None:
    if not path.exists():
        return None
    try:
        return typed(_Note, json.loads(path.read_text(encoding="utf-8")), "note")
    except ValueError as error:
        raise InvalidInputError(
            f"found a broken {path} ({error}), wanted what a copy notes there: copy into another folder"
        ) from error


def _copy(before: Store, after: Store, progress: Progress | None) -> set[str]:
    """Copy what is not there yet, and return the scripts of all.

    Files come last, so that a build there sees a half as a half.
    """
    there, total, done = after.ids(), len(before), 0
    seen: set[str] = set()
    synced = time.monotonic()
    for batch in before.batches():
        rows, vectors = _missing(batch, there)
        if rows:
            after.add(rows, vectors)
        if time.monotonic() - synced > SYNCED_S:
            after.sync()
            synced = time.monotonic()
        done += len(batch[0])
        seen |= {name for row in batch[0] for name in scripts(row.passage.text)}
        if progress:
            progress(done, total, "passages")
    after.set_files([*before.files().values()])
    after.index()
    after.sync()
    return seen


def _missing(batch: Batch, there: set[str]) -> Batch:
    rows, vectors = batch
    at = [n for n, row in enumerate(rows) if row.passage.id not in there]
    return [rows[n] for n in at], None if vectors is None else vectors[at]


def _check(before: Store, after: Store) -> None:
    counts = [(len(store), len(store.files())) for store in (before, after)]
    if counts[0] != counts[1]:
        (passages, files), (n_passages, n_files) = counts
        raise FailureError(
            f"found {n_passages:,} passages and {n_files:,} files in the copy at {after.folder}, wanted "
            f"{passages:,} and {files:,}: see that nothing else writes there, and copy into another folder"
        )
