"""FEVER-Symmetric: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark

BENCHMARK = Benchmark(
    name="fever_symmetric",
    title="FEVER-Symmetric",
    family="fact",
    style="true_false",
    measures=("Claim",),
    max_tokens=8,
    files=(("fever_symmetric.jsonl", "neutral"),),
    source="github.com/TalSchuster/FeverSymmetric",
    note="Not among the paper's fourteen. Claims come in pairs with opposite labels.",
)
