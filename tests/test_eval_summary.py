"""Which comparisons a report makes."""

from __future__ import annotations

from collections.abc import Mapping

from rankrag.eval.results import POOLED, BenchmarkFacts, System
from rankrag.eval.score import QuestionScore, Scores
from rankrag.eval.summary import comparisons


def scored(
    system: str,
    benchmark: str,
    headline: str,
    values: Mapping[str, float],
    ranker: str | None = "lm",
    run: str = "",
) -> Scores:
    rows = tuple(QuestionScore(str(n), str(n), "q", (), True, values, {}) for n in range(4))
    facts = BenchmarkFacts(benchmark, benchmark, "open", (headline,))
    made = System(system, "bm25", "wiki", 20, 5, ranker, "lm")
    return Scores(made, facts, "0", 4, rows, made_of={"run bm25": run})


def test_rankings_are_compared_by_gold_where_no_answer_can_be_looked_for() -> None:
    """Doc2Dial's answers are sentences and PubMedQA's letters, which stand in no passage."""
    scores = [
        scored(system, *one)
        for system in ("a", "b")
        for one in (
            ("nq", "EM", {"EM": 1.0, "answer-R@5": 1.0, "R@5": 1.0}),
            ("doc2dial", "F1", {"F1": 0.5, "R@5": 1.0}),
            ("fever", "Claim", {"Claim": 1.0}),
        )
    ]
    found = comparisons(scores, [("a", "b")])
    measured = [(one.benchmark, one.measure) for one in found]
    assert measured == [
        *(("nq", "EM"), ("nq", "answer-R@5")),
        *(("doc2dial", "F1"), ("doc2dial", "R@5")),
        ("fever", "Claim"),
    ]


def test_rankings_that_cannot_differ_are_not_compared() -> None:
    """Each test makes the others' correction stricter."""
    values = {"EM": 1.0, "answer-R@5": 1.0}

    def measured(ranker: str | None = None, run: str = "0") -> list[tuple[str, str]]:
        scores = [scored("a", name, "EM", values, None, "0") for name in ("nq", "popqa")] + [
            scored("b", name, "EM", values, ranker, run) for name in ("nq", "popqa")
        ]
        return [(each.benchmark, each.measure) for each in comparisons(scores, [("a", "b")])]

    heads = [("nq", "EM"), ("popqa", "EM"), (POOLED, "EM")]
    assert measured() == heads
    for different in (measured(ranker="lm"), measured(run="1")):
        assert set(different) - set(heads) == {(name, "answer-R@5") for name in ("nq", "popqa", POOLED)}
