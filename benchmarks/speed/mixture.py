"""How much longer a mixture takes to answer than one prompt, after a ranking, as ratios of one run.

    python benchmarks/speed/mixture.py QUESTIONS.jsonl RUN --index DIR [-n 24] [--model NAME]

QUESTIONS holds a question a line (`id`, `question`), RUN their passages, which the index has. Each question
is ranked and answered both ways, in an order drawn for it, and nothing is remembered from one to the other.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import get_args

from rankrag.files import read_records
from rankrag.formats import read_rankings
from rankrag.index import open_store
from rankrag.model import ModelGenerator
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.system.models import Engine, Loading, open_engine
from rankrag.system.open import ranker_of
from rankrag.types import Hit, Passage, Question, ReadingMode

RETRIEVE_K, READ_K = 20, 5


def seconds(
    engine: Engine, question: Question, passages: Sequence[Passage], mode: ReadingMode
) -> tuple[float, float]:
    """Return the seconds of ranking and of answering."""
    assert isinstance(engine.lm, LocalLanguageModel)
    engine.lm.cache.clear()
    began = perf_counter()
    ranked = ranker_of(engine).rank(question, [Hit(p, 0.0) for p in passages])[:READ_K]
    middle = perf_counter()
    generator = ModelGenerator(engine.lm, engine.form, reading=mode)
    read = generator.read(question, [hit.passage for hit in ranked], relevance=[hit.score for hit in ranked])
    list(read.pieces())
    return middle - began, perf_counter() - middle


def main() -> None:
    """Print the medians of the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("-n", type=int, default=24)
    parser.add_argument("--model", default="rankrag-135m")
    chosen = parser.parse_args()
    engine = open_engine(chosen.model, loading=Loading(precision="int8"))
    store = open_store(chosen.index)
    run = read_rankings(str(chosen.run))
    rows = [record for _, record in read_records(str(chosen.questions))]
    answering, both = [], []
    for row in random.Random(0).sample(rows, chosen.n):
        name, ids = str(row["id"]), run[str(row["id"])][:RETRIEVE_K]
        texts = store.passages(ids)
        passages = [texts[passage] for passage in ids]
        question = Question(name, str(row["question"]), style="phrase")
        modes = random.Random(name).sample(get_args(ReadingMode), 2)
        took = {mode: seconds(engine, question, passages, mode) for mode in modes}
        answering.append(took["mixture"][1] / took["joint"][1])
        both.append(sum(took["mixture"]) / sum(took["joint"]))
    print(f"mixture / joint: answering {median(answering):.2f}, ranking and answering {median(both):.2f}")


if __name__ == "__main__":
    main()
