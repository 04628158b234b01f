"""What ranking is worth: four open benchmarks on two corpora, and three collections with judgements.

    python benchmarks/ranking.py --data-root DATA --out OUT [-n 50] [-k 30] [--ranker DIR] [--only wiki ...]

DATA holds `eval/` and `corpus/` as `rankrag eval list` names them. NQ, TriviaQA, PopQA and HotpotQA are
searched in Wikipedia 2015 (`wiki`) and in the same with every known gold passage (`gold`), NFCorpus in its
own documents; TREC's deep learning tracks of 2019 and 2020 have Anserini's BM25 run over MS MARCO. Nobody
answers; every system orders the same `-k` passages of the same questions:

    bm25            as found
    ranked          BM25's passages, ranked by the checkpoint
    untuned         ... by its base
    cross-encoder   ... by what `benchmarks/cross_encoder.py` made (with --ranker)
    hybrid          as found by BM25 fused with minilm-l6 (which orders BM25's first 100)
    hybrid-ranked   the hybrid's passages, ranked by the checkpoint

Then scores, compares and writes OUT/report, where systems on Wikipedia alone are called `wiki-...`. May be
interrupted: the same command goes on, and a larger -n asks only what is missing. `--only` leaves the report
out, so that several processes can share the work, a core each (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import lzma
from collections.abc import Iterator, Mapping
from pathlib import Path

from corpora import GOLD, WIKI, by_vectors, indexed, place, rankrag, searched

OPEN = ("nq", "triviaqa", "popqa", "hotpotqa")
COLLECTIONS = {
    "nfcorpus": "NFCorpus",
    "trec_dl19": "MS MARCO, candidates of DL 2019",
    "trec_dl20": "MS MARCO, candidates of DL 2020",
}
PAIRS = (
    ("bm25", "ranked"),
    ("untuned", "ranked"),
    ("cross-encoder", "ranked"),
    ("bm25", "hybrid"),
    ("hybrid", "hybrid-ranked"),
    ("ranked", "hybrid-ranked"),
)
"""What is compared: the second of a pair against the first."""

MISSING = (
    "KILT's Wikipedia of 21 million passages: the corpora here are 30,729 articles of a 2015 dump (658,659 "
    "passages), and the same with every known gold and distractor passage (62,057), which makes recall "
    "flattering.",
    "MS MARCO's 8.8 million passages: of 9,260 judged pairs of DL 2019 4,337 have their text here, of 11,386 "
    "of 2020 5,141; BM25's first 100 are all there.",
)


def collection(out: Path, folder: Path) -> list[object]:
    """Return the options for a collection, whose index and BM25 run are made where they are missing."""
    made = out / folder.name
    index = indexed(made, folder / "corpus.jsonl.xz")
    published, run = folder / "runs" / "bm25.txt.xz", made / "bm25" / f"{folder.name}.run"
    if published.exists() and not run.exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        run.write_bytes(lzma.decompress(published.read_bytes()))
    run = searched(made, index, folder.name, folder / "queries.jsonl.xz")
    return ["--run", run.parent, "--index", index, "--corpus-name", COLLECTIONS[folder.name]]


def systems(chosen: argparse.Namespace) -> dict[str, list[object]]:
    """Return the options of each system, by its name in the report."""
    mine, base = ["--model", chosen.model], ["--model", chosen.base]
    precision = ["--precision", chosen.precision]
    wanted: dict[str, list[object]] = {
        "bm25": ["--no-rank"],
        "hybrid": ["--no-rank"],
        "ranked": [*mine, *precision],
        "hybrid-ranked": [*mine, *precision],
        "untuned": [*base, *precision],
    }
    if chosen.ranker:
        wanted["cross-encoder"] = ["--ranker", chosen.ranker]
    return {name: wanted[name] for name in chosen.systems or wanted}


def tasks(chosen: argparse.Namespace) -> Iterator[tuple[str, object, Path, list[object]]]:
    """Yield a prefix of systems' names, the benchmark they are asked, its folder in OUT, and options."""
    out, data = chosen.out, chosen.data_root
    for corpus in (GOLD, WIKI):
        if not chosen.only or corpus.name in chosen.only:
            for name in OPEN:
                prefix = "wiki-" if corpus is WIKI else ""
                yield prefix, name, out / corpus.name, place(out, data, corpus, name)
    for name in COLLECTIONS:
        if not chosen.only or name in chosen.only:
            folder = data / "eval" / name
            yield "", folder, out / name, collection(out, folder)


def report(chosen: argparse.Namespace, answers: Path, wanted: Mapping[str, object]) -> None:
    """Score all answers and write the report."""
    rankrag("eval", "score", answers, "--data-root", chosen.data_root)
    pairs = [pair for pair in PAIRS if {*pair} <= wanted.keys()]
    compare = [f"--compare={prefix}{a}:{prefix}{b}" for prefix in ("", "wiki-") for a, b in pairs]
    missing = [f"--missing={one}" for one in MISSING]
    title = ["--title", f"{chosen.model} as a ranker", "--no-browse"]
    rankrag("eval", "report", answers, *compare, *missing, *title, "--to", chosen.out / "report")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-n", type=int, default=50, help="questions a benchmark")
    parser.add_argument("-k", type=int, default=30, help="passages a question")
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--ranker", type=Path, help="a cross-encoder")
    parser.add_argument(
        "--only", nargs="+", choices=("gold", "wiki", *COLLECTIONS), default=[], help="no report"
    )
    parser.add_argument("--systems", nargs="+", default=[], help="all, unless some are named")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    answers, wanted = chosen.out / "ranking", systems(chosen)
    same = ["--no-generate", "--retrieve-k", chosen.k, "-n", chosen.n, "--data-root", chosen.data_root]
    for prefix, benchmark, folder, where in tasks(chosen):
        for name, options in wanted.items():
            vectors = by_vectors(folder, chosen.data_root, benchmark, chosen.n) if "hybrid" in name else []
            run = ["--name", f"{prefix}{name}", *options, *where, *vectors, *same, "--out", answers]
            rankrag("eval", "predict", benchmark, *run)
    if not chosen.only:
        report(chosen, answers, wanted)


if __name__ == "__main__":
    main()
