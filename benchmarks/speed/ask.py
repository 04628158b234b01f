"""How much longer a question takes with ranking than answering alone, as ratios of one run.

    python benchmarks/speed/ask.py QUESTIONS.jsonl --index DIR [-n 6] [-k 30] [--model NAME]

Alone: the first passages as retrieved, read in one prompt, without citations. Cold: nothing is remembered.
Warm: the same passages were ranked for another question before. Each question is asked in every way, in an
order drawn for it; one more before them warms up and does not count.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

from rankrag.files import read_records
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.pipeline import Pipeline
from rankrag.system.models import Loading
from rankrag.system.open import open_models, open_ranker, pipeline_of
from rankrag.system.retrieval import open_retrieval
from rankrag.system.spec import SystemSpec
from rankrag.types import Question

ANOTHER = Question("another", "What is this about?")


def ways_of(spec: SystemSpec) -> tuple[Mapping[str, Pipeline], LocalLanguageModel]:
    """Return the ways to ask, over one copy of the weights, and the model that they share."""
    models, retrieval = open_models(spec), open_retrieval(spec.index, spec.retriever)
    assert models.answering is not None
    assert isinstance(models.answering.lm, LocalLanguageModel)
    specs = {
        "alone": replace(spec, ranking=False, citing=False, reading="joint"),
        "cold": spec,
        "warm": spec,
        "cold, joint": replace(spec, reading="joint"),
    }
    ranker = open_ranker(spec, models.judging)
    return {
        way: pipeline_of(each, models, retrieval, ranker) for way, each in specs.items()
    }, models.answering.lm


def seconds(pipeline: Pipeline, lm: LocalLanguageModel, question: Question, is_warm: bool) -> float:
    """Return how long a question takes when nothing, or its passages, were read before."""
    lm.cache.clear()
    if is_warm and pipeline.ranker is not None:
        pipeline.ranker.rank(ANOTHER, pipeline.retriever.search(question.text, pipeline.retrieve_k))
    began = perf_counter()
    pipeline.ask(question)
    return perf_counter() - began


def main() -> None:
    """Print the medians of the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("-n", type=int, default=6, help="questions")
    parser.add_argument("-k", type=int, default=30, help="passages ranked")
    parser.add_argument("--model", default="rankrag-0.5b")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "int8", "auto"), default="int8")
    chosen = parser.parse_args()
    spec = SystemSpec(
        index=chosen.index, model=chosen.model, retrieve_k=chosen.k, loading=Loading(chosen.precision)
    )
    ways, lm = ways_of(spec)
    rows = [record for _, record in read_records(str(chosen.questions))]
    drawn = random.Random(3).sample(rows, chosen.n + 1)
    took: dict[str, list[float]] = {way: [] for way in ways}
    for number, row in enumerate(drawn):
        question = Question(str(number), str(row["question"]))
        for way in random.Random(number).sample(list(ways), len(ways)):
            spent = seconds(ways[way], lm, question, way == "warm")
            if number:
                took[way].append(spent)
    for way, spent_s in took.items():
        ratios = [mine / alone for mine, alone in zip(spent_s, took["alone"], strict=True)]
        of_sums = sum(spent_s) / sum(took["alone"])
        print(f"{way:12} times alone: median {median(ratios):.2f}, of sums {of_sums:.2f}")


if __name__ == "__main__":
    main()
