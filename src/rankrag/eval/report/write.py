"""The files of a report."""

from __future__ import annotations

from pathlib import Path

from ...formats import writing
from ..results import Results, write_results
from .html import html
from .markdown import markdown
from .plots import plots
from .sections import sections


def write_report(folder: Path, results: Results) -> list[Path]:
    """Write results.json, report.md, report.html and plots/*.svg; return their paths.

    The folder is made where it is not there, and plots of an earlier report in it are removed. The same
    results give the same bytes. Raises MissingExtraError without matplotlib.
    """
    drawn, parts = plots(results), sections(results)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for stale in sorted((folder / "plots").glob("*.svg")):
        stale.unlink()
    texts = {
        folder / "report.md": markdown(results, parts, drawn),
        folder / "report.html": html(results, parts, drawn),
        **{folder / "plots" / f"{plot.name}.svg": plot.svg for plot in drawn},
    }
    write_results(folder / "results.json", results)
    for path, text in texts.items():
        with writing(str(path)) as stream:
            stream.write(text)
    return [folder / "results.json", *texts]
