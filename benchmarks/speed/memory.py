"""What a thousand questions, one after the other, leave in memory beside weights and states of passages.

    python benchmarks/speed/memory.py QUESTIONS.jsonl --index DIR [--model NAME] [--precision int8] [-n 1000]

QUESTIONS holds a question a line (`question`). How many passages are ranked for it is drawn, 1 to 8 and
mostly one; every twentieth is also answered and cited. Every 50 questions a line says, in MB: resident
memory, what of it is mapped files (libraries, mostly), the proportional share, the most that was resident
since the line before, weights, states in the cache, and the rest. Wants Linux. Fails where the rest is above
600 MB in the end, or has grown by 50 MB since the cache was nearly full.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import rankrag
from rankrag.files import read_records
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.engine.memory import memory

RETRIEVE_K = (1,) * 20 + (2, 2, 3, 8)
READ_K = 3
EVERY = 50
ANSWERED = 20
REST, GROWTH, NEARLY = 600e6, 50e6, 0.95


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that the process holds."""

    resident: int
    files: int
    share: int
    most: int
    weights: int
    states: int
    rest: int


def held(lm: LocalLanguageModel) -> Held:
    """Return what is held now, and forget what the most was."""
    now = memory([lm])
    assert now is not None, "wanted Linux"
    status = _kilobytes("status")
    share = _kilobytes("smaps_rollup")["Pss"]
    Path("/proc/self/clear_refs").write_text("5")
    files, proportional, most = (1024 * n for n in (status["RssFile"], share, status["VmHWM"]))
    return Held(now.resident, files, proportional, most, now.weights, now.states, now.rest)


def _kilobytes(name: str) -> dict[str, int]:
    lines = Path("/proc/self", name).read_text().splitlines()
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) for words in pairs}


def asked(path: str, n: int) -> Iterator[tuple[int, str, int]]:
    """Yield number, question and how many passages are to be ranked for it."""
    draw = random.Random(0)
    for number, (_, record) in enumerate(islice(read_records(path), n)):
        yield number, str(record["question"]), draw.choice(RETRIEVE_K)


def main() -> None:
    """Ask, print a line every 50 questions, and say whether memory kept what it should."""
    chosen = _arguments()
    rag = rankrag.load(chosen.index, model=chosen.model, precision=chosen.precision, read_k=READ_K)
    lm = rag.answering.lm
    assert isinstance(lm, LocalLanguageModel)
    rows: list[Held] = []
    print("questions " + " ".join(f"{name:>8}" for name in Held.__slots__))

    def note(number: int) -> None:
        rows.append(held(lm))
        each = (getattr(rows[-1], name) for name in Held.__slots__)
        print(f"{number:>9} " + " ".join(f"{n / 1e6:>8.0f}" for n in each), flush=True)

    note(0)
    for number, question, k in asked(chosen.questions, chosen.n):
        if number % ANSWERED == 0:
            replace(rag, pipeline=replace(rag.pipeline, retrieve_k=k)).ask(question)
        else:
            rag.rank(question, [hit.passage for hit in rag.search(question, k)])
        if (number + 1) % EVERY == 0:
            note(number + 1)
    full = next((row for row in rows if row.states > NEARLY * lm.cache.limit), rows[-1])
    sys.exit(rows[-1].rest > REST or rows[-1].rest > full.rest + GROWTH)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("-n", type=int, default=1000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
