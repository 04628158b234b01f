"""Which comparisons a report makes."""

from __future__ import annotations

from collections.abc import Mapping

from rankrag.eval.results import BenchmarkFacts, System
from rankrag.eval.score import Row, Scores
from rankrag.eval.summary import comparisons


def scored(system: str, benchmark: str, headline: str, values: Mapping[str, float]) -> Scores:
    rows = tuple(Row(str(n), str(n), "q", (), True, values, {}) for n in range(4))
    facts = BenchmarkFacts(benchmark, benchmark, "open", (headline,))
    return Scores(System(system, "bm25", "wiki", 20, 5, None, "lm"), facts, "0", 4, rows)


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
