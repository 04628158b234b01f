"""Order the passages of a run by vectors, where vectors of the whole corpus would take too long.

    python tools/dense_over_run.py BENCHMARK --data-root DATA --run RUN --index DIR --out OUT.run [-n 50]

Fused with the run itself (`rankrag eval predict --run RUN --run OUT.run`) it is a hybrid without an index of
vectors, which finds nothing beyond what RUN holds. Only the questions of the sample `-n` are asked, the same
as in `eval predict`.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from rankrag import prompts
from rankrag.eval.gold import sample
from rankrag.eval.load import load_benchmark
from rankrag.formats import read_rankings, write_run
from rankrag.index.encoder import Encoder
from rankrag.index.stores.by_name import open_store
from rankrag.model.store import registry
from rankrag.types import Hit, Passage, best_first


def ordered(found: list[str], query: np.ndarray, vectors: dict[str, np.ndarray]) -> list[Hit]:
    """Return passages by the dot product of their vectors with the question's, best first, ties by id."""
    hits = [Hit(Passage(name, ""), round(float(query @ vectors[name]), 5)) for name in found]
    return best_first(hits)


def encoded(passages: list[Passage], encoder: Encoder, half: bool) -> dict[str, np.ndarray]:
    """Return the vector of each passage, by id."""
    import torch

    with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        rows = encoder.encode_passages(passages)
    return dict(zip((one.id for one in passages), rows, strict=True))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--index", type=Path, required=True, help="holds the passages' texts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-n", type=int)
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--half", action="store_true", help="bfloat16, where the processor multiplies it")
    chosen = parser.parse_args()
    encoder = Encoder(registry.locate(chosen.encoder), chosen.encoder, device="cpu")
    items = load_benchmark(chosen.benchmark, chosen.data_root).questions
    asked = [item.question for item in sample(items, chosen.n)]
    runs = read_rankings(chosen.run)
    wanted = dict.fromkeys(name for one in asked for name in runs.get(one.id, ()))
    vectors = encoded([*open_store(chosen.index).passages(wanted).values()], encoder, chosen.half)
    queries = encoder.encode_queries([prompts.search_query(one, encoder.speakers) for one in asked])
    rankings = (
        (one.id, ordered(runs.get(one.id, []), query, vectors))
        for one, query in zip(asked, queries, strict=True)
    )
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    lines_written = write_run(str(chosen.out), rankings, tag=f"rankrag-{chosen.encoder}")
    print(f"{chosen.out}: {lines_written:,} lines, {len(wanted):,} passages encoded", flush=True)


if __name__ == "__main__":
    main()
