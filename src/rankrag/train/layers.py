"""The Llama family's layers for training an adapter on a CPU: the same numbers with less work.

Under peft and autocast a step of a 0.5B model spends a third of its time between the products of its frozen
weights: every projection makes two thin products of its own, copies its input and output to other number
formats, and keeps what its gradient needs several times. Here projections of one input are one product,
their low-rank updates are added in place, and each step keeps only what its gradient reads. Weights that
are trained stay peft's, in float32: optimiser, states and checkpoints know nothing of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..model.engine.blocks import has_llama_parts
from .attend import Attended, Context

Module = Any
"""A torch module whose parts are reached by name."""

ADAPTER = "default"
"""The name under which peft keeps the adapter that is trained."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Linear layers that read the same input, as one: their frozen weights in one matrix, and their adapters.

    `weight` has shape (all outputs, inputs), `bias` (all outputs,); an adapter is a pair of weights, (rank,
    inputs) and (outputs, rank), whose product times `scale` is added to the layer's weight.
    """

    weight: Tensor
    bias: Tensor | None
    adapters: tuple[Tensor, ...]
    scale: float

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return the outputs side by side, (tokens, all outputs), for inputs of shape (tokens, inputs)."""
        projected: Tensor = _Projected.apply(hidden, self.weight, self.bias, self.scale, *self.adapters)  # type: ignore[no-untyped-call]
        return projected


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """One block of the model: two norms (weight and epsilon) and its four joint projections."""

    norm: tuple[Tensor, float]
    attention: Projection
    output: Projection
    inner_norm: tuple[Tensor, float]
    gate_up: Projection
    down: Projection
    head_size: int
    n_heads: int
    scaling: float


class Layers:
    """A frozen model of the Llama family with an adapter on every projection, ready to be trained on a CPU.

    Frozen weights are taken over in `dtype`; the model's own become views of them, so memory holds them once.
    """

    def __init__(self, model: torch.nn.Module, dtype: torch.dtype) -> None:
        causal: Module = _causal(model)
        self._body, self._head = causal.model, causal.lm_head
        self._dtype = dtype
        self._layers = [_layer(block, dtype) for block in self._body.layers]
        self._head.weight.data = self._head.weight.data.to(dtype)  # a tied embedding is the same parameter

    def logits(self, ids: Tensor, places: Tensor, lengths: Sequence[Sequence[int]], at: Tensor) -> Tensor:
        """Return logits in float32, shape (len(at), vocabulary), of the tokens `at`.

        `ids` and `places` (each token's position in its own row) have shape (tokens,); items stand one after
        the other without padding, each with the `lengths` of what its rows share and of their branches.
        """
        with torch.autocast("cpu", enabled=False):  # number formats are settled here, step by step
            return self._logits(ids, places, lengths, at)

    def _logits(self, ids: Tensor, places: Tensor, lengths: Sequence[Sequence[int]], at: Tensor) -> Tensor:
        hidden = self._body.embed_tokens(ids).detach().float()
        cos, sin = (part[0].float() for part in self._body.rotary_emb(hidden[None], places[None]))
        turn = cos, sin
        *layers, last = self._layers
        for layer in layers:
            hidden = self._block(layer, hidden, turn, lengths, None)
        hidden = self._block(last, hidden, turn, lengths, at)  # later steps treat tokens alone
        normed = _normed(hidden, (self._body.norm.weight, self._body.norm.variance_epsilon), self._dtype)
        return torch.nn.functional.linear(normed, self._head.weight).float()

    def _block(
        self,
        layer: DecoderLayer,
        hidden: Tensor,
        turn: tuple[Tensor, Tensor],
        lengths: Sequence[Sequence[int]],
        at: Tensor | None,
    ) -> Tensor:
        """Return the output of a block, (tokens, width), or of the tokens `at` alone."""
        states = layer.attention(_normed(hidden, layer.norm, self._dtype))
        seen: Tensor = Attended.apply(states, *turn, lengths, layer.n_heads, layer.head_size, layer.scaling)  # type: ignore[no-untyped-call]
        if at is not None:
            hidden, seen = hidden[at], seen[at]
        hidden = hidden + layer.output(seen)
        inner = layer.gate_up(_normed(hidden, layer.inner_norm, self._dtype))
        gated: Tensor = _Gated.apply(inner)  # type: ignore[no-untyped-call]
        return hidden + layer.down(gated)


KNOWN = frozenset({"llama", "mistral", "qwen2"})
"""Architectures that put their parts together as `Layers` does; Granite and SmolLM3 have the same parts."""


def can_train(model: torch.nn.Module, max_length: int) -> bool:
    """Say whether `Layers` computes what a model does for rows of so many tokens.

    That is so on a CPU, for the `KNOWN` architectures, where all that is trained is an adapter on every
    projection.
    """
    causal = _causal(model)
    if causal is None or causal.device.type != "cpu" or not has_llama_parts(causal):
        return False
    config = causal.config
    if config.model_type not in KNOWN or config.hidden_act != "silu" or _window(config) < max_length:
        return False
    projections = [part for block in causal.model.layers for part in _projections(block)]
    trained = sum(p.requires_grad for p in model.parameters())
    # Projections of one input are computed as one, with one scale.
    alike = {(part.scaling.get(ADAPTER), part.r.get(ADAPTER)) for part in projections if _is_adapted(part)}
    return (
        all(_is_adapted(part) for part in projections) and trained == 2 * len(projections) and len(alike) == 1
    )


def _window(config: Module) -> int:
    """Return the tokens that a token sees at most."""
    windows = getattr(config, "layer_types", None) is None or "sliding_attention" in config.layer_types
    limit = getattr(config, "sliding_window", None) if windows else None
    return int(limit or config.max_position_embeddings)


def _causal(model: torch.nn.Module) -> Module | None:
    """Return the causal language model under peft's wrapper; None where there is no adapter."""
    from peft import PeftModel

    inner: Module = getattr(model, "module", model)
    return inner.get_base_model() if isinstance(inner, PeftModel) else None


def _projections(block: Module) -> Iterator[Module]:
    attention, mlp = block.self_attn, block.mlp
    yield from (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    yield from (mlp.gate_proj, mlp.up_proj, mlp.down_proj)


def _is_adapted(layer: Module) -> bool:
    """Say whether a layer is a linear one with one low-rank update: no dropout, no variant of it."""
    from peft.tuners.lora import Linear

    return (
        type(layer) is Linear
        and type(layer.base_layer) is torch.nn.Linear
        and list(layer.active_adapters) == [ADAPTER]
        and not layer.merged
        and not layer.lora_variant
        and isinstance(layer.lora_dropout[ADAPTER], torch.nn.Identity)
        and layer.lora_B[ADAPTER].bias is None
    )


def _layer(block: Module, dtype: torch.dtype) -> DecoderLayer:
    attention, mlp = block.self_attn, block.mlp
    first, second = block.input_layernorm, block.post_attention_layernorm
    return DecoderLayer(
        norm=(first.weight, first.variance_epsilon),
        attention=_projection((attention.q_proj, attention.k_proj, attention.v_proj), dtype),
        output=_projection((attention.o_proj,), dtype),
        inner_norm=(second.weight, second.variance_epsilon),
        gate_up=_projection((mlp.gate_proj, mlp.up_proj), dtype),
        down=_projection((mlp.down_proj,), dtype),
        head_size=attention.head_dim,
        n_heads=attention.q_proj.out_features // attention.head_dim,
        scaling=attention.scaling,
    )


def _projection(layers: Sequence[Module], dtype: torch.dtype) -> Projection:
    """Join layers that read one input; their own weights become views of the joint ones."""
    bases = [layer.base_layer for layer in layers]
    weight = torch.cat([base.weight.data.to(dtype) for base in bases])
    for base, part in zip(bases, torch.split(weight, [base.out_features for base in bases]), strict=True):
        base.weight.data = part
    biases = [base.bias for base in bases]
    bias = torch.cat([b.data.to(dtype) for b in biases]) if all(b is not None for b in biases) else None
    pairs = [(layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight) for layer in layers]
    return Projection(weight, bias, tuple(w for pair in pairs for w in pair), layers[0].scaling[ADAPTER])


# ── steps and their gradients ────────────────────────────────────────────────────────────────────────


def _normed(hidden: Tensor, norm: tuple[Tensor, float], dtype: torch.dtype) -> Tensor:
    normed: Tensor = _Normed.apply(hidden, *norm, dtype)  # type: ignore[no-untyped-call]
    return normed


class _Normed(Function):
    """x / sqrt(mean(x²) + eps) · weight over the last axis, in float32, given in another number format."""

    @staticmethod
    def forward(ctx: Context, hidden: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        mean = norm.square_().div_(hidden.shape[-1])
        inverse = mean.add_(epsilon).rsqrt_()
        ctx.save_for_backward(hidden, weight, inverse)
        normed: Tensor = (hidden * inverse).mul_(weight)
        return normed.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, inverse = ctx.saved_tensors
        weighted = grad.float().mul_(weight)
        along = (weighted * hidden).mean(dim=-1, keepdim=True).mul_(inverse.pow(3))
        return weighted.mul_(inverse).addcmul_(hidden, along, value=-1), None, None, None


class _Projected(Function):
    """x Wᵀ + b, and for each part of the outputs s (x Aᵀ) Bᵀ; gradients of x, A and B, since W is frozen."""

    @staticmethod
    def forward(
        ctx: Context, hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, *adapters: Tensor
    ) -> Tensor:
        ups = adapters[1::2]
        down = torch.cat(adapters[::2]).to(hidden.dtype)
        low = hidden @ down.t()
        projected = torch.nn.functional.linear(hidden, weight, bias)
        for part, few, up in _parts(projected, low, ups):
            part.addmm_(few, up.t().to(hidden.dtype), alpha=scale)
        ctx.save_for_backward(hidden, weight, low, down, *ups)
        ctx.scale = scale
        return projected

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, low, down, *ups = ctx.saved_tensors
        low_grad = torch.empty_like(low)
        up_grads = []
        for (part, few, up), few_grad in zip(
            _parts(grad, low, ups), low_grad.chunk(len(ups), dim=1), strict=True
        ):
            up_grads.append((part.t() @ few).float().mul_(ctx.scale))
            few_grad.copy_(part @ up.to(grad.dtype)).mul_(ctx.scale)
        down_grads = (low_grad.t() @ hidden).float().chunk(len(ups))
        wanted = ctx.needs_input_grad[0]  # not of the first layer's: embeddings are frozen
        hidden_grad = (grad @ weight).addmm_(low_grad, down) if wanted else None
        return (
            hidden_grad,
            None,
            None,
            None,
            *(g for pair in zip(down_grads, up_grads, strict=True) for g in pair),
        )


def _parts(outputs: Tensor, low: Tensor, ups: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield for each adapter its share of the outputs, its low-rank values and its second weight."""
    shares = torch.split(outputs, [len(up) for up in ups], dim=1)
    yield from zip(shares, low.chunk(len(ups), dim=1), ups, strict=True)


class _Gated(Function):
    """silu(gate) · up, of the two halves of each row."""

    @staticmethod
    def forward(ctx: Context, inner: Tensor) -> Tensor:
        gate, up = inner.chunk(2, dim=1)
        ctx.save_for_backward(inner)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Tensor:
        (inner,) = ctx.saved_tensors
        gate, up = inner.chunk(2, dim=1)
        both = torch.empty_like(inner)
        gate_grad, up_grad = both.chunk(2, dim=1)
        torch.mul(torch.nn.functional.silu(gate), grad, out=up_grad)
        gate_grad.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return both
