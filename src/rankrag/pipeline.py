"""Retrieve, rank, answer: the whole of RankRAG at inference (arXiv 2407.02485, section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

from . import prompts
from .types import Answer, Citer, Filters, Generator, Hit, Question, Ranker, Retriever


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The roles in a row. Without a ranker the retriever's order stands; without a citer nothing is cited.

    `retrieve_k` passages are taken from the index (the paper's N), the best `read_k` are read (its k).
    `threshold` is the relevance below which a passage does not count as holding the answer: if none
    reaches it, the pipeline abstains. None never abstains, which is right for a model whose relevance
    was not calibrated. Nothing retrieved is always an abstention: there is nothing to answer from.
    """

    retriever: Retriever
    ranker: Ranker | None
    generator: Generator
    citer: Citer | None = None
    retrieve_k: int = 30
    read_k: int = 5
    threshold: float | None = None
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

    def _answer(self, answer: Answer) -> Iterator[Answer]:
        started = perf_counter()
        question, read = answer.question, [hit.passage for hit in answer.ranked[: self.read_k]]
        answer = replace(answer, cuts=self.generator.cuts(question, read))
        for piece in self.generator.stream(question, read):
            yield (answer := replace(answer, text=answer.text + piece))
        usage = self.generator.usage(question, read, answer.text)
        answer = _timed(replace(answer, usage=usage), "generate", started)

        started = perf_counter()
        citations = self.citer.cite(question, answer.text, read) if self.citer else ()
        yield replace(_timed(replace(answer, citations=citations), "cite", started), done=True)

    def _abstains(self, ranked: tuple[Hit, ...]) -> bool:
        if not ranked:
            return True
        if self.threshold is None or self.ranker is None:
            return False
        return max((hit.score for hit in ranked if hit.scored), default=0.0) < self.threshold


def _timed(answer: Answer, step: str, started: float) -> Answer:
    timings: Mapping[str, float] = {**answer.timings_s, step: perf_counter() - started}
    return replace(answer, timings_s=timings)
