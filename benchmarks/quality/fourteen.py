"""All fourteen benchmarks, end to end, for every system at hand, on the same questions and passages.

    python benchmarks/quality/fourteen.py --data-root DATA --out OUT [-n 50] [-k 20] [--ranker DIR]

DATA holds `eval/` and `corpus/` as `rankrag eval list` names them. Two corpora: Wikipedia 2015 with every
known gold passage, and for the biomedical five PubMed abstracts beside it. Both are indexed once and searched
by BM25, and systems get the same `-k` passages, of which five are read:

    unranked        the checkpoint answers, from the first five of BM25
    ranked          the checkpoint ranks, answers and cites
    …-mixture       the same two, read as a mixture: all five in one prompt and each in its own
    untuned         its base answers, from the first five of BM25
    hybrid          the checkpoint answers, from the first five of BM25 fused with minilm-l6
    hybrid-ranked   the checkpoint ranks the first `-k` of that, answers and cites
    cross-encoder   what `cross_encoder.py` made ranks, the checkpoint answers (with --ranker)

Vectors of the whole corpus would take a CPU hours, so minilm-l6 orders BM25's first 100, of the sampled
questions only (`tools/dense_over_run.py`); a larger -n makes these runs again.

Then scores, compares and writes OUT/report/NAME. May be interrupted: the same command goes on, and a
larger -n asks only what is missing. A smaller model is asked the same by the same call with `--model
rankrag-135m --prefix small-`. Once the corpora are indexed, several processes can share the
benchmarks (`--only`, `--no-report`), a core each (OMP_NUM_THREADS=1), which two cores do faster than one
process on both.
"""

from __future__ import annotations

import argparse

from asking import OPEN, parsed, rankrag, report
from corpora import GOLD, MEDICAL, by_vectors, place

BIOMEDICAL = ("mmlu_med", "pubmedqa", "bioasq", "medqa", "medmcqa")
BENCHMARKS = (*OPEN, "2wiki", "fever", "doc2dial", "topiocqa", "inscit", *BIOMEDICAL)
MIXED = ("unranked-mixture", "ranked-mixture")
SYSTEMS = ("unranked", "ranked", *MIXED, "untuned", "hybrid", "hybrid-ranked", "cross-encoder")
SMALL = "small-"
"""The prefix (`--prefix`) of a smaller model's systems, which the others are compared with."""

PAIRS = (
    ("unranked", "ranked"),
    ("unranked", "unranked-mixture"),
    ("ranked", "ranked-mixture"),
    ("unranked-mixture", "ranked-mixture"),
    ("unranked", "ranked-mixture"),
    ("cross-encoder", "ranked"),
    ("untuned", "unranked"),
    ("unranked", "hybrid"),
    ("hybrid", "hybrid-ranked"),
    ("ranked", "hybrid-ranked"),
    (f"{SMALL}unranked", "unranked"),
    (f"{SMALL}ranked", "ranked"),
    (f"{SMALL}ranked-mixture", "ranked-mixture"),
)
"""What is compared: the second of a pair against the first."""

MISSING = {
    "DPR's Wikipedia of December 2018 (21 million passages): the corpus here is the 30,729 articles of a "
    "2015 dump with page ids 12 to 60633 (658,659 passages) and every known gold and distractor passage of "
    "the data sets (62,057), which makes recall flattering.": BENCHMARKS,
    "MedCorp (54 million snippets): the biomedical five are searched in the same corpus with 10,865 PubMed "
    "abstracts more.": BIOMEDICAL,
    "The official splits of NQ, TriviaQA, PopQA, Doc2Dial and INSCIT: those here are random halves of public "
    "sets, and samples of them.": ("nq", "triviaqa", "popqa", "doc2dial", "inscit"),
    "Doc2Dial's test set: it is of the validation set, its passages whole sections of documents.": (
        "doc2dial",
    ),
    "KILT's HotpotQA (5,600 questions), 2WikiMultihopQA (12,576) and FEVER: HotpotQA is 500 questions of the "
    "development set, 2Wiki 101, FEVER claims are those of the paper's development set.": (
        "hotpotqa",
        "2wiki",
        "fever",
    ),
    "TopiOCQA's Wikipedia: of its 2,514 turns 683 have the article of their topic in the corpus.": (
        "topiocqa",
    ),
}
"""What is not at hand, and the benchmarks that it concerns."""

NO_VECTORS = (
    "A hybrid over vectors of the whole corpus: 720,716 of them are some three to five hours of two cores. "
    "Here minilm-l6 orders BM25's first 100 passages, which are then fused with BM25's order."
)


def systems(chosen: argparse.Namespace) -> dict[str, list[object]]:
    """Return the options of each system, by its name in the report."""
    mine = ["--model", chosen.model, "--precision", chosen.precision]
    untuned = ["--model", chosen.base, "--precision", chosen.precision]
    silent, cite = ["--no-rank", "--no-cite"], ["--no-cite"] if chosen.no_cite else []
    cite += ["--query-likelihood", chosen.query_likelihood]
    wanted: dict[str, list[object]] = {
        "unranked": [*mine, *silent],
        "ranked": [*mine, *cite],
        "unranked-mixture": [*mine, *silent],
        "ranked-mixture": [*mine, *cite],
        "untuned": [*untuned, *silent],
        "hybrid": [*mine, *silent],
        "hybrid-ranked": [*mine, *cite],
        "cross-encoder": [*mine, "--ranker", chosen.ranker, "--no-cite"],
    }
    return {name: wanted[name] for name in chosen.systems}


def main() -> None:
    """Run what the command line asks for."""
    chosen = parsed(__doc__, name="answers", k=20, only=BENCHMARKS, systems=SYSTEMS)
    same = ["--retrieve-k", chosen.k, "-n", chosen.n, "--skip", chosen.skip, "--data-root", chosen.data_root]
    for benchmark in chosen.only:
        corpus = MEDICAL if benchmark in BIOMEDICAL else GOLD
        where = place(chosen.out, chosen.data_root, corpus, benchmark)
        for name, own in systems(chosen).items():
            folder, n = chosen.out / corpus.name, chosen.skip + chosen.n
            own = [*own, "--reading", "mixture" if name in MIXED else "joint"]
            runs = by_vectors(folder, chosen.data_root, benchmark, n) if "hybrid" in name else []
            to = ["--name", chosen.prefix + name, "--out", chosen.out / chosen.name]
            rankrag("eval", "predict", benchmark, *own, *where, *runs, *same, *to)
    if not chosen.no_report:
        missing = [sentence for sentence, of in MISSING.items() if {*of} & {*chosen.only}]
        missing += [NO_VECTORS] if any("hybrid" in name for name in chosen.systems) else []
        report(chosen, f"{chosen.model} answers: {len(chosen.only)} benchmarks", PAIRS, missing, ("", SMALL))


if __name__ == "__main__":
    main()
