"""A budget ends a ranking between two batches: nothing lost, nothing added, what was not scored is marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankrag import prompts
from rankrag.errors import InvalidInputError
from rankrag.model import Budget, BudgetedRanker, FakeLanguageModel, ModelRanker
from rankrag.model.skills.budget import settled
from rankrag.model.skills.calibrated import CalibratedRanker, Calibration
from rankrag.types import Hit, Passage, Question, Ranker, best_first

QUESTION = Question("q", "Where was Marie Curie born?")


@dataclass
class Clock:
    """A clock that goes forward when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Table:
    """Gives passage `p3` score 3 of a table, takes so many seconds for each, and keeps its batches."""

    scores: Sequence[float]
    clock: Clock = field(default_factory=Clock)
    seconds: float = 0.0
    batches: list[int] = field(default_factory=list)

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        self.batches.append(len(hits))
        self.clock.now += self.seconds * len(hits)
        scored = [
            replace(hit, score=self.scores[int(hit.passage.id[1:])], scored=True, cut=1) for hit in hits
        ]
        return best_first(scored)


def hits(n: int) -> list[Hit]:
    return [Hit(Passage(f"p{place}", ""), 50.0 - place, cut=7) for place in range(n)]


def numbers(ranked: Sequence[Hit], scored: bool | None = None) -> list[int]:
    return [int(hit.passage.id[1:]) for hit in ranked if scored is None or hit.scored is scored]


RISING = [n / 40 for n in range(40)]


# ── passages and seconds ─────────────────────────────────────────────────────────────────────────────


def test_what_is_not_scored_follows_as_retrieved_and_keeps_its_score() -> None:
    table = Table(RISING)
    ranked = BudgetedRanker(table, Budget(rank_k=11), read_k=5).rank(QUESTION, hits(14))
    assert numbers(ranked, scored=True) == list(range(10, -1, -1))
    assert ranked[11:] == [replace(hit, scored=False, cut=0) for hit in hits(14)[11:]]
    assert [hit.cut for hit in ranked[:11]] == [1] * 11, "of those scored the ranker's cuts stay"
    assert table.batches == [8, 3]


def test_a_budget_that_is_not_spent_changes_nothing() -> None:
    budget = Budget(seconds=1e6, rank_k=100, patience=50)
    ranked = BudgetedRanker(Table(RISING), budget, read_k=5).rank(QUESTION, hits(30))
    assert ranked == Table(RISING).rank(QUESTION, hits(30))
    judge = ModelRanker(FakeLanguageModel(), prompts.PAPER)
    texts = [Hit(Passage(f"p{n}", f"Marie Curie was born {n} times."), 1.0) for n in range(20)]
    assert BudgetedRanker(judge, budget, 5).rank(QUESTION, texts) == judge.rank(QUESTION, texts)


def test_equals_go_by_id_across_batches_and_equal_ids_are_all_kept() -> None:
    ranked = BudgetedRanker(Table([0.5] * 40), Budget(rank_k=20), 5).rank(QUESTION, hits(9)[::-1] + hits(3))
    assert numbers(ranked) == [0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8]


def test_nothing_is_ranked_to_nothing() -> None:
    assert BudgetedRanker(Table([]), Budget(rank_k=1), 5).rank(QUESTION, []) == []


@pytest.mark.parametrize(
    ("seconds", "batches"),
    [
        (0.001, [8]),  # one batch is always scored
        (8.0, [8]),
        (8.9, [8]),
        (9.0, [8, 1]),  # the last is as large as the time that is left
        (20.5, [8, 8, 4]),
        (1000.0, [8, 8, 8, 6]),
    ],
)
def test_time_that_is_up_ends_it_and_is_not_overdrawn(seconds: float, batches: list[int]) -> None:
    clock = Clock()
    table = Table(RISING, clock, seconds=1.0)
    ranked = BudgetedRanker(table, Budget(seconds=seconds), 5, clock=clock).rank(QUESTION, hits(30))
    assert table.batches == batches
    assert sum(hit.scored for hit in ranked) == sum(batches)
    assert clock.now - 100.0 <= max(seconds, 8.0)


def test_a_ranker_that_takes_no_time_scores_all() -> None:
    clock = Clock()
    table = Table(RISING, clock)
    BudgetedRanker(table, Budget(seconds=1.0), 5, clock=clock).rank(QUESTION, hits(20))
    assert table.batches == [8, 8, 4]


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"seconds": 0.0}, "found a time budget of 0 seconds"),
        ({"seconds": math.nan}, "found a time budget of nan seconds"),
        ({"seconds": math.inf}, "found a time budget of inf seconds"),
        ({"rank_k": 0}, "found rank_k 0"),
        ({"patience": -1}, "found patience -1"),
    ],
)
def test_what_is_no_bound_is_refused(bounds: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        Budget(**bounds)  # type: ignore[arg-type]


def test_a_budget_says_what_it_is() -> None:
    assert str(Budget(2.5, 20, 6)) == "2.5 s (differs from run to run), 20 passages, patience 6, batches of 8"
    assert str(Budget(patience=6)) == "patience 6, batches of 8"


# ── patience ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("relevances", "answer"),
    [
        ([0.9, 0.8, 0.1, 0.2, 0.3], True),
        ([0.9, 0.8, 0.1, 0.2, 0.85], False),  # came among the best
        ([0.9, 0.8, 0.1, 0.2, 0.8], False),  # might, by its id
        ([0.9, 0.8, 0.1, 0.2], False),  # too few
        ([0.3, 0.2, 0.1, 0.1, 0.1], False),  # nothing is relevant yet
        ([], False),
    ],
)
def test_the_best_are_settled_once_they_stood_long_enough(relevances: list[float], answer: bool) -> None:
    assert settled(relevances, read_k=2, patience=3, least=0.5) is answer


def test_patience_looks_in_retrieval_order_within_a_batch() -> None:
    falling = [0.9 - n / 100 for n in range(40)]
    table = Table(falling)
    ranked = BudgetedRanker(table, Budget(patience=3), read_k=5).rank(QUESTION, hits(30))
    assert table.batches == [8], "the last three of eight did not come among the first five"
    assert numbers(ranked) == list(range(30))
    table = Table(RISING)
    BudgetedRanker(table, Budget(patience=3), read_k=5).rank(QUESTION, hits(30))
    assert table.batches == [8, 8, 8, 6], "each was better than all before"


def test_patience_waits_for_what_the_pipeline_would_answer_from() -> None:
    low = [*[0.3 - n / 1000 for n in range(20)], 0.9, *[0.1] * 19]
    ranked = BudgetedRanker(Table(low), Budget(patience=3), 2, least=0.5).rank(QUESTION, hits(40))
    assert numbers(ranked)[0] == 20
    assert sum(hit.scored for hit in ranked) == 24
    assert (
        sum(h.scored for h in BudgetedRanker(Table(low), Budget(patience=3), 2).rank(QUESTION, hits(9))) == 8
    )


def test_a_calibration_stops_at_the_same_passage() -> None:
    scores = [0.9, 0.8, 0.2, 0.3, 0.1, 0.85, 0.4, 0.3, *[n / 100 for n in range(20)]]
    put_right = CalibratedRanker(Table(scores), Calibration("temperature", ((0.2, -1.0),)))
    budget = Budget(patience=2)
    with_it = BudgetedRanker(put_right, budget, 2).rank(QUESTION, hits(28))
    without = BudgetedRanker(Table(scores), budget, 2).rank(QUESTION, hits(28))
    assert numbers(with_it) == numbers(without)
    assert numbers(with_it, scored=True) == numbers(without, scored=True) != numbers(without)


SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]) | st.floats(0, 1), max_size=40)


@given(
    SCORES,
    st.integers(1, 6),
    st.integers(1, 9),
    st.none() | st.integers(1, 50),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(0.01, 50),
)
def test_a_stop_never_changes_the_order_of_the_scored(
    scores: list[float],
    read_k: int,
    batch: int,
    rank_k: int | None,
    patience: int | None,
    seconds: float | None,
) -> None:
    clock, given = Clock(), hits(len(scores))
    bounded: Ranker = BudgetedRanker(
        Table(scores, clock, 1.0), Budget(seconds, rank_k, patience), read_k, batch=batch, clock=clock
    )
    ranked, full = bounded.rank(QUESTION, given), Table(scores).rank(QUESTION, given)
    n = sum(hit.scored for hit in ranked)
    assert n >= min(batch, len(scores), rank_k or batch), "one batch at least"
    assert ranked[:n] == [hit for hit in full if int(hit.passage.id[1:]) < n]
    assert ranked[n:] == [replace(hit, scored=False, cut=0) for hit in given[n:]]


@given(SCORES, st.integers(1, 6), st.integers(1, 9), st.floats(0, 1))
def test_settled_says_what_it_means(scores: list[float], read_k: int, patience: int, least: float) -> None:
    def best(of: Sequence[float]) -> list[float]:
        return sorted(of, reverse=True)[:read_k]

    earlier = [len(scores) - n for n in range(patience + 1)]
    stood = len(scores) >= read_k + patience and all(best(scores[:n]) == best(scores) for n in earlier)
    if settled(scores, read_k, patience, least):
        assert stood
        assert max(scores) >= least
    elif stood and max(scores) >= least:
        assert best(scores)[-1] in scores[-patience:], "only a tie with the last of the best keeps it going"


@given(SCORES, st.integers(1, 6), st.integers(1, 8))
def test_more_patience_never_stops_sooner(scores: list[float], read_k: int, patience: int) -> None:
    if settled(scores, read_k, patience + 1):
        assert settled(scores, read_k, patience)
