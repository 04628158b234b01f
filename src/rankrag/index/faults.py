"""What is wrong with an index in itself, whatever its documents are by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import RankRAGError, amount
from .manifest import read_manifest, unchanging
from .stores.by_name import open_store
from .sums import damaged


def faults(folder: Path) -> list[str]:
    """Return what is wrong with an index, a line each: files that were damaged, passages that do not fit.

    Reads all of it, and writes nothing. Raises NotFoundError or InvalidInputError for what is no index, and
    FailureError if it is being changed.
    """
    read_manifest(folder)
    with unchanging(folder):
        return list(damaged(folder)) or list(_contradictions(folder))


def _contradictions(folder: Path) -> Iterator[str]:
    try:
        store = open_store(folder)
        files = store.files()
        ids: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for rows, _ in store.batches():
            ids.update(row.passage.id for row in rows)
            unknown.update(row.passage.source.path if row.passage.source else "" for row in rows)
    except (RankRAGError, OSError, RuntimeError, ValueError) as error:
        yield f"it cannot be read: {error}"
        return
    for name, count in ids.items():
        if count > 1:
            yield f"{name}: {count} passages have this id"
    for name in unknown.keys() - files.keys():
        yield f"{name}: {amount(unknown[name], 'passage')} of a file that the index does not know"
    for name, row in files.items():
        if not row.complete:
            yield f"{name}: not all of it is in"
