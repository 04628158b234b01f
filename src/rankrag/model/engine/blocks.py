"""A pass through the blocks of the Llama family that moves less memory than transformers' own.

On a CPU a quarter of the time of transformers' forward pass goes into steps between the matrix products
(one normalisation of 1,024 tokens takes 3.4 ms where 0.5 ms is enough). Here layers of one input are one
product, the steps between are done in place and in float32 whatever the weights are, and after the last
attention only the tokens that are asked for go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from .packed import Layout
    from .rotation import Rotation

Module = Any
"""A torch module whose parts are reached by name."""

KNOWN = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Architectures that put their parts together as Llama does; others may have the same parts."""

_MODEL = {"embed_tokens", "layers", "norm", "rotary_emb"}
_BLOCK = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}

_CLOSE = 64
"""Most likely tokens whose logits are computed again in float32, where the vocabulary is one of 16 bits."""


def is_llama_like(model: PreTrainedModel) -> bool:
    """Return whether `Blocks` can take a model: the parts of Llama, Mistral, Qwen2 or Qwen3, and no others.

    Equal parts can still be put together differently, so the caller compares the results as well; in 16 bits,
    where that shows less, the architecture has to be known, and the device a CPU.
    """
    import torch

    if model.dtype != torch.float32 and (
        model.dtype != torch.bfloat16 or model.device.type != "cpu" or model.config.model_type not in KNOWN
    ):
        return False
    return has_llama_parts(model)


def has_llama_parts(model: PreTrainedModel) -> bool:
    """Return whether a model has the parts of Llama, Mistral, Qwen2 or Qwen3, and no others."""
    body = getattr(model, "model", None)
    if body is None or _parts(model) != {"model", "lm_head"}:
        return False
    return _parts(body) == _MODEL and all(
        _parts(block) == _BLOCK
        and _parts(block.self_attn) in (_ATTENTION, _ATTENTION | _HEAD_NORMS)
        and _parts(block.mlp) == _MLP
        for block in body.layers
    )


class Block(Protocol):
    """The products of a block, around its attention."""

    def states(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return queries, keys and values side by side, (tokens, all of them), for (tokens, width)."""

    def finish(self, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return `hidden` with all that follows attention added in place; `seen` is what that gathered."""


@dataclass(frozen=True, slots=True)
class Norm:
    """x / sqrt(mean(x²) + eps) · weight over the last axis; without a weight it is 1."""

    weight: torch.Tensor | None
    epsilon: float

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the normalised states, float32."""
        normed = hidden * self.factor(hidden)
        return normed if self.weight is None else normed.mul_(self.weight)

    def factor(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return 1 / sqrt(mean(x²) + eps), (tokens, 1)."""
        from torch.linalg import vector_norm

        mean = vector_norm(hidden, dim=-1, keepdim=True).square_().div_(hidden.shape[-1])
        factor: torch.Tensor = mean.add_(self.epsilon).rsqrt_()
        return factor


@dataclass(frozen=True, slots=True)
class Joint:
    """Linear layers of one input as one: weight (all outputs, inputs) and bias (all outputs,)."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the outputs side by side, in the numbers of the weights."""
        from torch.nn.functional import linear

        return linear(rows.to(self.weight.dtype), self.weight, self.bias)

    def add(self, hidden: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Add the outputs to `hidden` (float32), inside the matrix product where that can be."""
        if self.bias is None and self.weight.dtype == hidden.dtype:
            return hidden.addmm_(rows, self.weight.t())
        return hidden.add_(self(rows))


@dataclass(frozen=True, slots=True)
class FloatBlock:
    """A block in float32 or bfloat16."""

    norms: tuple[Norm, Norm]
    qkv: Joint
    output: Joint
    gate_up: Joint
    down: Joint
    activation: Callable[[torch.Tensor], torch.Tensor]

    def states(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return queries, keys and values side by side."""
        return self.qkv(self.norms[0](hidden))

    def finish(self, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return the output of the block."""
        hidden = self.output.add(hidden, seen)
        gate, up = self.gate_up(self.norms[1](hidden)).chunk(2, dim=1)
        return self.down.add(hidden, self.activation(gate).mul_(up))


@dataclass(frozen=True, slots=True)
class Heads:
    """What attention of a block needs to know: queries and key-value heads, their size, norms of Qwen3."""

    n_queries: int
    n_states: int
    size: int
    scaling: float
    norms: tuple[Norm, Norm] | None


class Blocks:
    """A model of the Llama family, ready to be run; its own linear layers become views of the joint ones."""

    def __init__(self, model: PreTrainedModel) -> None:
        import torch

        body: Any = model.model
        self.blocks: list[Block] = [_float_block(block) for block in body.layers]
        self.head: Callable[[torch.Tensor], torch.Tensor] = Joint(model.lm_head.weight, model.lm_head.bias)
        self.norm = _norm(body.norm)
        self.dtype = torch.float32 if model.dtype == torch.float32 else torch.bfloat16
        """Numbers of keys, values and queries."""
        self.rotation: Rotation | None = None
        """What hidden states are turned by, where they are."""
        self._embed, self._rotary = body.embed_tokens, body.rotary_emb
        self.heads = [_heads(block.self_attn) for block in body.layers]

    def ends(
        self, ids: torch.Tensor, places: torch.Tensor, last: torch.Tensor, layout: Layout
    ) -> torch.Tensor:
        """Return the states, (len(last), width), that `logits` reads, at the tokens `last` of a row."""
        hidden = self._embed(ids).float()
        if self.rotation is not None:
            hidden = self.rotation(hidden)
        cos, sin = self._rotary(hidden.unsqueeze(0), places.unsqueeze(0))
        turn = cos[0].unsqueeze(1), sin[0].unsqueeze(1)
        for number, block in enumerate(self.blocks):
            seen = self._attended(number, block.states(hidden), turn, layout)
            if number == len(self.blocks) - 1:
                hidden, seen = hidden[last], seen[last]
            hidden = block.finish(hidden, seen)
        return self.norm(hidden)

    def logits(self, ends: torch.Tensor, tokens: Sequence[int] = ()) -> torch.Tensor:
        """Return logits, float32, (states, vocabulary).

        In 16 bits those of 16 and more would be multiples of an eighth, and passages would tie: of the
        likeliest tokens, and of `tokens`, they are computed again in float32.
        """
        import torch

        logits = self.head(ends)
        if logits.dtype == torch.float32 or not isinstance(self.head, Joint):
            return logits
        logits = logits.float()
        close = logits.topk(min(_CLOSE, logits.shape[1])).indices
        close = torch.cat([close, close.new_tensor(tokens).expand(len(close), -1)], dim=1)
        exact = (self.head.weight[close].float() @ ends.unsqueeze(2)).squeeze(2)
        if self.head.bias is not None:
            exact += self.head.bias[close]
        return logits.scatter_(1, close, exact)

    def _attended(
        self, number: int, states: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], layout: Layout
    ) -> torch.Tensor:
        """Return what attention gathers for each token, (tokens, heads * head size)."""
        from torch import split

        heads = self.heads[number]
        sizes = [heads.n_queries, heads.n_states, heads.n_states]
        parts = states.view(len(states), -1, heads.size)
        if heads.norms is not None:
            for part, norm in zip(split(parts, sizes, dim=1), heads.norms, strict=False):
                part.copy_(norm(part.float()))
        turned, value = split(parts, [sizes[0] + sizes[1], sizes[2]], dim=1)
        query, key = split(apply_rope(turned.float(), turn).to(self.dtype), sizes[:2], dim=1)
        return layout.attend(number, query, (key, value.to(self.dtype)), heads.scaling).flatten(1)


def apply_rope(part: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return queries or keys with their place turned into them (RoPE); -sin turns them back.

    The sizes of `cos` and `sin` are those of the last two axes, or broadcast to them.
    """
    cos, sin = turn
    half = part.shape[-1] // 2
    turned = part * cos
    turned[..., :half].addcmul_(part[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(part[..., :half], sin[..., half:])
    return turned


def _float_block(block: Module) -> FloatBlock:
    attention, mlp = block.self_attn, block.mlp
    return FloatBlock(
        (_norm(block.input_layernorm), _norm(block.post_attention_layernorm)),
        _joint(attention.q_proj, attention.k_proj, attention.v_proj),
        _joint(attention.o_proj),
        _joint(mlp.gate_proj, mlp.up_proj),
        _joint(mlp.down_proj),
        mlp.act_fn,
    )


def _joint(*layers: Module) -> Joint:
    """Join layers that read one input; what they hold themselves becomes views of the joint ones."""
    import torch

    if len(layers) == 1:
        return Joint(layers[0].weight.data, None if layers[0].bias is None else layers[0].bias.data)
    weight = torch.cat([layer.weight.data for layer in layers])
    for layer, part in zip(layers, torch.split(weight, [len(layer.weight) for layer in layers]), strict=True):
        layer.weight.data = part
    biases = [layer.bias for layer in layers]
    return Joint(weight, None if None in biases else torch.cat([bias.data for bias in biases]))


def _norm(norm: Module) -> Norm:
    return Norm(norm.weight.data.float(), norm.variance_epsilon)


def _heads(attention: Module) -> Heads:
    size = attention.head_dim
    n_queries, n_states = (len(layer.weight) // size for layer in (attention.q_proj, attention.k_proj))
    norms = (_norm(attention.q_norm), _norm(attention.k_norm)) if hasattr(attention, "q_norm") else None
    return Heads(n_queries, n_states, size, attention.scaling, norms)


def _parts(module: Module) -> set[str]:
    children: Iterable[tuple[str, object]] = module.named_children()
    return {name for name, _ in children}
