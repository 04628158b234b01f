"""What finds passages: BM25, vectors, or both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import get_args

from ..errors import InvalidInputError
from ..types import Filters, Hit, Retriever, RetrieverKind
from .limits import check_search
from .manifest import check_encoder
from .older import older_kind
from .settings import PassageEncoder
from .stores.store import Store
from .words import query_words, scripts

RRF_K = 60
"""The constant of reciprocal rank fusion; its authors found results flat around it."""

DEPTH = 100
"""Hits that each retriever gives to a fusion, if not more are asked for."""

_POOL = ThreadPoolExecutor(8, thread_name_prefix="rankrag-search")
"""For the retrievers of a fusion; no thread is started before the first."""


@dataclass(frozen=True, slots=True)
class BM25:
    """Ranks by the words that query and passage share."""

    store: Store

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return at most `k` hits, best first; scores are BM25's, above 0."""
        check_search(query, k, filters)
        return self.store.search_words(query, k, filters)


@dataclass(frozen=True, slots=True)
class Dense:
    """Ranks by the similarity of vectors. The encoder must be the one that the index was built with."""

    store: Store
    encoder: PassageEncoder

    def __post_init__(self) -> None:
        used = self.store.manifest.encoder
        check_encoder(self.store.folder, used, self.encoder.name, self.encoder.fingerprint)

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return at most `k` hits, best first; scores are cosines or dot products. No query, no hits."""
        check_search(query, k, filters)
        if not query.strip():
            return []
        return self.store.search_vectors(self.encoder.encode_queries([query])[0], k, filters)


@dataclass(frozen=True, slots=True)
class Hybrid:
    """Fuses the rankings of several retrievers."""

    retrievers: tuple[Retriever, ...]

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return at most `k` hits, best first; scores are those of reciprocal rank fusion."""
        check_search(query, k, filters)
        depth = max(k, DEPTH)
        *others, last = self.retrievers
        # Side by side: a store searches outside Python's lock, and so does an encoder.
        searches = [_POOL.submit(retriever.search, query, depth, filters) for retriever in others]
        here = last.search(query, depth, filters)
        return fuse([*(search.result() for search in searches), here])[:k]


def fuse(rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Return one ranking: RRFscore(d) = sum over rankings r of 1 / (60 + r(d)), ranks from 1, ties by id.

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods", SIGIR 2009, https://doi.org/10.1145/1571941.1572114. A passage that a ranking does
    not hold gets nothing from it.
    """
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            scores[hit.passage.id] = scores.get(hit.passage.id, 0.0) + 1.0 / (RRF_K + rank)
            hits.setdefault(hit.passage.id, hit)
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return [replace(hits[name], score=scores[name]) for name in order]


def why_nothing(store: Store, query: str) -> str | None:
    """Return, in one line, why a search by words may have found nothing.

    None where no more is known than that the words do not occur.
    """
    manifest = store.manifest
    asked = scripts(query)
    if not query_words(query, manifest.language):
        return "found no word to search for in the question, wanted some: every one is a stop word or a sign"
    if old := older_kind(store.folder, manifest):
        return old
    if asked and manifest.scripts and not asked & set(manifest.scripts):
        return (
            f"found a question in {_listed(asked)} and an index of texts in {_listed(manifest.scripts)}: ask "
            "in that script, or search an index with vectors of a multilingual encoder"
        )
    return None


def _listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))


def retriever(name: RetrieverKind, store: Store, encoder: PassageEncoder | None = None) -> Retriever:
    """Return the retriever of that name over an index.

    Raises InvalidInputError for another name, or if vectors are wanted and the index has none, has those
    of another encoder, or no encoder is given.
    """
    if name not in get_args(RetrieverKind):
        names = ", ".join(get_args(RetrieverKind))
        raise InvalidInputError(f"found retriever {name!r}, wanted one of {names}: choose one of them")
    if name == "bm25":
        return BM25(store)
    if encoder is None:
        used = store.manifest.encoder
        check_encoder(store.folder, used, "an encoder", used.fingerprint if used else "")
        raise InvalidInputError(
            f"found no encoder for retriever {name!r}, wanted {used.name if used else 'one'}: load it first"
        )
    dense = Dense(store, encoder)
    return dense if name == "dense" else Hybrid((BM25(store), dense))
