"""All fourteen benchmarks, end to end, for every system at hand, on the same questions and passages.

    python benchmarks/fourteen.py --data-root DATA --out OUT [-n 50] [-k 20] [--ranker DIR] [--only nq ...]

DATA holds `eval/` and `corpus/` as `rankrag eval list` names them. Two corpora: Wikipedia 2015 with every
known gold passage, and for the biomedical five PubMed abstracts beside it. Both are indexed once and searched
by BM25, and systems get the same `-k` passages, of which five are read:

    unranked        the checkpoint answers, from the first five of BM25
    ranked          the checkpoint ranks, answers and cites
    untuned         its base answers, from the first five of BM25
    hybrid          the checkpoint answers, from the first five of BM25 fused with minilm-l6
    hybrid-ranked   the checkpoint ranks the first `-k` of that, answers and cites
    cross-encoder   what `benchmarks/cross_encoder.py` made ranks, the checkpoint answers (with --ranker)

Vectors of the whole corpus would take a CPU hours, so minilm-l6 orders BM25's first 100, of the sampled
questions only (`tools/dense_over_run.py`); a larger -n makes these runs again.

Then scores, compares and writes OUT/report. May be interrupted: the same command goes on, and a
larger -n asks only what is missing. `--only` leaves the report out: once the corpora are indexed, several
processes can share the benchmarks, a core each (OMP_NUM_THREADS=1), which two cores do faster than one
process on both; the last call, without it, reports.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from corpora import GOLD, MEDICAL, by_vectors, place, rankrag

BIOMEDICAL = ("mmlu_med", "pubmedqa", "bioasq", "medqa", "medmcqa")
BENCHMARKS = (
    "nq",
    "triviaqa",
    "popqa",
    "hotpotqa",
    "2wiki",
    "fever",
    "doc2dial",
    "topiocqa",
    "inscit",
    *BIOMEDICAL,
)
PAIRS = (
    ("unranked", "ranked"),
    ("cross-encoder", "ranked"),
    ("untuned", "unranked"),
    ("unranked", "hybrid"),
    ("hybrid", "hybrid-ranked"),
    ("ranked", "hybrid-ranked"),
)
"""What is compared: the second of a pair against the first."""

MISSING = (
    "KILT's Wikipedia of December 2018 (21 million passages): the corpus here is the 30,729 articles of a "
    "2015 dump with page ids 12 to 60633 (658,659 passages) and every known gold and distractor passage of "
    "the data sets (62,057), which makes recall flattering.",
    "MedCorp (54 million snippets): the biomedical five are searched in the same corpus with 10,865 PubMed "
    "abstracts more.",
    "The official splits of NQ, TriviaQA, PopQA, Doc2Dial and INSCIT: those here are random halves of public "
    "sets, and samples of them. Doc2Dial is of the validation set, its passages whole sections of documents.",
    "KILT's HotpotQA (5,600 questions), 2WikiMultihopQA (12,576) and FEVER: HotpotQA is 500 questions of the "
    "development set, 2Wiki 101, FEVER claims are those of the paper's development set.",
    "TopiOCQA's Wikipedia: of its 2,514 turns 683 have the article of their topic in the corpus.",
    "A hybrid over vectors of the whole corpus: 720,716 of them are some three to five hours of two cores. "
    "Here minilm-l6 orders BM25's first 100 passages, which are then fused with BM25's order.",
)


def systems(chosen: argparse.Namespace) -> dict[str, list[object]]:
    """Return the options of each system, by its name in the report."""
    mine = ["--model", chosen.model, "--precision", chosen.precision]
    wanted: dict[str, list[object]] = {
        "ranked": mine,
        "unranked": [*mine, "--no-rank", "--no-cite"],
        "untuned": ["--model", chosen.base, "--precision", chosen.precision, "--no-rank", "--no-cite"],
        "hybrid": [*mine, "--no-rank", "--no-cite"],
        "hybrid-ranked": mine,
    }
    if chosen.ranker:
        wanted["cross-encoder"] = [*mine, "--ranker", chosen.ranker, "--no-cite"]
    return {name: wanted[name] for name in chosen.systems or wanted}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-n", type=int, default=50, help="questions a benchmark")
    parser.add_argument("-k", type=int, default=20, help="passages a question")
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--ranker", type=Path, help="a cross-encoder")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=[], help="no report")
    parser.add_argument("--systems", nargs="+", default=[], help="all, unless some are named")
    parser.add_argument("--no-browse", action="store_true", help="no question of the data in the report")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    answers, wanted = chosen.out / "answers", systems(chosen)
    same = ["--retrieve-k", chosen.k, "-n", chosen.n, "--data-root", chosen.data_root, "--out", answers]
    for benchmark in chosen.only or BENCHMARKS:
        corpus = MEDICAL if benchmark in BIOMEDICAL else GOLD
        where = place(chosen.out, chosen.data_root, corpus, benchmark)
        for name, options in wanted.items():
            folder, n = chosen.out / corpus.name, chosen.n
            runs = by_vectors(folder, chosen.data_root, benchmark, n) if "hybrid" in name else []
            rankrag("eval", "predict", benchmark, "--name", name, *options, *where, *runs, *same)
    if not chosen.only:
        rankrag("eval", "score", answers, "--data-root", chosen.data_root)
        compare = [f"--compare={a}:{b}" for a, b in PAIRS if {a, b} <= wanted.keys()]
        missing = [f"--missing={one}" for one in MISSING]
        title = ["--title", f"{chosen.model} on fourteen benchmarks"]
        browse = ["--no-browse"] if chosen.no_browse else []
        rankrag("eval", "report", answers, *compare, *missing, *title, *browse, "--to", chosen.out / "report")


if __name__ == "__main__":
    main()
