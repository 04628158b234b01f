"""Search by vectors without an index, on a GPU: TREC runs for many files of questions in one go.

    python tools/dense_runs.py --encoder minilm-l6 OUT.run=QUESTIONS:K:CORPUS[,CORPUS...] ...

`rankrag index` and `rankrag search --retriever dense` do the same and keep an index; on a CPU its vectors are
what takes the hours. Here every corpus file is encoded once, by several processes that keep one GPU busy, in
half precision; the search is exact. It runs on a CPU, too: give as many workers as cores there, and `--half`
where the processor multiplies bfloat16.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from rankrag import prompts
from rankrag.formats import read_passages, read_questions, write_run
from rankrag.index.encoder import Encoder
from rankrag.model.store import registry
from rankrag.types import Hit, Passage

if TYPE_CHECKING:
    import torch

CHUNK = 8192
"""Passages that a process gets at once: enough to be sorted into batches of one length."""

BATCH = 512
"""Texts in a batch on a GPU."""

QUERIES = 1024
"""Questions searched for at once: their scores over a million passages take 4 GB."""

_encoder: Encoder | None = None
"""What a worker encodes with: loaded once, when it starts."""

_half = False
"""Whether a worker computes in 16 bits."""


def device() -> str:
    """Return where to encode."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def open_encoder(name: str) -> Encoder:
    """Return an encoder of the table, by name, or the folder of one whose settings are minilm-l6's."""
    folder = Path(name) if Path(name).is_dir() else registry.locate(name)
    known = name if not Path(name).is_dir() else "minilm-l6"
    return Encoder(folder, known, device=device(), batch_size=BATCH if device() == "cuda" else None)


def start(name: str, half: bool) -> None:
    """Load the encoder of a worker."""
    global _encoder, _half
    _half = half
    import torch

    torch.set_num_threads(1)
    _encoder = open_encoder(name)


def encoded(passages: Sequence[Passage]) -> np.ndarray:
    """Return the vectors of passages, float16, in a worker."""
    import torch

    assert _encoder is not None
    kind = torch.float16 if device() == "cuda" else torch.bfloat16
    with torch.autocast(device(), kind) if _half else nullcontext():
        return _encoder.encode_passages(passages).astype(np.float16)


def chunks(path: str, ids: list[str]) -> Iterator[list[Passage]]:
    """Yield the passages of a file in chunks, noting their ids."""
    rest = read_passages(path)
    while chunk := list(islice(rest, CHUNK)):
        ids += [one.id for one in chunk]
        yield chunk


class Corpus:
    """The vectors of corpus files on the device, each file encoded once."""

    def __init__(self, encoder: str, workers: int, half: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = context.Pool(workers, partial(start, encoder, half))
        self._files: dict[str, tuple[list[str], torch.Tensor]] = {}

    def file(self, path: str) -> tuple[list[str], torch.Tensor]:
        """Return the ids of a file and their vectors, float16, (passages, dimension)."""
        import torch

        if path not in self._files:
            began, ids = perf_counter(), list[str]()
            parts = list(self._pool.imap(encoded, chunks(path, ids)))
            self._files[path] = ids, torch.from_numpy(np.concatenate(parts)).to(device())
            print(f"{path}: {len(ids):,} passages in {perf_counter() - began:.1f} s", flush=True)
        return self._files[path]

    def close(self) -> None:
        """End the workers."""
        self._pool.close()
        self._pool.join()


def search(corpus: Corpus, files: Sequence[str], queries: np.ndarray, k: int) -> Iterator[list[Hit]]:
    """Yield the best `k` passages of some files for each query vector, by dot product."""
    import torch

    ids = [name for path in files for name in corpus.file(path)[0]]
    # Products of 16 bits would round scores of 0.6 to steps of 0.0005, which many passages share.
    vectors = torch.cat([corpus.file(path)[1] for path in files]).float()
    for first in range(0, len(queries), QUERIES):
        block = torch.from_numpy(queries[first : first + QUERIES]).to(vectors)
        scores, places = (block @ vectors.T).topk(min(k, len(ids)), dim=1)
        for row, found in zip(scores.tolist(), places.tolist(), strict=True):
            yield [Hit(Passage(ids[n], ""), round(score, 5)) for score, n in zip(row, found, strict=True)]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", nargs="+", metavar="RUN=QUESTIONS:K:CORPUS[,CORPUS...]")
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--half", action="store_true", help="16 bits on a CPU, too")
    chosen = parser.parse_args()
    half = chosen.half or device() == "cuda"
    corpus, encoder = Corpus(chosen.encoder, chosen.workers, half), open_encoder(chosen.encoder)
    for job in chosen.jobs:
        run, _, rest = job.partition("=")
        asked, k, files = rest.rsplit(":", 2)
        began, questions = perf_counter(), [*read_questions(asked)]
        queries = encoder.encode_queries([prompts.search_query(one, encoder.speakers) for one in questions])
        found = search(corpus, files.split(","), queries, int(k))
        Path(run).parent.mkdir(parents=True, exist_ok=True)
        rankings = ((one.id, hits) for one, hits in zip(questions, found, strict=True))
        lines = write_run(run, rankings, tag="rankrag-dense")
        print(f"{run}: {lines:,} lines in {perf_counter() - began:.1f} s", flush=True)
    corpus.close()


if __name__ == "__main__":
    main()
