"""An index compared with the files that it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import RankRAGError
from .reading import Apart, File, ReadSettings, find, is_under
from .stores.by_name import open_store


@dataclass(frozen=True, slots=True)
class FolderComparison:
    """How an index differs from its files, by their names; `unreadable` pairs a name with the reason.

    `missing` are files of the index that are gone, `changed` those with other bytes now, or whose reading was
    not finished, `new` those that the next build would add. `n_same` counts those that are as they were.
    `passed_over` pairs what is no document with the reason; it is no difference.
    """

    n_same: int
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()

    @property
    def n_differences(self) -> int:
        """How many files the index does not hold as they are."""
        return len(self.missing) + len(self.changed) + len(self.new) + len(self.unreadable)


def compare(folder: Path, paths: Iterable[str] = ()) -> FolderComparison:
    """Compare an index with files, folders and globs; without any, with the folders its files lie in.

    Hashes every file that the index knows, and reads those that it does not know. Changes nothing. Raises
    NotFoundError for a path that is neither there nor in the index.
    """
    store = open_store(folder)
    root = store.manifest.root_of(folder)
    given = list(paths)
    known = {
        name: row
        for name, row in store.files().items()
        if not given or any(is_under(name, path, root) for path in given)
    }
    walked = find(given or _folders(folder, root, known), root, may_miss=bool(known) or not given)
    files = {file.name: file for file in walked.files if not is_under(file.name, str(folder), root)}
    missing, changed, unreadable = [], [], []
    for name, row in sorted(known.items()):
        path = root / name
        if not path.exists():
            missing.append(name)
            continue
        try:
            if not row.complete or File(path, name, "").sha256() != row.sha256:
                changed.append(name)
        except OSError as error:
            unreadable.append((name, str(error)))
    n_same = len(known) - len(missing) - len(changed) - len(unreadable)
    new = []
    with Apart() as apart:
        for name, file in files.items():
            if name in known:
                continue
            if reason := _why_not(apart, file, ReadSettings(store.manifest.words)):
                unreadable.append((name, reason))
            else:
                new.append(name)
    return FolderComparison(
        n_same, tuple(missing), tuple(changed), tuple(new), tuple(sorted(unreadable)), walked.passed_over
    )


def _folders(folder: Path, root: Path, known: Iterable[str]) -> list[str]:
    """Return the folders of the files of an index, without those inside another and that of uploads."""
    parents = {(root / name).parent for name in known if not is_under(name, str(folder), root)}
    return sorted(str(path) for path in parents if path.exists() and parents.isdisjoint(path.parents))


def _why_not(apart: Apart, file: File, settings: ReadSettings) -> str:
    """Return why a file cannot be read; "" for one that can."""
    notes: list[str] = []
    try:
        for portion in apart.portions(file, settings):
            if portion.rows:
                return ""
            notes += portion.notes
    except (RankRAGError, OSError) as error:
        return str(error)
    return next((note for note in notes if note.startswith("passed over ")), "it holds no text")
