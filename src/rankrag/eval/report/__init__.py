"""The report of an evaluation: Markdown, plots, and one page with everything in it."""

from .write import write_report

__all__ = ["write_report"]
