"""The files of a report: Markdown, and beside it the page and plots, with the same sections and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import amount
from ...files import writing
from ..results import Results, write_results
from .layout import ReportSection, RowGroup, Table, TableCell, TableRow
from .page_html import html
from .plots import Plot, plots
from .sections import sections


def write_report(folder: Path, results: Results, page: bool = True) -> list[Path]:
    """Write results.json and report.md, and as `page` report.html and plots/*.svg; return their paths.

    The folder is made where it is not there; page and plots of an earlier report in it are removed. The same
    results give the same bytes. Raises MissingExtraError without matplotlib, which only the plots need.
    """
    drawn, parts = plots(results) if page else (), sections(results)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (*sorted((folder / "plots").glob("*.svg")), folder / "report.html"):
        stale.unlink(missing_ok=True)
    texts = {folder / "report.md": markdown(results, parts, drawn, page)}
    if page:
        (folder / "plots").mkdir(exist_ok=True)
        texts[folder / "report.html"] = html(results, parts, drawn)
        texts |= {folder / "plots" / f"{plot.name}.svg": plot.svg for plot in drawn}
    write_results(folder / "results.json", results)
    for path, text in texts.items():
        with writing(str(path)) as stream:
            stream.write(text)
    return [folder / "results.json", *texts]


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────


def markdown(
    results: Results, parts: Sequence[ReportSection], drawn: Sequence[Plot], page: bool = True
) -> str:
    """Return the report as Markdown; plots are named by their place, `plots/NAME.svg`.

    Without a `page` beside it nothing is said of one.
    """
    lines = [f"# {escaped(results.title)}", ""]
    for section in parts:
        lines += [f"## {escaped(section.title)}", ""]
        lines += [line for text in section.text if text for line in (escaped(text), "")]
        lines += [*(f"    {line}" for line in section.command.splitlines()), ""] if section.command else []
        lines += [line for table in section.tables for line in (*_table(table), "")]
        for plot in drawn:
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
    titles = (f"{heading.group} {heading.title}".strip() for heading in table.headings)
    yield _line([escaped(table.corner), *map(escaped, titles)])
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


def _head(row: TableRow, group: RowGroup) -> str:
    small = f" ({'; '.join(row.small)})" if row.small else ""
    text = escaped(row.head + small)
    return f"*{text}* (quoted)" if group.kind == "quoted" else text


def _entry(entry: TableCell) -> str:
    text = f"**{escaped(entry.text)}**" if entry.bold else escaped(entry.text)
    small = f" ({escaped('; '.join(entry.small))})" if entry.small else ""
    return text + entry.mark + small
