"""Every test that docs/promises.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PROMISES = (TESTS.parent / "docs" / "promises.md").read_text(encoding="utf-8")


def test_every_promise_names_its_tests() -> None:
    rows = [
        line for line in PROMISES.splitlines() if line.startswith("| ") and not line.startswith("| promise")
    ]
    assert len(rows) > 25
    for row in rows:
        names = re.findall(r"`((?:[\w/]+\.py)?)::(\w+)`", row.rsplit("|", 2)[1])
        assert names, row
        file = ""
        for given, test in names:
            file = given or file
            assert re.search(rf"^def {test}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), row
