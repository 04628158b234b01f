"""MMLU-Med: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="mmlu_med",
    title="MMLU-Med",
    family="biomedical",
    style="choice",
    measures=("Choice",),
    max_tokens=8,
    files=(
        ("benchmark.json", "mirage"),
        ("mmlu_med.jsonl", "neutral"),
    ),
    paper=Paper("MIRAGE, six subjects", 1089, "MedCorp"),
    source="github.com/Teddy-XiongGZ/MIRAGE (benchmark.json)",
    note="The paper gives no prompt for it.",
)
