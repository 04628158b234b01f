from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from letters import LetterEncoder
from rankrag.errors import NotFoundError
from rankrag.index import Settings, build, estimate


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_sampled_collection_is_judged_within_a_fifth() -> None:
    lines = (
        json.dumps({"_id": str(n), "text": f"Record {n * n} says {hex(n**5)}. " * (n % 50 + 1)})
        for n in range(1500)
    )
    Path("c.jsonl.xz").write_bytes(lzma.compress("\n".join(lines).encode()))
    guess = estimate(["c.jsonl.xz"], Path("idx"))
    assert not Path("idx").exists()
    built = build(["c.jsonl.xz"], Path("idx"))
    assert guess.n_passages == pytest.approx(built.n_passages, rel=0.2)
    assert guess.n_files == 1


def test_a_small_collection_is_counted() -> None:
    Path("c.jsonl").write_text('{"id": "a", "text": "x"}\n{"id": "b", "text": "y"}\n')
    assert estimate(["c.jsonl"], Path("idx")).n_passages == 2


def test_vectors_cost_time_and_disk() -> None:
    Path("a.txt").write_text("Some words. " * 5000)
    without = estimate(["a.txt"], Path("idx"))
    with_vectors = estimate(["a.txt"], Path("idx"), Settings(encoder=LetterEncoder()))
    assert with_vectors.n_passages == without.n_passages == pytest.approx(100, rel=0.25)
    assert with_vectors.seconds > without.seconds
    assert with_vectors.disk_bytes - without.disk_bytes == pytest.approx(
        without.n_passages * 26 * 4 * 1.3, rel=0.02
    )


def test_a_broken_collection_is_left_to_the_build_and_a_missing_path_is_not() -> None:
    Path("bad.jsonl").write_text('{"id": "a", "text": "x"}\n{broken')
    assert estimate(["bad.jsonl"], Path("idx")).n_passages == 1
    with pytest.raises(NotFoundError):
        estimate(["gone.jsonl"], Path("idx"))
