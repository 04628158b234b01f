"""Attention of bundles on a CPU: what a mask would hide is not computed.

A bundle of 940 shared tokens and sixteen branches of 35 has 2.25 million pairs of tokens, of which 0.98
million see each other; CPU kernels compute all that a mask covers, and then hide it. Here the shared tokens
attend to themselves, and each branch to them and itself. Accelerators have kernels for masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..model.engine.packed import KNOWN_ARGUMENTS

if TYPE_CHECKING:
    from torch import Tensor

ATTENTION = "rankrag_branches"
"""Name under which transformers finds our attention."""


@dataclass(frozen=True, slots=True)
class Branches:
    """Who sees whom in a batch: of each item the number of shared tokens, then of those of each branch."""

    lengths: Sequence[Sequence[int]]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Return the output, (items, tokens, heads, head size), zero where an item is padded.

        The shapes are (items, heads, tokens, head size), of `key` and `value` with a divisor of the heads.
        """
        import torch

        rows = []
        for item, lengths in enumerate(self.lengths):
            row = _attend_item(query[item], key[item], value[item], lengths, scale)
            rows.append(torch.nn.functional.pad(row, (0, 0, 0, query.shape[2] - row.shape[1])))
        return torch.stack(rows).transpose(1, 2)


def register() -> None:
    """Make our attention known to transformers. Doing it again changes nothing."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention_interface)


def _attention_interface(
    module: object,  # noqa: ARG001  # the interface's own signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    **arguments: object,
) -> tuple[Tensor, None]:
    """Attend as the `layout` among the arguments says; shapes are those of transformers' interface."""
    layout, scale = arguments.pop("layout", None), arguments.pop("scaling", None)
    window, dropout = arguments.get("sliding_window"), arguments.get("dropout")
    asked = [n for n, v in arguments.items() if not (v is None or v is False) and n not in KNOWN_ARGUMENTS]
    asked += ["dropout"] if dropout else []
    asked += ["sliding_window"] if isinstance(window, int) and window < query.shape[2] else []
    if not isinstance(layout, Branches) or asked:
        raise InvalidInputError(
            f"found attention with {', '.join(asked) or 'no layout'}, wanted none of it for rows that share "
            "prefixes: set attn_implementation: sdpa, which hides by a mask"
        )
    factor = float(scale) if isinstance(scale, float) else query.shape[-1] ** -0.5
    return layout.attend(query, key, value, factor), None


def _attend_item(query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], scale: float) -> Tensor:
    """Return the output of one item, (heads, tokens, head size), without its padding."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    shared, *branches = lengths
    stop = shared or branches.pop(0)  # a row that shares nothing is all its own past
    q, k, v = (part[None, :, :stop] for part in (query, key, value))
    outputs = [scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)[0]]
    for n in branches:
        start, stop = stop, stop + n
        k, v = (torch.cat([part[:, :shared], part[:, start:stop]], dim=1) for part in (key, value))
        outputs.append(_attend_branch(query[:, start:stop], k, v, scale))
    return torch.cat(outputs, dim=1)


def _attend_branch(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Return the output for queries that are the last of the keys, each of which sees those before it.

    Products of matrices are faster here than the kernel, which wants a mask: the heads that share keys are
    one matrix, and half precision is used as it is.
    """
    import torch

    heads, n, size = query.shape
    groups, seen = key.shape[:2]
    scores = (query * scale).reshape(groups, -1, size) @ key.transpose(1, 2)
    hidden = torch.ones(n, seen, dtype=torch.bool, device=query.device).triu(seen - n + 1)
    scores = scores.view(heads, n, seen).masked_fill(hidden, float("-inf"))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    return (weights.view(groups, -1, seen) @ value).reshape(heads, n, size)
