"""Whether the model card's numbers come out within the intervals that were published.

    python benchmarks/quality/card.py --data-root DATA --out OUT --ranker DIR [--only ranking ...]

Calls `ranking.py` and `fourteen.py` as the card's numbers were made, and holds every number of their reports
(OUT/report/NAME) against the one in docs/results/NAME. Says what is outside of the 95 % interval there, or is
not there, and leaves with 1 if anything is. DIR is what `cross_encoder.py` beside this made. It takes a CPU
most of a day; may be interrupted, and the steps can share its cores (`--only`, OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from asking import OPEN

HERE = Path(__file__).parent
PUBLISHED = HERE.parents[1] / "docs" / "results"
STEPS: Mapping[str, Sequence[object]] = {
    "ranking": (
        *("ranking.py", "-n", 50, "-k", 30),
        *("--systems", "bm25", "hybrid", "ranked", "hybrid-ranked", "cross-encoder"),
    ),
    "answers": (
        *("fourteen.py", "-n", 150, "--only", *OPEN),
        *("--systems", "unranked", "ranked", "untuned"),
    ),
    "verdicts": (
        *("fourteen.py", "-n", 50, "--only", "fever", "pubmedqa"),
        *("--systems", "unranked", "ranked", "untuned", "cross-encoder"),
    ),
}
"""The reports that the card quotes, and the commands behind them."""

Numbers = dict[tuple[str, str, str], Mapping[str, float]]
"""A value with its interval (`value`, `low`, `high`), by system, benchmark and measure."""


def numbers(report: Path) -> Numbers:
    """Return the measured values of a report."""
    found = json.loads((report / "results.json").read_text(encoding="utf-8"))
    return {
        (cell["system"], cell["benchmark"], measure): value
        for cell in found["cells"]
        for measure, value in cell["measures"].items()
    }


def differences(published: Numbers, measured: Numbers) -> Iterator[str]:
    """Yield a line for every published number that was not measured or lies outside of its interval."""
    for place, was in published.items():
        name = " ".join(place)
        if place not in measured:
            yield f"{name}: {100 * was['value']:.1f} was published, and nothing measured"
        elif not was["low"] <= measured[place]["value"] <= was["high"]:
            interval = f"[{100 * was['low']:.1f}, {100 * was['high']:.1f}]"
            found = 100 * measured[place]["value"]
            yield f"{name}: found {found:.1f}, wanted {100 * was['value']:.1f} {interval}"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ranker", type=Path, required=True, help="a cross-encoder")
    parser.add_argument(
        "--only", nargs="+", choices=STEPS, default=[*STEPS], help="all, unless some are named"
    )
    chosen = parser.parse_args()
    same = ["--data-root", chosen.data_root, "--out", chosen.out, "--ranker", chosen.ranker, "--no-browse"]
    wrong = 0
    for name in chosen.only:
        script, *options = STEPS[name]
        command = [sys.executable, HERE / str(script), *options, "--name", name, *same]
        subprocess.run([*map(str, command)], check=True)
        published = numbers(PUBLISHED / name)
        lines = [*differences(published, numbers(chosen.out / "report" / name))]
        print(
            f"{name}: {len(published) - len(lines)} of {len(published)} numbers as published",
            *lines,
            sep="\n",
        )
        wrong += len(lines)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
