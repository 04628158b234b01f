"""What a build over Ray costs beside the local one on the same machine, in turns within one run.

    python benchmarks/speed/cluster.py --corpus wiki2015.jsonl.xz --count 60000 [--encoder NAME] [--repeat 3]

The first records of a collection are written as JSON lines that are not compressed, which is what workers can
divide. A cluster of this machine's CPUs is started first and told apart; then both builds take turns. With
an encoder one CPU is left to read, so on two cores half of them encode: a ratio near two is what is expected.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from rankrag.files import read_records
from rankrag.index import Settings, build
from rankrag.index.cluster.spread import joined
from rankrag.system.retrieval import encoder_for


def main() -> None:
    """Measure and print."""
    options = _arguments()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        corpus = folder / "corpus.jsonl"
        with corpus.open("w", encoding="utf-8") as stream:
            for _, record in islice(read_records(options.corpus), options.count):
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        settings = Settings(words=0, encoder=encoder_for(folder / "none", options.encoder))
        started = perf_counter()
        with joined("local"):
            print(f"cluster: {perf_counter() - started:.1f} s to start")
            _compare(corpus, settings, options.repeat)


def _compare(corpus: Path, settings: Settings, repeat: int) -> None:
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    own: dict[str, list[float]] = {"local": [], "ray": []}
    n_passages = 0
    for turn in range(repeat):
        for how in seconds:
            started, before = perf_counter(), process_time()
            target, address = corpus.parent / f"{how}{turn}", "auto" if how == "ray" else None
            n_passages = build([str(corpus)], target, settings, ray=address).n_passages
            seconds[how].append(perf_counter() - started)
            own[how].append(process_time() - before)
    for how, found in seconds.items():
        print(
            f"{how}: {', '.join(f'{s:.1f}' for s in found)} s; {n_passages / median(found):,.0f} passages a "
            f"second; processor time of the writer {1e6 * median(own[how]) / n_passages:.0f} us a passage"
        )
    print(f"ratio of the medians: {median(seconds['ray']) / median(seconds['local']):.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", required=True, help="a collection of JSON lines, as for `rankrag index`")
    parser.add_argument("--count", type=int, default=60_000, help="records taken from its start")
    parser.add_argument("--encoder", default="none", help="as for `rankrag index`")
    parser.add_argument("--repeat", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
