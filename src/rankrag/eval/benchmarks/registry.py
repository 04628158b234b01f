"""The benchmarks by name: the paper's fourteen in the order of its tables, and others at hand."""

from __future__ import annotations

from ..benchmark import Benchmark
from . import (
    bioasq,
    doc2dial,
    fever,
    fever_symmetric,
    feverous_s,
    hotpotqa,
    inscit,
    medmcqa,
    medqa,
    mmlu_med,
    musique,
    nq,
    popqa,
    pubmedqa,
    topiocqa,
    triviaqa,
    two_wiki,
)

PAPER: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        nq,
        triviaqa,
        popqa,
        hotpotqa,
        two_wiki,
        fever,
        doc2dial,
        topiocqa,
        inscit,
        mmlu_med,
        pubmedqa,
        bioasq,
        medqa,
        medmcqa,
    )
}
"""Those of tables 2 and 5 of arXiv 2407.02485."""

EXTRAS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK for module in (musique, fever_symmetric, feverous_s)
}
"""Others of the same kinds."""

BENCHMARKS: dict[str, Benchmark] = {**PAPER, **EXTRAS}
