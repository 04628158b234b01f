"""Turn a model's hidden states by a random rotation, which changes nothing but who carries what.

A few channels of a language model are hundreds of times as large as the others, and eight bits a token
cannot hold both. After a rotation every channel is a mixture of all, so the largest is little larger than
the rest. The network computes the same function, since each matrix that reads or writes the turned states
is turned as well (R1 and R2 of SpinQuant, arXiv 2405.16406; QuaRot, arXiv 2404.00456). No data is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .blocks import FloatBlock, Heads, Joint, Norm

if TYPE_CHECKING:
    import torch

SEED = 0


@dataclass(frozen=True, slots=True)
class Rotation:
    """Turns vectors by the Kronecker product of two random rotations: 896 channels by those of 28 and 32.

    That mixes all channels as one large rotation does, and takes a fifteenth of its work.
    """

    left: torch.Tensor
    right: torch.Tensor

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the vectors along the last axis, turned."""
        apart = rows.reshape(-1, len(self.left), len(self.right))
        return (self.left.T @ (apart @ self.right)).view(rows.shape)


def rotation(size: int, draw: torch.Generator) -> Rotation:
    """Return a random rotation of so many channels, float32."""
    n_left = max(n for n in range(1, size + 1) if size % n == 0 and n * n <= size)
    return Rotation(_orthogonal(n_left, draw), _orthogonal(size // n_left, draw))


def rotated(block: FloatBlock, heads: Heads, hidden: Rotation, draw: torch.Generator) -> FloatBlock:
    """Return a block, float32, that reads and writes turned states; the values of its heads are turned, too.

    The weights of its norms move into the products after them: scaling channels and turning do not commute.
    """
    within = rotation(heads.size, draw)
    n_turned = heads.n_states * heads.size
    qkv = _reading(block.qkv, block.norms[0], hidden)
    qkv.weight[-n_turned:] = _written(qkv.weight[-n_turned:], within)
    if qkv.bias is not None:
        qkv.bias[-n_turned:] = within(qkv.bias[-n_turned:].view(-1, heads.size)).flatten()
    output = block.output.weight.float()
    read = within(output.view(len(output), -1, heads.size)).flatten(1)
    return replace(
        block,
        norms=(Norm(None, block.norms[0].epsilon), Norm(None, block.norms[1].epsilon)),
        qkv=qkv,
        output=_writing(Joint(read, block.output.bias), hidden),
        gate_up=_reading(block.gate_up, block.norms[1], hidden),
        down=_writing(Joint(block.down.weight.float(), block.down.bias), hidden),
    )


def turned_in(weight: torch.Tensor, norm: Norm, hidden: Rotation) -> torch.Tensor:
    """Return weights, (outputs, channels), that read turned states before the weights of a norm."""
    wide = weight.float()
    return hidden(wide if norm.weight is None else wide * norm.weight)


def _reading(layer: Joint, norm: Norm, hidden: Rotation) -> Joint:
    return Joint(turned_in(layer.weight, norm, hidden), None if layer.bias is None else layer.bias.float())


def _writing(layer: Joint, hidden: Rotation) -> Joint:
    """Return a layer that writes turned states."""
    return Joint(_written(layer.weight, hidden), None if layer.bias is None else hidden(layer.bias.float()))


def _written(weight: torch.Tensor, turn: Rotation) -> torch.Tensor:
    """Return weights, (outputs, inputs), whose outputs are turned, each group of so many by itself."""
    size = len(turn.left) * len(turn.right)
    groups = weight.view(-1, size, weight.shape[1]).transpose(1, 2)
    return turn(groups).transpose(1, 2).flatten(0, 1)


def _orthogonal(size: int, draw: torch.Generator) -> torch.Tensor:
    import torch

    found: torch.Tensor = torch.linalg.qr(torch.randn(size, size, generator=draw, dtype=torch.float64))[0]
    return found.float()
