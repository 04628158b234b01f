"""MuSiQue: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark

BENCHMARK = Benchmark(
    name="musique",
    title="MuSiQue",
    family="open",
    style="phrase",
    measures=(
        "EM",
        "F1",
    ),
    max_tokens=32,
    files=(("musique_ans_v1.0_dev.jsonl", "musique"), ("musique.jsonl", "neutral")),
    source="github.com/StonyBrookNLP/musique",
    note="Not among the paper's fourteen.",
)
