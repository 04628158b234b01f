"""The report as sections of plain data, built once; `markdown` and `html` draw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import amount
from ..results import (
    Cell,
    Comparison,
    Curve,
    Results,
    System,
    Value,
    benchmark_notes,
    benchmark_title,
    titles,
)
from ..statistics import SIGNIFICANT
from .layout import (
    DASH,
    ReportHeading,
    ReportSection,
    RowGroup,
    Table,
    TableCell,
    TableRow,
    interval,
    measured,
    percent,
    probability,
    sample_size,
    seconds,
)
from .score_tables import (
    ablation_table,
    answer_recall_table,
    biomedical_table,
    collection_table,
    gold_table,
    main_table,
    other_table,
    searched,
)
from .verdicts import TONES, in_words, ordered, summary, verdict


def sections(results: Results) -> tuple[ReportSection, ...]:
    """Return the sections of the report in their order; those with nothing to say are left out."""
    text = (*results.claim, *in_words(results), _scope(results), *summary(results), _warning(results))
    every = (
        ReportSection("summary", "Summary", text),
        _tables("answers", "Answers", main_table(results), biomedical_table(results), other_table(results)),
        ReportSection("missing", "What is not at hand", points=results.missing),
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
    return tuple(section for section in every if section.text or section.tables or section.points)


def _tables(name: str, title: str, *tables: Table) -> ReportSection:
    return ReportSection(name, title, tables=tuple(table for table in tables if not table.empty))


def _scope(results: Results) -> str:
    searched = [cell.corpus for cell in results.cells] + [system.corpus for system in results.systems]
    corpora = dict.fromkeys(filter(None, searched))
    sizes = {cell.questions for cell in results.cells}
    questions = f"{min(sizes):,} to {max(sizes):,}" if len(sizes) > 1 else f"{max(sizes, default=0):,}"
    systems, benchmarks = amount(len(results.systems), "system"), amount(len(results.benchmarks), "benchmark")
    return f"{systems} on {benchmarks}, {questions} questions each; corpora: {', '.join(corpora) or 'none'}."


def _warning(results: Results) -> str:
    if not results.missing:
        return ""
    n = len(results.missing)
    things = "1 thing that the paper used is" if n == 1 else f"{n} things that the paper used are"
    return f"{things} not at hand here: see below."


def _provenance(results: Results) -> ReportSection:
    text = (f"Made {results.created} by this command:",)
    tables = tuple(table for table in (system_table(results), data_table(results)) if not table.empty)
    title = "Where it comes from"
    return ReportSection("provenance", title, text, results.command, tables, benchmark_notes(results))


# ── comparisons ──────────────────────────────────────────────────────────────────────────────────────

_COLUMNS = (
    "measure",
    "difference",
    "what it shows",
    "p",
    "p, Holm",
    "smallest difference it would show",
    "wins / ties / losses",
)


def comparison_table(results: Results) -> Table:
    """Return every comparison, a group for each pair of systems, in the order of the benchmarks."""
    pairs = dict.fromkeys((test.a, test.b) for test in results.comparisons)
    groups = tuple(
        RowGroup(tuple(_comparison_row(results, test) for test in ordered(results, a, b)), f"{b} against {a}")
        for a, b in pairs
    )
    notes = (
        "Difference is the system named first minus the other on the same questions, in points (x100), with "
        "its 95 % interval; wins, ties and losses are of the system named first.",
        f"A paired permutation test; Holm's correction is over the report's "
        f"{amount(len(results.comparisons), 'comparison')}, and below {SIGNIFICANT} counts as a difference.",
        '"No difference shown" does not say that there is none: another column says how large a true '
        "difference would have to be for a sample of this size to show it four times out of five.",
    )
    headings = tuple(ReportHeading(name) for name in _COLUMNS)
    return Table("Comparisons", "Benchmark", headings, groups, notes, flat=True)


def _comparison_row(results: Results, test: Comparison) -> TableRow:
    said = verdict(test)
    difference = test.difference
    entries = (
        TableCell(test.measure),
        TableCell(
            percent(difference.value, sign=True),
            (interval(difference, sign=True), *sample_size(difference)),
            tone=TONES[said],
        ),
        TableCell(said, tone=TONES[said]),
        TableCell(probability(test.p)),
        TableCell(probability(test.p_holm)),
        TableCell(percent(test.detectable)),
        TableCell(f"{test.wins:,} / {test.ties:,} / {test.losses:,}"),
    )
    return TableRow(benchmark_title(results, test.benchmark), entries)


STEPS = ("retrieve", "rank", "generate", "cite")
"""The steps of an answer in their order; others follow by name."""


# ── seconds ──────────────────────────────────────────────────────────────────────────────────────────


def seconds_table(results: Results) -> Table:
    """Return the mean seconds of a question by step, what ranking adds to them, and its rate."""
    named = {step for cell in results.cells for step in cell.seconds}
    steps = [*(step for step in STEPS if step in named), *sorted(named - set(STEPS))]

    def entries(cell: Cell) -> tuple[TableCell, ...]:
        times = [_seconds(cell.seconds.get(step)) for step in steps]
        return (*times, _overhead(cell), _passages_a_second(cell))

    headings = (
        *(ReportHeading(f"{step}, s") for step in steps),
        ReportHeading("overhead"),
        ReportHeading("passages ranked, 1/s"),
    )
    chosen = [cell for cell in results.cells if cell.seconds]
    notes = (
        "Seconds of a question, mean with its 95 % interval.",
        "overhead: seconds of ranking through those of retrieving and answering, the paper's N·t2/(t1+t3).",
        "Passages ranked in a second: those that the ranker scored, through the seconds that it took.",
    )
    return Table("Seconds", "System", headings, _by_benchmark(results, chosen, entries), notes, flat=True)


def _seconds(value: Value | None) -> TableCell:
    if value is None:
        return TableCell()
    return TableCell(
        seconds(value.value), (f"{seconds(value.low)}–{seconds(value.high)}", *sample_size(value))
    )


def _overhead(cell: Cell) -> TableCell:
    rank, generate = (cell.seconds.get(step) for step in ("rank", "generate"))
    if rank is None or generate is None:
        return TableCell()
    rest = generate.value + (retrieve.value if (retrieve := cell.seconds.get("retrieve")) else 0.0)
    return TableCell(f"{rank.value / rest:.1f}") if rest > 0 else TableCell()


def _passages_a_second(cell: Cell) -> TableCell:
    rank = cell.seconds.get("rank")
    if rank is None or not cell.ranked or not rank.value > 0:
        return TableCell()
    return TableCell(seconds(cell.ranked / rank.value))


# ── abstaining, calibration, citations ───────────────────────────────────────────────────────────────


TRUST = ("coverage", "selective_acc", "aurc", "ece", "brier", "citation_precision", "citation_recall")
"""What abstention, relevance and citations are worth, in the order of the columns."""


def trust_table(results: Results) -> Table:
    """Return coverage, selective accuracy, calibration and citations, those that some system has."""
    named = {name for cell in results.cells for name in cell.measures}
    columns = [name for name in TRUST if name in named]
    chosen = [cell for cell in results.cells if any(name in cell.measures for name in columns)]

    def entries(cell: Cell) -> tuple[TableCell, ...]:
        return tuple(measured(cell.measures.get(name)) for name in columns)

    notes = (
        "coverage: share of questions that were answered rather than declined. selective_acc: the headline "
        "measure over those. aurc: mean error when answering the surest questions first, over all coverages.",
        "ece and brier: how far a passage's relevance is from how often it is a gold passage. Smaller is "
        "better for aurc, ece and brier.",
        "citation_precision: share of the citations that are correct. citation_recall: share of an answer's "
        "sentences that a correct citation stands for.",
    )
    headings = tuple(ReportHeading(name) for name in columns)
    title = "Abstaining, calibration, citations"
    return Table(title, "System", headings, _by_benchmark(results, chosen, entries), notes, flat=True)


def _by_benchmark(
    results: Results, chosen: Sequence[Cell], entries: Callable[[Cell], tuple[TableCell, ...]]
) -> tuple[RowGroup, ...]:
    """Return a group of rows for each benchmark, a row for each system."""
    found = []
    for name, title in titles(results).items():
        rows = tuple(TableRow(cell.system, entries(cell)) for cell in chosen if cell.benchmark == name)
        if rows:
            found.append(RowGroup(rows, title))
    return tuple(found)


# ── curves, as numbers ───────────────────────────────────────────────────────────────────────────────


_DRAWN = frozenset({"answer-R@5", "rank seconds", "generate seconds"})
"""What is drawn beside the headline measure of a benchmark; results.json has the curves of all measures."""


def drawn_curves(results: Results) -> tuple[Curve, ...]:
    """Return the curves that the report shows; over several benchmarks together it shows every measure."""
    heads = {benchmark.name: benchmark.measures[:1] for benchmark in results.benchmarks}
    return tuple(
        curve
        for curve in results.curves
        if curve.measure in _DRAWN or curve.benchmark not in heads or curve.measure in heads[curve.benchmark]
    )


def curve_tables(results: Results) -> tuple[Table, ...]:
    """Return the points of the curves: a table for what was varied, a row for each curve."""
    tables, drawn = [], drawn_curves(results)
    for x_name in dict.fromkeys(curve.x_name for curve in drawn):
        curves = [curve for curve in drawn if curve.x_name == x_name]
        xs = sorted({x for curve in curves for x, _ in curve.points})
        rows = tuple(_curve_row(results, curve, xs) for curve in curves)
        headings = tuple(ReportHeading(f"{x:g}", x_name) for x in xs)
        tables.append(
            Table(f"The points of the curves by {x_name}", "Curve", headings, (RowGroup(rows),), folded=True)
        )
    return tuple(tables)


def is_seconds(curve: Curve) -> bool:
    """Say whether a curve is of seconds (`rank seconds`), not of a fraction."""
    return curve.measure.endswith(" seconds")


def _curve_row(results: Results, curve: Curve, xs: Sequence[float]) -> TableRow:
    points = dict(curve.points)
    draw = _seconds if is_seconds(curve) else measured
    small = (f"{benchmark_title(results, curve.benchmark)}, {curve.measure}",)
    return TableRow(curve.system, tuple(draw(points.get(x)) for x in xs), small)


# ── provenance ───────────────────────────────────────────────────────────────────────────────────────


def system_table(results: Results) -> Table:
    """Return what every system is made of, a column each; the facts are those that it was written with."""
    named = dict.fromkeys(name for system in results.systems for name in system.facts)
    columns = ("retriever", "corpus", "retrieve_k", "read_k", "ranker", "generator", *named)
    every = [benchmark.name for benchmark in results.benchmarks]
    facts = [
        (*(text or DASH for text in searched(results, system, every)), *_facts(system, list(named)))
        for system in results.systems
    ]
    rows = tuple(
        TableRow(name, tuple(TableCell(fact[n]) for fact in facts)) for n, name in enumerate(columns)
    )
    return Table(
        "Systems", "Fact", tuple(ReportHeading(system.name) for system in results.systems), (RowGroup(rows),)
    )


def _facts(system: System, named: Sequence[str]) -> tuple[str, ...]:
    return (
        str(system.retrieve_k),
        str(system.read_k),
        system.ranker or "none",
        system.generator or "none",
        *(system.facts.get(name) or DASH for name in named),
    )


def data_table(results: Results) -> Table:
    """Return what every number is over: file, questions taken, those without an answer, what was searched."""
    more = list(dict.fromkeys(name for cell in results.cells for name in cell.made_of))
    rows = []
    for cell in results.cells:
        texts = (
            cell.system,
            f"{cell.questions:,}",
            f"{cell.of:,}",
            f"{cell.unanswered:,}",
            cell.data_sha256 or DASH,
            *(cell.made_of.get(name) or DASH for name in more),
        )
        rows.append(TableRow(benchmark_title(results, cell.benchmark), tuple(map(TableCell, texts))))
    columns = ("system", "questions", "of", "without an answer", "SHA-256 of the file", *more)
    headings = tuple(ReportHeading(name) for name in columns)
    return Table(
        "Files and numbers of questions", "Benchmark", headings, (RowGroup(tuple(rows)),), folded=True
    )
