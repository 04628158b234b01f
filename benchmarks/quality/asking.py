"""What the benchmarks' scripts share: their options, the command line that they call, and their report.

The answers are in OUT/NAME and the report in OUT/report/NAME, so that one OUT holds several sets of answers
beside the corpora, which are indexed once for all of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

OPEN = ("nq", "triviaqa", "popqa", "hotpotqa")
"""The benchmarks over Wikipedia that are answered in a few words, without the 101 questions of 2Wiki."""


def rankrag(*arguments: object) -> None:
    """Run the command line; leave with its exit code if it fails."""
    command = [sys.executable, "-m", "rankrag", *map(str, arguments)]
    if code := subprocess.run(command, check=False).returncode:
        raise SystemExit(code)


def parsed(
    description: str | None, *, name: str, k: int, only: Sequence[str], systems: Sequence[str]
) -> argparse.Namespace:
    """Return what a script is asked for; `only` and `systems` are what can be chosen from."""
    parser = _parser(description, name, k, only, systems)
    chosen = parser.parse_args()
    if "cross-encoder" in chosen.systems and not chosen.ranker:
        parser.error("found the system cross-encoder without a ranker, wanted --ranker DIR")
    chosen.only = chosen.only or only
    chosen.systems = chosen.systems or [one for one in systems if chosen.ranker or one != "cross-encoder"]
    chosen.out.mkdir(parents=True, exist_ok=True)
    return chosen


def _parser(
    description: str | None, name: str, k: int, only: Sequence[str], systems: Sequence[str]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default=name, help="of the answers in OUT, and of their report")
    parser.add_argument("-n", type=int, default=50, help="questions a benchmark")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first so many, looked at before")
    parser.add_argument("-k", type=int, default=k, help="passages a question")
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--prefix", default="", help="of the systems' names, where a second model is asked")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--precision", default="int8")
    parser.add_argument(
        "--query-likelihood",
        type=float,
        default=0.0,
        help="its share in a ranking: 0, the paper's, in every report that is kept but two",
    )
    parser.add_argument("--ranker", type=Path, help="a cross-encoder")
    parser.add_argument("--only", nargs="+", choices=only, default=[], help="all, unless some are named")
    parser.add_argument(
        "--systems", nargs="+", choices=systems, default=[], help="all, unless some are named"
    )
    parser.add_argument("--no-cite", action="store_true", help="answers alone, in less time")
    parser.add_argument("--no-report", action="store_true", help="ask, and leave the report to a later call")
    parser.add_argument("--no-browse", action="store_true", help="no question of the data in the report")
    return parser


def report(
    chosen: argparse.Namespace,
    title: str,
    pairs: Iterable[tuple[str, str]],
    missing: Iterable[str],
    prefixes: Sequence[str] = ("",),
) -> None:
    """Score the answers that are there; compare the systems of each pair that are, under each prefix."""
    answers = chosen.out / chosen.name
    held = {folder.name for folder in answers.iterdir() if folder.is_dir()}
    named = [(f"{prefix}{a}", f"{prefix}{b}") for prefix in prefixes for a, b in pairs]
    compare = [f"--compare={a}:{b}" for a, b in named if {a, b} <= held]
    notes = [f"--missing={sentence}" for sentence in missing]
    browse = ["--no-browse"] if chosen.no_browse else []
    rankrag("eval", "score", answers, "--data-root", chosen.data_root)
    to = chosen.out / "report" / chosen.name
    rankrag("eval", "report", answers, *compare, *notes, "--title", title, *browse, "--to", to)
