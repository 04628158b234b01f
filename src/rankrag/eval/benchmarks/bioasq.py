"""BioASQ: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="bioasq",
    title="BioASQ",
    family="biomedical",
    style="choice",
    measures=("Choice",),
    max_tokens=8,
    files=(
        ("benchmark.json", "mirage"),
        ("bioasq_yn.jsonl", "neutral"),
    ),
    paper=Paper("MIRAGE's yes/no questions", 618, "MedCorp"),
    source="github.com/Teddy-XiongGZ/MIRAGE (benchmark.json)",
)
