"""The report as Markdown: the same sections and tables as the page, plots as files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...errors import amount
from ..results import Results
from .layout import ReportHeading, ReportSection, RowGroup, Table, TableCell, TableRow
from .plots import Plot


def markdown(
    results: Results, sections: Sequence[ReportSection], plots: Sequence[Plot], page: bool = True
) -> str:
    """Return the report as Markdown; plots are named by their place, `plots/NAME.svg`.

    Without a `page` beside it nothing is said of one.
    """
    lines = [f"# {escaped(results.title)}", ""]
    for section in sections:
        lines += [f"## {escaped(section.title)}", ""]
        lines += [line for text in section.text if text for line in (escaped(text), "")]
        lines += [*(f"    {line}" for line in section.command.splitlines()), ""] if section.command else []
        lines += [line for table in section.tables for line in (*_table(table), "")]
        for plot in plots:
            if plot.section == section.name:
                lines += [f"![{escaped(plot.words)}](plots/{plot.name}.svg)", ""]
        lines += [f"- {escaped(point)}" for point in section.points]
        lines += [""] if section.points else []
    if results.questions and page:
        lines += [
            "## Questions",
            "",
            "The page report.html shows what each system answered to "
            f"{amount(len(results.questions), 'question')}.",
        ]
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    r"""Return a text that Markdown shows as it is, on one line: no markup, no HTML, no end of a cell."""
    flat = " ".join(text.split())
    safe = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", safe)


def _table(table: Table) -> Iterator[str]:
    """Yield the lines of a table; Markdown has one row of headings, so groups stand in the titles."""
    yield f"### {escaped(table.title)}"
    yield ""
    yield _line([escaped(table.corner), *(_heading(heading) for heading in table.headings)])
    yield _line(["---", *("---:" for _ in table.headings)])
    for group in table.groups:
        if group.title:
            yield _line([f"*{escaped(group.title)}*", *("" for _ in table.headings)])
        yield from (
            _line([_head(row, group), *(_entry(entry) for entry in row.entries)]) for row in group.rows
        )
    yield ""
    yield from (f"- {escaped(note)}" for note in table.notes)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _heading(heading: ReportHeading) -> str:
    return escaped(f"{heading.group} {heading.title}".strip())


def _head(row: TableRow, group: RowGroup) -> str:
    small = f" ({'; '.join(row.small)})" if row.small else ""
    text = escaped(row.head + small)
    return f"*{text}* (quoted)" if group.kind == "quoted" else text


def _entry(entry: TableCell) -> str:
    text = f"**{escaped(entry.text)}**" if entry.bold else escaped(entry.text)
    small = f" ({escaped('; '.join(entry.small))})" if entry.small else ""
    return text + entry.mark + small
