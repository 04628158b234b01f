"""What a checkpoint is worth: ranking and answers on four open benchmarks, beside what it has to beat.

    python benchmarks/checkpoint.py --data-root DATA --out OUT [-n 20] [--corpus gold|wiki] [--ranker DIR]

DATA holds `eval/` and `corpus/` as `rankrag eval list` names them. Indexes the corpus once, searches it by
BM25, and has every system answer the same questions from the same 20 passages, five of them read:

    unranked        the checkpoint answers, from the first five of BM25
    ranked          the checkpoint ranks and answers
    untuned         its base ranks and answers
    cross-encoder   what `benchmarks/cross_encoder.py` made ranks, the checkpoint answers (with --ranker)

Then scores, compares with `ranked` and writes OUT/report. May be interrupted: the same command goes on, and a
larger -n asks only what is missing. `--no-generate` measures ranking alone, at half the time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

BENCHMARKS = ("nq", "triviaqa", "popqa", "hotpotqa")
CORPORA = {"wiki": ("wiki2015",), "gold": ("wiki2015", "gold")}
NAMES = {"wiki": "Wikipedia 2015", "gold": "Wikipedia 2015 + gold"}


def rankrag(*arguments: object) -> None:
    """Run the command line; leave with its exit code if it fails."""
    command = [sys.executable, "-m", "rankrag", *map(str, arguments)]
    if code := subprocess.run(command, check=False).returncode:
        raise SystemExit(code)


def search(out: Path, data: Path, corpus: str) -> tuple[Path, Path]:
    """Return the index and the folder of runs of a corpus, made where they are missing."""
    index, runs, done = out / f"{corpus}.index", out / f"{corpus}.runs", out / f"{corpus}.done"
    if not done.exists():
        files = [data / "corpus" / f"{name}.jsonl.xz" for name in CORPORA[corpus]]
        rankrag("index", *files, "--index", index, "--encoder", "none", "--passage-words", 0, "--yes")
        done.touch()
    runs.mkdir(exist_ok=True)
    for name in BENCHMARKS:
        if not (run := runs / f"{name}.run").exists():
            questions = data / "eval" / f"{name}.jsonl.xz"
            rankrag(
                "search",
                "--questions",
                questions,
                "--index",
                index,
                "--retriever",
                "bm25",
                "-k",
                100,
                "--run",
                run,
            )
    return index, runs


def systems(model: str, base: str, ranker: Path | None) -> Iterator[tuple[str, list[object]]]:
    """Yield each system's name and the options that make it."""
    yield "unranked", ["--model", model, "--no-rank", "--no-cite"]
    yield "ranked", ["--model", model]
    yield "untuned", ["--model", base, "--no-cite"]
    if ranker:
        yield "cross-encoder", ["--model", model, "--ranker", ranker, "--no-cite"]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-n", type=int, default=20, help="questions a benchmark")
    parser.add_argument("--corpus", choices=tuple(CORPORA), default="gold")
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--ranker", type=Path, help="a cross-encoder")
    parser.add_argument("--no-generate", action="store_true", help="ranking alone")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    index, runs = search(chosen.out, chosen.data_root, chosen.corpus)
    measured = chosen.out / f"{chosen.corpus}{'-ranking' if chosen.no_generate else ''}"
    same = ["--run", runs, "--index", index, "--corpus-name", NAMES[chosen.corpus], "--retrieve-k", 20]
    same += ["-n", chosen.n, "--data-root", chosen.data_root, "--out", measured]
    same += ["--no-generate"] if chosen.no_generate else []
    compare: list[object] = []
    for name, options in systems(chosen.model, chosen.base, chosen.ranker):
        rankrag("eval", "predict", *BENCHMARKS, "--name", name, *options, *same)
        compare += ["--compare", f"{name}:ranked"] if name != "ranked" else []
    rankrag("eval", "score", measured, "--data-root", chosen.data_root)
    rankrag("eval", "report", measured, *compare, "--to", chosen.out / "report")


if __name__ == "__main__":
    main()
