"""What is searched: an index with a retriever over it, and the encoders that either needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import prompts
from ..errors import InvalidInputError, NotFoundError
from ..types import Filters, Hit, Question, Retriever, RetrieverKind, StoreName

if TYPE_CHECKING:
    from ..index import BuildReport, IndexDocuments, StorePlace
    from ..index.encoder import Encoder

NO_ENCODER = "none"
"""In place of an encoder's name: BM25 alone."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A retriever over an opened index, its kind, and how a question becomes its query.

    `at_once` is the half of a hybrid one that waits for no encoder, which may take seconds to load.
    """

    retriever: Retriever
    kind: RetrieverKind
    query: Callable[[Question], str]
    at_once: Retriever | None = None

    def search(self, question: Question, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return at most `k` hits for a question, best first."""
        return self.retriever.search(self.query(question), k, filters)


def open_retrieval(folder: str | Path | None, kind: RetrieverKind | None = None) -> Retrieval:
    """Return a retriever over the index in a folder, by default the best that the index allows.

    Without a folder there is nothing to search, and it says so when it is asked.
    Raises NotFoundError, InvalidInputError, or MissingModelError if the index's encoder is not here.
    """
    from ..index import BM25, open_store, retriever

    if folder is None:
        return Retrieval(_NoIndex(), "bm25", prompts.search_query)
    store = open_store(Path(folder))
    used = store.manifest.encoder
    kind = kind or ("hybrid" if used else "bm25")
    encoder = open_encoder(used.name) if used and kind != "bm25" else None
    query = partial(prompts.search_query, speakers=encoder is not None and encoder.speakers)
    at_once = BM25(store) if kind == "hybrid" else None
    return Retrieval(retriever(kind, store, encoder), kind, query, at_once)


def store_place(
    folder: Path, name: StoreName | None, url: str | None, collection: str | None
) -> StorePlace | None:
    """Return where the passages of an index are wanted, None where nothing was said.

    Raises InvalidInputError for a server without `qdrant`, or `qdrant` without one.
    """
    from ..index import StorePlace, collection_of

    if name == "qdrant" and url and url != ":memory:":
        return StorePlace(name, url.rstrip("/"), collection or collection_of(folder))
    if name == "qdrant":
        raise InvalidInputError(
            "found --store qdrant without the URL of a server, wanted one: --store-url http://HOST:6333"
        )
    if url or collection:
        raise InvalidInputError(
            "found --store-url or --collection without --store qdrant, which alone has them: give it too, or "
            "leave them out"
        )
    return StorePlace() if name else None


def open_documents(folder: Path) -> IndexDocuments:
    """Return the documents of an index, to list and to change; one with vectors brings its encoder."""
    from ..index import IndexDocuments

    return IndexDocuments(folder, encoder_for(folder, None))


def build_index(
    paths: Iterable[str | Path],
    index: str | Path,
    *,
    encoder: str | None = None,
    passage_words: int | None = None,
    language: str | None = None,
    prune: bool = False,
) -> BuildReport:
    """Bring an index up to date with files, folders and globs, as `rankrag index` does; return what it did.

    It is made if it is not there; what is unchanged is passed over. `encoder` gives it vectors: by default
    that of the index, and for a new one the default encoder if it was pulled; "none" is BM25 alone. A passage
    has `passage_words` words (100; 0 does not cut). `prune` removes what is gone from the paths. Raises
    NotFoundError or InvalidInputError; a file that cannot be read is in the report's `failed`.
    """
    from ..index import Settings, build

    folder = Path(index)
    settings = Settings(passage_words, language, encoder_for(folder, encoder), prune)
    return build(map(str, paths), folder, settings)


def open_encoder(name: str) -> Encoder:
    """Return an encoder that is on this machine; raises MissingModelError if it was never pulled."""
    from ..index.encoder import Encoder
    from ..model.store import registry

    return Encoder(registry.locate(name), name)


def encoder_for(folder: Path, name: str | None) -> Encoder | None:
    """Return the encoder to build an index with, None for an index without vectors.

    Without a name: that of the index if there is one, else the default if it was pulled. `none` is none.
    """
    from ..index import read_manifest
    from ..model.store import named_models, registry

    if name is None and folder.is_dir() and any(folder.iterdir()):
        used = read_manifest(folder).encoder
        name = used.name if used else NO_ENCODER
    if name is None:
        default = named_models.DEFAULTS["encoder"]
        name = default if registry.installed(default) else NO_ENCODER
    return None if name == NO_ENCODER else open_encoder(name)


class _NoIndex:
    """Stands where a retriever would: without an index there is nothing to search."""

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:  # noqa: ARG002
        raise NotFoundError("found no index, wanted one to search: give one, --index DIR or load(index=DIR)")
