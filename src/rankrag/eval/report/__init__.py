"""The report of an evaluation: one file of results, Markdown, and one page with everything in it."""

from .record import read_results, write_results
from .write import write_report

__all__ = ["read_results", "write_report", "write_results"]
