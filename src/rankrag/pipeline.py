"""Retrieve, rank, answer: the whole of RankRAG at inference (arXiv 2407.02485, section 4.3)."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from . import prompts
from .types import Answer, Citer, Filters, Generator, Hit, Passage, Question, Ranker, Retriever

Growing = collections.abc.Generator[Answer, None, Answer]
"""The steps of an answer, and what it is after them."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The roles in a row. Without a ranker the retriever's order stands; without a citer nothing is cited.

    Without a generator nothing is written: that is for those who want the ranking alone.

    `retrieve_k` passages are taken from the index (the paper's N), the best `read_k` are read (its k).
    `max_tokens` shortens answers further than their style does.
    `threshold` is the relevance below which a passage does not count as holding the answer: if none
    reaches it, the pipeline abstains. None never abstains, which is right for a model whose relevance
    was not calibrated. Nothing retrieved is always an abstention: there is nothing to answer from.
    """

    retriever: Retriever
    ranker: Ranker | None
    generator: Generator | None
    citer: Citer | None = None
    retrieve_k: int = 30
    read_k: int = 5
    threshold: float | None = None
    max_tokens: int | None = None
    query: Callable[[Question], str] = prompts.search_query

    def ask(self, question: Question, filters: Filters | None = None) -> Answer:
        """Return the finished answer."""
        *_, answer = self.stream(question, filters)
        return answer

    def stream(self, question: Question, filters: Filters | None = None) -> Iterator[Answer]:
        """Yield the answer as it grows: retrieved, ranked, its text piece by piece, then its citations."""
        started = perf_counter()
        answer = Answer(question, query=self.query(question), read_k=self.read_k)
        hits = tuple(self.retriever.search(answer.query, self.retrieve_k, filters))
        yield (answer := _timed(replace(answer, retrieved=hits), "retrieve", started))

        started = perf_counter()
        ranked = tuple(self.ranker.rank(question, hits)) if self.ranker else hits
        yield (answer := _timed(replace(answer, ranked=ranked), "rank", started))

        if self._abstains(ranked):
            yield replace(answer, text=prompts.UNANSWERABLE, abstained=True, done=True)
            return
        yield from self._answer(answer)

    def answer_alone(self, question: Question) -> Iterator[Answer]:
        """Yield the answer of the model alone as it grows: nothing is retrieved, ranked or cited."""
        answer = yield from self._read(Answer(question), ())
        yield replace(answer, done=True)

    def _answer(self, answer: Answer) -> Iterator[Answer]:
        read = [hit.passage for hit in answer.ranked[: self.read_k]]
        answer = yield from self._read(answer, read)
        started = perf_counter()
        citations = self.citer.cite(answer.question, answer.text, read) if self.citer else ()
        yield replace(_timed(replace(answer, citations=citations), "cite", started), done=True)

    def _read(self, answer: Answer, passages: Sequence[Passage]) -> Growing:
        """Yield the answer with its text as it grows; return it with what that took."""
        if self.generator is None:
            return answer
        started = perf_counter()
        reading = self.generator.read(answer.question, passages, self.max_tokens)
        answer = replace(answer, cuts=reading.cuts)
        for piece in reading.pieces():
            yield (answer := replace(answer, text=answer.text + piece))
        return _timed(replace(answer, usage=reading.usage(answer.text)), "generate", started)

    def _abstains(self, ranked: tuple[Hit, ...]) -> bool:
        if not ranked:
            return True
        if self.threshold is None or self.ranker is None:
            return False
        return max((hit.score for hit in ranked if hit.scored), default=0.0) < self.threshold


def _timed(answer: Answer, step: str, started: float) -> Answer:
    timings: Mapping[str, float] = {**answer.timings_s, step: perf_counter() - started}
    return replace(answer, timings_s=timings)
