"""What the report says, and what it must not say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from eval_sample import BENCHMARKS, CLOSED, CROSS, PLAIN, RANKRAG, few, sample, value
from rankrag.eval.report.layout import DASH, Table, TableCell, TableRow, percent, probability, seconds
from rankrag.eval.report.score_tables import (
    ablation_table,
    answer_recall_table,
    collection_table,
    described,
    gold_table,
    main_table,
    other_table,
)
from rankrag.eval.report.sections import (
    comparison_table,
    curve_tables,
    data_table,
    drawn_curves,
    seconds_table,
    sections,
    trust_table,
)
from rankrag.eval.report.verdicts import best, in_words, verdict
from rankrag.eval.results import BenchmarkFacts, Cell, Comparison, Curve, Results, Value
from rankrag.eval.statistics import compare, interval


@pytest.fixture(scope="module")
def results() -> Results:
    return few()


def row(table: Table, head: str, kind: str = "measured") -> TableRow:
    return next(one for group in table.groups if group.kind == kind for one in group.rows if one.head == head)


def entry(table: Table, head: str, group: str, title: str, kind: str = "measured") -> TableCell:
    place = [(one.group, one.title) for one in table.headings].index((group, title))
    return row(table, head, kind).entries[place]


def compared(a: str, b: str, difference: float, p_holm: float, measure: str = "EM") -> Comparison:
    spread = Value(difference, difference - 0.1, difference + 0.1, 50, 50)
    return Comparison("nq", measure, a, b, spread, p_holm, p_holm, 0.1, 9, 1, 1)


# ── numbers as text ──────────────────────────────────────────────────────────────────────────────────


def test_numbers_are_printed_as_people_read_them() -> None:
    assert [percent(x) for x in (0.506, 0.0, 1.0, -0.01, -0.0001, math.nan)] == [
        "50.6",
        "0.0",
        "100.0",
        "−1.0",
        "0.0",
        DASH,
    ]
    assert [percent(x, sign=True) for x in (0.042, -0.01, 0.0002)] == ["+4.2", "−1.0", "0.0"]
    assert [seconds(x) for x in (0.01234, 1.234, 123.4, 1234.0)] == ["0.0123", "1.23", "123", "1234"]
    assert [probability(x) for x in (0.0002, 0.0123, 1.0)] == ["<0.001", "0.012", "1.000"]


# ── bold, and words ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tests", "wanted"),
    [
        ([compared("a", "b", 0.2, 0.01)], "b"),
        ([compared("b", "a", -0.2, 0.01)], "b"),
        ([compared("a", "b", 0.2, 0.2)], None),
        ([compared("a", "b", 0.2, math.nan)], None),
        ([compared("a", "b", 0.2, 0.01, measure="F1")], None),
        ([compared("c", "b", 0.4, 0.01)], None),
        ([], None),
    ],
    ids=["shown", "other way round", "not shown", "no p", "other measure", "not the second", "not compared"],
)
def test_bold_needs_a_significant_lead_over_the_second(
    results: Results, tests: list[Comparison], wanted: str | None
) -> None:
    values = {"a": value(0.3, 50), "b": value(0.5, 50), "c": value(0.1, 50)}
    assert best(replace(results, comparisons=tuple(tests)), "nq", "EM", values) == wanted


def test_bold_needs_a_second_and_a_lead_over_each_of_them(results: Results) -> None:
    values = {"a": value(0.3, 50), "b": value(0.5, 50), "c": value(0.3, 50)}
    one = replace(results, comparisons=(compared("a", "b", 0.2, 0.01),))
    both = replace(one, comparisons=(*one.comparisons, compared("c", "b", 0.2, 0.01)))
    assert best(one, "nq", "EM", values) is None
    assert best(both, "nq", "EM", values) == "b"
    assert best(both, "nq", "EM", {"b": value(0.5, 50)}) is None
    assert best(both, "nq", "EM", {"a": value(0.5, 50), "b": value(0.5, 50)}) is None


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (compared("a", "b", 0.2, 0.01), "better"),
        (compared("a", "b", -0.2, 0.01), "worse"),
        (compared("a", "b", 0.2, 0.05), "no difference shown"),
        (compared("a", "b", 0.2, 0.01, measure="aurc"), "worse"),
        (compared("a", "b", -0.2, 0.01, measure="ece"), "better"),
    ],
)
def test_a_comparison_is_said_in_words(one: Comparison, wanted: str) -> None:
    assert verdict(one) == wanted


# ── what leads the report ────────────────────────────────────────────────────────────────────────────


def pair(a: list[float], b: list[float], measure: str = "EM", tests: int = 1) -> Results:
    """Return the results of `plain` and `ranked` on the same questions; p is corrected for so many tests."""
    units = [str(n) for n in range(len(a))]
    scored = compare(a, b, units)
    values = {"plain": interval(a, units), "ranked": interval(b, units)}
    test = Comparison(
        benchmark="mine",
        measure=measure,
        a="plain",
        b="ranked",
        p_holm=min(1.0, scored.p * tests),
        **{name: getattr(scored, name) for name in ("difference", "p", "detectable", "needed")},
        **{name: getattr(scored, name) for name in ("wins", "ties", "losses")},
    )
    return Results(
        title="t",
        created="now",
        command="cmd",
        systems=(),
        benchmarks=(BenchmarkFacts("mine", "My questions", "own", (measure,)),),
        cells=tuple(Cell(name, "mine", {measure: value}) for name, value in values.items()),
        comparisons=(test,) * tests,
    )


def right(n: int, of: int) -> list[float]:
    return [1.0] * n + [0.0] * (of - n)


def test_ten_questions_say_what_they_can_show_and_how_many_are_needed() -> None:
    results = pair(right(5, 10), right(3, 10))
    assert in_words(results) == (
        "My questions, EM: ranked 3 of 10, plain 5 of 10. No difference is shown: 10 questions can only show "
        "differences above 78 points; to show one of 20 points bring about 40.",
    )
    assert sections(results)[0].text[0] == in_words(results)[0], "plain words lead, statistics follow"


@pytest.mark.parametrize(
    ("a", "b", "tests", "words"),
    [
        (right(0, 60), right(20, 60), 1, "ranked 20 of 60, plain 0 of 60. ranked is better, by 33 points."),
        (right(60, 60), right(20, 60), 1, "ranked 20 of 60, plain 60 of 60. ranked is worse, by 67 points."),
        (right(1, 2), right(1, 2), 1, "No difference is shown: 2 questions can show no difference."),
        (right(0, 60), right(6, 60), 3, "alone it would be, but not as one of 3 comparisons."),
    ],
    ids=["better", "worse", "too few", "corrected"],
)
def test_what_a_comparison_shows_in_words(a: list[float], b: list[float], tests: int, words: str) -> None:
    assert in_words(pair(a, b, tests=tests))[0].endswith(words)


def test_what_is_no_count_is_said_times_100() -> None:
    (line,) = in_words(pair([0.1] * 30, [0.2] * 29 + [0.1], "F1"))
    assert line == "My questions, F1: ranked 19.7, plain 10.0. ranked is better, by 9.7 points."


def test_of_several_benchmarks_what_they_show_together_leads() -> None:
    whole = sample(1)
    said = in_words(whole)
    assert [line.split(":")[0] for line in said] == ["all together, EM"] * 2
    assert "points against BM25" in said[0], "the sample's pooled difference is not that of its cells"


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────


def test_the_main_table_has_the_papers_columns(results: Results) -> None:
    table = main_table(results)
    assert [one.title for one in table.headings] == "EM EM Acc EM Acc EM F1 EM F1 Acc F1 F1 F1 Avg".split()
    assert [group.kind for group in table.groups] == ["measured", "quoted"]
    assert entry(table, "RankRAG 8B", "NQ", "EM", "quoted").text == "50.6"
    assert row(table, "RankRAG 8B", "quoted").entries[-1] == TableCell("52.6")
    assert row(table, "Llama3-Instruct 8B", "quoted").entries[-1] == TableCell("40.8", mark="†")
    assert any(note.startswith("†") and "Llama3-Instruct 8B 41.3" in note for note in table.notes)
    assert any("BM25 + cross-encoder on NQ 3 of 50" in note for note in table.notes)


def test_a_measured_cell_has_its_interval_and_sample(results: Results) -> None:
    cell = next(one for one in results.cells if (one.system, one.benchmark) == (RANKRAG, "doc2dial"))
    found, shown = cell.measures["F1"], entry(main_table(results), RANKRAG, "Doc2Dial", "F1")
    assert shown.text == f"{100 * found.value:.1f}"
    assert shown.small == (f"{100 * found.low:.1f}–{100 * found.high:.1f}", "n 50", "11 units")


def test_what_is_missing_is_a_dash_and_takes_the_average_with_it(results: Results) -> None:
    kept = tuple(one for one in results.cells if (one.system, one.benchmark) != (PLAIN, "fever"))
    table = main_table(replace(results, cells=kept))
    assert entry(table, PLAIN, "FEVER", "Acc") == TableCell()
    assert row(table, PLAIN).entries[-1] == TableCell()
    assert TableCell().text == DASH
    average = row(table, RANKRAG).entries[-1]
    nine = [cell for cell in kept if cell.system == RANKRAG and cell.benchmark in list(BENCHMARKS)[:9]]
    heads = [cell.measures[BENCHMARKS[cell.benchmark][2][0]].value for cell in nine]
    assert average.text == f"{100 * sum(heads) / 9:.1f}"


def test_an_average_of_independent_benchmarks_is_surer_than_each(results: Results) -> None:
    table = main_table(results)
    low, high = map(float, row(table, RANKRAG).entries[-1].small[0].split("–"))
    single = [float(x) for x in entry(table, RANKRAG, "NQ", "EM").small[0].split("–")]
    assert 2.5 < (single[1] - single[0]) / (high - low) < 3.5  # about the square root of nine


def test_benchmarks_that_the_paper_lacks_have_a_table_without_quotes(results: Results) -> None:
    table = other_table(results)
    assert {one.group for one in table.headings} == {"SQuAD"}
    assert [group.kind for group in table.groups] == ["measured"]


def test_the_ablation_table_finds_the_system_without_its_ranker(results: Results) -> None:
    table = ablation_table(results)
    assert [one.head for one in table.groups[0].rows] == [PLAIN, RANKRAG]
    assert row(table, PLAIN).small[0] == "without ranking"
    others = tuple(replace(one, retriever="dense") if one.name == PLAIN else one for one in results.systems)
    assert ablation_table(replace(results, systems=others)).empty


def test_the_ablation_table_takes_what_facts_call_a_variant(results: Results) -> None:
    systems = tuple(
        replace(one, facts={"variant": "without the instructions"}) if one.name == CROSS else one
        for one in results.systems
    )
    table = ablation_table(replace(results, systems=systems))
    assert row(table, CROSS).small[0] == "without the instructions"


def test_a_retrieval_stands_once_above_its_rankings(results: Results) -> None:
    table = answer_recall_table(results)
    assert [one.head for one in table.groups[0].rows] == ["bm25, as retrieved", CROSS, RANKRAG]
    found = {one.system: one.measures for one in results.cells if one.benchmark == "nq"}
    retrieved = percent(found[RANKRAG]["retrieved answer-R@5"].value)
    ranked = percent(found[RANKRAG]["answer-R@5"].value)
    assert entry(table, "bm25, as retrieved", "NQ", "R@5").text == retrieved
    assert entry(table, RANKRAG, "NQ", "R@5").text == ranked != retrieved
    assert entry(table, "Dragon, as retrieved", "NQ", "R@5", "quoted").text == "74.9"
    assert entry(table, "Dragon, as retrieved", "SQuAD", "R@5", "quoted").text == DASH
    ranked_only = replace(results, systems=tuple(one for one in results.systems if one.ranker))
    again = answer_recall_table(ranked_only)
    assert entry(again, "bm25, as retrieved", "NQ", "R@5").text == retrieved


def test_a_system_says_below_its_name_where_it_reads_from(results: Results) -> None:
    closed, plain, *_ = results.systems
    assert described(results, closed, ["nq"]) == ("no retrieval",)
    assert described(results, plain, ["nq"]) == ("bm25 over wiki2015 + gold", "retrieve_k 100, read_k 5")
    assert described(results, replace(closed, retriever=""), ["nq"]) == ("answers from elsewhere",)


def test_collections_have_a_table_of_their_own(results: Results) -> None:
    assert [group.title for group in collection_table(results).groups] == ["NFCorpus"]
    assert [one.head for one in collection_table(results).groups[0].rows] == [
        "bm25, as retrieved",
        CROSS,
        RANKRAG,
    ]
    assert "NFCorpus" not in [group.title for group in gold_table(results).groups]
    assert [one.title for one in gold_table(results).headings] == ["R@5", "R@10", "R@20", "nDCG@10", "RR@10"]


def test_a_system_that_retrieves_nothing_has_no_ranking(results: Results) -> None:
    cells = tuple(
        replace(one, measures={**one.measures, "nDCG@10": value(0.0, 50)}) if one.system == CLOSED else one
        for one in results.cells
    )
    heads = [one.head for group in gold_table(replace(results, cells=cells)).groups for one in group.rows]
    assert set(heads) == {"bm25, as retrieved", CROSS, RANKRAG}


def test_comparisons_are_grouped_and_in_the_order_of_the_benchmarks() -> None:
    whole = sample(1)
    shuffled = replace(whole, comparisons=whole.comparisons[::-1])
    table = comparison_table(shuffled)
    assert [group.title for group in table.groups] == [
        f"{RANKRAG} against {CROSS}",
        f"{RANKRAG} against {PLAIN}",
    ]
    assert [one.head for one in table.groups[0].rows][:2] == ["NQ", "TriviaQA"]
    assert table.groups[0].rows[-1].head == "all together"
    words = {one.entries[2].text for group in table.groups for one in group.rows}
    assert words == {"better", "no difference shown"}
    for group in table.groups:
        for one in group.rows:
            assert (one.entries[2].text == "better") is (float(one.entries[4].text.strip("<")) < 0.05)


def test_seconds_and_passages_a_second(results: Results) -> None:
    table = seconds_table(results)
    assert [one.title for one in table.headings] == [
        "retrieve, s",
        "rank, s",
        "generate, s",
        "overhead",
        "passages ranked, 1/s",
    ]
    of_nq = {one.head: [cell.text for cell in one.entries] for one in table.groups[0].rows}
    assert of_nq[RANKRAG] == ["0.0123", "4.7", "1.91", "2.4", "12.9"], (
        "60.5 passages, fewer than were retrieved"
    )
    assert of_nq[CLOSED] == [DASH, DASH, "1.91", DASH, DASH]


def test_trust_and_data(results: Results) -> None:
    assert [one.title for one in trust_table(results).headings] == [
        "coverage",
        "aurc",
        "ece",
        "brier",
        "citation_precision",
    ]
    rows = data_table(results).groups[0].rows
    assert len(rows) == len(results.cells)
    assert {len(one.entries[-1].text) for one in rows} == {64}


def test_curves_are_shown_for_the_headline_and_few_others(results: Results) -> None:
    points = ((1.0, value(0.2, 50)), (5.0, value(0.3, 50)))
    measures = ("EM", "F1", "answer-R@5", "answer-R@20", "rank seconds", "retrieve seconds")
    every = tuple(Curve(RANKRAG, "nq", measure, "read_k", points) for measure in measures)
    whole = replace(results, curves=(*every, Curve(RANKRAG, "*", "Acc", "read_k", points)))
    assert [one.measure for one in drawn_curves(whole)] == ["EM", "answer-R@5", "rank seconds", "Acc"]
    (table,) = curve_tables(whole)
    assert [(one.group, one.title) for one in table.headings] == [("read_k", "1"), ("read_k", "5")]
    texts = [[cell.text for cell in one.entries] for one in table.groups[0].rows]
    assert texts == [["20.0", "30.0"], ["20.0", "30.0"], ["0.2", "0.3"], ["20.0", "30.0"]]


def test_every_row_is_as_long_as_its_headings(results: Results) -> None:
    for section in sections(results):
        for table in section.tables:
            for group in table.groups:
                assert {len(one.entries) for one in group.rows} <= {len(table.headings)}, table.title


def test_sections_with_nothing_to_say_are_left_out(results: Results) -> None:
    bare = Results("t", "now", "cmd", results.systems[:1], (), ())
    assert [one.name for one in sections(bare)] == ["summary", "provenance"]
    assert "missing" in [one.name for one in sections(results)]


def test_what_was_searched_may_differ_between_the_benchmarks_of_a_system(results: Results) -> None:
    plain = results.systems[1]
    cells = tuple(
        replace(one, corpus="wiki + PubMed") if one.benchmark == "pubmedqa" else one for one in results.cells
    )
    changed = replace(results, cells=cells)
    assert described(changed, plain, ["pubmedqa"])[0] == "bm25 over wiki + PubMed"
    assert described(changed, plain, ["nq"])[0] == "bm25 over wiki2015 + gold"
    both = described(changed, plain, ["nq", "pubmedqa"])[0]
    assert both == "bm25 over wiki2015 + gold and wiki + PubMed"
