"""Every test that the pages of promises name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("page", ["promises.md", "promises-server.md"])
def test_every_promise_names_its_tests(page: str) -> None:
    promises = (TESTS.parent / "docs" / page).read_text(encoding="utf-8")
    rows = [
        line for line in promises.splitlines() if line.startswith("| ") and not line.startswith("| promise")
    ]
    assert len(rows) > 25
    for row in rows:
        names = re.findall(r"`((?:[\w/]+\.py)?)::(\w+)`", row.rsplit("|", 2)[1])
        assert names, row
        file = ""
        for given, test in names:
            file = given or file
            assert re.search(rf"^def {test}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), row
