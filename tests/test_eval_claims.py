"""What a claim comes to: the rule, its sentences, and the page on which the paper's six stand."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from rankrag.eval.claims import Evidence, Standing, by_depth, evidence, sentences, standing
from rankrag.eval.paper import MAIN
from rankrag.eval.results import BenchmarkFacts, Cell, Comparison, Results, System, Value, read_results
from rankrag.eval.score import QuestionScore, Scores

ROOT = Path(__file__).parents[1]


def found(value: float, p: float, p_holm: float, detectable: float = 0.1, enough: bool = True) -> Evidence:
    difference = Value(value, value - 0.05, value + 0.05, 600, 600)
    return Evidence(Comparison("nq", "EM", "a", "b", difference, p, p_holm, detectable, 1, 1, 1), enough)


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (found(0.08, 0.001, 0.01), "shown"),
        (found(-0.08, 0.001, 0.01), "contradicted"),
        (found(0.08, 0.001, 0.01, enough=False), "points there"),
        (found(-0.08, 0.001, 0.01, enough=False), "not shown"),
        (found(0.03, 0.03, 0.06), "points there"),
        (found(0.05, 0.1, 1.0), "points there"),
        (found(0.049, 0.1, 1.0), "not shown"),
        (found(-0.06, 0.1, 1.0), "not shown"),
        (found(0.0, 1.0, 1.0, detectable=0.0), "not shown"),
    ],
)
def test_a_comparison_says_one_of_four_words(one: Evidence, wanted: Standing) -> None:
    assert one.standing == wanted


SHOWN, WORSE = found(0.08, 0.001, 0.01), found(-0.08, 0.001, 0.01)
POINTS, NOTHING = found(0.05, 0.1, 1.0), found(0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("several", "wanted"),
    [
        ([SHOWN, SHOWN], "shown"),
        ([SHOWN, POINTS], "points there"),
        ([SHOWN, POINTS, NOTHING], "points there"),
        ([POINTS, NOTHING], "not shown"),
        ([WORSE, POINTS, POINTS], "contradicted"),
        ([WORSE, SHOWN, SHOWN], "not shown"),
        ([], "not shown"),
    ],
)
def test_a_claim_is_what_its_comparisons_say_together(several: list[Evidence], wanted: Standing) -> None:
    assert standing(several) == wanted


def results(n: int, of: int) -> Results:
    """Return two systems on two sets, b ahead of a by 8 points, `n` questions of each asked."""
    cells = tuple(Cell(s, name, {}, questions=n, of=of) for s in "ab" for name in ("nq", "popqa"))
    tests = [replace(SHOWN.test, benchmark=name) for name in ("nq", "popqa", "*")]
    facts = tuple(BenchmarkFacts(name, name, "open", ("EM",)) for name in ("nq", "popqa"))
    systems = tuple(System(s, "bm25", "", 20, 5, None, "m") for s in "ab")
    return Results("t", "", "", systems, facts, cells, tuple(tests))


@pytest.mark.parametrize(("n", "of", "enough"), [(150, 999, True), (149, 999, False), (43, 43, True)])
def test_too_few_questions_settle_nothing(n: int, of: int, enough: bool) -> None:
    (pooled,) = evidence(results(n, of), "a", "b", "EM")
    assert (pooled.test.benchmark, pooled.enough) == ("*", enough)
    first, second = sentences("B is better.", [pooled])
    assert first == ("B is better. Shown." if enough else "B is better. Points there.")
    assert ("fewer than 150 of a set" in second) is not enough
    assert "b against a, EM, all together: +8.0 [+3.0, +13.0], 600 questions" in second
    assert second.endswith(f"smallest difference that they show 10.0: {pooled.standing}.")


def test_without_a_pooled_comparison_each_set_counts() -> None:
    alone = replace(results(150, 999), comparisons=results(150, 999).comparisons[:2])
    assert [one.test.benchmark for one in evidence(alone, "a", "b", "EM")] == ["nq", "popqa"]
    assert evidence(alone, "b", "a", "EM") == ()


def test_a_gain_is_told_by_where_retrieval_found_the_answer() -> None:
    def scored(system: str, right: dict[int, float]) -> Scores:
        rows = tuple(
            QuestionScore(
                f"q{n}", f"q{n}", "?", ("x",), True,
                {"EM": right.get(n % 4, 0.0)}
                | {f"retrieved answer-R@{k}": float(n % 4 <= place) for place, k in enumerate((1, 5, 20))},
                {},
            )
            for n in range(40)
        )  # fmt: skip
        name = System(system, "bm25", "", 20, 5, None, "m")
        return Scores(name, BenchmarkFacts("nq", "NQ", "open", ("EM",)), "", 40, rows)

    scores = {("a", "nq"): scored("a", {0: 1.0}), ("b", "nq"): scored("b", {0: 1.0, 2: 1.0})}
    (line,) = by_depth(scores, "a", "b", "EM")
    places = re.findall(
        r"(first|among the first 5|among the first 20|not there) ([+-][\d.]+) \[.*?\] \((\d+)\)", line
    )
    assert places == [
        ("first", "+0.0", "10"),
        ("among the first 5", "+0.0", "10"),
        ("among the first 20", "+100.0", "10"),
        ("not there", "+0.0", "10"),
    ]
    assert by_depth(scores, "a", "c", "EM") == ()


# ── docs/claims.md ───────────────────────────────────────────────────────────────────────────────────

PAGE = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")

EVIDENCE: dict[int, list[tuple[str, str, str, str]]] = {
    3: [("answers", "unranked", "ranked", "EM")],
    4: [("ranking", "cross-encoder", "ranked", "nDCG@10")],
    5: [("fourteen", "unranked", "ranked", "Choice"), ("fourteen", "untuned", "unranked", "Choice")],
}
"""What each claim rests on that was measured so far: report, a, b, measure."""

BESIDE = [
    ("mixture-600", "unranked", "ranked-mixture", "EM"),
    ("untouched", "unranked", "ranked", "EM"),
    ("answers", "unranked", "ranked", "answer-R@5"),
    ("untouched", "unranked", "ranked", "answer-R@5"),
    ("ranking", "bm25", "ranked", "nDCG@10"),
]
"""What stands beside it, and decides nothing."""


@cache
def report(name: str) -> Results:
    return read_results(ROOT / "docs" / "results" / name / "results.json")


def row(name: str, a: str, b: str, measure: str) -> str:
    (one,) = evidence(report(name), a, b, measure)
    test = one.test
    value, low, high = (
        f"{100 * x:+.1f}" for x in (test.difference.value, test.difference.low, test.difference.high)
    )
    numbers = f"{test.difference.n} | {value} [{low}, {high}] | {100 * test.detectable:.1f} | {one.standing}"
    return f"{b} against {a} | {measure} | {numbers} | [{name}](results/{name}/report.md) |"


@pytest.mark.parametrize("place", [*(one for of in EVIDENCE.values() for one in of), *BESIDE], ids=" ".join)
def test_a_row_of_the_page_is_what_was_measured(place: tuple[str, str, str, str]) -> None:
    assert row(*place) in PAGE


def test_every_row_of_the_page_is_held() -> None:
    rows = re.findall(r"^\| (\w[^|]* against [^|]*\|.*\|)$", PAGE, re.MULTILINE)
    assert len(rows) == sum(map(len, EVIDENCE.values())) + len(BESIDE)


def test_what_each_claim_comes_to_is_what_the_rule_says() -> None:
    stated = dict(re.findall(r"^## (\d)\. .*: ([a-z ]+)$", PAGE, re.MULTILINE))
    wanted = {
        str(n): standing([one for place in places for one in evidence(report(place[0]), *place[1:])])
        for n, places in EVIDENCE.items()
    }
    assert stated == {**{str(n): "not measured yet" for n in range(1, 7)}, **wanted}
    table = dict(re.findall(r"^\| (\d) \| .* \| \*\*([a-z ]+)\*\* \|$", PAGE, re.MULTILINE))
    assert table == stated


def test_quoted_rows_are_the_paper_s() -> None:
    columns = [(column.benchmark, column.measure) for column in MAIN.columns]
    wanted = {row.system: dict(zip(columns, row.values, strict=True)) for row in MAIN.rows}
    rows = re.findall(r"^\| \*(.*)\* \(quoted\) \| (.*) \|$", PAGE, re.MULTILINE)
    assert {name for name, _ in rows} == {
        "GPT-4-0613, no retrieval",
        "GPT-4-0613",
        "ChatQA-1.5 8B",
        "RankRAG 8B",
    }
    for name, cells in rows:
        values = [wanted[name][benchmark, "EM"] for benchmark in ("nq", "triviaqa", "popqa", "hotpotqa")]
        assert cells.split(" | ") == [f"{value:.1f}" for value in values]
    measured = {(c.system, c.benchmark): c.measures["EM"].value for c in report("answers").cells}
    ours = [f"{100 * measured['ranked', name]:.1f}" for name in ("nq", "triviaqa", "popqa", "hotpotqa")]
    assert f"| `rankrag-135m`, ranked | {' | '.join(ours)} |" in PAGE
