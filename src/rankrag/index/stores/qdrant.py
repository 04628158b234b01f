"""The role of a store filled by Qdrant: passages are points on a server, which many machines may read.

Sparse vectors carry the words (weighed in `qdrant_points.py`, IDF by the server), dense ones are the
encoder's. The server is not asked to tokenize (the words would not be ours) nor to fuse (`retrievers.fuse`
is one formula for all stores).
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from ...types import Document, Filters, Hit, Passage
from ..limits import check_words
from ..manifest import IndexManifest, check_vectors, searched_by
from ..older import words_before
from ..one_form import spellings
from ..words import query_words, words
from .conditions import attribute
from .qdrant_points import (
    NAMED,
    POINTS,
    SCROLLED,
    Payload,
    as_passage,
    as_point,
    is_in,
    parts,
    passage_vector,
    point_id,
    query_vector,
    requests,
    row_vector,
    sparse,
)
from .qdrant_server import (
    DENSE,
    WORDS,
    CollectionAbout,
    asking,
    check_collections,
    client_of,
    files_of,
    read_about,
    write_about,
)
from .store import MARGIN, Batch, FileRow, StoredPassage, number_of, stored_of

if TYPE_CHECKING:
    import numpy as np
    from qdrant_client import models

_TRIES = 3
"""Times that a search begins, where hits are replaced between the request for their ids and that for them."""

_DRIFT = 0.05
"""Share by which the average length may be off before all passages are weighed anew."""


class QdrantStore:
    """An open index on a server. A request is whole or not at all; a change of many records takes several.

    A record is never divided between requests, so after a kill `last_record` is right. Two passages of one
    id are one point: the later replaces the earlier.
    """

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._place = manifest.store
        self._client = client_of(self._place)
        self._about = check_collections(folder, manifest)

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────

    def add(self, rows: Sequence[StoredPassage], vectors: np.ndarray | None = None) -> None:
        if not rows:
            return
        check_vectors(self.folder, self.manifest.encoder, len(rows), vectors)
        words = [self._words(f"{row.passage.title}\n{row.passage.text}") for row in rows]
        average = self._average(words)
        at = 0
        for part in requests(rows):
            points = [
                as_point(row, passage_vector(words[n], average), len(words[n]), row_vector(vectors, n))
                for n, row in enumerate(part, at)
            ]
            at += len(part)
            with asking(self._place):
                self._client.upsert(self._place.collection, points, wait=True)

    def replace(
        self,
        names: Sequence[str],
        rows: Sequence[StoredPassage],
        vectors: np.ndarray | None = None,
        documents: Sequence[str] | None = None,
    ) -> None:
        """Add passages in the place of those of the files named; what is left of the older goes last."""
        from qdrant_client.models import Filter, FilterSelector, HasIdCondition

        self.add(rows, vectors)
        new: list[str | int | uuid.UUID] = [point_id(row.passage.id) for row in rows]
        theirs = [is_in("path", names), *([] if documents is None else [is_in("document", documents)])]
        older = Filter(must=[*theirs], must_not=[HasIdCondition(has_id=new)])
        with asking(self._place):
            self._client.delete(self._place.collection, FilterSelector(filter=older), wait=True)

    def _words(self, text: str) -> list[str]:
        return (words if self.manifest.own_words else words_before)(text, self.manifest.language)

    def _average(self, texts: Sequence[Sequence[str]]) -> float:
        """Return the average length to weigh by; the first passages that are added set it."""
        self._about = read_about(self._place) or self._about
        if self._about.average is None:
            average = max(1.0, sum(map(len, texts)) / len(texts))
            self._about = CollectionAbout(self._about.created, average, len(texts))
            write_about(self._place, self._about)
        return self._about.average or 1.0

    def set_files(self, rows: Sequence[FileRow]) -> None:
        from qdrant_client.models import PointStruct

        for part in parts(rows, NAMED):
            points = [
                PointStruct(
                    id=point_id(row.name),
                    vector={},
                    payload={"name": row.name, "sha256": row.state, "complete": row.complete},
                )
                for row in part
            ]
            with asking(self._place):
                self._client.upsert(files_of(self._place), points, wait=True)

    def remove_files(self, names: Iterable[str]) -> None:
        from qdrant_client.models import Filter, FilterSelector, PointIdsList

        for part in parts(names, NAMED):
            rows = PointIdsList(points=[point_id(name) for name in part])
            theirs = FilterSelector(filter=Filter(must=[is_in("path", part)]))
            with asking(self._place):
                self._client.delete(files_of(self._place), rows, wait=True)
                self._client.delete(self._place.collection, theirs, wait=True)

    def remove_documents(self, ids: Iterable[str]) -> None:
        from qdrant_client.models import Filter, FilterSelector

        for part in parts(ids, NAMED):
            theirs = FilterSelector(filter=Filter(must=[is_in("document", part)]))
            with asking(self._place):
                self._client.delete(self._place.collection, theirs, wait=True)
        self.remove_files(set(self.files()) - self.names())

    @property
    def n_unindexed(self) -> int:
        """Passages weighed by an average length that was taken when there were less than half as many."""
        n_passages = len(self)
        return n_passages if n_passages >= 2 * self._about.weighed else 0

    def index(self, may_wait: int = 0) -> None:  # noqa: ARG002 - it weighs anew at twice as many
        """Weigh the passages anew if their average length is no longer what they were weighed by."""
        self._about = read_about(self._place) or self._about
        if not self.n_unindexed:
            return
        lengths = [number_of(p["n_words"]) or 0 for p in self._scroll(["n_words"])]
        if not lengths:
            return
        average = max(1.0, sum(lengths) / len(lengths))
        if abs(average / (self._about.average or 1.0) - 1) > _DRIFT:
            self._weigh(average)
        else:
            average = self._about.average or average
        self._about = CollectionAbout(self._about.created, average, len(lengths))
        write_about(self._place, self._about)

    def sync(self) -> None:
        """Have all changes so far survive a power cut: the server has them in its log when it answers."""

    def _weigh(self, average: float) -> None:
        from qdrant_client.models import PointVectors

        for payloads in parts(self._scroll(["id", "title", "text"]), POINTS):
            words = [self._words(f"{p['title']}\n{p['text']}") for p in payloads]
            points = [
                PointVectors(id=point_id(str(p["id"])), vector={WORDS: sparse(passage_vector(w, average))})
                for p, w in zip(payloads, words, strict=True)
                if w
            ]
            if points:
                with asking(self._place):
                    self._client.update_vectors(self._place.collection, points, wait=True)

    # ── what is there ────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        with asking(self._place):
            return self._client.count(self._place.collection, exact=True).count

    def files(self) -> dict[str, FileRow]:
        rows = (p for p in self._scroll(True, files_of(self._place)) if "name" in p)
        return {
            str(row["name"]): FileRow(str(row["name"]), str(row["sha256"]), bool(row["complete"]))
            for row in rows
        }

    def names(self) -> set[str]:
        return {str(payload["path"]) for payload in self._scroll(["path"])}

    def ids(self) -> set[str]:
        return {str(payload["id"]) for payload in self._scroll(["id"])}

    def last_record(self, name: str) -> int:
        from qdrant_client.models import Direction, Filter, OrderBy

        with asking(self._place):
            points, _ = self._client.scroll(
                self._place.collection,
                scroll_filter=Filter(must=[is_in("path", [name])]),
                order_by=OrderBy(key="record", direction=Direction.DESC),
                limit=1,
                with_payload=["record"],
            )
        return number_of((points[0].payload or {}).get("record")) or 0 if points else 0

    def passages(self, ids: Iterable[str]) -> dict[str, Passage]:
        passages: dict[str, Passage] = {}
        for part in parts(ids, NAMED):
            with asking(self._place):
                points = self._client.retrieve(self._place.collection, [point_id(name) for name in part])
            passages |= {str(p.payload["id"]): as_passage(p.payload) for p in points if p.payload}
        return passages

    def documents(self, names: Iterable[str] | None = None) -> list[Document]:
        from qdrant_client.models import Filter

        digests = {name: row.sha256 for name, row in self.files().items()}
        only = None if names is None else Filter(must=[is_in("path", names)])
        payloads = self._scroll(["document", "path"], only=only)
        counts = Counter((str(p["document"]), str(p["path"])) for p in payloads)
        documents = [Document(name, path, digests.get(path, ""), n) for (name, path), n in counts.items()]
        return sorted(documents, key=lambda document: document.id)

    def batches(self) -> Iterator[Batch]:
        """Yield all that was added, in batches that fit into memory, in no order.

        Vectors that are compared by their cosine come back with length 1, as the server keeps them.
        """
        import numpy as np

        wanted = [DENSE] if self.manifest.encoder else False
        for points in self._pages(self._place.collection, True, wanted, POINTS):
            rows = _rows(points)
            vectors = [point.vector[DENSE] for point in points if isinstance(point.vector, dict)]
            yield rows, np.asarray(vectors, dtype=np.float32) if wanted else None

    def rows_of(self, name: str) -> Iterator[StoredPassage]:
        from qdrant_client.models import Filter

        for points in self._pages(
            self._place.collection, True, False, SCROLLED, Filter(must=[is_in("path", [name])])
        ):
            yield from _rows(points)

    def _scroll(
        self, payload: bool | list[str], collection: str = "", only: models.Filter | None = None
    ) -> Iterator[Payload]:
        for points in self._pages(collection or self._place.collection, payload, False, SCROLLED, only):
            yield from (point.payload for point in points if point.payload)

    def _pages(
        self,
        collection: str,
        payload: bool | list[str],
        vectors: bool | list[str],
        size: int,
        only: models.Filter | None = None,
    ) -> Iterator[list[models.Record]]:
        offset = None
        while True:
            with asking(self._place):
                points, offset = self._client.scroll(
                    collection,
                    scroll_filter=only,
                    limit=size,
                    offset=offset,
                    with_payload=payload,
                    with_vectors=vectors,
                )
            if points:
                yield points
            if offset is None:
                return

    # ── search ───────────────────────────────────────────────────────────────────────────────────────

    def search_words(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        split = query_words if self.manifest.own_words else words_before
        words = split(query, self.manifest.language)
        check_words(words)
        return self._best(sparse(query_vector(words)), WORDS, k, filters) if words else []

    def search_vectors(self, vector: np.ndarray, k: int, filters: Filters | None = None) -> list[Hit]:
        searched_by(self.folder, self.manifest.encoder, vector)
        return self._best([float(x) for x in vector], DENSE, k, filters)

    def _best(
        self, query: models.SparseVector | list[float], using: str, k: int, filters: Filters | None
    ) -> list[Hit]:
        """Return the first `k` of the total order by score and id, whatever order ties come back in."""
        wanted = dict(filters or {})
        names = self._matching(wanted.pop("path")) if "path" in wanted else None
        if k <= 0 or names == []:
            return []
        only = _all_of(names, wanted)

        def fetch(limit: int, payload: bool | list[str]) -> list[models.ScoredPoint]:
            with asking(self._place):
                points = self._client.query_points(
                    self._place.collection,
                    query=query,
                    using=using,
                    query_filter=only,
                    limit=limit,
                    with_payload=payload,
                )
            return sorted(points.points, key=lambda point: (-point.score, str((point.payload or {})["id"])))

        passages: dict[str, Passage] = {}
        scores: dict[str, float] = {}
        for _ in range(_TRIES):
            limit = k + MARGIN
            points = fetch(limit, True)
            if len(points) < limit or points[k - 1].score != points[-1].score:
                return [Hit(as_passage(point.payload or {}), point.score) for point in points[:k]]
            while len(points) == limit and points[k - 1].score == points[-1].score:
                limit *= 8
                points = fetch(limit, ["id"])
            scores = {str((point.payload or {})["id"]): point.score for point in points[:k]}
            passages = self.passages(scores)
            if passages.keys() == scores.keys():  # else they were replaced meanwhile
                break
        return [Hit(passages[name], score) for name, score in scores.items() if name in passages]

    def _matching(self, glob: str) -> list[str]:
        """Return the names of files that match a glob; the server itself knows no patterns."""
        if not has_magic(glob):
            return spellings(glob)
        globs = spellings(glob)
        return [name for name in self.files() if any(fnmatchcase(name, each) for each in globs)]


def _rows(points: Sequence[models.Record]) -> list[StoredPassage]:
    return [stored_of(p, as_passage(p)) for p in (point.payload or {} for point in points)]


def _all_of(names: list[str] | None, wanted: Filters) -> models.Filter | None:
    """Return the condition that a passage is from one of the files and has all the attributes."""
    from qdrant_client.models import Filter

    attributes = [is_in("attributes", spellings(attribute(*pair))) for pair in wanted.items()]
    conditions = [*([] if names is None else [is_in("path", names)]), *attributes]
    return Filter(must=[*conditions]) if conditions else None
