"""The report as one page that needs nothing else: no network, no build, opened from the disk."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from itertools import groupby

from ..measures.ranking import is_ranking
from ..results import Results, ShownAnswer
from .layout import ReportHeading, ReportSection, RowGroup, Table, TableCell, TableRow
from .plots import Plot, inline


def html(results: Results, sections: Sequence[ReportSection], plots: Sequence[Plot]) -> str:
    """Return the page. Every text of the results is escaped; the browser's come as JSON and stay text."""
    style, script = _asset("page.css"), _asset("page.js")
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(results.title)}</title>",
        f"<style>\n{style}</style>",
        "</head>",
        "<body>",
        '<a class="skip" href="#content">Skip to the content</a>',
        f"<header><h1>{escape(results.title)}</h1>{_navigation(sections, bool(results.questions))}</header>",
        '<main id="content">',
        *(line for section in sections for line in _section(section, plots)),
        *(_browser(results) if results.questions else ()),
        "</main>",
        *([f"<script>{script}</script>"] if results.questions else ()),
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Return a policy under which only this page's own script runs and nothing is fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _navigation(sections: Sequence[ReportSection], questions: bool) -> str:
    places = [(section.name, section.title) for section in sections] + (
        [("questions", "Questions")] if questions else []
    )
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title in places)
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


# ── sections ─────────────────────────────────────────────────────────────────────────────────────────


def _section(section: ReportSection, plots: Sequence[Plot]) -> Iterator[str]:
    yield f'<section id="{section.name}" aria-labelledby="{section.name}-title">'
    yield f'<h2 id="{section.name}-title">{escape(section.title)}</h2>'
    yield from (f"<p>{escape(text)}</p>" for text in section.text if text)
    if section.command:
        yield f'<pre tabindex="0">{escape(section.command)}</pre>'
    mine = [plot for plot in plots if plot.section == section.name]
    for table in section.tables:
        yield from () if table.folded else _table(table)
    if mine:
        yield f'<div class="plots">{"".join(_plot(plot) for plot in mine)}</div>'
    for table in section.tables:
        yield from _folded(table) if table.folded else ()
    if section.points:
        yield f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in section.points)}</ul>"
    yield "</section>"


def _plot(plot: Plot) -> str:
    words = escape(plot.words)
    return f'<figure><div role="img" aria-label="{words}">{inline(plot)}</div></figure>'


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────


def _folded(table: Table) -> Iterator[str]:
    yield f"<details><summary>{escape(table.title)}</summary>"
    yield from _table(table)
    yield "</details>"


def _table(table: Table) -> Iterator[str]:
    """Yield a table in a box of its own, which scrolls by touch and by keyboard."""
    title = escape(table.title)
    yield f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">'
    yield f"<table{' class=flat' if table.flat else ''}><caption>{title}</caption>"
    yield f"<thead>{_headings(table)}</thead>"
    yield from (_group(group, len(table.headings)) for group in table.groups if group.rows)
    yield "</table></div>"
    yield from (f'<p class="note">{escape(note)}</p>' for note in table.notes)


def _headings(table: Table) -> str:
    """Return one row of headings, or two where columns stand together."""
    corner = escape(table.corner)
    if not any(heading.group for heading in table.headings):
        titles = "".join(f'<th scope="col">{escape(heading.title)}</th>' for heading in table.headings)
        return f'<tr><th scope="col">{corner}</th>{titles}</tr>'
    groups = "".join(_over(list(ones)) for _, ones in groupby(table.headings, key=lambda head: head.group))
    below = "".join(
        f'<th scope="col">{escape(heading.title)}</th>' for heading in table.headings if heading.group
    )
    return f'<tr><th scope="col" rowspan="2">{corner}</th>{groups}</tr><tr>{below}</tr>'


def _over(headings: Sequence[ReportHeading]) -> str:
    first = headings[0]
    if not first.group:
        return "".join(f'<th scope="col" rowspan="2">{escape(heading.title)}</th>' for heading in headings)
    return f'<th scope="colgroup" colspan="{len(headings)}">{escape(first.group)}</th>'


def _group(group: RowGroup, columns: int) -> str:
    title = (
        f'<tr class="group"><th scope="rowgroup" colspan="{columns + 1}">'
        f"<span>{escape(group.title)}</span></th></tr>"
        if group.title
        else ""
    )
    rows = "".join(_row(row) for row in group.rows)
    return f'<tbody class="{group.kind}">{title}{rows}</tbody>'


def _row(row: TableRow) -> str:
    small = "".join(f"<small>{escape(line)}</small>" for line in row.small)
    entries = "".join(_entry(entry) for entry in row.entries)
    return f'<tr><th scope="row">{escape(row.head)}{small}</th>{entries}</tr>'


def _entry(entry: TableCell) -> str:
    text = escape(entry.text)
    shown = f"<strong>{text}</strong>" if entry.bold else text
    mark = f"<sup>{escape(entry.mark)}</sup>" if entry.mark else ""
    small = "".join(f"<small>{escape(line)}</small>" for line in entry.small)
    tone = f' class="{entry.tone}"' if entry.tone else ""
    return f"<td{tone}>{shown}{mark}{small}</td>"


# ── the browser ──────────────────────────────────────────────────────────────────────────────────────

_CONTROLS = (
    ("benchmark", "Benchmark"),
    ("a", "System A"),
    ("b", "System B"),
    ("measure", "Measure"),
    ("show", "Show"),
)


def _browser(results: Results) -> Iterator[str]:
    """Yield the place of the question browser and its data; the script fills it."""
    yield '<section id="questions" aria-labelledby="questions-title">'
    yield '<h2 id="questions-title">Questions</h2>'
    yield "<noscript><p>The questions are shown by a script; they stand in results.json too.</p></noscript>"
    yield '<form id="controls" autocomplete="off">'
    for name, title in _CONTROLS:
        yield f'<label>{title} <select id="pick-{name}"></select></label>'
    yield '<label>Search <input id="pick-text" type="search" placeholder="words"></label>'
    yield "</form>"
    yield '<p id="count" role="status"></p>'
    yield '<div id="rows"></div>'
    yield '<button id="more" type="button" hidden>Show more</button>'
    yield f'<script type="application/json" id="data">{embedded(browser_data(results))}</script>'
    yield "</section>"


READ, CHARACTERS = 3, 260
"""Passages that are shown of those read, and characters of each."""

Packed = list[object]


def browser_data(results: Results) -> dict[str, object]:
    """Return the data that `page.js` reads.

    Names of systems, measures and benchmarks and the texts of passages stand once; everything else names
    them by their place. A question is [benchmark, id, text, gold, given by system]; what a system gave is
    [text, values by measure, passages], or null.
    """
    systems = [system.name for system in results.systems]
    measures = _measures(results)
    passages: dict[tuple[str, str], int] = {}
    benchmarks = {benchmark.name: n for n, benchmark in enumerate(results.benchmarks)}
    questions = []
    for row in results.questions:
        if row.benchmark in benchmarks:
            given = [_given(row.given.get(name), measures, passages) for name in systems]
            questions.append([benchmarks[row.benchmark], row.id, row.question, list(row.gold), given])
    a, b = _first_pair(results, systems)
    return {
        "systems": systems,
        "measures": measures,
        "benchmarks": [[benchmark.title, list(benchmark.measures)] for benchmark in results.benchmarks],
        "passages": [list(passage) for passage in passages],
        "questions": questions,
        "a": a,
        "b": b,
    }


def embedded(data: object) -> str:
    r"""Return JSON for the inside of a script element: no `<`, `>` or `&`, which only `\u` escapes spell."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _measures(results: Results) -> list[str]:
    """Return the measures of the questions: those of answers first, then those of rankings."""
    headline = dict.fromkeys(name for benchmark in results.benchmarks for name in benchmark.measures)
    named = {name for row in results.questions for given in row.given.values() for name in given.values}
    others = sorted(named - headline.keys(), key=lambda name: (is_ranking(name), name))
    return [*(name for name in headline if name in named), *others]


def _given(
    given: ShownAnswer | None, measures: list[str], passages: dict[tuple[str, str], int]
) -> Packed | None:
    if given is None:
        return None
    read = [passages.setdefault((title, _short(words)), len(passages)) for title, words in given.read[:READ]]
    return [given.text, [_number(given.values.get(name)) for name in measures], read]


def _number(value: float | None) -> float | None:
    """Return a value with as many digits as are shown, None for what is not there or not finite."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else round(value, 4)


def _short(words: str) -> str:
    flat = " ".join(words.split())
    return flat if len(flat) <= CHARACTERS else flat[:CHARACTERS].rsplit(" ", 1)[0] + " …"


def _first_pair(results: Results, systems: list[str]) -> tuple[int, int]:
    """Return the places of the two systems to show first: those of the first comparison."""
    for test in results.comparisons:
        if test.a in systems and test.b in systems:
            return systems.index(test.a), systems.index(test.b)
    return 0, min(1, max(0, len(systems) - 1))
