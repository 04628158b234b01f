"""FEVER: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="fever",
    title="FEVER",
    family="fact",
    style="true_false",
    measures=("Claim",),
    max_tokens=8,
    files=(
        ("fever-dev-kilt.jsonl", "kilt"),
        ("paper_dev.jsonl", "fever"),
        ("fever_claims.jsonl", "neutral"),
    ),
    paper=Paper("KILT dev, two labels", 10444, "not stated"),
    source="KILT: dl.fbaipublicfiles.com/KILT/fever-dev-kilt.jsonl; fever.ai",
    note="Claims without enough information are dropped, as in the paper.",
)
