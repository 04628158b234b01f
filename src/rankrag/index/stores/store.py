"""The role of a store: what holds the passages of an index, and the files that they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...types import Document, Filters, Hit, Passage, Source
from ..manifest import IndexManifest
from .conditions import attributes

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage as it is stored: with its document, and the number of its record in the file (from 1)."""

    passage: Passage
    document: str
    record: int


def passage_of(row: Mapping[str, object], text: str) -> Passage:
    """Return the passage of a row as stores hold it; each keeps its text in its own way."""
    stored = row["attributes"]
    return Passage(
        id=str(row["id"]),
        text=text,
        title=str(row["title"]),
        source=Source(str(row["path"]), *(number_of(row[name]) for name in ("page", "start", "end"))),
        attributes=attributes(stored if isinstance(stored, list) else ()),
    )


def stored_of(row: Mapping[str, object], passage: Passage) -> StoredPassage:
    """Return what a row holds besides its passage, beside it."""
    return StoredPassage(passage, str(row["document"]), number_of(row["record"]) or 0)


def number_of(value: object) -> int | None:
    """Return a number of a row, None where there is none."""
    return value if isinstance(value, int) else None


SCANS = "+scans"
"""Stands after a file's digest where it has pages that only OCR reads, and that were not read."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file as it is stored; `complete` says that all its passages are in."""

    name: str
    state: str
    complete: bool

    @property
    def sha256(self) -> str:
        """The digest of the file's bytes."""
        return self.state.removesuffix(SCANS)


Batch = tuple[list[StoredPassage], "np.ndarray | None"]
"""Passages with their vectors, shape (rows, dimension), or None in an index without vectors."""

REPLACED = 500
"""Files whose passages are replaced in one commit."""

MARGIN = 10
"""Hits asked for beyond `k`, to see whether the last score is shared by hits that were cut off."""


class Store(Protocol):
    """An open index, which sees what others write to it.

    A change that fails or is killed has happened for whole records only, and in the order in which it was
    asked for; `build.py` needs no more to go on after it. There is no hybrid search here: `retrievers.Hybrid`
    fuses the two searches, in the same way for every store.
    """

    @property
    def folder(self) -> Path:
        """The folder of the index."""

    @property
    def manifest(self) -> IndexManifest:
        """What the index was built with."""

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────

    def add(self, rows: Sequence[StoredPassage], vectors: np.ndarray | None = None) -> None:
        """Add passages; `vectors` has shape (rows, dimension) in an index with vectors."""

    def replace(
        self,
        names: Sequence[str],
        rows: Sequence[StoredPassage],
        vectors: np.ndarray | None = None,
        documents: Sequence[str] | None = None,
    ) -> None:
        """Add passages in the place of those of the files named; a reader sees old or new, never none.

        Where `documents` are given, those of other documents of the files stay. Rows of other files may be
        among the new ones. `names` are at most `REPLACED`.
        """

    def set_files(self, rows: Sequence[FileRow]) -> None:
        """Write the rows of files, replacing those of the same name."""

    def remove_files(self, names: Iterable[str]) -> None:
        """Remove files and their passages; the row of a file goes first, so that a kill leaves no lie."""

    def remove_documents(self, ids: Iterable[str]) -> None:
        """Remove documents; a file whose last passage is gone is forgotten, so it would be read again."""

    @property
    def n_unindexed(self) -> int:
        """Passages that `index` would take in; a search finds them, but slower or with a coarser score."""

    def index(self, may_wait: int = 0) -> None:
        """Bring the indexes up to date with the passages, unless fewer than `may_wait` are new."""

    def sync(self) -> None:
        """Have all changes so far survive a power cut."""

    # ── what is there ────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """Return the number of passages."""

    def files(self) -> dict[str, FileRow]:
        """Return the files by name."""

    def names(self) -> set[str]:
        """Return the names of the files that have passages here, complete or not."""

    def ids(self) -> set[str]:
        """Return the ids of all passages."""

    def last_record(self, name: str) -> int:
        """Return the number of the last record of a file that is in; 0 if none is."""

    def passages(self, ids: Iterable[str]) -> dict[str, Passage]:
        """Return the passages of these ids by id; ids that are not in the index are left out."""

    def documents(self, names: Iterable[str] | None = None) -> list[Document]:
        """Return the documents, or those of the files named, ordered by id.

        The digest is that of the file that holds the document.
        """

    def rows_of(self, name: str) -> Iterator[StoredPassage]:
        """Yield what is stored of a file, in no order."""

    def batches(self) -> Iterator[Batch]:
        """Yield all that was added, in batches that fit into memory, in no order."""

    # ── search ───────────────────────────────────────────────────────────────────────────────────────

    def search_words(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return the best passages by BM25 (k1 = 1.2, b = 0.75) over title and text, ties by id.

        The query is words, nothing in it is an operator; one without any word of the index finds nothing.
        """

    def search_vectors(self, vector: np.ndarray, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return the passages whose vectors are most similar (cosine or dot product), ties by id."""
