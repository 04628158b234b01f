"""`tools/audit.py`: a known flaw fails, a database that is not there does not."""

from __future__ import annotations

import json

import pytest

from audit import verdict

SOUND = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "not found"}
FLAWED = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([SOUND, UNKNOWN], 0, "0 known flaws in 1 of 2 packages"),
        ([SOUND, FLAWED], 1, "c 2: PYSEC-1, mended in 2.1"),
        ([UNKNOWN], 0, "knows none of these packages"),
    ],
)
def test_a_flaw_fails_and_names_the_version_that_mends_it(
    packages: list[object], code: int, said: str
) -> None:
    found, lines = verdict(json.dumps({"dependencies": packages}))
    assert found == code
    assert said in lines[0]


def test_without_its_database_it_says_so_and_holds_nothing_up() -> None:
    code, (line,) = verdict("", "Traceback\nConnectionError: no route")
    assert code == 0
    assert "cannot be reached (ConnectionError: no route): nothing was checked" in line
