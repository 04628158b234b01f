"""Damaged and ill-meant documents through every parser: read, or refused in one line, in bounded time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_documents import damaged, sound
from scale import times

from rankrag.errors import RankRAGError
from rankrag.index.reading import Apart, File, ReadSettings, parser_process
from rankrag.index.reading.parser_process import ParserLimits
from rankrag.index.reading.walk import find_kind

pytestmark = pytest.mark.slow

MOST_S = 5
"""Seconds of a processor that one of these small documents may take, where it is read apart and where not."""


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    limits = ParserLimits(time_s=MOST_S, time_per_mb_s=0)
    with pytest.MonkeyPatch.context() as patch, Apart(limits) as process:
        patch.setattr(
            parser_process, "PATIENCE", 60
        )  # the machine may be busy: only the processor counts here
        yield process


def outcome(apart: Apart, path: Path) -> str:
    """Say what came of reading a document; anything but an error of ours goes on."""
    started = time.process_time()
    file = File(path, path.name, find_kind(path) or "")
    try:
        n_passages = sum(len(portion.rows) for portion in apart.portions(file, ReadSettings()))
        said = "read" if n_passages else "nothing in it"
    except RankRAGError as error:
        said = str(error)
        assert "\n" not in said
        reasons = (
            "was given up",
            "of memory",
            "ended its parser",
            "passages have more than",
            "cannot be read (",
        )
        said = next((reason for reason in reasons if reason in said), "refused")
    assert time.process_time() - started < MOST_S, path
    return said


@pytest.mark.parametrize("ending", sound())
def test_a_sound_document_is_read(apart: Apart, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(sound()[ending])
    assert outcome(apart, path) == "read"


def test_damaged_documents_cost_nothing_but_themselves(apart: Apart, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for number, (ending, data) in enumerate(damaged(times(400), seed=5)):
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(data)
        said = outcome(apart, path)
        counts[said] += 1
        if said in ("was given up", "of memory", "ended its parser"):
            print(f"{path}: {said}")
        else:
            path.unlink()
    print(dict(counts))
    assert counts["was given up"] == 0
    assert counts["read"] > 50
    assert counts["refused"] > 50
