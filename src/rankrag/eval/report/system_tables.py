"""Tables of what surrounds the answers: seconds, trust in what relevance says, and where all comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..results import Cell, Curve, Results, System, Value
from .comparison_tables import benchmark_title
from .names import TRUST
from .table import (
    DASH,
    Entry,
    Group,
    Heading,
    Row,
    Table,
    measured,
    sample_size,
    searched,
    seconds,
    titles,
)

STEPS = ("retrieve", "rank", "generate", "cite")
"""The steps of an answer in their order; others follow by name."""


# ── seconds ──────────────────────────────────────────────────────────────────────────────────────────


def seconds_table(results: Results) -> Table:
    """Return the mean seconds of a question by step, and the passages ranked in a second."""
    named = {step for cell in results.cells for step in cell.seconds}
    steps = [*(one for one in STEPS if one in named), *sorted(named - set(STEPS))]

    def entries(cell: Cell) -> tuple[Entry, ...]:
        times = [_seconds(cell.seconds.get(step)) for step in steps]
        return (*times, _passages_a_second(cell))

    headings = (*(Heading(f"{step}, s") for step in steps), Heading("passages ranked, 1/s"))
    chosen = [cell for cell in results.cells if cell.seconds]
    notes = (
        "Seconds of a question, mean with its 95 % interval.",
        "Passages ranked in a second: those that the ranker scored, through the seconds that it took.",
    )
    return Table("Seconds", "System", headings, _by_benchmark(results, chosen, entries), notes, flat=True)


def _seconds(value: Value | None) -> Entry:
    if value is None:
        return Entry()
    return Entry(seconds(value.value), (f"{seconds(value.low)}–{seconds(value.high)}", *sample_size(value)))


def _passages_a_second(cell: Cell) -> Entry:
    rank = cell.seconds.get("rank")
    if rank is None or not cell.ranked or not rank.value > 0:
        return Entry()
    return Entry(seconds(cell.ranked / rank.value))


# ── abstaining, calibration, citations ───────────────────────────────────────────────────────────────


def trust_table(results: Results) -> Table:
    """Return coverage, selective accuracy, calibration and citations, those that some system has."""
    named = {name for cell in results.cells for name in cell.measures}
    columns = [name for name in TRUST if name in named]
    chosen = [cell for cell in results.cells if any(name in cell.measures for name in columns)]

    def entries(cell: Cell) -> tuple[Entry, ...]:
        return tuple(measured(cell.measures.get(name)) for name in columns)

    notes = (
        "coverage: share of questions that were answered rather than declined. selective_acc: the headline "
        "measure over those. aurc: mean error when answering the surest questions first, over all coverages.",
        "ece and brier: how far a passage's relevance is from how often it is a gold passage. Smaller is "
        "better for aurc, ece and brier.",
        "citation_precision: share of the citations that are correct. citation_recall: share of an answer's "
        "sentences that a correct citation stands for.",
    )
    headings = tuple(Heading(name) for name in columns)
    title = "Abstaining, calibration, citations"
    return Table(title, "System", headings, _by_benchmark(results, chosen, entries), notes, flat=True)


def _by_benchmark(
    results: Results, chosen: Sequence[Cell], entries: Callable[[Cell], tuple[Entry, ...]]
) -> tuple[Group, ...]:
    """Return a group of rows for each benchmark, a row for each system."""
    found = []
    for name, title in titles(results).items():
        rows = tuple(Row(cell.system, entries(cell)) for cell in chosen if cell.benchmark == name)
        if rows:
            found.append(Group(rows, title))
    return tuple(found)


# ── curves, as numbers ───────────────────────────────────────────────────────────────────────────────


_DRAWN = frozenset({"answer-R@5", "rank seconds", "generate seconds"})
"""What is drawn beside the headline measure of a benchmark; results.json has the curves of all measures."""


def drawn_curves(results: Results) -> tuple[Curve, ...]:
    """Return the curves that the report shows; over several benchmarks together it shows every measure."""
    heads = {one.name: one.measures[:1] for one in results.benchmarks}
    return tuple(
        one
        for one in results.curves
        if one.measure in _DRAWN or one.benchmark not in heads or one.measure in heads[one.benchmark]
    )


def curve_tables(results: Results) -> tuple[Table, ...]:
    """Return the points of the curves: a table for what was varied, a row for each curve."""
    found, drawn = [], drawn_curves(results)
    for x_name in dict.fromkeys(one.x_name for one in drawn):
        curves = [one for one in drawn if one.x_name == x_name]
        xs = sorted({x for one in curves for x, _ in one.points})
        rows = tuple(_curve_row(results, one, xs) for one in curves)
        headings = tuple(Heading(f"{x:g}", x_name) for x in xs)
        found.append(
            Table(f"The points of the curves by {x_name}", "Curve", headings, (Group(rows),), folded=True)
        )
    return tuple(found)


def is_seconds(curve: Curve) -> bool:
    """Say whether a curve is of seconds (`rank seconds`), not of a fraction."""
    return curve.measure.endswith(" seconds")


def _curve_row(results: Results, curve: Curve, xs: Sequence[float]) -> Row:
    points = dict(curve.points)
    draw = _seconds if is_seconds(curve) else measured
    small = (f"{benchmark_title(results, curve.benchmark)}, {curve.measure}",)
    return Row(curve.system, tuple(draw(points.get(x)) for x in xs), small)


# ── provenance ───────────────────────────────────────────────────────────────────────────────────────


def system_table(results: Results) -> Table:
    """Return what every system is made of, a column each; the facts are those that it was written with."""
    named = dict.fromkeys(name for one in results.systems for name in one.facts)
    columns = ("retriever", "corpus", "retrieve_k", "read_k", "ranker", "generator", *named)
    every = [one.name for one in results.benchmarks]
    facts = [
        (*(text or DASH for text in searched(results, one, every)), *_facts(one, list(named)))
        for one in results.systems
    ]
    rows = tuple(Row(name, tuple(Entry(one[n]) for one in facts)) for n, name in enumerate(columns))
    return Table("Systems", "Fact", tuple(Heading(one.name) for one in results.systems), (Group(rows),))


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
    by_name = titles(results)
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
        rows.append(Row(by_name.get(cell.benchmark, cell.benchmark), tuple(Entry(text) for text in texts)))
    columns = ("system", "questions", "of", "without an answer", "SHA-256 of the file", *more)
    headings = tuple(Heading(name) for name in columns)
    return Table("Files and numbers of questions", "Benchmark", headings, (Group(tuple(rows)),), folded=True)
