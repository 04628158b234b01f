"""2Wiki: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="2wiki",
    title="2Wiki",
    family="open",
    style="phrase",
    measures=(
        "EM",
        "F1",
    ),
    max_tokens=32,
    files=(
        ("2wikimultihopqa-dev.json", "hotpotqa"),
        ("2wiki.jsonl", "neutral"),
    ),
    paper=Paper("dev, split not stated", 12576, "Wikipedia, December 2018"),
    source="github.com/Alab-NII/2wikimultihop",
    note="The paper gives no prompt for it; it is asked like HotpotQA.",
)
