"""What a machine could do at best with a model's own weights, and what the timings share.

Rates are measured where they are used, in the same run as what they are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

from rankrag.formats import read_passages
from rankrag.types import Passage

Model = Any
"""A transformers model, whose parts are reached by name."""

PROBE_TOKENS = 1024


def timed(work: Callable[[], Any], clock: Callable[[], float] = perf_counter) -> tuple[Any, float]:
    """Return what the work returns, and the seconds that it took."""
    started = clock()
    found = work()
    return found, clock() - started


def linear_layers(model: Model) -> list[Any]:
    """Return the layers that are products with weights, the vocabulary's among them."""
    import torch

    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)]


def body_weights(model: Model) -> int:
    """Return the number of weights that every token is multiplied with: all but the vocabulary's."""
    head = model.get_output_embeddings()
    return sum(layer.weight.numel() for layer in linear_layers(model) if layer is not head)


def matmul_rate(
    model: Model, n_tokens: int = PROBE_TOKENS, clock: Callable[[], float] = perf_counter
) -> float:
    """Return operations a second of matrix products of `n_tokens` with the model's own shapes, a median."""
    import torch

    head = model.get_output_embeddings()
    shapes = {tuple(layer.weight.shape): layer.weight for layer in linear_layers(model) if layer is not head}
    inputs = {
        shape: torch.randn(n_tokens, shape[1], dtype=w.dtype, device=w.device) for shape, w in shapes.items()
    }
    work = 2.0 * n_tokens * sum(weight.numel() for weight in shapes.values())

    def products() -> None:
        for shape, weight in shapes.items():
            torch.nn.functional.linear(inputs[shape], weight)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    products()
    return float(work / median(timed(products, clock)[1] for _ in range(10)))


def reading_s(model: Model) -> float:
    """Return the seconds that one token takes at best: every weight read once, as a product with a vector."""
    import torch

    layers = [layer.weight for layer in linear_layers(model)]
    inputs = {w.shape[1]: torch.randn(1, w.shape[1], dtype=w.dtype, device=w.device) for w in layers}

    def products() -> None:
        for weight in layers:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    products()
    return float(median(timed(products)[1] for _ in range(10)))


def passages_of(path: str | None) -> Iterator[Passage]:
    """Yield the passages of a file; without one, Python's own reference in pieces of 100 words."""
    if path is not None:
        yield from read_passages(path)
        return
    from pydoc_data.topics import topics

    for name, text in topics.items():
        words = text.split()
        for first in range(0, len(words) - 50, 100):
            yield Passage(f"{name}:{first}", " ".join(words[first : first + 100]))
