"""The report as sections of plain data, built once; `markdown` and `html` draw them."""

from __future__ import annotations

from ..results import Results
from .answer_tables import ablation_table, biomedical_table, main_table, other_table
from .comparison_tables import comparison_table, summary
from .ranking_tables import answer_recall_table, collection_table, gold_table
from .system_tables import (
    curve_tables,
    data_table,
    seconds_table,
    system_table,
    trust_table,
)
from .table import Section, Table, benchmark_notes


def sections(results: Results) -> tuple[Section, ...]:
    """Return the sections of the report in their order; those with nothing to say are left out."""
    every = (
        Section("summary", "Summary", (_scope(results), *summary(results), _warning(results))),
        _tables("answers", "Answers", main_table(results), biomedical_table(results), other_table(results)),
        Section("missing", "What is not at hand", points=results.missing),
        _tables(
            "rankings",
            "Rankings",
            answer_recall_table(results),
            gold_table(results),
            collection_table(results),
        ),
        _tables("ablation", "What each part is worth", ablation_table(results)),
        _tables("comparisons", "Comparisons", comparison_table(results)),
        _tables("curves", "Curves", *curve_tables(results)),
        _tables("trust", "How far it can be trusted", trust_table(results)),
        _tables("seconds", "Seconds", seconds_table(results)),
        _provenance(results),
    )
    return tuple(one for one in every if one.text or one.tables or one.points)


def _tables(name: str, title: str, *tables: Table) -> Section:
    return Section(name, title, tables=tuple(one for one in tables if not one.empty))


def _scope(results: Results) -> str:
    searched = [one.corpus for one in results.cells] + [one.corpus for one in results.systems]
    corpora = dict.fromkeys(filter(None, searched))
    sizes = {cell.questions for cell in results.cells}
    questions = f"{min(sizes):,} to {max(sizes):,}" if len(sizes) > 1 else f"{max(sizes, default=0):,}"
    counts = (
        f"{len(results.systems)} systems on {len(results.benchmarks)} benchmarks, {questions} questions each"
    )
    return f"{counts}; corpora: {', '.join(corpora) or 'none'}."


def _warning(results: Results) -> str:
    if not results.missing:
        return ""
    n = len(results.missing)
    things = "1 thing that the paper used is" if n == 1 else f"{n} things that the paper used are"
    return f"{things} not at hand here: see below."


def _provenance(results: Results) -> Section:
    text = (f"Made {results.created} by this command:",)
    tables = tuple(one for one in (system_table(results), data_table(results)) if not one.empty)
    title = "Where it comes from"
    return Section("provenance", title, text, results.command, tables, benchmark_notes(results))
