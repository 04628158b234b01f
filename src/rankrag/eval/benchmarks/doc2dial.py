"""Doc2Dial: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="doc2dial",
    title="Doc2Dial",
    family="conversation",
    style="full",
    measures=("F1",),
    max_tokens=128,
    files=(
        ("doc2dial/test.json", "chatrag"),
        ("doc2dial_rc_val.csv", "doc2dial"),
        ("doc2dial.jsonl", "neutral"),
    ),
    paper=Paper("test, 719 dialogues", 3939, "its own documents"),
    source="huggingface.co/datasets/nvidia/ChatRAG-Bench; doc2dial.github.io",
    note="Gold is the grounding span, not the agent's own words.",
)
