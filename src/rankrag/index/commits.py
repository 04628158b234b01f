"""Passages held until they fill a commit, then encoded and put in the place of the older ones."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..types import Progress
from .passage_ids import PassageIds
from .reading import Portion
from .settings import PassageEncoder
from .stores.store import REPLACED, FileRow, Store, StoredPassage
from .words import scripts

if TYPE_CHECKING:
    import numpy as np

BATCH = 16_384
"""Passages in a commit. With vectors a commit comes after fewer, since each costs much to make again."""

BATCH_WITH_VECTORS = 512

BATCH_FROM_WORKERS = 4096
"""Passages in a commit where workers encode: many do it at once, and each commit is one more file."""

_SHARE = 100
"""A commit holds at least the index's passages divided by this, up to `BATCH`: a kill then loses a hundredth
at most. Each commit writes a list of all before it, 50 bytes for each: 21 million passages in commits of 512
would write 85 GB of lists."""

_CHARACTERS = 64 * 2**20
"""Characters in a commit, whatever the number of passages: this bounds memory."""

_ENCODED_AT_ONCE = 128

SYNCED_S = 5.0
"""Seconds of a build that a power cut may take from it; once it has ended, none."""


@dataclass(slots=True)
class BytesRead:
    """How far reading is, in bytes of the files; `report` is told.

    Encoding takes far longer, so where passages are encoded here that is what is told: `encoded` counts the
    bytes whose passages also have their vectors.
    """

    report: Progress
    total: int = 0
    at: int = 0
    encoded: int = 0

    def tell(self, share: float = 1.0) -> None:
        """Tell how far reading is; of what was read since the last commit only this share (0..1) counts."""
        self.report(round(self.encoded + (self.at - self.encoded) * share), self.total, "bytes")


@dataclass(slots=True)
class _Held:
    rows: list[StoredPassage] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    characters: int = 0
    files: list[FileRow] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # those of them that the index has in an older version
    documents: list[str] = field(default_factory=list)  # of a collection, those that replace an older one


class Commits:
    """Takes passages and commits them in batches; `from_workers` says that they come with their vectors."""

    def __init__(
        self,
        store: Store,
        ids: PassageIds,
        encoder: PassageEncoder | None,
        progress: BytesRead,
        from_workers: bool,
    ) -> None:
        self.store = store
        self.ids = ids
        self.encoder = None if from_workers else encoder
        self.batch = (BATCH_FROM_WORKERS if from_workers else BATCH_WITH_VECTORS) if encoder else BATCH
        self.progress = progress
        self.held = _Held()
        self.n_passages = len(store)
        self.synced = time.monotonic()
        self.scripts: Counter[str] = Counter()

    def hold(self, portion: Portion, older: Container[str] = ()) -> None:
        """Keep the passages of a portion; `older` are the documents that the index has of its collection."""
        held = self.held
        for row in portion.rows:
            if row.document in older and row.document not in held.documents[-1:]:
                held.documents.append(row.document)
            held.rows.append(row)
            held.characters += len(row.passage.text)
            self.scripts.update(scripts(row.passage.text))
        self.ids.add(row.passage.id for row in portion.rows)
        if portion.vectors is not None:
            held.vectors.append(portion.vectors)

    def hold_file(self, row: FileRow, has_older: bool) -> None:
        """Keep the row of a file whose passages are held; the index may have passages of an older version."""
        self.held.files.append(row)
        if has_older:
            self.held.changed.append(row.name)

    @property
    def is_full(self) -> bool:
        """Whether enough is held for a commit."""
        held, enough = self.held, max(self.batch, min(BATCH, self.n_passages // _SHARE))
        many = len(held.rows) >= enough or held.characters >= _CHARACTERS
        return many or len(held.changed) >= REPLACED

    def commit(self, collection: str = "") -> None:
        """Commit the passages held, of documents or of a collection, in the place of the older ones."""
        held = self.held
        if held.rows:
            # Encoding may take long: what is replaced is found until it is done, and after that the new.
            vectors = self._vectors()
            rows = held.rows if collection else self.ids.of_documents(held.rows)
            if held.documents:
                self.store.replace([collection], rows, vectors, held.documents)
            elif held.changed:
                self.store.replace(held.changed, rows, vectors)
                self.ids.forget()
            else:
                self.store.add(rows, vectors)
            self.n_passages += len(rows)
        if held.files:
            self.store.set_files(held.files)
        self.let_go()
        if time.monotonic() - self.synced > SYNCED_S:
            self.store.sync()
            self.synced = time.monotonic()

    def let_go(self) -> None:
        """Forget what is held."""
        self.held = _Held()

    def advance(self, at: int) -> None:
        """Take note of how many bytes are read, and tell it unless their passages are still to be encoded."""
        self.progress.at = at
        if self.encoder is None or not self.held.rows:
            self.progress.tell()

    def _vectors(self) -> np.ndarray | None:
        """Return the vectors of what is held, as they came or encoded now; None in an index without any."""
        import numpy as np  # here, since a process that only reads files apart does without

        if self.held.vectors:
            return np.concatenate(self.held.vectors)
        if self.encoder is None:
            return None
        passages = [row.passage for row in self.held.rows]
        parts: list[np.ndarray] = []
        for first in range(0, len(passages), _ENCODED_AT_ONCE):
            parts.append(self.encoder.encode_passages(passages[first : first + _ENCODED_AT_ONCE]))
            self.progress.tell(min(1.0, (first + _ENCODED_AT_ONCE) / len(passages)))
        self.progress.encoded = self.progress.at
        return np.concatenate(parts)
