"""Corpora of the benchmarks' scripts: what is in them, their index, and the runs of their retrievers.

Everything is made once, in one layout (OUT/CORPUS/index, OUT/CORPUS/bm25/NAME.run), and found there again,
also by another script with the same OUT.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from asking import rankrag

FILES = {"fever": "fever_claims", "bioasq": "bioasq_yn"}
"""The files of questions that are not called as their benchmark is."""

VECTORS = "vectors-of-100"
"""The folder of the runs by vectors, which is what reports call them."""

TOOLS = Path(__file__).parents[2] / "tools"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Passages to search: `files` of DATA/corpus, and what reports call them all together."""

    name: str
    title: str
    files: tuple[str, ...]


WIKI = Corpus("wiki", "Wikipedia 2015", ("wiki2015",))
GOLD = Corpus("gold", "Wikipedia 2015 + gold", ("wiki2015", "gold"))
MEDICAL = Corpus("med", "Wikipedia 2015 + gold + PubMed", ("wiki2015", "gold", "pubmed_abstracts"))


def indexed(folder: Path, *files: Path) -> Path:
    """Return FOLDER/index, of whole passages and without vectors, made where it is missing."""
    index, done = folder / "index", folder / "index.done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rankrag("index", *files, "--index", index, "--encoder", "none", "--passage-words", 0, "--yes")
        done.touch()
    return index


def searched(folder: Path, index: Path, name: str, questions: Path) -> Path:
    """Return FOLDER/bm25/NAME.run, BM25's first 100 passages of all questions, made where it is missing."""
    run = folder / "bm25" / f"{name}.run"
    run.parent.mkdir(parents=True, exist_ok=True)
    if not run.exists():
        options = ["--retriever", "bm25", "-k", 100, "--run", run]
        rankrag("search", "--questions", questions, "--index", index, *options)
    return run


def place(out: Path, data: Path, corpus: Corpus, benchmark: str) -> list[object]:
    """Return the options for a benchmark on a corpus; index and run are made where they are missing."""
    folder = out / corpus.name
    index = indexed(folder, *(data / "corpus" / f"{file}.jsonl.xz" for file in corpus.files))
    questions = data / "eval" / f"{FILES.get(benchmark, benchmark)}.jsonl.xz"
    run = searched(folder, index, benchmark, questions)
    return ["--run", run.parent, "--index", index, "--corpus-name", corpus.title]


def by_vectors(folder: Path, data: Path, benchmark: object, n: int) -> list[object]:
    """Return the option for a benchmark's run by vectors, made where it is missing or of a smaller sample.

    minilm-l6 orders BM25's first 100 passages: vectors of a whole corpus would take a CPU hours.
    """
    name = Path(str(benchmark)).name
    run, size = folder / VECTORS / f"{name}.run", folder / VECTORS / f"{name}.n"
    if not run.exists() or int(size.read_text()) < n:
        options = ["--run", folder / "bm25" / run.name, "--index", folder / "index", "--out", run, "-n", n]
        command = [sys.executable, TOOLS / "dense_over_run.py", benchmark, "--data-root", data, *options]
        subprocess.run([*map(str, command)], check=True)
        size.write_text(str(n))
    return ["--run", run.parent]
