"""What a GPU gives: passages ranked and tokens trained a second, and the share of its rate that this is.

    python benchmarks/speed/gpu.py                      # 135M and 8B, both with random weights
    python benchmarks/speed/gpu.py --sizes tiny         # a rehearsal, which also runs on a CPU

Ranking is of `--passages` prompts of about 200 tokens that begin alike: by transformers in padded batches,
by the engine with nothing remembered (cold), and with the states of every passage (warm). Training is a loop
of forward, backward and AdamW over full rows, by LoRA as the recipes of the small model have it and, where it
fits, of all weights as the paper's. Useful work is two operations a weight and token that has to be read,
twice that for a backward pass (once where the weights stay as they are); attention is not counted. The
rate is that of matrix products of the model's own shapes, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from limits import Model, body_weights, matmul_rate
from rankrag.model.engine.network import Network
from rankrag.model.engine.prefix_cache import PrefixCache
from rankrag.model.engine.scorer import PromptTokens, Scorer

if TYPE_CHECKING:
    import torch

CACHE_BYTES = 40 << 30
CHUNK_TOKENS = 16384
LABELS = (5, 6)
_COMMON = 55
"""Tokens that all prompts begin with."""


@dataclass(frozen=True)
class Size:
    """An architecture, and how it is trained: tokens of a row, rows of a step, all weights or LoRA alone."""

    layers: int
    hidden: int
    inner: int
    heads: int
    key_heads: int
    vocabulary: int
    row_tokens: int
    batch: int
    full: bool

    @property
    def recompute(self) -> bool:
        """Whether activations are computed again in the backward pass, as the recipes of large models do."""
        return not self.full


SIZES = {
    "tiny": Size(2, 64, 128, 4, 2, 512, 64, 2, full=True),
    "135m": Size(30, 576, 1536, 9, 3, 49152, 1024, 32, full=True),
    "8b": Size(32, 4096, 14336, 32, 8, 128256, 4096, 1, full=False),
}


def main() -> None:
    """Measure every size and print one line of JSON for each."""
    import torch

    options = _arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"torch {torch.__version__} on {_name(device)}", flush=True)
    for name in options.sizes.split(","):
        size = SIZES[name]
        model = _model(size, device)
        rate = matmul_rate(model, CHUNK_TOKENS)
        found = {"size": name, "device": _name(device), "matmul_tflops": rate / 1e12}
        found["ranking"] = _ranking(model, size, options.passages, options.repeat, rate)
        found["training"] = _training(model, size, options.repeat, rate)
        print(json.dumps(found), flush=True)


def _model(size: Size, device: torch.device) -> Model:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_heads,
        max_position_embeddings=8192,
        dtype=torch.bfloat16,
    )
    torch.manual_seed(1)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            model = LlamaForCausalLM(config).train(mode=False)
    finally:
        torch.set_default_dtype(default)
    model.set_attn_implementation("sdpa")
    return model


def _ranking(model: Model, size: Size, n_passages: int, repeat: int, rate: float) -> dict[str, Any]:
    import torch

    rows = _rows(n_passages, size.vocabulary)
    with torch.inference_mode():
        wanted = _padded(model, rows).cpu()
        padded_s = _seconds(partial(_padded, model, rows), repeat, model.device)
    # From here on the model's attention is the engine's.
    scorer = Scorer(Network(model), PrefixCache(CACHE_BYTES), CHUNK_TOKENS)
    asked = [PromptTokens(row.prefix, row.suffix[::-1]) for row in rows]
    head = model.get_output_embeddings().weight.numel()
    whole = sum(len(row.prefix) + len(row.suffix) for row in rows)
    common = _COMMON * (len(rows) - 1)
    read = {"padded": whole, "cold": whole - common, "warm": sum(len(row.suffix) for row in rows)}

    def cold() -> None:
        scorer.cache.clear()
        scorer.score(rows, LABELS)

    ways: dict[str, Callable[[], object]] = {"cold": cold, "warm": lambda: scorer.score(asked, LABELS)}
    found: dict[str, Any] = {}
    with torch.inference_mode():
        seconds = {way: _seconds(work, repeat, model.device) for way, work in ways.items()}
        difference = float((wanted - scorer.score(rows, LABELS)[0]).abs().max())
    for way, took in {"padded": padded_s, **seconds}.items():
        useful = 2.0 * (body_weights(model) * read[way] + head * len(rows)) / took
        found[way] = {
            "passages_per_second": len(rows) / took,
            "tflops": useful / 1e12,
            "of_rate": useful / rate,
        }
    return {**found, "largest_difference": difference}


def _rows(n_rows: int, vocabulary: int) -> list[PromptTokens]:
    """Return prompts that begin alike, then have a passage of 100 to 180 tokens and a question of 20."""
    draw = random.Random(1)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(10, vocabulary) for _ in range(count))

    common, question = tokens(_COMMON), tokens(20)
    return [PromptTokens(common + tokens(draw.randint(100, 180)), question) for _ in range(n_rows)]


def _padded(model: Model, rows: Sequence[PromptTokens]) -> torch.Tensor:
    """Return the labels' log-probabilities by transformers' own pass, rows padded on the left."""
    import torch

    whole = [(list(row.prefix + row.suffix), number) for number, row in enumerate(rows)]
    whole.sort(key=lambda pair: len(pair[0]))
    size = max(1, CHUNK_TOKENS // len(whole[-1][0]))
    found = torch.empty(len(rows), len(LABELS), device=model.device)
    for first in range(0, len(whole), size):
        part = whole[first : first + size]
        length = len(part[-1][0])
        ids = torch.tensor([[0] * (length - len(row)) + row for row, _ in part], device=model.device)
        mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row, _ in part])
        places = (mask.cumsum(1) - 1).clamp(min=0).to(model.device)
        output = model(
            input_ids=ids, attention_mask=mask.to(model.device), position_ids=places, logits_to_keep=1
        )
        logprobs = output.logits[:, -1].float().log_softmax(-1)
        found[[number for _, number in part]] = logprobs[:, list(LABELS)]
    return found


def _training(model: Model, size: Size, repeat: int, rate: float) -> dict[str, Any]:
    """Return tokens trained a second: of all weights where the size says so, then by LoRA."""
    import torch
    from peft import LoraConfig, get_peft_model

    model.set_attn_implementation("sdpa")
    weights = body_weights(model) + model.get_output_embeddings().weight.numel()
    found: dict[str, Any] = {}
    if size.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    if size.full:
        found["full"] = _trained(model, size, repeat, 6.0 * weights, rate)
    lora = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    found["lora"] = _trained(lora, size, repeat, 4.0 * weights, rate)
    if torch.cuda.is_available():
        found["peak_gib"] = torch.cuda.max_memory_allocated() / (1 << 30)
    return found


def _trained(model: Model, size: Size, repeat: int, work: float, rate: float) -> dict[str, float]:
    import torch

    model.train()
    device = next(model.parameters()).device
    ids = torch.randint(10, size.vocabulary, (size.batch, size.row_tokens), device=device)
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-5)

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = _seconds(step, repeat, device)
    per_second = ids.numel() / seconds
    return {"tokens_per_second": per_second, "of_rate": work * per_second / rate}


def _seconds(work: Callable[[], object], repeat: int, device: torch.device) -> float:
    """Return the median seconds of some runs after one that warms up."""
    import torch

    found = []
    for _ in range(repeat + 1):
        started = perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(perf_counter() - started)
    return median(found[1:])


def _name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name() if device.type == "cuda" else "a CPU"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default="135m,8b", help=f"some of {', '.join(SIZES)}, with commas")
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
