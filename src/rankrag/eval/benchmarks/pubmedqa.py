"""PubMedQA: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="pubmedqa",
    title="PubMedQA",
    family="biomedical",
    style="choice",
    measures=("Choice",),
    max_tokens=8,
    files=(
        ("benchmark.json", "mirage"),
        ("ori_pqal.json", "pubmedqa"),
        ("pubmedqa.jsonl", "neutral_test"),
    ),
    paper=Paper("MIRAGE's PubMedQA*", 500, "MedCorp"),
    source="github.com/Teddy-XiongGZ/MIRAGE (benchmark.json)",
    note="Only the official test split of 500; the paper's appendix says 1,000, MIRAGE 500.",
)
