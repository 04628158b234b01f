"""Attention over a packed row for a GPU: the segments of a row attend together, in a few large calls.

A call for each segment, as on a CPU, leaves a GPU waiting for the next one: 100 segments in each of 30 layers
are 3,000 calls of a few microseconds' work. Here segments of about one length form a group, and a
group is one call over keys and values that are padded to its longest; everything outside attention
stays without padding. The same numbers as `Packing`, but for rounding; it runs on a CPU, too, more slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from .packed import Layer, Segment, weighted

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Group:
    """Segments that attend in one call, by the numbers of their tokens; padding repeats some token."""

    queries: torch.Tensor
    """Rows of the packed row, (segments, longest)."""

    seen: torch.Tensor
    """Rows of all keys, past ones first, (segments, longest with its past)."""

    mask: torch.Tensor
    """Which are seen, (segments, 1, longest, longest with its past)."""

    places: torch.Tensor
    """Where the output of a token that is no padding stands among (segments * longest)."""

    rows: torch.Tensor
    """The row of that token."""


class Together:
    """Attention of segments that stand one after the other in a row, in a call for each `Group`."""

    def __init__(self, segments: Sequence[Segment], device: torch.device) -> None:
        import torch

        self._segments = segments
        self._past, first_of = _pasts(segments)
        n_past = sum(states[0][0].shape[0] for states in self._past)
        starts = [0, *accumulate(len(segment.tokens) for segment in segments)]
        rows = []
        for segment, start in zip(segments, starts, strict=False):
            firsts = [(first_of[id(states)], states[0][0].shape[0]) for states in segment.past]
            past = [n for first, count in firsts for n in range(first, first + count)]
            own = range(start, start + len(segment.tokens))
            rows.append((list(own), past + [n_past + n for n in own]))
        rows.sort(key=_size)
        self._groups = [_group(list(members), device) for _, members in groupby(rows, key=_size)]
        self._sizes = [segment.keep for segment in segments]
        kept = [start + n for start, keep in zip(starts, self._sizes, strict=False) for n in range(keep)]
        self._kept = torch.tensor(kept, dtype=torch.long, device=device)

    def attend(self, layer: int, query: torch.Tensor, states: Layer, scale: float) -> torch.Tensor:
        """Return the output, (tokens, heads, head size), each segment attending to its past and itself."""
        import torch

        self._keep(states)
        keys, values = states
        if self._past:
            keys, values = (
                torch.cat([*(past[layer][part] for past in self._past), states[part]]) for part in (0, 1)
            )
        output = query.new_empty(*query.shape[:2], values.shape[-1])
        for group in self._groups:
            seen = keys[group.seen], values[group.seen]
            found = weighted(query[group.queries], seen, group.mask, scale)
            output[group.rows] = found.flatten(0, 1)[group.places]
        return output

    def _keep(self, states: Layer) -> None:
        """Give every segment copies of what it keeps: one kernel copies for all of them."""
        import torch

        if not len(self._kept):
            return
        copies = []
        for part in states:
            own = [part.new_empty(keep, *part.shape[1:]) for keep in self._sizes]
            torch.split_with_sizes_copy(part[self._kept], self._sizes, out=own)
            copies.append(own)
        for segment, key, value in zip(self._segments, *copies, strict=True):
            if segment.keep:
                segment.kept.append((key, value))


def _pasts(segments: Sequence[Segment]) -> tuple[list[Sequence[Layer]], dict[int, int]]:
    """Return the pasts of all segments, each once, and the number of the first token of each."""
    each = {id(states): states for segment in segments for states in segment.past}
    firsts = [0, *accumulate(states[0][0].shape[0] for states in each.values())]
    return list(each.values()), dict(zip(each, firsts, strict=False))


def _size(row: tuple[list[int], list[int]]) -> tuple[int, int]:
    """Return what rows of a group have in common, so that padding at most doubles queries or keys."""
    own, seen = row
    return len(own).bit_length(), len(seen).bit_length()


def _group(rows: Sequence[tuple[list[int], list[int]]], device: torch.device) -> Group:
    import torch

    longest, most = (max(len(row[part]) for row in rows) for part in (0, 1))
    n_own = torch.tensor([len(own) for own, _ in rows]).unsqueeze(1)
    n_seen = torch.tensor([len(every) for _, every in rows]).unsqueeze(1)
    queries = torch.tensor([own + own[-1:] * (longest - len(own)) for own, _ in rows])
    seen = torch.tensor([every + every[-1:] * (most - len(every)) for _, every in rows])
    numbers = torch.arange(longest)
    mask = torch.arange(most) <= (n_seen - n_own + numbers).unsqueeze(2)
    places = (numbers < n_own).flatten().nonzero().squeeze(1)
    parts = queries, seen, mask.unsqueeze(1), places, queries.flatten()[places]
    return Group(*(part.to(device) for part in parts))
