"""The attention for GPUs gives what the one for CPUs gives, which is compared with transformers elsewhere."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from rankrag.model.engine.packed import Packing, Segment

if TYPE_CHECKING:
    import torch

    from rankrag.model.engine.packed import States

torch = pytest.importorskip("torch")

N_LAYERS, KEY_HEADS, HEADS, SIZE = 2, 2, 4, 8
TOKENS = (1, 1, 2, 3, 7, 8, 30, 65)


def _states(n: int) -> States:
    return [(torch.randn(n, KEY_HEADS, SIZE), torch.randn(n, KEY_HEADS, SIZE)) for _ in range(N_LAYERS)]


def _twice(seed: int) -> tuple[list[Segment], list[Segment]]:
    """Return the same segments twice: some with pasts, some of them shared, some that keep states."""
    draw = random.Random(seed)
    shared = _states(5)
    specs = []
    for n in draw.sample(TOKENS, len(TOKENS)):
        past = draw.choice([[], [shared], [shared, _states(draw.choice((1, 9, 40)))]])
        specs.append(([1] * n, past, draw.choice((0, 0, n - 1, n))))
    first, second = ([Segment(*spec) for spec in specs] for _ in range(2))
    return first, second


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("heads", [KEY_HEADS, HEADS])
def test_segments_that_attend_together_give_what_each_gives_alone(seed: int, heads: int) -> None:
    from rankrag.model.engine.batched import Together

    torch.manual_seed(seed)
    apart, together = _twice(seed)
    n_tokens = sum(len(segment.tokens) for segment in apart)
    alone, at_once = Packing(apart), Together(together, torch.device("cpu"))
    for layer in range(N_LAYERS):
        query = torch.randn(n_tokens, heads, SIZE)
        states = torch.randn(n_tokens, KEY_HEADS, SIZE), torch.randn(n_tokens, KEY_HEADS, SIZE)
        wanted = alone.attend(layer, query, states, 0.3)
        found = at_once.attend(layer, query, states, 0.3)
        assert torch.allclose(found, wanted, atol=1e-5)
    for one, other in zip(apart, together, strict=True):
        assert len(one.kept) == len(other.kept) == (N_LAYERS if one.keep else 0)
        for ours, theirs in zip(one.kept, other.kept, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_what_is_kept_shares_no_memory_with_what_others_keep() -> None:
    from rankrag.model.engine.batched import Together

    segments = [Segment([1, 1, 1], keep=3), Segment([1, 1], keep=1)]
    states = torch.randn(5, KEY_HEADS, SIZE), torch.randn(5, KEY_HEADS, SIZE)
    Together(segments, torch.device("cpu")).attend(0, torch.randn(5, HEADS, SIZE), states, 0.3)
    for segment in segments:
        key, _ = segment.kept[0]
        assert key.untyped_storage().nbytes() == key.numel() * key.element_size()


def test_the_padding_of_a_call_at_most_doubles_it() -> None:
    from rankrag.model.engine.batched import Together

    lengths = [1, 2, 3, 4, 17, 31, 32, 33, 200, 1000]
    layout = Together([Segment([1] * n) for n in lengths], torch.device("cpu"))
    calls = [group.queries.numel() for group in layout._groups]
    assert len(calls) < len(lengths)
    assert sum(calls) < 2 * sum(lengths)
