"""NQ: how the benchmark is asked and measured."""

from __future__ import annotations

from ..benchmark import Benchmark, Paper

BENCHMARK = Benchmark(
    name="nq",
    title="NQ",
    family="open",
    style="phrase",
    measures=("EM",),
    max_tokens=32,
    files=(
        ("nq-dev-kilt.jsonl", "kilt"),
        ("nq-test.qa.csv", "dpr"),
        ("NQ-open.dev.jsonl", "nq_open"),
        ("nq.jsonl", "neutral"),
    ),
    paper=Paper("KILT dev", 2837, "Wikipedia, December 2018"),
    source=(
        "KILT: dl.fbaipublicfiles.com/KILT/nq-dev-kilt.jsonl; DPR's split: nq-test.qa.csv of "
        "facebookresearch/DPR"
    ),
    note=(
        "A KILT and a DPR split exist, and the paper's gain differs between them: name the file. "
        "In-domain, not zero-shot, for rankrag-135m and whatever else was taught with training questions of "
        "NQ (QED, NQ-open, AmbigNQ)."
    ),
)
