"""PopQA: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="popqa",
    title="PopQA",
    family="open",
    style="phrase",
    measures=(
        "EM",
        "Acc",
    ),
    max_tokens=32,
    files=(("popqa.jsonl", "neutral"),),
    paper=Paper("long tail, below 100 views a month", 1399, "Wikipedia, December 2020"),
    source="huggingface.co/datasets/akariasai/PopQA",
    note="The paper takes the rare entities; a sample at hand may not.",
)
