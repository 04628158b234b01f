"""Run a command in this process, for tests of the command line."""

from __future__ import annotations

import pytest

from rankrag.cli.app import run


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """Return what a command wrote to standard output and standard error; it has to end with `code`."""
    capsys.readouterr()
    found = run(arguments)
    out, err = capsys.readouterr()
    assert found == code, err
    return out, err
