"""Attention of rows that share their beginning, with its gradient, for `layers.py`.

Queries go in blocks whose scores fit the processor's cache; nothing is computed for keys that a whole block
does not see. Probabilities are kept for the gradient in 16 bits: computing them again would cost a fifth of
attention, keeping them costs 20 MB a layer for a row of 1,200 tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..model.engine.blocks import apply_rope

Context = Any
"""What autograd keeps between a step and its gradient."""

QUERIES = 128
"""Queries in a block: the scores of 14 heads before 850 keys are 6 MB then."""


class Attended(Function):
    """What attention gathers for each token, from queries, keys and values side by side."""

    @staticmethod
    def forward(
        ctx: Context,
        states: Tensor,
        cos: Tensor,
        sin: Tensor,
        lengths: Sequence[Sequence[int]],
        n_heads: int,
        size: int,
        scale: float,
    ) -> Tensor:
        """Return (tokens, heads * size) for `states` (tokens, (heads + 2 key-value heads) * size)."""
        query, key, value = _split(states, cos, sin, n_heads, size, scale)
        seen = query.new_empty(query.shape, dtype=states.dtype)
        kept = []
        for own, pasts in blocks(lengths):
            keys, values = (torch.cat([part[:, past] for past in pasts], dim=1) for part in (key, value))
            weights = _scores(query[:, :, own], keys, own).softmax(dim=-1).to(states.dtype)
            seen[:, :, own] = _product(weights, values)
            kept.append(weights)
        dtype = states.dtype
        ctx.save_for_backward(query.to(dtype), key.to(dtype), value, cos, sin, seen, *kept)
        ctx.lengths, ctx.scale = lengths, scale
        return _rows(seen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the states."""
        query, key, value, cos, sin, seen, *kept = ctx.saved_tensors
        grad = _heads(grad, *key.shape[::2])
        along = (grad * seen).sum(dim=-1, keepdim=True, dtype=torch.float32)
        query_grad = torch.empty_like(query)
        key_grad, value_grad = (torch.zeros_like(part, dtype=torch.float32) for part in (key, value))
        for (own, pasts), weights in zip(blocks(ctx.lengths), kept, strict=True):
            keys, values = (torch.cat([part[:, past] for past in pasts], dim=1) for part in (key, value))
            score_grad = _product(grad[:, :, own], values.transpose(1, 2)).float()
            score_grad = score_grad.sub_(along[:, :, own]).mul_(weights).to(query.dtype)
            query_grad[:, :, own] = _product(score_grad, keys)
            _spread(key_grad, pasts, score_grad, query[:, :, own])
            _spread(value_grad, pasts, weights, grad[:, :, own])
        back = cos, -sin
        turned = apply_rope(query_grad.float(), back).mul_(ctx.scale), apply_rope(key_grad, back), value_grad
        rows = torch.cat([_rows(part.to(query.dtype)) for part in turned], dim=1)
        return rows, None, None, None, None, None, None


def blocks(lengths: Sequence[Sequence[int]]) -> Iterator[tuple[slice, list[slice]]]:
    """Yield every block of queries and what they see, its own tokens last.

    Queries see all of it but those of the block that come after them.
    """
    start = 0
    for shared, *branches in lengths:
        yield from (
            (slice(at, stop), [slice(start, stop)])
            for at in range(start, start + shared, QUERIES)
            for stop in (min(at + QUERIES, start + shared),)
        )
        at = start + shared
        for n in branches:
            for own in range(at, at + n, QUERIES):
                stop = min(own + QUERIES, at + n)
                past = [slice(start, start + shared)] if shared else []
                yield slice(own, stop), [*past, slice(at, stop)]
            at += n
        start = at


def _split(
    states: Tensor, cos: Tensor, sin: Tensor, n_heads: int, size: int, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, scaled, (groups, heads of a group, tokens, size), and keys and values, without heads.

    Places are turned into queries and keys (RoPE), which are float32: scores of 16 bits would round
    probabilities by more than the weights' own rounding does.
    """
    n_groups = (states.shape[1] // size - n_heads) // 2
    query, key, value = torch.split(states, [n_heads * size, n_groups * size, n_groups * size], dim=1)
    turned = apply_rope(_heads(query.float(), n_groups, size), (cos, sin)).mul_(scale)
    keys = apply_rope(_heads(key.float(), n_groups, size)[:, 0], (cos, sin))
    return turned, keys, _heads(value, n_groups, size)[:, 0]


def _heads(rows: Tensor, n_groups: int, size: int) -> Tensor:
    """Return rows as (groups, heads of a group, tokens, size)."""
    return rows.view(len(rows), n_groups, -1, size).permute(1, 2, 0, 3).contiguous()


def _rows(heads: Tensor) -> Tensor:
    """Return what has a tokens axis before its last one as rows, (tokens, all the rest)."""
    return heads.movedim(-2, 0).reshape(heads.shape[-2], -1)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return left @ right, (groups, heads, n, m) by (groups, m, size): heads of a group share their keys."""
    return (left.flatten(1, 2) @ right).view(*left.shape[:3], right.shape[-1])


def _spread(whole: Tensor, pasts: Sequence[slice], left: Tensor, right: Tensor) -> None:
    """Add to each key (or value) what all queries of a block, over the heads that share it, give to it."""
    share = left.flatten(1, 2).transpose(1, 2) @ right.flatten(1, 2)
    start = 0
    for past in pasts:
        stop = start + past.stop - past.start
        whole[:, past] += share[:, start:stop]
        start = stop


def _scores(query: Tensor, keys: Tensor, own: slice) -> Tensor:
    """Return scores in float32, (groups, heads, queries, keys), -inf where a key comes after its query."""
    scores = _product(query, keys.transpose(1, 2))
    n = own.stop - own.start
    hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
    scores[..., -n:].masked_fill_(hidden, float("-inf"))
    return scores
