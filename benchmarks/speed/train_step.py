"""What a step of training an adapter costs on a CPU: our own layers beside peft's path, in one run.

    python benchmarks/speed/train_step.py --model qwen2.5-coder-0.5b --threads 2

The step is one bundle: `--shared` tokens that rows share and `--branches` rows of 45 tokens after them, the
last eight their target, drawn by chance: speed does not depend on which they are. Three ways, a median of
`--rounds` steps each: peft over float32 weights and over 16-bit ones, both under autocast, and our layers
over 16-bit ones. Tokens a second are worth their ratios within a run only.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from rankrag.model.store.registry import locate
from rankrag.train import branches
from rankrag.train.layers import Layers
from rankrag.train.shared import Collator
from rankrag.train.start import hush
from rankrag.train.token_rows import IGNORED
from rankrag.train.trainer import TensorBatch, target_nll

BRANCH, TARGET = 45, 8
"""Tokens of a row after what is shared, and how many of them are its target."""


def bundle(shared: int, n_branches: int) -> TensorBatch:
    """Return a batch of one bundle of random tokens."""
    draw = random.Random(0)
    lengths = [shared, *[BRANCH] * n_branches]
    ids = [draw.randrange(1000, 40_000) for _ in range(sum(lengths))]
    labels = [IGNORED] * shared + ([IGNORED] * (BRANCH - TARGET) + [1] * TARGET) * n_branches
    labels = [token if label != IGNORED else IGNORED for token, label in zip(ids, labels, strict=True)]
    return Collator()([{"input_ids": ids, "labels": labels, "seq_lengths": lengths}])


def adapted(folder: str, dtype: torch.dtype) -> torch.nn.Module:
    """Return the model with a fresh adapter, as the recipes have it."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=branches.ATTENTION)
    return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))


def step(model: torch.nn.Module, way: torch.nn.Module | Layers, batch: TensorBatch) -> float:
    """Run forward and backward once; return the seconds."""
    started = perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        loss = target_nll(way, batch).per_row().sum()
    torch.autograd.backward(loss)
    seconds = perf_counter() - started
    model.zero_grad()
    return seconds


def measured(
    make: Callable[[], tuple[torch.nn.Module, torch.nn.Module | Layers]], batch: TensorBatch, rounds: int
) -> float:
    """Return the median seconds of a step after one that warms up."""
    model, way = make()
    step(model, way, batch)
    seconds = median(step(model, way, batch) for _ in range(rounds))
    del model, way
    gc.collect()
    return seconds


def main() -> None:
    """Run what the command line asks for and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", help="a named model or a folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shared", type=int, default=850)
    parser.add_argument("--branches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    hush()
    branches.register()
    batch, folder = bundle(chosen.shared, chosen.branches), str(locate(chosen.model))

    def by_peft(dtype: torch.dtype) -> tuple[torch.nn.Module, torch.nn.Module]:
        model = adapted(folder, dtype)
        return model, model

    def by_layers() -> tuple[torch.nn.Module, Layers]:
        model = adapted(folder, torch.bfloat16)
        return model, Layers(model, torch.bfloat16)

    n_tokens = batch["input_ids"].numel()
    ways: dict[str, Callable[[], tuple[torch.nn.Module, torch.nn.Module | Layers]]] = {
        "peft, float32": lambda: by_peft(torch.float32),
        "peft, bfloat16": lambda: by_peft(torch.bfloat16),
        "layers, bfloat16": by_layers,
    }
    seconds = {name: measured(make, batch, chosen.rounds) for name, make in ways.items()}
    print(
        json.dumps(
            {"tokens": n_tokens, "tokens_per_s": {n: round(n_tokens / s, 1) for n, s in seconds.items()}}
        )
    )


if __name__ == "__main__":
    main()
