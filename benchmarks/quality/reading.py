"""Why ranking adds as many exact answers as it does, from a folder of scored answers.

    python benchmarks/quality/reading.py OUT/answers

Two tables over all benchmarks there: EM of `unranked` and `ranked` by whether an answer stands among the five
passages that each read, and EM and answer-R@5 of `ranked` by fifths of its best passage's relevance. OUT is
what `fourteen.py` filled and `rankrag eval score` scored; nothing is computed by a model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rankrag.files import read_lines

Values = dict[str, float]


def scored(answers: Path, system: str) -> dict[tuple[str, str], Values]:
    """Return the values of a system's answers, by benchmark and question."""
    found = {}
    for path in sorted((answers / system).glob("*/scores.json")):
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            found[path.parent.name, row["id"]] = row["values"]
    return found


def surest(answers: Path, system: str) -> dict[tuple[str, str], float]:
    """Return the relevance of each question's best passage, by benchmark and question."""
    found = {}
    for path in sorted((answers / system).glob("*/answers.jsonl")):
        for _, line in read_lines(str(path)):
            one = json.loads(line)
            found[path.parent.name, one["id"]] = max(hit["score"] for hit in one["ranked"])
    return found


def mean(values: Sequence[Values], measure: str) -> str:
    """Return a mean in hundredths, one decimal."""
    return f"{100 * sum(one[measure] for one in values) / len(values):.1f}"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("answers", type=Path)
    answers: Path = parser.parse_args().answers
    before, after, relevance = (
        scored(answers, "unranked"),
        scored(answers, "ranked"),
        surest(answers, "ranked"),
    )
    print("answer in five unranked, ranked | questions | EM unranked | EM ranked")
    for held in ((1, 1), (0, 1), (1, 0), (0, 0)):
        same = [one for one in after if (before[one]["answer-R@5"], after[one]["answer-R@5"]) == held]
        if same:
            pair = (mean([values[one] for one in same], "EM") for values in (before, after))
            print(*held, len(same), *pair, sep=" | ")
    print("relevance of the best passage | EM | answer-R@5")
    order = sorted(after, key=lambda one: -relevance[one])
    for fifth in range(5):
        part = order[len(order) * fifth // 5 : len(order) * (fifth + 1) // 5]
        values = [after[one] for one in part]
        bounds = f"{relevance[part[-1]]:.3f} to {relevance[part[0]]:.3f}"
        print(bounds, mean(values, "EM"), mean(values, "answer-R@5"), sep=" | ")


if __name__ == "__main__":
    main()
