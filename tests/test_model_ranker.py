"""The model as ranker: nothing dropped, nothing added, scores in 0..1, cuts counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from rankrag import prompts
from rankrag.errors import FailureError, InvalidInputError
from rankrag.model import FakeLanguageModel, ModelRanker
from rankrag.model.skills.ranker import relevance
from rankrag.types import ASKED, Hit, Passage, Prompt, Question, Ranker, Turn

QUESTION = Question("q", "Where was Marie Curie born?")
CURIE = Passage("curie", "Marie Curie was born in Warsaw.")
PARIS = Passage("paris", "Marie Curie moved to Paris.")
OWLS = Passage("owls", "Owls hunt at night.")


def hits(*passages: Passage) -> list[Hit]:
    return [Hit(passage, 10.0 - place, scored=False) for place, passage in enumerate(passages)]


def ids(ranked: Sequence[Hit]) -> list[str]:
    return [hit.passage.id for hit in ranked]


class TableLM:
    """Gives each prompt the next row of a table, and keeps the prompts."""

    context_length = 1000

    def __init__(self, rows: list[tuple[float, ...]]) -> None:
        self.rows = rows
        self.asked: list[Prompt] = []

    def n_tokens(self, text: str) -> int:
        return len(text.split())

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        assert list(choices) == [" True", " False"]
        self.asked += prompts
        return np.array(self.rows, dtype=np.float64)

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        raise AssertionError("a ranker does not generate")


@pytest.mark.parametrize("form", list(prompts.TEMPLATES.values()), ids=lambda form: form.name)
def test_best_first_with_scores_between_zero_and_one(form: prompts.Template) -> None:
    ranker: Ranker = ModelRanker(FakeLanguageModel(), form)
    ranked = ranker.rank(QUESTION, hits(OWLS, PARIS, CURIE))
    assert ids(ranked) == ["curie", "paris", "owls"]
    assert [hit.score for hit in ranked] == pytest.approx([0.99, 0.01 + 0.98 * 2 / 3, 0.01])
    assert all(hit.scored for hit in ranked)


def test_the_model_is_asked_with_the_ranking_prompt() -> None:
    lm = TableLM([(-1.0, -1.0)])
    question = Question("q", "And born?", history=(Turn("user", "Curie?"), Turn("assistant", "Yes.")))
    ModelRanker(lm, prompts.PAPER).rank(question, hits(CURIE))
    assert lm.asked == [prompts.rank(question, CURIE, prompts.PAPER)]


def test_ties_go_by_passage_id_and_equal_ids_are_all_kept() -> None:
    lm = TableLM([(-1.0, -2.0)] * 4)
    passages = [OWLS, CURIE, OWLS, PARIS]
    assert ids(ModelRanker(lm, prompts.PAPER).rank(QUESTION, hits(*passages))) == (
        ["curie", "owls", "owls", "paris"]
    )


def test_nothing_is_ranked_to_nothing() -> None:
    assert ModelRanker(FakeLanguageModel(), prompts.PAPER).rank(QUESTION, []) == []


def test_relevance_divides_by_both_labels_however_small_they_are() -> None:
    small = np.array([[np.log(0.3), np.log(0.1)], [-900.0, -900.0], [-2000.0, -1000.0], [0.0, -np.inf]])
    assert relevance(small) == pytest.approx([0.75, 0.5, 0.0, 1.0])


@pytest.mark.parametrize("row", [(np.nan, -1.0), (-np.inf, -np.inf)])
def test_no_probability_at_all_is_an_error_not_a_score(row: tuple[float, float]) -> None:
    with pytest.raises(FailureError, match="1 of 2 passages"):
        relevance(np.array([(-1.0, -1.0), row]))


def test_what_the_model_did_not_see_is_counted() -> None:
    long = Passage("long", " ".join(["word"] * 300))
    frame = prompts.rank(QUESTION, Passage("", ""), prompts.PAPER)
    lm = FakeLanguageModel(len((frame.prefix + frame.suffix).split()) + 20)
    ranked = ModelRanker(lm, prompts.PAPER).rank(QUESTION, hits(long, CURIE))
    assert [hit.cut for hit in ranked] == [0, len(long.text) - len(" ".join(["word"] * 19))]
    assert ranked[1].passage == long


def test_a_question_that_fills_the_model_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="shorten it"):
        ModelRanker(FakeLanguageModel(20), prompts.PAPER).rank(QUESTION, hits(CURIE))


class LikelihoodLM(TableLM):
    """A table with a third column: the natural log of the question's probability."""

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        assert list(choices) == [" True", " False", ASKED]
        self.asked += prompts
        return np.array(self.rows, dtype=np.float64)


def test_what_a_passage_adds_to_the_likelihood_of_the_question_raises_its_log_odds() -> None:
    lm = LikelihoodLM([(-1.0, -2.0, -30.0), (-1.0, -1.5, -18.0), (-1.0, -3.0, -20.0)])
    ranked = ModelRanker(lm, prompts.PAPER, query_likelihood=0.2).rank(QUESTION, hits(CURIE, PARIS))
    assert ids(ranked) == ["paris", "curie"]
    odds = [hit.score / (1 - hit.score) for hit in ranked]
    assert np.log(odds) == pytest.approx([0.5 + 0.2 * (-18 + 20), 1.0 + 0.2 * (-30 + 20)])
    assert [PARIS.text in prompt.prefix for prompt in lm.asked] == [False, True, False]
    assert lm.asked[-1] == prompts.rank(QUESTION, Passage("", ""), prompts.PAPER)


def test_a_question_ranked_for_in_steps_is_asked_without_a_passage_once() -> None:
    lm = LikelihoodLM([(-1.0, -2.0, -30.0), (-1.0, -1.5, -18.0), (-1.0, -3.0, -20.0)])
    ranker = ModelRanker(lm, prompts.PAPER, query_likelihood=0.2)
    whole = ranker.rank(QUESTION, hits(CURIE, PARIS))
    steps = []
    for passage, row in zip((CURIE, PARIS), lm.rows, strict=False):
        lm.rows = [row]
        steps += ranker.rank(QUESTION, hits(passage))
    assert {(hit.passage.id, hit.score) for hit in steps} == {(hit.passage.id, hit.score) for hit in whole}
    assert len(lm.asked) == 3 + 1 + 1
    lm.rows = [(-1.0, -2.0, -30.0), (-1.0, -3.0, -25.0)]
    ranker.rank(replace(QUESTION, text="Where?"), hits(CURIE))
    assert lm.asked[-1] == prompts.rank(Question("", "Where?"), Passage("", ""), prompts.PAPER)
