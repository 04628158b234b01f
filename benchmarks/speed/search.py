"""How fast an index is searched, how much of exact search the approximate index finds, what a writer costs.

    python benchmarks/speed/search.py --index DIR --questions FILE [--count 200] [--k 100] [--writer FILE]

Each retriever that the index allows searches for the same questions, one after the other. Exact search
compares the vectors of the index one by one, in NumPy and not in the store; its peak of memory is not in
those that are printed. With `--writer` another process adds the documents of FILE to the index and takes
them out again, over and over, while the questions are asked once more; at the end the index holds what it
held before.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limits import timed
from rankrag.formats import read_questions
from rankrag.index import IndexDocuments, Store, open_store
from rankrag.system import Retrieval, open_retrieval
from rankrag.system.retrieval import encoder_for, open_encoder
from rankrag.types import Question

if TYPE_CHECKING:
    from rankrag.index.encoder import Encoder

WARM_UP = 10
READY = "ready"


def main() -> None:
    """Measure and print."""
    options = _arguments()
    if options.write:
        _write_until_told(options.index, options.write)
        return
    asked = list(islice(read_questions(options.questions), options.count + WARM_UP))
    store = open_store(options.index)
    used = store.manifest.encoder
    result: dict[str, object] = {"passages": len(store), "not_indexed": store.n_unindexed, "k": options.k}
    shelves = [
        open_retrieval(options.index, kind) for kind in (("bm25", "dense", "hybrid") if used else ("bm25",))
    ]
    result |= {"opened_mb": _peak_mb()}
    result |= {f"{shelf.kind}_ms": _latency(shelf, asked, options.k) for shelf in shelves}
    result |= {"searched_mb": _peak_mb()}
    if options.writer:
        result |= _beside_a_writer(options, shelves[-1], asked)
    if used:
        encoder = open_encoder(used.name)
        result |= _recall(store, encoder, asked[WARM_UP:], options.k)
    print(json.dumps(result, indent=2))


def _latency(shelf: Retrieval, asked: Sequence[Question], k: int) -> dict[str, float]:
    """Return milliseconds of a search, the question's vector included: median, 95th percentile, longest."""
    times = [1000 * timed(partial(shelf.search, question, k))[1] for question in asked][WARM_UP:]
    return {
        "median": round(float(np.median(times)), 1),
        "p95": round(float(np.quantile(times, 0.95)), 1),
        "longest": round(max(times), 1),
    }


def _recall(store: Store, encoder: Encoder, asked: Sequence[Question], k: int) -> dict[str, object]:
    """Return which share of the true nearest `k` the index finds, and the time beside going through all."""
    ids, vectors = [], []
    for rows, part in store.batches():
        assert part is not None
        ids += [row.passage.id for row in rows]
        vectors.append(part)
    table = np.concatenate(vectors)
    place = {name: n for n, name in enumerate(ids)}
    shares, seconds, exact_s = [], 0.0, 0.0
    for question in asked:
        vector = encoder.encode_queries([question.text])[0]
        hits, took = timed(partial(store.search_vectors, vector, k))
        seconds += took
        scores, took = timed(partial(np.dot, table, vector))
        exact_s += took
        # By similarity, not by id: what ties with the last of the true ones is as near.
        least = np.partition(scores, -k)[-k] - 1e-6
        shares.append(np.mean([scores[place[hit.passage.id]] >= least for hit in hits]) * len(hits) / k)
    return {
        f"recall@{k}": round(float(np.mean(shares)), 4),
        f"recall@{k}_worst_question": round(float(np.min(shares)), 2),
        "vectors_ms": round(1000 * seconds / len(asked), 1),
        "vectors_exact_ms": round(1000 * exact_s / len(asked), 1),
    }


# ── a writer beside the searches ─────────────────────────────────────────────────────────────────────


def _beside_a_writer(
    options: argparse.Namespace, shelf: Retrieval, asked: Sequence[Question]
) -> dict[str, object]:
    command = [sys.executable, __file__, "--index", str(options.index), "--write", str(options.writer)]
    before = len(open_store(options.index))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin
        assert writer.stdout
        assert writer.stdout.readline().strip() == READY
        found = _latency(shelf, asked, options.k)
        n_rounds = int(writer.communicate("stop\n")[0].split()[-1])
    if writer.returncode or len(open_store(options.index)) != before:
        raise SystemExit("the writer failed, or left something behind")
    return {f"{shelf.kind}_beside_a_writer_ms": found, "writer_rounds": n_rounds}


def _write_until_told(index: Path, path: str) -> None:
    """Add the documents of a file and take them out again until a line comes in."""
    import select

    documents = IndexDocuments(index, encoder_for(index, None))
    print(READY, flush=True)
    n_rounds = 0
    while n_rounds == 0 or not select.select([sys.stdin], [], [], 0)[0]:
        added = documents.add([path])
        documents.delete([document.id for document in added[path].documents])
        n_rounds += 1
    print(n_rounds, flush=True)


def _peak_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast an index is searched, and how exactly.")
    parser.add_argument("--index", required=True, type=Path, help="the folder of an index")
    parser.add_argument("--questions", help="questions, as `rankrag search --questions` reads them")
    parser.add_argument("--count", type=int, default=200, help="questions to ask")
    parser.add_argument("--k", type=int, default=100, help="hits for each")
    parser.add_argument("--writer", help="documents that another process adds and deletes meanwhile")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
