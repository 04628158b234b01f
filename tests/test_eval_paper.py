"""The paper's numbers: the digits hang together, and those that do not are known."""

from __future__ import annotations

import pytest

from rankrag.eval import paper

WITH_AVERAGES = (paper.MAIN, paper.ABLATION, paper.OTHER_BASES, paper.BIOMEDICAL)
NOT_REPORTED = {(9, "Llama2-Chat 70B")}
"""Rows with a measure that the paper leaves out."""

OTHER_AVERAGE = {
    (2, "GPT-4-0613, no retrieval"): 43.7,
    (2, "GPT-4-0613"): 45.6,
    (2, "Llama3-Instruct 8B"): 41.3,
    (2, "Llama3-Instruct 70B"): 48.3,
    (3, "without ranking"): 49.6,
}
"""Rows whose printed average is not the mean of their nine headline measures, and that mean."""


def row(table: paper.PaperTable, system: str) -> paper.Printed:
    return next(one for one in table.rows if one.system == system)


def value(table: paper.PaperTable, system: str, benchmark: str, measure: str) -> float | None:
    place = [(one.benchmark, one.measure) for one in table.columns].index((benchmark, measure))
    return row(table, system).values[place]


@pytest.mark.parametrize("table", WITH_AVERAGES, ids=lambda table: f"table-{table.number}")
def test_averages_are_the_mean_of_the_headline_measures_but_for_known_rows(table: paper.PaperTable) -> None:
    for one in table.rows:
        wanted = OTHER_AVERAGE.get((table.number, one.system), one.average)
        assert paper.mean(table, one) == pytest.approx(wanted, abs=0.07), one.system
        assert paper.average_agrees(table, one) is ((table.number, one.system) not in OTHER_AVERAGE)


def test_the_headline_is_the_first_measure_of_each_of_the_nine() -> None:
    chosen = [paper.MAIN_COLUMNS[n] for n in paper.headline(paper.MAIN_COLUMNS)]
    assert [one.measure for one in chosen] == ["EM"] * 5 + ["Claim"] + ["F1"] * 3
    assert len({one.benchmark for one in chosen}) == 9


@pytest.mark.parametrize(
    ("table", "system", "benchmark", "measure", "wanted"),
    [
        (paper.MAIN, "RankRAG 8B", "nq", "EM", 50.6),
        (paper.MAIN, "RankRAG 70B", "popqa", "Acc", 65.4),
        (paper.MAIN, "ChatQA-1.5 70B", "topiocqa", "F1", 55.6),
        (paper.MAIN, "GPT-4-0613", "2wiki", "F1", 17.6),
        (paper.ABLATION, "without ranking", "hotpotqa", "F1", 41.6),
        (paper.ABLATION, "stage I only", "fever", "Claim", 85.7),
        (paper.OTHER_BASES, "RankRAG 13B", "popqa", "Acc", 63.9),
        (paper.DPR_SPLITS, "RankRAG 8B", "nq", "EM", 46.1),
        (paper.DPR_SPLITS, "GPT-4-turbo", "triviaqa", "Acc", 79.2),
        (paper.BIOMEDICAL, "RankRAG 8B", "pubmedqa", "Choice", 65.00),
        (paper.BIOMEDICAL, "GPT-4-0613", "medmcqa", "Choice", 66.65),
        (paper.RANKING, "RankRAG 8B", "nq", "answer-R@5", 80.3),
        (paper.RANKING, "Dragon, as retrieved", "inscit", "answer-R@20", 64.9),
        (paper.RANKING, "GPT-4", "hotpotqa", "answer-R@10", 57.0),
        (paper.RETRIEVERS, "DPR, ranked", "popqa", "answer-R@20", 57.76),
        (paper.RETRIEVERS, "Contriever, as retrieved", "triviaqa", "answer-R@5", 81.95),
    ],
)
def test_single_values(
    table: paper.PaperTable, system: str, benchmark: str, measure: str, wanted: float
) -> None:
    assert value(table, system, benchmark, measure) == wanted


def test_the_whole_system_is_the_same_row_in_both_tables() -> None:
    assert row(paper.MAIN, "RankRAG 8B") == row(paper.ABLATION, "RankRAG 8B")


@pytest.mark.parametrize("table", paper.TABLES.values(), ids=lambda table: f"table-{table.number}")
def test_every_row_has_a_percentage_in_every_column(table: paper.PaperTable) -> None:
    for one in table.rows:
        assert len(one.values) == len(table.columns)
        known = [value for value in one.values if value is not None]
        assert all(0 < value < 100 for value in known), one.system
        assert (len(known) < len(one.values)) is ((table.number, one.system) in NOT_REPORTED), one.system


def test_the_tables_stand_in_the_papers_order_with_rows_of_their_own() -> None:
    assert [table.number for table in paper.TABLES.values()] == [2, 3, 4, 5, 6, 8, 9]
    for table in paper.TABLES.values():
        assert len({one.values for one in table.rows}) == len(table.rows), "a row was copied twice"


@pytest.mark.parametrize("table", [paper.RANKING, paper.RETRIEVERS], ids=["table-6", "table-8"])
def test_recall_grows_with_depth(table: paper.PaperTable) -> None:
    for one in table.rows:
        for start in range(0, len(one.values), 3):
            at = [value for value in one.values[start : start + 3] if value is not None]
            assert at == sorted(at), (one.system, start)


def test_every_benchmark_of_the_answers_names_its_split() -> None:
    assert {one.benchmark for table in WITH_AVERAGES for one in table.columns} == paper.SPLITS.keys()
