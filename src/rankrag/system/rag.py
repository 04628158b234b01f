"""The Python border: plain text becomes a `Question` or a `Passage` here, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..files import is_text
from ..pipeline import Pipeline
from ..types import Answer, Filters, Hit, Passage, Question, Ranker, ReadingMode, RetrieverKind, Style, Turn
from .models import CACHE_GB, DEFAULT_MODEL, Engine, Loading, Precision
from .spec import SystemSpec

if TYPE_CHECKING:
    from ..model import Budget


@dataclass(frozen=True, slots=True)
class RAG:
    """Answers from an index, ranks and searches; `load` makes one.

    `trained` is false while the language model that ranks was never tuned to: its relevance then says little.
    `answering` is the model that answers, `judging` the one that ranks, None where a cross-encoder does.
    """

    pipeline: Pipeline
    ranker: Ranker
    trained: bool
    answering: Engine
    judging: Engine | None

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
    ranker: str | None = None,
    generator: str | None = None,
    retriever: RetrieverKind | None = None,
    retrieve_k: int = 30,
    read_k: int = 5,
    ranking: bool = True,
    min_relevance: float | None = None,
    reading: ReadingMode | None = None,
    query_likelihood: float | None = None,
    rewrite: bool = False,
    budget: Budget | None = None,
    precision: Precision | None = None,
    cache_dir: str | Path | None = None,
    cache_gb: float = CACHE_GB,
) -> RAG:
    """Return everything that `ask` needs, ready to use; nothing is downloaded.

    `index` is a folder that `rankrag index` made (without one, `rank` still works); `model` a name from
    `rankrag model list`, a folder, a hub id, `openai:MODEL@URL` (a server), or `fake`. It ranks and answers,
    unless `generator` names another model to answer, such as one behind a server, or `ranker` another to
    rank, which may be the folder of a cross-encoder. The retriever is by default `hybrid` if the index has
    vectors, else `bm25`. `ranking=False` reads the passages in the retriever's order. Where no passage
    reaches `min_relevance` (0..1; by default what the ranker's calibration says), the answer is that there is
    none. `reading` says whether passages are read in one prompt (`joint`) or also each in its own, the answer
    following the mean (`mixture`), `query_likelihood` what the likelihood of the question after a passage
    counts in its relevance (0: the paper's ranking); by default both are what the checkpoint says. With
    `rewrite` the model that answers makes a question that leans on its history one of its own before it is
    searched for. `budget`
    (`rankrag.model.Budget`) bounds what a ranking may take. `precision="int8"` ranks faster on a CPU; with
    `cache_dir` passages that come again stay warm from one process to the next, in at most `cache_gb` GB.
    Both are for models on this machine.
    """
    from .open import open_system

    return open_system(
        SystemSpec(
            index=Path(index) if index is not None else None,
            retriever=retriever,
            model=model,
            ranker=ranker,
            generator=generator,
            ranking=ranking,
            retrieve_k=retrieve_k,
            read_k=read_k,
            min_relevance=min_relevance,
            reading=reading,
            query_likelihood=query_likelihood,
            rewrite=rewrite,
            budget=budget,
            loading=Loading(precision, Path(cache_dir) if cache_dir else None, cache_gb),
        )
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
