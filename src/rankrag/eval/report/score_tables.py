"""Tables of scores in the layout of the paper's own: what was measured, and apart from it what is quoted."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from ...errors import amount
from .. import paper
from ..measures.ranking import RETRIEVED, is_ranking
from ..results import BenchmarkFacts, Results, System, Value, Values, benchmark_notes, cells, titles, values
from .layout import (
    BOLD,
    DASH,
    QUOTED,
    ReportHeading,
    RowGroup,
    Table,
    TableCell,
    TableRow,
    measured,
    percent,
    quoted,
)
from .verdicts import best

BY_ANSWER = ("answer-R@1", "answer-R@5", "answer-R@10", "answer-R@20")
"""Shares of questions with an answer among the first k passages, in the order of the columns."""

BY_GOLD = ("R@1", "R@5", "R@10", "R@20", "R@100", "nDCG@10", "RR@10")
"""Measures by judged passages, in the order of the columns."""

SHOWN = {"Claim": "Acc", "Choice": "Acc"}
"""What the paper's tables call a measure that has another name here."""

VARIANT = "variant"
"""Name of the fact of a system that says what was left out of it, or put in: the ablation table shows it."""


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────


def main_table(results: Results) -> Table:
    """Return the table of the paper's nine benchmarks, in the columns of its Table 2."""
    return _like(results, paper.MAIN, "Answers on the paper's benchmarks", results.systems)


def biomedical_table(results: Results) -> Table:
    """Return the table of multiple choice, in the columns of the paper's Table 5."""
    return _like(results, paper.BIOMEDICAL, "Biomedical multiple choice", results.systems)


def other_table(results: Results) -> Table:
    """Return the answers on benchmarks that the paper does not have."""
    known = {column.benchmark for column in (*paper.MAIN_COLUMNS, *paper.BIOMEDICAL_COLUMNS)}
    columns = tuple(
        paper.Column(benchmark.name, measure, benchmark.title)
        for benchmark in results.benchmarks
        if benchmark.name not in known
        for measure in _answer_measures(results, benchmark)
    )
    rows = tuple(row for row, _ in _rows(results, columns, results.systems))
    notes = (BOLD, *_unanswered(results, columns))
    return Table("Other benchmarks", "System", _headings(results, columns), (RowGroup(rows),), notes)


def ablation_table(results: Results) -> Table:
    """Return what each part is worth: the whole system, those that lack a part of it, and Table 3.

    Whole is a system whose one model ranks and answers. Another lacks a part if its facts have `variant`
    (what was left out or put in), or if it answers with the same model from the same retrieval unranked.
    """
    variants = {system.name: label for system in results.systems if (label := _variant(results, system))}
    chosen = [system for system in results.systems if system.name in variants or _is_whole(system)]
    return _like(results, paper.ABLATION, "What each part is worth", chosen if variants else [], variants)


def _is_whole(system: System) -> bool:
    return bool(system.ranker) and system.ranker == system.generator and VARIANT not in system.facts


def _variant(results: Results, system: System) -> str:
    """Return what distinguishes a system from the whole, an empty text where it is no variant of one."""
    if label := system.facts.get(VARIANT, ""):
        return label
    wholes = [system for system in results.systems if _is_whole(system)]
    lacks = not system.ranker and any(_reads_alike(system, whole) for whole in wholes)
    return "without ranking" if lacks else ""


def _reads_alike(system: System, other: System) -> bool:
    same = ("retriever", "corpus", "generator", "read_k")
    return all(getattr(system, name) == getattr(other, name) for name in same)


def _like(
    results: Results,
    printed: paper.PaperTable,
    title: str,
    systems: Sequence[System],
    labels: Mapping[str, str] | None = None,
) -> Table:
    """Return a table in the columns of one of the paper's, with its rows quoted below the measured ones."""
    n = len(paper.headline(printed.columns))
    rows = [
        TableRow(row.head, (*row.entries, average), row.small)
        for row, average in _rows(results, printed.columns, systems, labels)
    ]
    quotes = tuple(_quote(printed, row) for row in printed.rows)
    notes = (
        BOLD,
        f"Avg is the mean of the first measure of the {n} benchmarks, and stands only where all {n} were "
        "measured; its interval takes them to be independent.",
        *_unanswered(results, printed.columns),
        *benchmark_notes(results, {column.benchmark for column in printed.columns}),
        _splits(printed),
        *_wrong_averages(printed),
    )
    groups = (RowGroup(tuple(rows), "measured here"), RowGroup(quotes, QUOTED, "quoted"))
    return Table(title, "System", (*_headings(results, printed.columns), ReportHeading("Avg")), groups, notes)


def _headings(results: Results, columns: Sequence[paper.Column]) -> tuple[ReportHeading, ...]:
    title = titles(results)
    return tuple(
        ReportHeading(SHOWN.get(column.measure, column.measure), title.get(column.benchmark, column.title))
        for column in columns
    )


def _rows(
    results: Results,
    columns: Sequence[paper.Column],
    systems: Sequence[System],
    labels: Mapping[str, str] | None = None,
) -> list[tuple[TableRow, TableCell]]:
    """Return a row, and its average, for each system that was measured on one of the columns' benchmarks."""
    scores, rows = values(results), []
    leaders = [_leader(results, scores, at.benchmark, at.measure) for at in columns]
    for system in systems:
        mine = [scores.get((system.name, at.benchmark, at.measure)) for at in columns]
        if all(value is None for value in mine):
            continue
        label = (labels or {}).get(system.name, "")
        small = (*([label] if label else []), *described(results, system, {at.benchmark for at in columns}))
        entries = [measured(v, lead == system.name) for v, lead in zip(mine, leaders, strict=True)]
        average = _average([mine[n] for n in paper.headline(columns)])
        rows.append((TableRow(system.name, tuple(entries), small), average))
    return rows


def _leader(results: Results, scores: Values, benchmark: str, measure: str) -> str | None:
    """Return the system that leads a column significantly, over all systems of the report."""
    column = {name: value for (name, *place), value in scores.items() if place == [benchmark, measure]}
    return best(results, benchmark, measure, column)


def _average(headline: Sequence[Value | None]) -> TableCell:
    """Return the mean of the headline measures if all are there; the interval takes them as independent."""
    known = [value for value in headline if value is not None]
    if len(known) < len(headline):
        return TableCell()
    n = len(known)
    mean = sum(value.value for value in known) / n
    below = math.hypot(*(value.value - value.low for value in known)) / n
    above = math.hypot(*(value.high - value.value for value in known)) / n
    return TableCell(percent(mean), (f"{percent(mean - below)}{DASH}{percent(mean + above)}",))


def _quote(printed: paper.PaperTable, row: paper.Printed) -> TableRow:
    entries = [quoted(value, printed.digits) for value in row.values]
    text = quoted(row.average, printed.digits).text
    mark = "" if paper.average_agrees(printed, row) else "†"
    small = (row.note,) if row.note else ()
    return TableRow(row.system, (*entries, TableCell(text, mark=mark)), small)


def _wrong_averages(printed: paper.PaperTable) -> tuple[str, ...]:
    """Return the note on averages that are not the mean of their row, none where all are."""
    wrong = [
        f"{row.system} {mean:.1f}"
        for row in printed.rows
        if not paper.average_agrees(printed, row) and (mean := paper.mean(printed, row)) is not None
    ]
    return (f"† As printed, but not the mean of its row, which is: {', '.join(wrong)}.",) if wrong else ()


def _splits(printed: paper.PaperTable) -> str:
    names = dict.fromkeys((column.benchmark, column.title) for column in printed.columns)
    told = "; ".join(f"{title}: {paper.SPLITS[name]}" for name, title in names)
    return f"The paper's numbers (Table {printed.number}, {paper.SOURCE}) are over {told}."


def _unanswered(results: Results, columns: Sequence[paper.Column]) -> tuple[str, ...]:
    """Return the note on questions that got no answer, none where all did."""
    names = {column.benchmark for column in columns}
    title = titles(results)
    lacking = [
        f"{cell.system} on {title.get(cell.benchmark, cell.benchmark)} {cell.unanswered} of {cell.questions}"
        for cell in cells(results).values()
        if cell.benchmark in names and cell.unanswered
    ]
    return (f"Without an answer, and counted as zero: {'; '.join(lacking)}.",) if lacking else ()


def _answer_measures(results: Results, benchmark: BenchmarkFacts) -> list[str]:
    """Return the answer measures of a benchmark that some system has, headline first."""
    has = {name for cell in results.cells if cell.benchmark == benchmark.name for name in cell.measures}
    return [name for name in benchmark.measures if name in has and not is_ranking(name)]


# ── rankings ─────────────────────────────────────────────────────────────────────────────────────────


_TABLE_8 = "Its Table 8 has the same ranker on what DPR and Contriever found in place of Dragon (RankRAG 8B)."


@dataclass(frozen=True, slots=True)
class _Order:
    """An order of passages, and whose measures it has: (system, what their names begin with)."""

    head: str
    small: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]

    def value(self, scores: Values, benchmark: str, measure: str) -> Value | None:
        """Return the first value that is there: those of one retrieval are all the same."""
        every = (scores.get((name, benchmark, prefix + measure)) for name, prefix in self.sources)
        return next((value for value in every if value is not None), None)


def answer_recall_table(results: Results) -> Table:
    """Return the share of questions with an answer among the first k passages, like the paper's Table 6."""
    scores = values(results)
    columns = [
        (benchmark, measure)
        for benchmark in results.benchmarks
        for measure in BY_ANSWER
        if any((name.name, benchmark.name, measure) in scores for name in results.systems)
    ]
    headings = tuple(
        ReportHeading(measure.removeprefix("answer-"), benchmark.title) for benchmark, measure in columns
    )
    rows = _order_rows(results, [(benchmark.name, measure) for benchmark, measure in columns])
    quotes = _quotes(results, [(benchmark.name, measure) for benchmark, measure in columns])
    notes = (
        "The share of questions with an answer among the first k passages.",
        BOLD,
        "A system's own order stands below the order in which its retriever found the passages.",
        "The paper (Table 6) ranks the first 100 passages of Dragon over all of Wikipedia; its INSCIT is the "
        "recall of gold passages.",
        *([_TABLE_8] if len(quotes) > 1 else []),
    )
    groups = (RowGroup(rows, "measured here"), *quotes)
    return Table("Answers among the first passages", "Order of passages", headings, groups, notes)


def gold_table(results: Results) -> Table:
    """Return measures by gold passages on the benchmarks whose questions are also answered."""
    chosen = [benchmark for benchmark in results.benchmarks if not _is_collection(benchmark)]
    return _by_gold(results, "Gold passages among the first", chosen)


def collection_table(results: Results) -> Table:
    """Return measures by judged passages on collections: queries and judgements, nothing to answer."""
    chosen = [benchmark for benchmark in results.benchmarks if _is_collection(benchmark)]
    return _by_gold(results, "Ranking collections", chosen)


def _is_collection(benchmark: BenchmarkFacts) -> bool:
    """Say whether nothing is answered on a benchmark: it has no measure but those of rankings."""
    return all(is_ranking(name) for name in benchmark.measures)


def _orders(results: Results, benchmarks: Container[str]) -> list[_Order]:
    """Return each retrieval once, followed by the rankings of it."""
    retrievals: dict[tuple[str, str, int], list[System]] = {}
    for system in filter(retrieves, results.systems):
        retrievals.setdefault((*searched(results, system, benchmarks), system.retrieve_k), []).append(system)
    orders: list[_Order] = []
    for (retriever, corpus, k), systems in retrievals.items():
        unranked = [(system.name, "") for system in systems if not system.ranker]
        before = [(system.name, RETRIEVED) for system in systems if system.ranker]
        small = (f"{amount(k, 'passage')} over {corpus}",)
        orders.append(_Order(f"{retriever}, as retrieved", small, (*unranked, *before)))
        orders += [
            _Order(
                system.name, (f"{system.ranker} ranks the first {system.retrieve_k}",), ((system.name, ""),)
            )
            for system in systems
            if system.ranker
        ]
    return orders


def _order_rows(results: Results, columns: Sequence[tuple[str, str]]) -> tuple[TableRow, ...]:
    """Return a row for each order that has a value in one of the columns (benchmark, measure)."""
    scores, rows = values(results), []
    leaders = [_leader(results, scores, *column) for column in columns]
    for order in _orders(results, {benchmark for benchmark, _ in columns}):
        mine = [order.value(scores, *column) for column in columns]
        entries = tuple(
            measured(value, bold=(leader, "") in order.sources)
            for value, leader in zip(mine, leaders, strict=True)
        )
        if any(value is not None for value in mine):
            rows.append(TableRow(order.head, entries, order.small))
    return tuple(rows)


def _by_gold(results: Results, title: str, benchmarks: Sequence[BenchmarkFacts]) -> Table:
    """Return a table with a group for each benchmark and a column for each measure that is there."""
    scores = values(results)
    names = {benchmark.name for benchmark in benchmarks}
    there = {measure.removeprefix(RETRIEVED) for _, name, measure in scores if name in names}
    others = sorted(name for name in there - {*BY_GOLD, *BY_ANSWER} if is_ranking(name))
    columns = [*(name for name in BY_GOLD if name in there), *others]
    groups = tuple(
        RowGroup(rows, titles(results)[benchmark.name])
        for benchmark in benchmarks
        if (rows := _order_rows(results, [(benchmark.name, measure) for measure in columns]))
    )
    headings = tuple(ReportHeading(measure) for measure in columns)
    note = (
        "Over the questions for which a relevant passage is known: judged 1 or more, 2 on a scale of 0 to 3 "
        "(TREC's deep learning track). nDCG is with the judges' grades."
    )
    return Table(title, "Order of passages", headings, groups, (note, BOLD), flat=True)


def _quotes(results: Results, columns: Sequence[tuple[str, str]]) -> list[RowGroup]:
    """Return the groups of quoted rows: Table 6, and Table 8 beside measurements of several retrievers."""
    benchmarks = {benchmark for benchmark, _ in columns}
    retrievers = {searched(results, system, benchmarks)[0] for system in filter(retrieves, results.systems)}
    several = len(retrievers) > 1
    titled = {QUOTED: paper.RANKING, **({f"Table 8, {QUOTED}": paper.RETRIEVERS} if several else {})}
    groups = (RowGroup(_quoted(printed, columns), title, "quoted") for title, printed in titled.items())
    return [group for group in groups if group.rows]


def _quoted(printed: paper.PaperTable, columns: Sequence[tuple[str, str]]) -> tuple[TableRow, ...]:
    """Return the rows of a table of the paper where one of the columns is in it."""
    places = {(column.benchmark, column.measure): n for n, column in enumerate(printed.columns)}
    if not places.keys() & set(columns):
        return ()
    return tuple(
        TableRow(
            row.system,
            tuple(
                quoted(row.values[places[at]], printed.digits) if at in places else TableCell()
                for at in columns
            ),
            (row.note,) if row.note else (),
        )
        for row in printed.rows
    )


# ── systems in words ─────────────────────────────────────────────────────────────────────────────────


def retrieves(system: System) -> bool:
    """Say whether a system looks anything up."""
    return system.retriever not in ("", "none") and system.retrieve_k > 0


def searched(results: Results, system: System, benchmarks: Container[str]) -> tuple[str, str]:
    """Return retriever and corpus of a system on some benchmarks; several are joined."""
    cells = [cell for cell in results.cells if cell.system == system.name and cell.benchmark in benchmarks]
    retrievers = dict.fromkeys(cell.retriever or system.retriever for cell in cells)
    corpora = dict.fromkeys(cell.corpus or system.corpus for cell in cells)
    return " and ".join(retrievers) or system.retriever, " and ".join(corpora) or system.corpus


def described(results: Results, system: System, benchmarks: Container[str]) -> tuple[str, ...]:
    """Return what stands below the name of a system: where it reads from, and how much."""
    if not system.retriever:
        return ("answers from elsewhere",)
    if not retrieves(system):
        return ("no retrieval",)
    depth = f"retrieve_k {system.retrieve_k}, read_k {system.read_k}"
    retriever, corpus = searched(results, system, benchmarks)
    return (f"{retriever} over {corpus}", depth)
