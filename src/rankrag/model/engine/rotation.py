"""Turn a model's hidden states by a random rotation, which changes nothing but who carries what.

A few channels of a language model are hundreds of times as large as the others, and eight bits a token
cannot hold both. After a rotation every channel is a mixture of all, so the largest is little larger than
the rest. The network computes the same function, since each matrix that reads or writes the turned states
is turned as well (R1 and R2 of SpinQuant, arXiv 2405.16406; QuaRot, arXiv 2404.00456). No data is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Module = Any
"""A torch module whose parts are reached by name."""

SEED = 0

_ROWS = 8192


def rotate(model: PreTrainedModel) -> None:
    """Rotate, in place, a model whose blocks compute what `blocks.logits` does; its embeddings are untied.

    Hidden states are turned by one matrix for all (R1), the values of each head by another (R2). The weights
    of the norms that come before a product move into it, since scaling channels and turning do not commute.
    """
    import torch

    body: Any = model.model
    draw = torch.Generator().manual_seed(SEED)
    hidden = _rotation(body.embed_tokens.weight.shape[1], draw)
    with torch.no_grad():
        # The head first: where it is tied it still has to be read from the embeddings as they were.
        head = (body.embed_tokens if model.config.tie_word_embeddings else model.lm_head).weight
        model.lm_head.weight = torch.nn.Parameter(_turned_in(head, body.norm, hidden), requires_grad=False)
        model.config.tie_word_embeddings = False
        body.embed_tokens.weight.data = _turned_in(body.embed_tokens.weight, None, hidden)
        body.norm.weight.fill_(1.0)
        for block in body.layers:
            _rotate_block(block, hidden, _rotation(block.self_attn.head_dim, draw))


def _rotate_block(block: Module, hidden: torch.Tensor, head: torch.Tensor) -> None:
    attention, mlp = block.self_attn, block.mlp
    _read_turned(block.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj), hidden)
    _read_turned(block.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj), hidden)
    _write_turned(attention.v_proj, head)
    read = attention.o_proj.weight
    read.data = (read.double().unflatten(1, (-1, head.shape[0])) @ head).flatten(1).to(read.dtype)
    _write_turned(attention.o_proj, hidden)
    _write_turned(mlp.down_proj, hidden)


def _read_turned(norm: Module, layers: Sequence[Module], rotation: torch.Tensor) -> None:
    """Let layers read turned states, and take over the weights of the norm before them."""
    for layer in layers:
        layer.weight.data = _turned_in(layer.weight, norm, rotation)
    norm.weight.fill_(1.0)


def _turned_in(weight: torch.Tensor, norm: Module | None, rotation: torch.Tensor) -> torch.Tensor:
    import torch

    # A vocabulary of 151,936 in float64 takes 1.1 GB, and the product as much again: some rows at a time.
    turned = torch.empty_like(weight)
    for start in range(0, len(weight), _ROWS):
        wide = weight[start : start + _ROWS].double()
        turned[start : start + _ROWS] = (wide if norm is None else wide * norm.weight.double()) @ rotation
    return turned


def _write_turned(layer: Module, rotation: torch.Tensor) -> None:
    """Let a layer write turned: all of its outputs, or those of each head where the rotation is smaller."""
    for part in (layer.weight, layer.bias):
        if part is not None:
            rows = part.data.double().reshape(-1, rotation.shape[0], part[0].numel())
            part.data = (rotation.T @ rows).reshape(part.shape).to(part.dtype)


def _rotation(size: int, draw: torch.Generator) -> torch.Tensor:
    """Return a random orthogonal matrix, float64."""
    import torch

    found: torch.Tensor = torch.linalg.qr(torch.randn(size, size, generator=draw, dtype=torch.float64))[0]
    return found
