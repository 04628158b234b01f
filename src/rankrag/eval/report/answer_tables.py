"""Tables of answers in the layout of the paper's own: what was measured, and apart from it what is quoted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .. import paper
from ..results import BenchmarkFacts, Results, System, Value
from .best import best
from .names import SHOWN, is_ranking
from .table import (
    BOLD,
    DASH,
    QUOTED,
    Entry,
    Group,
    Heading,
    Row,
    Table,
    benchmark_notes,
    cells,
    described,
    measured,
    percent,
    quoted,
    titles,
    values,
)

VARIANT = "variant"
"""Name of the fact of a system that says what was left out of it, or put in: the ablation table shows it."""


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────


def main_table(results: Results) -> Table:
    """Return the table of the paper's nine benchmarks, in the columns of its Table 2."""
    return _like(results, paper.MAIN, "Answers on the paper's benchmarks", results.systems)


def biomedical_table(results: Results) -> Table:
    """Return the table of multiple choice, in the columns of the paper's Table 5."""
    return _like(results, paper.BIOMEDICAL, "Biomedical multiple choice", results.systems)


def other_table(results: Results) -> Table:
    """Return the answers on benchmarks that the paper does not have."""
    known = {one.benchmark for one in (*paper.MAIN_COLUMNS, *paper.BIOMEDICAL_COLUMNS)}
    columns = tuple(
        paper.Column(one.name, measure, one.title)
        for one in results.benchmarks
        if one.name not in known
        for measure in _answer_measures(results, one)
    )
    rows = tuple(row for row, _ in _rows(results, columns, results.systems))
    notes = (BOLD, *_unanswered(results, columns))
    return Table("Other benchmarks", "System", _headings(results, columns), (Group(rows),), notes)


def ablation_table(results: Results) -> Table:
    """Return what each part is worth: the whole system, those that lack a part of it, and Table 3.

    Whole is a system whose one model ranks and answers. Another lacks a part if its facts have `variant`
    (what was left out or put in), or if it answers with the same model from the same retrieval unranked.
    """
    variants = {one.name: label for one in results.systems if (label := _variant(results, one))}
    chosen = [one for one in results.systems if one.name in variants or _is_whole(one)]
    return _like(results, paper.ABLATION, "What each part is worth", chosen if variants else [], variants)


def _is_whole(system: System) -> bool:
    return bool(system.ranker) and system.ranker == system.generator and VARIANT not in system.facts


def _variant(results: Results, system: System) -> str:
    """Return what distinguishes a system from the whole, an empty text where it is no variant of one."""
    if label := system.facts.get(VARIANT, ""):
        return label
    wholes = [one for one in results.systems if _is_whole(one)]
    lacks = not system.ranker and any(_reads_alike(system, one) for one in wholes)
    return "without ranking" if lacks else ""


def _reads_alike(one: System, other: System) -> bool:
    same = ("retriever", "corpus", "generator", "read_k")
    return all(getattr(one, name) == getattr(other, name) for name in same)


# ── how they are made ────────────────────────────────────────────────────────────────────────────────


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
        Row(row.head, (*row.entries, average), row.small)
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
    groups = (Group(tuple(rows), "measured here"), Group(quotes, QUOTED, "quoted"))
    return Table(title, "System", (*_headings(results, printed.columns), Heading("Avg")), groups, notes)


def _headings(results: Results, columns: Sequence[paper.Column]) -> tuple[Heading, ...]:
    title = titles(results)
    return tuple(
        Heading(SHOWN.get(one.measure, one.measure), title.get(one.benchmark, one.title)) for one in columns
    )


def _rows(
    results: Results,
    columns: Sequence[paper.Column],
    systems: Sequence[System],
    labels: Mapping[str, str] | None = None,
) -> list[tuple[Row, Entry]]:
    """Return a row, and its average, for each system that was measured on one of the columns' benchmarks."""
    found, rows = values(results), []
    leaders = [_leader(results, at, found) for at in columns]
    for one in systems:
        mine = [found.get((one.name, at.benchmark, at.measure)) for at in columns]
        if all(value is None for value in mine):
            continue
        label = (labels or {}).get(one.name, "")
        small = (*([label] if label else []), *described(results, one, {at.benchmark for at in columns}))
        entries = [measured(v, lead == one.name) for v, lead in zip(mine, leaders, strict=True)]
        average = _average([mine[n] for n in paper.headline(columns)])
        rows.append((Row(one.name, tuple(entries), small), average))
    return rows


def _leader(results: Results, at: paper.Column, found: Mapping[tuple[str, str, str], Value]) -> str | None:
    """Return the system that leads a column significantly, over all systems of the report."""
    having = {
        name: value
        for (name, benchmark, measure), value in found.items()
        if (benchmark, measure) == (at.benchmark, at.measure)
    }
    return best(results, at.benchmark, at.measure, having)


def _average(headline: Sequence[Value | None]) -> Entry:
    """Return the mean of the headline measures if all are there; the interval takes them as independent."""
    known = [value for value in headline if value is not None]
    if len(known) < len(headline):
        return Entry()
    n = len(known)
    mean = sum(one.value for one in known) / n
    below = math.hypot(*(one.value - one.low for one in known)) / n
    above = math.hypot(*(one.high - one.value for one in known)) / n
    return Entry(percent(mean), (f"{percent(mean - below)}{DASH}{percent(mean + above)}",))


def _quote(printed: paper.PaperTable, row: paper.Printed) -> Row:
    entries = [quoted(value, printed.digits) for value in row.values]
    text = quoted(row.average, printed.digits).text
    mark = "" if paper.average_agrees(printed, row) else "†"
    small = (row.note,) if row.note else ()
    return Row(row.system, (*entries, Entry(text, mark=mark)), small)


def _wrong_averages(printed: paper.PaperTable) -> tuple[str, ...]:
    """Return the note on averages that are not the mean of their row, none where all are."""
    wrong = [
        f"{row.system} {mean:.1f}"
        for row in printed.rows
        if not paper.average_agrees(printed, row) and (mean := paper.mean(printed, row)) is not None
    ]
    return (f"† As printed, but not the mean of its row, which is: {', '.join(wrong)}.",) if wrong else ()


def _splits(printed: paper.PaperTable) -> str:
    names = dict.fromkeys((one.benchmark, one.title) for one in printed.columns)
    told = "; ".join(f"{title}: {paper.SPLITS[name]}" for name, title in names)
    return f"The paper's numbers (Table {printed.number}, {paper.SOURCE}) are over {told}."


def _unanswered(results: Results, columns: Sequence[paper.Column]) -> tuple[str, ...]:
    """Return the note on questions that got no answer, none where all did."""
    names = {one.benchmark for one in columns}
    title = titles(results)
    lacking = [
        f"{one.system} on {title.get(one.benchmark, one.benchmark)} {one.unanswered} of {one.questions}"
        for one in cells(results).values()
        if one.benchmark in names and one.unanswered
    ]
    return (f"Without an answer, and counted as zero: {'; '.join(lacking)}.",) if lacking else ()


def _answer_measures(results: Results, benchmark: BenchmarkFacts) -> list[str]:
    """Return the answer measures of a benchmark that some system has, headline first."""
    has = {name for cell in results.cells if cell.benchmark == benchmark.name for name in cell.measures}
    return [name for name in benchmark.measures if name in has and not is_ranking(name)]
