"""The pipeline: one growing answer, whatever stands in the roles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from rankrag import prompts
from rankrag.pipeline import HIGH, MEDIUM, Pipeline, level
from rankrag.types import Citation, Cut, Filters, Hit, Passage, Question, Turn, Usage

PASSAGES = [Passage(str(n), f"text {n}") for n in range(4)]
QUESTION = Question("q", "What?")


class Shelf:
    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self.searched: list[tuple[str, int, Filters | None]] = []

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        self.searched.append((query, k, filters))
        return [Hit(p, float(-n)) for n, p in enumerate(self.passages[:k])]


class Reverse:
    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        return [replace(hit, score=0.4 - n / 10) for n, hit in enumerate(reversed(hits))]


@dataclass
class Read:
    passages: Sequence[Passage]

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return (Cut(self.passages[0].id, 1, 2),)

    def pieces(self) -> Iterator[str]:
        for passage in self.passages:
            yield f"<{passage.id}>"

    def usage(self, text: str) -> Usage:
        return Usage(len(self.passages), len(text))


class Reader:
    def __init__(self) -> None:
        self.relevance: list[float] = []

    def read(
        self,
        question: Question,
        passages: Sequence[Passage],
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        relevance: Sequence[float] = (),
    ) -> Read:
        self.relevance = list(relevance)
        return Read(passages[:max_tokens])


class Pointer:
    def cite(self, question: Question, text: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
        return tuple(Citation(0, len(text), passage.id, 0.5) for passage in passages)


def pipeline(min_relevance: float | None = None, ranker: Reverse | None = None) -> Pipeline:
    return Pipeline(
        Shelf(PASSAGES), ranker, Reader(), Pointer(), retrieve_k=3, read_k=2, min_relevance=min_relevance
    )


def test_the_best_of_the_ranking_are_read_and_cited() -> None:
    answer = pipeline(ranker=Reverse()).ask(QUESTION, {"path": "*.md"})
    assert [hit.passage.id for hit in answer.retrieved] == ["0", "1", "2"]
    assert [hit.passage.id for hit in answer.ranked] == ["2", "1", "0"]
    assert answer.text == "<2><1>"
    assert [c.passage_id for c in answer.citations] == ["2", "1"]
    assert answer.usage == Usage(2, 6)
    assert answer.cuts == (Cut("2", 1, 2),)
    assert list(answer.timings_s) == ["retrieve", "rank", "generate", "cite"]
    assert answer.done
    assert not answer.abstained


@pytest.mark.parametrize(
    ("scored", "relevance"), [(3, [0.4, 0.3]), (1, [0.4, 0.4]), (0, [])], ids=["all", "budget", "none"]
)
def test_the_reader_is_told_the_relevance_of_what_was_ranked(scored: int, relevance: list[float]) -> None:
    class Bounded(Reverse):
        def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
            ranked = super().rank(question, hits)
            return [
                hit if n < scored else replace(hit, score=17.0, scored=False) for n, hit in enumerate(ranked)
            ]

    made = pipeline(ranker=Bounded())
    made.ask(QUESTION)
    assert isinstance(made.generator, Reader)
    assert made.generator.relevance == pytest.approx(relevance)
    unranked = pipeline()
    unranked.ask(QUESTION)
    assert isinstance(unranked.generator, Reader)
    assert unranked.generator.relevance == [], "a retriever's scores are none"


def test_without_a_ranker_the_retriever_s_order_stands() -> None:
    answer = pipeline().ask(QUESTION)
    assert answer.ranked == answer.retrieved
    assert answer.text == "<0><1>"


def test_an_answer_only_grows_and_is_done_once() -> None:
    steps = list(pipeline(ranker=Reverse()).stream(QUESTION))
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
    assert [len(step.ranked) for step in steps] == [0, 3, 3, 3, 3]
    for before, after in pairwise(steps):
        assert after.text.startswith(before.text)


@pytest.mark.parametrize(("min_relevance", "abstained"), [(None, False), (0.4, False), (0.41, True)])
def test_it_abstains_when_no_passage_reaches_the_min_relevance(
    min_relevance: float | None, abstained: bool
) -> None:
    answer = pipeline(min_relevance, Reverse()).ask(QUESTION)
    assert answer.abstained is abstained
    assert (answer.text == prompts.UNANSWERABLE) is abstained
    assert answer.done


def test_without_a_ranker_there_is_no_relevance_to_abstain_on() -> None:
    assert not pipeline(min_relevance=0.99).ask(QUESTION).abstained


def test_hits_that_were_not_scored_do_not_count_against_abstention() -> None:
    class Unscored(Reverse):
        def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
            return [replace(hit, score=9.0, scored=False) for hit in hits]

    assert pipeline(0.5, Unscored()).ask(QUESTION).abstained


def test_nothing_retrieved_is_an_abstention() -> None:
    answer = Pipeline(Shelf([]), Reverse(), Reader()).ask(QUESTION)
    assert answer.abstained
    assert answer.text == prompts.UNANSWERABLE


class ById:
    """Scores each passage by itself: the higher its number, the more relevant."""

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        return sorted((replace(hit, score=int(hit.passage.id) / 10) for hit in hits), key=lambda h: -h.score)


def test_a_ranking_in_steps_is_the_same_and_tells_how_far_it_is() -> None:
    whole = Pipeline(Shelf(PASSAGES), ById(), Reader(), retrieve_k=4, read_k=2)
    steps = list(replace(whole, rank_step=3).stream(QUESTION))
    assert [(step.n_ranked, len(step.ranked)) for step in steps][:3] == [(0, 0), (3, 0), (4, 4)]
    assert steps[-1].ranked == whole.ask(QUESTION).ranked
    assert [hit.passage.id for hit in steps[-1].ranked] == ["3", "2", "1", "0"]


class Scoring:
    """Gives every passage one relevance."""

    def __init__(self, relevance: float) -> None:
        self.relevance = relevance

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        return [replace(hit, score=self.relevance) for hit in hits]


@pytest.mark.parametrize(("relevance", "weak"), [(0.0, True), (0.029, True), (MEDIUM, False), (HIGH, False)])
def test_an_answer_is_weak_where_even_its_best_passage_is_of_low_relevance(
    relevance: float, weak: bool
) -> None:
    measured = Pipeline(Shelf(PASSAGES), Scoring(relevance), Reader(), calibrated=True)
    answer = measured.ask(QUESTION)
    assert (answer.weak, answer.best, answer.abstained) == (weak, relevance, False)
    assert (level(answer.best) == "low") is weak
    assert not replace(measured, calibrated=False).ask(QUESTION).weak
    assert not replace(measured, ranker=None).ask(QUESTION).weak


class Namer:
    """Rewrites a question, or where it has no name to say, does not."""

    def __init__(self, name: str) -> None:
        self.name = name

    def rewrite(self, question: Question) -> str:
        return question.text.replace(" he ", f" {self.name} ") if self.name else ""


def test_a_question_that_leans_is_searched_for_as_it_was_rewritten() -> None:
    shelf = Shelf(PASSAGES)
    leaning = Question("q", "When was he born?", (Turn("user", "Who?"), Turn("assistant", "Ada.")))
    answer = Pipeline(shelf, None, Reader(), rewriter=Namer("Ada")).ask(leaning)
    assert answer.query == answer.rewritten == "When was Ada born?" == shelf.searched[-1][0]
    assert answer.question is leaning
    assert next(iter(answer.timings_s)) == "rewrite"
    unchanged = Pipeline(shelf, None, Reader(), rewriter=Namer("")).ask(leaning)
    assert (unchanged.query, unchanged.rewritten) == ("Who?\nAda.\nWhen was he born?", "")
    alone = Pipeline(shelf, None, Reader(), rewriter=Namer("Ada")).ask(replace(leaning, history=()))
    assert (alone.query, alone.rewritten) == ("When was he born?", "")


def test_the_query_comes_from_the_conversation_and_filters_reach_the_retriever() -> None:
    shelf = Shelf(PASSAGES)
    question = replace(QUESTION, history=(Turn("user", "Who?"), Turn("assistant", "He.")))
    answer = Pipeline(shelf, None, Reader(), retrieve_k=2).ask(question, {"topic": "a"})
    assert answer.query == "Who?\nHe.\nWhat?"
    assert shelf.searched == [("Who?\nHe.\nWhat?", 2, {"topic": "a"})]
