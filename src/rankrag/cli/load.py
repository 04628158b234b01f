"""Where the pieces are put together: an index, one language model, its two skills.

This is the Python border too: plain text becomes a `Question` or a `Passage` here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .. import prompts
from ..errors import InvalidInputError, MissingExtraError, MissingModelError, NotFoundError
from ..formats import is_text
from ..pipeline import Pipeline
from ..types import (
    Answer,
    Filters,
    Hit,
    Passage,
    Question,
    Ranker,
    Retriever,
    Style,
    Turn,
)
from .engines import CACHE_GB, DEFAULT_MODEL, Engine, Loading, Precision, open_engine

if TYPE_CHECKING:
    from ..index import IndexDocuments, StorePlace
    from ..index.encoder import Encoder
    from ..model import Budget


CITED_FROM = 0.5
"""Relevance from which a passage is cited for a sentence: where the model finds it likelier than not."""

CITED_FROM_UNTRAINED = 0.0
# Before it is trained the default model gave an answer's gold passage 0.34..0.72 and a distractor 0.38..0.74
# (14 training questions of HotpotQA; the gold one was higher in 5), so any threshold would drop citations at
# random. What holds them then is the citer's own check that names and numbers occur in the passage.

NO_ENCODER = "none"
"""In place of an encoder's name: BM25 alone."""

RetrieverKind = Literal["bm25", "dense", "hybrid"]
StoreKind = Literal["lancedb", "qdrant"]


@dataclass(frozen=True, slots=True)
class Shelf:
    """A retriever over an opened index, its kind, and how a question becomes its query."""

    retriever: Retriever
    kind: RetrieverKind
    query: Callable[[Question], str]

    def search(self, question: Question, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return at most `k` hits for a question, best first."""
        return self.retriever.search(self.query(question), k, filters)


@dataclass(frozen=True, slots=True)
class RAG:
    """Answers from an index, ranks and searches; `load` makes one.

    `trained` is false while the language model was never tuned to rank: its relevance then says little.
    """

    pipeline: Pipeline
    ranker: Ranker
    trained: bool

    def ask(
        self,
        question: str | Question,
        *,
        history: Sequence[Turn] = (),
        style: Style = "plain",
        filters: Filters | None = None,
    ) -> Answer:
        """Return the finished answer; see `stream` for the arguments."""
        return self.pipeline.ask(as_question(question, history, style), filters)

    def stream(
        self,
        question: str | Question,
        *,
        history: Sequence[Turn] = (),
        style: Style = "plain",
        filters: Filters | None = None,
    ) -> Iterator[Answer]:
        """Yield the answer as it grows, ending with the finished one.

        `history` is oldest first. `filters` maps attributes to wanted values, `path` to a glob. A
        `Question` carries its own history and style. Raises InvalidInputError for an empty question.
        """
        return self.pipeline.stream(as_question(question, history, style), filters)

    def rank(self, question: str | Question, passages: Sequence[str | Passage]) -> list[Hit]:
        """Return the passages, most relevant first, scored in 0..1; plain texts get ids 1, 2, ..."""
        hits = [Hit(as_passage(number, passage), 0.0) for number, passage in enumerate(passages, 1)]
        return self.ranker.rank(as_question(question), hits)

    def search(self, question: str | Question, k: int = 10, filters: Filters | None = None) -> list[Hit]:
        """Return what the retriever alone finds, best first."""
        query = self.pipeline.query(as_question(question))
        return self.pipeline.retriever.search(query, k, filters)


def load(
    index: str | Path | None = None,
    *,
    model: str = DEFAULT_MODEL,
    retriever: RetrieverKind | None = None,
    retrieve_k: int = 30,
    read_k: int = 5,
    ranking: bool = True,
    budget: Budget | None = None,
    precision: Precision | None = None,
    cache_dir: str | Path | None = None,
    cache_gb: float = CACHE_GB,
) -> RAG:
    """Return everything that `ask` needs, ready to use; nothing is downloaded.

    `index` is a folder that `rankrag index` made (without one, `rank` still works); `model` a name from
    `rankrag model list`, a folder, a hub id, `openai:MODEL@URL` (a server), or `fake`. The retriever is by
    default `hybrid` if the index has vectors, else `bm25`. `ranking=False` reads the passages in the
    retriever's order. `budget` (`rankrag.model.Budget`) bounds what a ranking may take. `precision="int8"`
    ranks faster on a CPU; with `cache_dir` passages that come again stay warm from one process to the next,
    in at most `cache_gb` GB. Both are for models on this machine.
    """
    check_counts(retrieve_k, read_k)
    loading = Loading(precision, Path(cache_dir) if cache_dir else None, cache_gb)
    engine = open_engine(model, loading=loading)
    return assemble(open_shelf(index, retriever), engine, retrieve_k, read_k, ranking, budget)


def assemble(
    shelf: Shelf,
    engine: Engine,
    retrieve_k: int,
    read_k: int,
    ranking: bool,
    budget: Budget | None = None,
) -> RAG:
    """Return the roles in a row; one language model ranks, answers and cites.

    A server that is not asked to rank is not asked to cite either, which is ranking too: it may not be able
    to, and an answer is then one request.
    """
    from ..model import ModelCiter, ModelGenerator, ModelRanker

    judge, generator = ModelRanker(engine.lm, engine.form), ModelGenerator(engine.lm, engine.form)
    ranker = bounded(calibrated(judge, engine), budget, read_k, engine.threshold)
    # A calibration was fitted on questions; the citer ranks for the sentences of an answer.
    citer = ModelCiter(judge, CITED_FROM if engine.trained else CITED_FROM_UNTRAINED)
    pipeline = Pipeline(
        retriever=shelf.retriever,
        ranker=ranker if ranking else None,
        generator=generator,
        citer=citer if ranking or not engine.remote else None,
        retrieve_k=retrieve_k,
        read_k=read_k,
        threshold=engine.threshold,
        query=shelf.query,
    )
    return RAG(pipeline, ranker, engine.trained)


def check_counts(retrieve_k: int, read_k: int) -> None:
    """Raise InvalidInputError unless 1 <= read_k <= retrieve_k."""
    if not 1 <= read_k <= retrieve_k:
        raise InvalidInputError(
            f"found read_k {read_k} and retrieve_k {retrieve_k}, wanted 1 <= read_k <= retrieve_k: "
            "read at most as many passages as are retrieved"
        )


def as_question(question: str | Question, history: Sequence[Turn] = (), style: Style = "plain") -> Question:
    """Return a question; raises InvalidInputError if it is empty, or if history or style come twice."""
    if isinstance(question, str):
        question = Question(id="1", text=question.strip(), history=tuple(history), style=style)
    elif history or style != "plain":
        raise InvalidInputError(
            "found history or style beside a Question, wanted them inside it: use dataclasses.replace"
        )
    if not question.text.strip():
        raise InvalidInputError("found an empty question, wanted some words: write what you want to know")
    if not is_text(question.text):
        raise InvalidInputError(
            f"found {question.text!a}, wanted text in UTF-8: check the terminal's encoding"
        )
    return question


def as_passage(number: int, passage: str | Passage) -> Passage:
    """Return a passage; a plain text gets its number as id."""
    return Passage(id=str(number), text=passage.strip()) if isinstance(passage, str) else passage


def calibrated(ranker: Ranker, engine: Engine) -> Ranker:
    """Return the ranker of an engine with its relevance put right, or itself without a calibration."""
    from ..model.calibrated import CalibratedRanker

    return CalibratedRanker(ranker, engine.calibration) if engine.calibration else ranker


def bounded(ranker: Ranker, budget: Budget | None, read_k: int, threshold: float | None) -> Ranker:
    """Return a ranker that keeps to a budget, or itself without one.

    It goes around the calibration, since the threshold is one of relevances that were put right.
    """
    from ..model import BudgetedRanker

    return BudgetedRanker(ranker, budget, read_k, threshold or 0.0) if budget else ranker


def open_shelf(folder: str | Path | None, kind: RetrieverKind | None = None) -> Shelf:
    """Return a retriever over the index in a folder, by default the best that the index allows.

    Without a folder there is nothing to search, and it says so when it is asked.
    Raises NotFoundError, InvalidInputError, or MissingModelError if the index's encoder is not here.
    """
    from ..index import open_store, retriever

    if folder is None:
        return Shelf(_NoIndex(), "bm25", prompts.search_query)
    store = open_store(Path(folder))
    used = store.manifest.encoder
    kind = kind or ("hybrid" if used else "bm25")
    encoder = open_encoder(used.name) if used and kind != "bm25" else None
    query = partial(prompts.search_query, speakers=encoder is not None and encoder.speakers)
    return Shelf(retriever(kind, store, encoder), kind, query)


def store_place(
    folder: Path, name: StoreKind | None, url: str | None, collection: str | None
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


def open_encoder(name: str) -> Encoder:
    """Return an encoder that is on this machine; raises MissingModelError if it was never pulled."""
    from ..index.encoder import Encoder
    from ..model import registry

    return Encoder(registry.locate(name), name)


def encoder_for(folder: Path, name: str | None) -> Encoder | None:
    """Return the encoder to build an index with, None for an index without vectors.

    Without a name: that of the index if there is one, else the default if it was pulled. `none` is none.
    """
    from ..index import read_manifest
    from ..model import registry

    if name is None and folder.is_dir() and any(folder.iterdir()):
        used = read_manifest(folder).encoder
        name = used.name if used else NO_ENCODER
    if name is None:
        default = registry.DEFAULTS["encoder"]
        name = default if registry.installed(default) else NO_ENCODER
    return None if name == NO_ENCODER else open_encoder(name)


def token_counter(name: str) -> Callable[[str], int] | None:
    """Return what counts the tokens of a text for a model, or None if the model is not on this machine."""
    from ..model.checkpoint import read_checkpoint
    from ..model.registry import locate
    from ..model.tokenizer import token_counter as counter

    try:
        card = read_checkpoint(locate(name))
        return counter(locate(card.base) if card.is_adapter else card.folder)
    except (MissingExtraError, MissingModelError):
        return None


class _NoIndex:
    """Stands where a retriever would: without an index there is nothing to search."""

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:  # noqa: ARG002
        raise NotFoundError("found no index, wanted one to search: give one, --index DIR or load(index=DIR)")
