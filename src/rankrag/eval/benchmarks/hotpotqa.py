"""HotpotQA: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="hotpotqa",
    title="HotpotQA",
    family="open",
    style="phrase",
    measures=(
        "EM",
        "F1",
    ),
    max_tokens=32,
    files=(
        ("hotpotqa-dev-kilt.jsonl", "kilt"),
        ("hotpot_dev_fullwiki_v1.json", "hotpotqa"),
        ("hotpotqa.jsonl", "neutral"),
    ),
    paper=Paper("KILT dev", 5600, "Wikipedia, December 2018"),
    source="KILT: dl.fbaipublicfiles.com/KILT/hotpotqa-dev-kilt.jsonl; hotpotqa.github.io",
)
