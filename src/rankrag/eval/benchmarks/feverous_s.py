"""FEVEROUS-S: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark

BENCHMARK = Benchmark(
    name="feverous_s",
    title="FEVEROUS-S",
    family="fact",
    style="true_false",
    measures=("Claim",),
    max_tokens=8,
    files=(("feverous_s.jsonl", "neutral"),),
    source="github.com/teacherpeterpan/ProgramFC",
    note="Not among the paper's fourteen.",
)
