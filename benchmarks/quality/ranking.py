"""What ranking is worth: four open benchmarks on two corpora, and three collections with judgements.

    python benchmarks/quality/ranking.py --data-root DATA --out OUT [-n 50] [-k 30] [--ranker DIR]

DATA holds `eval/` and `corpus/` as `rankrag eval list` names them. NQ, TriviaQA, PopQA and HotpotQA are
searched in Wikipedia 2015 (`wiki`) and in the same with every known gold passage (`gold`), NFCorpus in its
own documents; TREC's deep learning tracks of 2019 and 2020 have Anserini's BM25 run over MS MARCO. Nobody
answers; every system orders the same `-k` passages of the same questions:

    bm25            as found
    ranked          BM25's passages, ranked by the checkpoint
    untuned         ... by its base
    cross-encoder   ... by what `cross_encoder.py` made (with --ranker)
    hybrid          as found by BM25 fused with minilm-l6 (which orders BM25's first 100)
    hybrid-ranked   the hybrid's passages, ranked by the checkpoint

Then scores, compares and writes OUT/report/NAME, where systems on Wikipedia alone are called `wiki-...`. May
be interrupted: the same command goes on, and a larger -n asks only what is missing. Several processes can
share the work (`--only`, `--no-report`), a core each (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import lzma
from collections.abc import Iterator
from pathlib import Path

from asking import OPEN, parsed, rankrag, report
from corpora import GOLD, WIKI, by_vectors, indexed, place, searched

COLLECTIONS = {
    "nfcorpus": "NFCorpus",
    "trec_dl19": "MS MARCO, candidates of DL 2019",
    "trec_dl20": "MS MARCO, candidates of DL 2020",
}
SYSTEMS = ("bm25", "hybrid", "ranked", "hybrid-ranked", "untuned", "cross-encoder")
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
    "DPR's Wikipedia of 21 million passages: the corpora here are 30,729 articles of a 2015 dump (658,659 "
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
    mine += ["--query-likelihood", chosen.query_likelihood]
    wanted: dict[str, list[object]] = {
        "bm25": ["--no-rank"],
        "hybrid": ["--no-rank"],
        "ranked": [*mine, *precision],
        "hybrid-ranked": [*mine, *precision],
        "untuned": [*base, *precision],
        "cross-encoder": ["--ranker", chosen.ranker],
    }
    return {name: wanted[name] for name in chosen.systems}


def tasks(chosen: argparse.Namespace) -> Iterator[tuple[str, object, Path, list[object]]]:
    """Yield a prefix of systems' names, the benchmark they are asked, its folder in OUT, and options."""
    out, data = chosen.out, chosen.data_root
    for corpus in (GOLD, WIKI):
        if corpus.name in chosen.only:
            for name in OPEN:
                prefix = "wiki-" if corpus is WIKI else ""
                yield prefix, name, out / corpus.name, place(out, data, corpus, name)
    for name in COLLECTIONS:
        if name in chosen.only:
            folder = data / "eval" / name
            yield "", folder, out / name, collection(out, folder)


def main() -> None:
    """Run what the command line asks for."""
    only = ("gold", "wiki", *COLLECTIONS)
    chosen = parsed(__doc__, name="ranking", k=30, only=only, systems=SYSTEMS)
    same = ["--no-generate", "--retrieve-k", chosen.k, "-n", chosen.n, "--data-root", chosen.data_root]
    for prefix, benchmark, folder, where in tasks(chosen):
        for name, own in systems(chosen).items():
            vectors = by_vectors(folder, chosen.data_root, benchmark, chosen.n) if "hybrid" in name else []
            to = ["--name", f"{prefix}{name}", "--out", chosen.out / chosen.name]
            rankrag("eval", "predict", benchmark, *own, *where, *vectors, *same, *to)
    if not chosen.no_report:
        report(chosen, f"{chosen.model} as a ranker", PAIRS, MISSING, prefixes=("", "wiki-"))


if __name__ == "__main__":
    main()
