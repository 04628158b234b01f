"""TriviaQA: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="triviaqa",
    title="TriviaQA",
    family="open",
    style="phrase",
    measures=(
        "EM",
        "Acc",
    ),
    max_tokens=32,
    files=(
        ("triviaqa-dev-kilt.jsonl", "kilt"),
        ("trivia-test.qa.csv", "dpr"),
        ("triviaqa.jsonl", "neutral"),
    ),
    paper=Paper("KILT dev", 5355, "Wikipedia, December 2018"),
    source=(
        "KILT: dl.fbaipublicfiles.com/KILT/triviaqa-dev_id-kilt.jsonl with the texts of "
        "nlp.cs.washington.edu/triviaqa; DPR's split: trivia-test.qa.csv"
    ),
)
