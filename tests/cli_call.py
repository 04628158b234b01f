"""Run a command, or a tool of the repository, in this process: a new one would import everything again."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest

from rankrag.cli.app import run


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """Return what a command wrote to standard output and standard error; it has to end with `code`."""
    capsys.readouterr()
    found = run(arguments)
    out, err = capsys.readouterr()
    assert found == code, err
    return out, err


def run_tool(tool: Path, *arguments: object) -> None:
    """Run a Python file as a program, with its folder on the path; what it raises comes out."""
    with (
        mock.patch.object(sys, "argv", [str(tool), *map(str, arguments)]),
        mock.patch.object(sys, "path", [str(tool.parent), *sys.path]),
    ):
        runpy.run_path(str(tool), run_name="__main__")
