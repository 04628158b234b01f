"""The role of a store filled by LanceDB: tables in the folder of the index, no server.

`passages` has one row a passage: `content` is its title, a line end and its text in one column, `words` the
words of both as `words.py` has them, with spaces between; BM25 searches those. `files` has one row a file:
its digest, and whether all its passages are in (see `build.py` for how that survives a kill).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...errors import InvalidInputError
from ...types import Document, Filters, Hit, Passage, Source
from ..limits import check_words
from ..manifest import IndexManifest, check_vectors, searched_by
from ..sums import seal
from ..words import query_words, words
from .conditions import attribute, condition, is_in, quote
from .lance_tables import (
    committing,
    files_schema,
    index_words,
    is_there,
    open_table,
    open_version,
    reading,
    words_column,
)
from .store import MARGIN, Batch, FileRow, StoredPassage, passage_of, stored_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.query import LanceQueryBuilder
    from lancedb.table import Table

EXACT_UP_TO = 100_000
"""Rows up to which vectors are compared one by one, without an approximate index."""

# Of the true ten neighbours of 100 questions among 120,000 passages (vectors of 384 numbers, hashed words, so
# hardly clustered) the approximate index found 64 % without refinement, 89 % refining 5-fold, 95 % 20-fold;
# among 177,584 vectors of minilm-l6 93.5, 98.6 and 100 %, and of the true hundred 95.4 % without refinement,
# 99.4 % refining 3-fold. Each candidate is a read of its vector, so a search for many hits refines less.
_PROBES, _REFINED, _LEAST_REFINE = 20, 400, 3

_PIECES = 200
"""Files of single commits that may lie side by side."""

_READ_AT_ONCE = 4096
"""Passages in a batch that is read to be copied: with vectors of 384 numbers about 10 MB."""

_WAITING_PIECES = 32
"""Pieces of the table of passages, each of which a search opens, beside the index for words."""

_OLD_VERSIONS = timedelta(minutes=10)
"""Versions of the tables younger than this stay, for readers that are still at them. All are gone through at
each commit and each read: those of an hour, 2,400 after 350 uploads, cost 20 ms each time."""

_NEVER = timedelta(days=100_000)

_LISTS = 32
"""Lists of values in one deletion, which is one commit."""


class LanceStore:
    """An open index. Each change is one commit: it happens whole or not at all, and readers see it next."""

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        if not (is_there(folder, "files") and is_there(folder, "passages")):
            raise InvalidInputError(
                f"found an index at {folder} whose first build was stopped before it began, wanted passages: "
                f"run `rankrag index PATH --index {folder}` again"
            )
        with reading(folder):
            self._files = open_table(folder, "files")
            self._passages = open_table(folder, "passages")

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────

    def add(self, rows: Sequence[StoredPassage], vectors: np.ndarray | None = None) -> None:
        check_vectors(self.folder, self.manifest.encoder, len(rows), vectors)
        with committing(self.folder):
            self._passages.add(_batch(rows, vectors, self.manifest, self._passages.schema))

    def replace(
        self,
        names: Sequence[str],
        rows: Sequence[StoredPassage],
        vectors: np.ndarray | None = None,
        documents: Sequence[str] | None = None,
    ) -> None:
        """Add passages in the place of those of the files named, or of documents in them, in one commit."""
        import pyarrow as pa

        check_vectors(self.folder, self.manifest.encoder, len(rows), vectors)
        batch = _batch(rows, vectors, self.manifest, self._passages.schema)
        gone = " OR ".join(is_in("path", names))
        if documents is not None:
            gone = f"({gone}) AND ({' OR '.join(is_in('document', documents))})"
        merge = self._passages.merge_insert(["path", "id"]).when_matched_update_all()
        with committing(self.folder):
            merge.when_not_matched_insert_all().when_not_matched_by_source_delete(gone).execute(
                pa.Table.from_batches([batch])
            )

    def set_files(self, rows: Sequence[FileRow]) -> None:
        import pyarrow as pa

        columns = [[r.name for r in rows], [r.state for r in rows], [r.complete for r in rows]]
        batch = pa.record_batch(columns, schema=files_schema())
        merge = self._files.merge_insert("path")
        with committing(self.folder):
            merge.when_matched_update_all().when_not_matched_insert_all().execute(
                pa.Table.from_batches([batch])
            )

    def remove_files(self, names: Iterable[str]) -> None:
        names = list(names)
        with committing(self.folder):
            for table in (self._files, self._passages):
                _delete(table, is_in("path", names))

    def remove_documents(self, ids: Iterable[str]) -> None:
        with committing(self.folder):
            _delete(self._passages, is_in("document", ids))
        self.remove_files(set(self.files()) - self.names())

    @property
    def n_unindexed(self) -> int:
        """Passages that are not in the index for words yet; a search goes through them one by one."""
        stats = self._passages.index_stats(self._words_index)
        return len(self) if stats is None else int(stats.num_unindexed_rows)

    def index(self, may_wait: int = 0) -> None:
        """Bring the indexes up to date: build them anew if most rows are not in them, else add those.

        Where fewer rows than `may_wait` are new, in few pieces, all is left as it is.
        """
        stats = self._passages.index_stats(self._words_index)
        if stats and stats.num_unindexed_rows < may_wait and self._n_pieces() < _WAITING_PIECES:
            return
        anew = stats is None or stats.num_unindexed_rows > stats.num_indexed_rows
        with committing(self.folder):
            if anew:
                index_words(self._passages, self.manifest)
            if self.manifest.encoder is not None and len(self) > EXACT_UP_TO:
                self._index_vectors()
            # Putting the pieces of a fresh table together writes it a second time: 658,659 passages took
            # 689 MB instead of 333 MB, for searches no faster.
            pieces = sum(1 for _ in (self.folder / "passages.lance" / "data").iterdir())
            if not anew or pieces > _PIECES:
                self._passages.optimize(cleanup_older_than=_NEVER)
            self._files.optimize(cleanup_older_than=_NEVER)
        self.sync()
        self._clean_up()

    def _n_pieces(self) -> int:
        # A dictionary, whatever its annotation says.
        stats = cast("Mapping[str, Mapping[str, int]]", self._passages.stats())
        return stats["fragment_stats"]["num_fragments"]

    def sync(self) -> None:
        with committing(self.folder):
            seal(self.folder)

    def _clean_up(self) -> None:
        """Remove old versions: only now, since a power cut brings back the last that was synced."""
        since = time.time() - 2 * _OLD_VERSIONS.total_seconds()  # not one by one
        with committing(self.folder):
            for name, table in (("passages", self._passages), ("files", self._files)):
                versions = (self.folder / f"{name}.lance" / "_versions").glob("*.manifest")
                if any(path.stat().st_mtime < since for path in versions):
                    table.optimize(cleanup_older_than=_OLD_VERSIONS)
            seal(self.folder)

    @property
    def _words_index(self) -> str:
        return f"{words_column(self.manifest)}_idx"

    def _index_vectors(self) -> None:
        from lancedb.index import HnswSq

        stats = self._passages.index_stats("vector_idx")
        if self.manifest.encoder and (stats is None or stats.num_unindexed_rows > stats.num_indexed_rows):
            config = HnswSq(distance_type=self.manifest.encoder.similarity)
            self._passages.create_index("vector", config=config, replace=True)

    # ── what is there ────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        with reading(self.folder):
            return self._passages.count_rows()

    def files(self) -> dict[str, FileRow]:
        with reading(self.folder):
            rows = self._files.search().to_arrow().to_pylist()
        return {row["path"]: FileRow(row["path"], row["sha256"], row["complete"]) for row in rows}

    def names(self) -> set[str]:
        return set(self._read(["path"])["path"].unique().to_pylist())

    def ids(self) -> set[str]:
        return set(self._read(["id"])["id"].to_pylist())

    def last_record(self, name: str) -> int:
        import pyarrow.compute as pc

        rows = self._read(["record"], f"path = {quote(name)}")
        return int(pc.max(rows["record"]).as_py() or 0)

    def passages(self, ids: Iterable[str]) -> dict[str, Passage]:
        passages: dict[str, Passage] = {}
        for only in is_in("id", ids):
            rows = self._read(_COLUMNS, only).to_pylist()
            passages |= {str(row["id"]): _passage(row) for row in rows}
        return passages

    def documents(self, names: Iterable[str] | None = None) -> list[Document]:
        digests = {name: row.sha256 for name, row in self.files().items()}
        documents: list[Document] = []
        for only in (None,) if names is None else is_in("path", names):
            table = self._read(["document", "path"], only)
            groups = table.group_by(["document", "path"]).aggregate([([], "count_all")]).to_pylist()
            documents += [
                Document(g["document"], g["path"], digests.get(g["path"], ""), g["count_all"]) for g in groups
            ]
        return sorted(documents, key=lambda document: document.id)

    def batches(self) -> Iterator[Batch]:
        encoder = self.manifest.encoder
        columns = [*_COLUMNS, "document", "record", *(["vector"] if encoder else [])]
        for batch in self._scan(columns):
            rows = _rows(batch.drop_columns(["vector"] if encoder else []))
            yield rows, _vectors(batch["vector"], encoder.dimension) if encoder else None

    def rows_of(self, name: str) -> Iterator[StoredPassage]:
        for batch in self._scan([*_COLUMNS, "document", "record"], f"path = {quote(name)}"):
            yield from _rows(batch)

    def _read(self, columns: list[str], where: str | None = None) -> pa.Table:
        with reading(self.folder):
            query = self._passages.search().select(columns)
            return (query.where(where) if where else query).to_arrow()

    def _scan(self, columns: list[str], where: str | None = None) -> Iterator[pa.RecordBatch]:
        with reading(self.folder):
            query = self._passages.search().select(columns)
            yield from (query.where(where) if where else query).to_batches(batch_size=_READ_AT_ONCE)

    # ── search ───────────────────────────────────────────────────────────────────────────────────────

    def search_words(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        from lancedb.query import FullTextOperator, MatchQuery

        if self.manifest.own_words:
            words = query_words(query, self.manifest.language)
            check_words(words)
            if not words:
                return []
            query = " ".join(words)
        # A structured query: a query string would give quotes and AND in a question a meaning.
        match = MatchQuery(
            query,
            words_column(self.manifest),
            boost=1.0,
            fuzziness=0,
            max_expansions=50,
            operator=FullTextOperator.OR,
            prefix_length=0,
            document_granularity=None,
        )

        def ask(table: Table) -> LanceQueryBuilder:
            return table.search(match, query_type="fts")

        return self._best(ask, "_score", k, filters)

    def search_vectors(self, vector: np.ndarray, k: int, filters: Filters | None = None) -> list[Hit]:
        encoder = searched_by(self.folder, self.manifest.encoder, vector)

        from lancedb.query import LanceVectorQueryBuilder

        def ask(table: Table) -> LanceQueryBuilder:
            query = table.search(vector, vector_column_name="vector", query_type="vector")
            assert isinstance(query, LanceVectorQueryBuilder)
            refine = max(_LEAST_REFINE, _REFINED // (k + MARGIN))
            return query.distance_type(encoder.similarity).nprobes(_PROBES).refine_factor(refine)

        return self._best(ask, "_distance", k, filters)

    def _best(
        self, ask: Callable[[Table], LanceQueryBuilder], order: str, k: int, filters: Filters | None
    ) -> list[Hit]:
        """Return the first `k` of the total order by score and id, whatever order ties come back in."""
        if k <= 0:
            return []
        where = condition(filters)

        def fetch(
            table: Table, limit: int, columns: list[str], only: str | None = None
        ) -> list[dict[str, object]]:
            both = " AND ".join(f"({part})" for part in (where, only) if part)
            query = ask(table).where(both, prefilter=True) if both else ask(table)
            with reading(self.folder):
                rows = query.select([*columns, order]).limit(limit).to_arrow().to_pylist()
            return _sorted(rows, order)

        limit = k + MARGIN
        rows = fetch(self._passages, limit, _COLUMNS)
        if len(rows) < limit or rows[k - 1][order] != rows[-1][order]:
            return [_hit(row, order) for row in rows[:k]]
        # Several reads from here on: the ids of one version may be gone from the next.
        with reading(self.folder):
            still = open_version(self.folder, "passages")
        while len(rows) == limit and rows[k - 1][order] == rows[-1][order]:
            limit *= 8
            rows = fetch(still, limit, ["id"])
        ids = [str(row["id"]) for row in rows[:k]]
        found = [row for only in is_in("id", ids) for row in fetch(still, len(ids), _COLUMNS, only)]
        return [_hit(row, order) for row in _sorted(found, order)]


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────

_COLUMNS = ["id", "content", "title", "path", "page", "start", "end", "attributes"]


def _batch(
    rows: Sequence[StoredPassage], vectors: np.ndarray | None, manifest: IndexManifest, schema: pa.Schema
) -> pa.RecordBatch:
    import pyarrow as pa

    passages = [row.passage for row in rows]
    sources = [passage.source or Source("") for passage in passages]
    contents = [f"{passage.title}\n{passage.text}" for passage in passages]
    own = [[" ".join(words(text, manifest.language)) for text in contents]] if manifest.own_words else []
    columns: list[object] = [
        [passage.id for passage in passages],
        [row.document for row in rows],
        [source.path for source in sources],
        [passage.title for passage in passages],
        contents,
        *own,
        [row.record for row in rows],
        [source.page for source in sources],
        [source.start for source in sources],
        [source.end for source in sources],
        [[attribute(*pair) for pair in passage.attributes.items()] for passage in passages],
    ]
    if vectors is not None:
        columns.append(pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1]))
    return pa.record_batch(columns, schema=schema)


def _vectors(column: pa.FixedSizeListArray, dimension: int) -> np.ndarray:
    import numpy as np

    flat: np.ndarray = np.asarray(column.flatten(), dtype=np.float32)
    return flat.reshape(-1, dimension)


def _rows(batch: pa.RecordBatch) -> list[StoredPassage]:
    return [stored_of(row, _passage(row)) for row in batch.to_pylist()]


def _delete(table: Table, conditions: Iterator[str]) -> None:
    """Delete the rows that meet any of the conditions, in commits that a reader sees whole or not at all."""
    while part := list(islice(conditions, _LISTS)):
        table.delete(" OR ".join(part))


def _hit(row: dict[str, object], order: str) -> Hit:
    return Hit(_passage(row), _score(row, order))


def _passage(row: dict[str, object]) -> Passage:
    return passage_of(row, str(row["content"])[len(str(row["title"])) + 1 :])


def _score(row: dict[str, object], order: str) -> float:
    """Return the score; the store has distances, which are one less the similarity for cosine and dot."""
    value = float(str(row[order]))
    return 1.0 - value if order == "_distance" else value


def _sorted(rows: list[dict[str, object]], order: str) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: (-_score(row, order), str(row["id"])))
