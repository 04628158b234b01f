"""INSCIT: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="inscit",
    title="INSCIT",
    family="conversation",
    style="full",
    measures=("F1",),
    max_tokens=128,
    files=(
        ("inscit/dev.json", "chatrag"),
        ("inscit.jsonl", "neutral"),
    ),
    paper=Paper("dev, 86 conversations", 502, "Wikipedia"),
    source="huggingface.co/datasets/nvidia/ChatRAG-Bench; github.com/ellenmellon/INSCIT",
)
