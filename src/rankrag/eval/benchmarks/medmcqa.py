"""MedMCQA: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="medmcqa",
    title="MedMCQA",
    family="biomedical",
    style="choice",
    measures=("Choice",),
    max_tokens=8,
    files=(
        ("benchmark.json", "mirage"),
        ("medmcqa.jsonl", "neutral"),
    ),
    paper=Paper("MIRAGE, dev", 4183, "MedCorp"),
    source="github.com/Teddy-XiongGZ/MIRAGE (benchmark.json)",
)
