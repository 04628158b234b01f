"""A part of a built blend: without some tasks, or with fewer rankings. For ablations."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import InvalidInputError, NotFoundError
from ..files import read_records, write_records
from ..types import Task

EXAMPLES = "examples.jsonl"


def subset(
    blend: Path, out: Path, without: Collection[Task] = (), ranking_pairs: int | None = None
) -> dict[str, int]:
    """Write the examples of stage two that are left, in their order; return how many there are of each task.

    `ranking_pairs` keeps the first so many examples of the task `rank`, which a blend has shuffled.
    Held-out examples, manifest and stage one are copied, so that all parts of one blend are measured alike.
    """
    if not (blend / EXAMPLES).is_file():
        raise NotFoundError(f"found no {EXAMPLES} in {blend}: make it with `rankrag data build`")
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()

    def kept() -> Iterator[dict[str, object]]:
        for _, record in read_records(str(blend / EXAMPLES)):
            task = str(record["task"])
            if task in without or (
                task == "rank" and ranking_pairs is not None and counts["rank"] >= ranking_pairs
            ):
                continue
            counts[task] += 1
            yield record

    write_records(str(out / EXAMPLES), kept())
    if ranking_pairs is not None and counts["rank"] < ranking_pairs:
        raise InvalidInputError(
            f"{blend}: found {counts['rank']:,} examples of the task rank, wanted {ranking_pairs:,}: "
            "draw more, or ask for fewer"
        )
    for name in ("heldout.jsonl", "manifest.json"):
        if (blend / name).is_file():
            shutil.copyfile(blend / name, out / name)
    if (blend / "stage1").is_dir():
        shutil.copytree(blend / "stage1", out / "stage1", dirs_exist_ok=True)
    (out / "subset.json").write_text(json.dumps({"of": str(blend), "examples": counts}) + "\n")
    return dict(counts)
