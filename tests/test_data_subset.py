from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankrag.data import subset
from rankrag.errors import InvalidInputError, NotFoundError


@pytest.fixture
def blend(tmp_path: Path) -> Path:
    folder = tmp_path / "blend"
    (folder / "stage1").mkdir(parents=True)
    tasks = ["rank", "retrieval_qa", "rank", "retrieval_rank", "rank", "context_qa"]
    lines = [json.dumps({"id": str(n), "task": task}) + "\n" for n, task in enumerate(tasks)]
    (folder / "examples.jsonl").write_text("".join(lines))
    (folder / "heldout.jsonl").write_text("held\n")
    (folder / "stage1" / "examples.jsonl").write_text("one\n")
    return folder


def left(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (folder / "examples.jsonl").read_text().splitlines()]


def test_tasks_are_left_out_and_the_order_stays(blend: Path, tmp_path: Path) -> None:
    counts = subset(blend, tmp_path / "out", without=("retrieval_qa", "retrieval_rank"))
    assert left(tmp_path / "out") == ["0", "2", "4", "5"]
    assert counts == {"rank": 3, "context_qa": 1}
    assert (tmp_path / "out" / "heldout.jsonl").read_text() == "held\n"
    assert (tmp_path / "out" / "stage1" / "examples.jsonl").read_text() == "one\n"


def test_the_first_rankings_are_kept(blend: Path, tmp_path: Path) -> None:
    subset(blend, tmp_path / "two", ranking_pairs=2)
    assert left(tmp_path / "two") == ["0", "1", "2", "3", "5"]
    subset(blend, tmp_path / "none", ranking_pairs=0)
    assert left(tmp_path / "none") == ["1", "3", "5"]


def test_too_few_rankings_and_no_blend_are_said(blend: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="found 3 examples of the task rank, wanted 9"):
        subset(blend, tmp_path / "out", ranking_pairs=9)
    assert not (tmp_path / "out" / "subset.json").exists()
    with pytest.raises(NotFoundError, match=r"no examples\.jsonl"):
        subset(tmp_path, tmp_path / "out")
