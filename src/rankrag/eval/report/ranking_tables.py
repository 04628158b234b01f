"""Tables of rankings: the order in which passages were retrieved, and the order after the ranker."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from .. import paper
from ..measures.retrieval import RETRIEVED
from ..results import BenchmarkFacts, Results, System, Value
from .best import best
from .names import BY_ANSWER, BY_GOLD, is_ranking
from .table import (
    BOLD,
    QUOTED,
    Entry,
    Group,
    Heading,
    Row,
    Table,
    measured,
    quoted,
    retrieves,
    searched,
    titles,
    values,
)

Found = Mapping[tuple[str, str, str], Value]

_TABLE_8 = "Its Table 8 has the same ranker on what DPR and Contriever found in place of Dragon (RankRAG 8B)."


@dataclass(frozen=True, slots=True)
class _Order:
    """An order of passages, and whose measures it has: (system, what their names begin with)."""

    head: str
    small: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]

    def value(self, found: Found, benchmark: str, measure: str) -> Value | None:
        """Return the first value that is there: those of one retrieval are all the same."""
        every = (found.get((name, benchmark, prefix + measure)) for name, prefix in self.sources)
        return next((value for value in every if value is not None), None)


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────


def answer_recall_table(results: Results) -> Table:
    """Return the share of questions with an answer among the first k passages, like the paper's Table 6."""
    found = values(results)
    columns = [
        (one, measure)
        for one in results.benchmarks
        for measure in BY_ANSWER
        if any((name.name, one.name, measure) in found for name in results.systems)
    ]
    headings = tuple(Heading(measure.removeprefix("answer-"), one.title) for one, measure in columns)
    rows = _rows(results, [(one.name, measure) for one, measure in columns])
    quotes = _quotes(results, [(one.name, measure) for one, measure in columns])
    notes = (
        "The share of questions with an answer among the first k passages.",
        BOLD,
        "A system's own order stands below the order in which its retriever found the passages.",
        "The paper (Table 6) ranks the first 100 passages of Dragon over all of Wikipedia; its INSCIT is the "
        "recall of gold passages.",
        *([_TABLE_8] if len(quotes) > 1 else []),
    )
    groups = (Group(rows, "measured here"), *quotes)
    return Table("Answers among the first passages", "Order of passages", headings, groups, notes)


def gold_table(results: Results) -> Table:
    """Return measures by gold passages on the benchmarks whose questions are also answered."""
    chosen = [one for one in results.benchmarks if not _is_collection(one)]
    return _by_gold(results, "Gold passages among the first", chosen)


def collection_table(results: Results) -> Table:
    """Return measures by judged passages on collections: queries and judgements, nothing to answer."""
    chosen = [one for one in results.benchmarks if _is_collection(one)]
    return _by_gold(results, "Ranking collections", chosen)


def _is_collection(benchmark: BenchmarkFacts) -> bool:
    """Say whether nothing is answered on a benchmark: it has no measure but those of rankings."""
    return all(is_ranking(name) for name in benchmark.measures)


# ── how they are made ────────────────────────────────────────────────────────────────────────────────


def _orders(results: Results, benchmarks: Container[str]) -> list[_Order]:
    """Return each retrieval once, followed by the rankings of it."""
    retrievals: dict[tuple[str, str, int], list[System]] = {}
    for one in filter(retrieves, results.systems):
        retrievals.setdefault((*searched(results, one, benchmarks), one.retrieve_k), []).append(one)
    orders: list[_Order] = []
    for (retriever, corpus, k), systems in retrievals.items():
        unranked = [(one.name, "") for one in systems if not one.ranker]
        before = [(one.name, RETRIEVED) for one in systems if one.ranker]
        small = (f"{k} passages over {corpus}",)
        orders.append(_Order(f"{retriever}, as retrieved", small, (*unranked, *before)))
        orders += [
            _Order(one.name, (f"{one.ranker} ranks the first {one.retrieve_k}",), ((one.name, ""),))
            for one in systems
            if one.ranker
        ]
    return orders


def _rows(results: Results, columns: Sequence[tuple[str, str]]) -> tuple[Row, ...]:
    """Return a row for each order that has a value in one of the columns (benchmark, measure)."""
    found, rows = values(results), []
    leaders = [_leader(results, found, *column) for column in columns]
    for order in _orders(results, {benchmark for benchmark, _ in columns}):
        mine = [order.value(found, *column) for column in columns]
        entries = tuple(
            measured(value, bold=(leader, "") in order.sources)
            for value, leader in zip(mine, leaders, strict=True)
        )
        if any(value is not None for value in mine):
            rows.append(Row(order.head, entries, order.small))
    return tuple(rows)


def _leader(results: Results, found: Found, benchmark: str, measure: str) -> str | None:
    having = {
        one.name: value
        for one in results.systems
        if (value := found.get((one.name, benchmark, measure))) is not None
    }
    return best(results, benchmark, measure, having)


def _by_gold(results: Results, title: str, benchmarks: Sequence[BenchmarkFacts]) -> Table:
    """Return a table with a group for each benchmark and a column for each measure that is there."""
    found = values(results)
    names = {one.name for one in benchmarks}
    there = {measure.removeprefix(RETRIEVED) for _, name, measure in found if name in names}
    others = sorted(one for one in there - {*BY_GOLD, *BY_ANSWER} if is_ranking(one))
    columns = [*(one for one in BY_GOLD if one in there), *others]
    groups = tuple(
        Group(rows, titles(results)[one.name])
        for one in benchmarks
        if (rows := _rows(results, [(one.name, measure) for measure in columns]))
    )
    headings = tuple(Heading(measure) for measure in columns)
    note = (
        "Over the questions for which a relevant passage is known: judged 1 or more, 2 on a scale of 0 to 3 "
        "(TREC's deep learning track). nDCG is with the judges' grades."
    )
    return Table(title, "Order of passages", headings, groups, (note, BOLD), flat=True)


def _quotes(results: Results, columns: Sequence[tuple[str, str]]) -> list[Group]:
    """Return the groups of quoted rows: Table 6, and Table 8 beside measurements of several retrievers."""
    several = len(_retrievers(results, {benchmark for benchmark, _ in columns})) > 1
    titled = {QUOTED: paper.RANKING, **({f"Table 8, {QUOTED}": paper.RETRIEVERS} if several else {})}
    groups = (Group(_quoted(printed, columns), title, "quoted") for title, printed in titled.items())
    return [group for group in groups if group.rows]


def _retrievers(results: Results, benchmarks: Container[str]) -> set[str]:
    """Return who retrieved on some benchmarks."""
    return {searched(results, one, benchmarks)[0] for one in results.systems if retrieves(one)}


def _quoted(printed: paper.PaperTable, columns: Sequence[tuple[str, str]]) -> tuple[Row, ...]:
    """Return the rows of a table of the paper where one of the columns is in it."""
    places = {(one.benchmark, one.measure): n for n, one in enumerate(printed.columns)}
    if not places.keys() & set(columns):
        return ()
    return tuple(
        Row(
            row.system,
            tuple(
                quoted(row.values[places[at]], printed.digits) if at in places else Entry() for at in columns
            ),
            (row.note,) if row.note else (),
        )
        for row in printed.rows
    )
