"""MedQA: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="medqa",
    title="MedQA",
    family="biomedical",
    style="choice",
    measures=("Choice",),
    max_tokens=8,
    files=(
        ("benchmark.json", "mirage"),
        ("medqa.jsonl", "neutral"),
    ),
    paper=Paper("MIRAGE, US, four options", 1273, "MedCorp"),
    source="github.com/Teddy-XiongGZ/MIRAGE (benchmark.json)",
)
