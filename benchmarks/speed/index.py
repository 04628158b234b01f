"""How fast an index for BM25 is built, how much memory that takes, and whether it finds what bm25s finds.

    python benchmarks/speed/index.py --corpus wiki2015.jsonl.xz --questions triviaqa.jsonl.xz [--output json]

Each side runs in a process of its own, so the peaks of memory do not mix. Both index title and text
with BM25, k1 = 1.2 and b = 0.75, and an English stemmer (bm25s needs the package PyStemmer for one). A
question is a hit if one of its answers occurs, as whole words after normalisation, in the best twenty
passages.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

from rankrag.files import read_records
from rankrag.index import build, open_store

K = 20


def main() -> None:
    """Run both sides and print what was measured."""
    arguments = _arguments()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](arguments)))
        return
    result: dict[str, object] = {"passages": None, "questions": arguments.count}
    for side in SIDES:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--side", side],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        measured = json.loads(done.stdout.splitlines()[-1])
        result |= {f"{side}_{name}": value for name, value in measured.items() if name != "passages"}
        result["passages"] = measured["passages"]
        if arguments.output == "text":
            print(f"{side}: " + ", ".join(f"{name} {value}" for name, value in measured.items()))
    if arguments.output == "json":
        print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the building and the quality of the BM25 index.")
    parser.add_argument("--corpus", required=True, help="a collection (.jsonl, also packed)")
    parser.add_argument("--questions", required=True, help="JSON lines with question and answers")
    parser.add_argument("--count", type=int, default=1000, help="questions to ask")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    parser.add_argument("--side", choices=[*SIDES], help=argparse.SUPPRESS)
    return parser.parse_args()


def ours(arguments: argparse.Namespace) -> dict[str, object]:
    """Build with rankrag and ask the questions."""
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        report = build([arguments.corpus], Path(folder) / "index")
        build_s = perf_counter() - started
        if report.failed:
            raise SystemExit(f"{report.failed}")
        store = open_store(Path(folder) / "index")

        def search(query: str) -> list[str]:
            found = [hit.passage for hit in store.search_words(query, K)]
            return [f"{passage.title}\n{passage.text}" for passage in found]

        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        built = {"build_s": round(build_s, 1), "peak_mb": _peak_mb(), "disk_mb": disk // 2**20}
        return {"passages": report.n_passages} | built | _asked(search, arguments)


def theirs(arguments: argparse.Namespace) -> dict[str, object]:
    """Build with bm25s, over the same text, and ask the same questions."""
    import bm25s

    try:
        from Stemmer import Stemmer

        stemmer = Stemmer("english")
    except ImportError:
        print("PyStemmer is not installed: bm25s goes without a stemmer", file=sys.stderr)
        stemmer = None
    started = perf_counter()
    corpus = [f"{record['title']}\n{record['text']}" for _, record in read_records(arguments.corpus)]
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(
        bm25s.tokenize(corpus, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False
    )
    build_s = perf_counter() - started

    def search(query: str) -> list[str]:
        tokens = bm25s.tokenize([query], stopwords="en", stemmer=stemmer, show_progress=False)
        found, _ = index.retrieve(tokens, k=K, show_progress=False)
        return [corpus[n] for n in found[0]]

    built = {"build_s": round(build_s, 1), "peak_mb": _peak_mb(), "stemmer": stemmer is not None}
    return {"passages": len(corpus)} | built | _asked(search, arguments)


SIDES: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {"ours": ours, "bm25s": theirs}


def _asked(search: Callable[[str], list[str]], arguments: argparse.Namespace) -> dict[str, object]:
    hits, times = 0, []
    for _, record in islice(read_records(arguments.questions), arguments.count):
        question, answers = record["question"], record["answers"]
        if not isinstance(question, str) or not isinstance(answers, list):
            raise SystemExit(f"found a record without question and answers in {arguments.questions}")
        started = perf_counter()
        texts = search(question)
        times.append(perf_counter() - started)
        wanted = [_normal(str(answer)) for answer in answers]
        hits += any(answer in text for text in map(_normal, texts) for answer in wanted)
    return {f"hit_{K}": round(100 * hits / len(times), 2), "search_ms": round(1000 * median(times), 2)}


def _normal(text: str) -> str:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower())
    return f" {' '.join(words)} "


def _peak_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
