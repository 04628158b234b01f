"""TopiOCQA: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="topiocqa",
    title="TopiOCQA",
    family="conversation",
    style="span_or_full",
    measures=("F1",),
    max_tokens=128,
    files=(
        ("topiocqa/dev.json", "chatrag"),
        ("topiocqa_dev.json", "topiocqa"),
        ("topiocqa.jsonl", "neutral"),
    ),
    paper=Paper("dev, 205 conversations", 2514, "Wikipedia"),
    source="huggingface.co/datasets/nvidia/ChatRAG-Bench; mcgill-nlp.github.io/topiocqa",
    note="The paper scores against four answers; the official dev file holds one.",
)
