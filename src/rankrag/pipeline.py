"""Retrieve, rank, answer: the whole of RankRAG at inference (arXiv 2407.02485, section 4.3)."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

from . import prompts
from .types import Answer, Citer, Filters, Generator, Hit, Question, Ranker, Retriever, Rewriter, best_first

AnswerSteps = collections.abc.Generator[Answer, None, Answer]
"""The steps of an answer, and what it is after them."""

Level = Literal["low", "medium", "high"]

MEDIUM, HIGH = 0.03, 0.08
"""Calibrated relevances from which a passage is called of medium and of high relevance.

Chosen on 1,200 pairs of 60 questions that nothing was trained on (rankrag-135m): an answer stood in 41 % of
the passages from 0.08 on, in 22 % of those between and in 12 % of those below. What they mean
on benchmarks, and what answers are worth of whose passages even the best is low: `docs/models.md`.
"""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The roles in a row. Without a ranker the retriever's order stands; without a citer nothing is cited.

    Without a generator nothing is written: that is for those who want the ranking alone.

    `retrieve_k` passages are taken from the index (the paper's N), the best `read_k` are read (its k).
    `max_tokens` shortens answers further than their style does, and so does the first text of `stop`.
    `min_relevance` is the relevance below which a passage does not count as holding the answer: if none
    reaches it, the pipeline abstains. None never abstains, which is right for a model whose relevance
    was not calibrated. Nothing retrieved is always an abstention: there is nothing to answer from.
    `rank_step` passages are ranked between two steps of the stream (None: all in one), which suits a ranker
    that scores each passage by itself. Without a rewriter a question is searched for with its conversation.
    `calibrated` says that a relevance is a probability that was measured, so that `level` can name it; an
    answer whose best passage is of low relevance is then marked as weak.
    """

    retriever: Retriever
    ranker: Ranker | None
    generator: Generator | None
    citer: Citer | None = None
    retrieve_k: int = 30
    read_k: int = 5
    min_relevance: float | None = None
    rank_step: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    calibrated: bool = False
    query: Callable[[Question], str] = prompts.search_query
    rewriter: Rewriter | None = None

    def ask(self, question: Question, filters: Filters | None = None) -> Answer:
        """Return the finished answer."""
        *_, answer = self.stream(question, filters)
        return answer

    def stream(self, question: Question, filters: Filters | None = None) -> Iterator[Answer]:
        """Yield the answer as it grows: retrieved, ranked, its text piece by piece, then its citations."""
        answer = self._asked(question)
        started = perf_counter()
        hits = tuple(self.retriever.search(answer.query, self.retrieve_k, filters))
        yield (answer := _timed(replace(answer, retrieved=hits), "retrieve", started))

        answer = yield from self._rank(answer)
        if self._abstains(answer):
            yield replace(answer, text=prompts.UNANSWERABLE, abstained=True, done=True)
            return
        yield from self._answer(answer)

    def answer_alone(self, question: Question) -> Iterator[Answer]:
        """Yield the answer of the model alone as it grows: nothing is retrieved, ranked or cited."""
        answer = yield from self._read(Answer(question), ())
        yield replace(answer, done=True)

    def _asked(self, question: Question) -> Answer:
        """Return the answer before anything is found: with its query, and how the question was rewritten."""
        answer = Answer(question, query=self.query(question), read_k=self.read_k, calibrated=self.calibrated)
        if self.rewriter is None or not question.history:
            return answer
        started = perf_counter()
        if rewritten := self.rewriter.rewrite(question):
            query = self.query(replace(question, text=rewritten, history=()))
            answer = replace(answer, query=query, rewritten=rewritten)
        return _timed(answer, "rewrite", started)

    def _rank(self, answer: Answer) -> AnswerSteps:
        """Yield the answer while its passages are ranked, and once they are; return that."""
        started, hits, ranked = perf_counter(), answer.retrieved, list[Hit](answer.retrieved)
        if self.ranker and hits:
            step = self.rank_step or len(hits)
            ranked = []
            for first in range(0, len(hits), step):
                ranked += self.ranker.rank(answer.question, hits[first : first + step])
                if len(ranked) < len(hits):
                    yield replace(answer, n_ranked=len(ranked))
            if step < len(hits):
                ranked = best_first(ranked)
        answer = replace(answer, ranked=tuple(ranked), n_ranked=len(ranked))
        measured = self.calibrated and self.ranker is not None and bool(ranked)
        weak = measured and level(answer.best) == "low"
        yield (answer := _timed(replace(answer, weak=weak), "rank", started))
        return answer

    def _answer(self, answer: Answer) -> Iterator[Answer]:
        read = answer.ranked[: self.read_k]
        answer = yield from self._read(answer, read)
        started = perf_counter()
        passages = [hit.passage for hit in read]
        citations = self.citer.cite(answer.question, answer.text, passages) if self.citer else ()
        yield replace(_timed(replace(answer, citations=citations), "cite", started), done=True)

    def _read(self, answer: Answer, hits: Sequence[Hit]) -> AnswerSteps:
        """Yield the answer with its text as it grows; return it with what that took."""
        if self.generator is None:
            return answer
        started = perf_counter()
        passages = [hit.passage for hit in hits]
        # Scores of a retriever are no probabilities; passages that a budget left unscored have none.
        known = [hit.score for hit in hits if hit.scored] if self.ranker else []
        relevance = [hit.score if hit.scored else min(known) for hit in hits] if known else []
        reading = self.generator.read(answer.question, passages, self.max_tokens, self.stop, relevance)
        answer = replace(answer, cuts=reading.cuts)
        for piece in reading.pieces():
            yield (answer := replace(answer, text=answer.text + piece))
        return _timed(replace(answer, usage=reading.usage(answer.text)), "generate", started)

    def _abstains(self, answer: Answer) -> bool:
        if not answer.ranked:
            return True
        if self.min_relevance is None or self.ranker is None:
            return False
        return answer.best < self.min_relevance


def _timed(answer: Answer, step: str, started: float) -> Answer:
    timings: Mapping[str, float] = {**answer.timings_s, step: perf_counter() - started}
    return replace(answer, timings_s=timings)


def level(relevance: float) -> Level:
    """Return what a calibrated relevance is called."""
    return "high" if relevance >= HIGH else "medium" if relevance >= MEDIUM else "low"
