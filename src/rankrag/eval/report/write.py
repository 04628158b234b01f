"""The files of a report."""

from __future__ import annotations

from pathlib import Path

from ...files import writing
from ..results import Results, write_results
from .html import html
from .markdown import markdown
from .plots import plots
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
