"""Rows that begin alike as one: what they share is computed once.

In the paper's prompts the passage stands before the question, so all questions about a passage begin with
the same tokens. A bundle holds these once and a branch for what follows in each row. A branch sees what is
shared and itself, at the positions that it has in its own row: every row has the loss, and gives the
gradient, that it would alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from .token_rows import IGNORED

if TYPE_CHECKING:
    import torch
    from datasets import Dataset  # type: ignore[import-untyped, unused-ignore]

MOST_ROWS = 16
"""Rows of a bundle at most: more of one passage in one step teach little that is new."""

WORTH = 0.5
"""Share of a row that must be common: less saves little."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Rows that begin alike: the first `seq_lengths[0]` ids are shared, then a branch for each row.

    `labels` is as long as `input_ids`: the targets, `IGNORED` elsewhere; nothing that is shared has one.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    seq_lengths: tuple[int, ...]


def bundles(rows: Dataset | Mapping[str, list[list[int]]], max_length: int) -> Iterator[Bundle]:
    """Yield all rows, those that begin alike together, at most `max_length` tokens in each bundle.

    Every row is in one bundle; one that begins like no other is alone in its own.
    """
    ids = [np.asarray(row, dtype=">i4") for row in rows["input_ids"]]  # big-endian: bytes sort as ids do
    n_prompt = [labels.count(IGNORED) for labels in rows["labels"]]
    for group, shared in grouped(ids, n_prompt, max_length):
        yield _bundle(ids, n_prompt, group, shared)


def grouped(
    ids: Sequence[np.ndarray], n_prompt: Sequence[int], max_length: int
) -> Iterator[tuple[list[int], int]]:
    """Yield the rows of each bundle, as places in `ids`, and how much of their beginning they share.

    A row is its prompt, `n_prompt` long, and its target: token ids, or whatever else sorts as its bytes do.
    """
    order = sorted(range(len(ids)), key=lambda i: ids[i].tobytes())
    group: list[int] = []
    shared = 0
    for i in order:
        common = _common(ids[i], ids[group[0]], shared) if group else 0
        common = min(common, n_prompt[i] - 1)
        if group and _fits(ids, [*group, i], common, max_length):
            group, shared = [*group, i], common
            continue
        if group:
            yield group, shared
        # A branch begins with a token of its prompt, which predicts the first token of its target.
        group, shared = [i], n_prompt[i] - 1
    if group:
        yield group, shared


def _common(one: np.ndarray, other: np.ndarray, most: int) -> int:
    """Return how many ids two rows have in common at their start, `most` at most."""
    n = min(len(one), len(other), most)
    unlike = np.flatnonzero(one[:n] != other[:n])
    return int(unlike[0]) if len(unlike) else n


def _fits(ids: Sequence[np.ndarray], group: Sequence[int], shared: int, max_length: int) -> bool:
    branches = sum(len(ids[i]) - shared for i in group)
    worth = shared >= WORTH * max(len(ids[i]) for i in group)
    return worth and shared + branches <= max_length and len(group) <= MOST_ROWS


def _bundle(ids: Sequence[np.ndarray], n_prompt: Sequence[int], group: Sequence[int], shared: int) -> Bundle:
    flat = ids[group[0]][:shared].tolist()
    labels = [IGNORED] * shared
    for i in group:
        flat += ids[i][shared:].tolist()
        labels += [IGNORED] * (n_prompt[i] - shared) + ids[i][n_prompt[i] :].tolist()
    lengths = (shared, *(len(ids[i]) - shared for i in group))
    return Bundle(tuple(flat), tuple(labels), lengths)


class Collator:
    """Puts bundles (and plain rows) into one batch: ids, labels, positions, lengths, and who sees whom.

    `seq_idx` numbers the rows over the whole batch, as in a batch without padding; `attention_mask` is true
    where a token (third axis) sees another (last axis); `lengths` says the same as `Branches` does, with
    zeros for branches that an item lacks. Padding has id 0: nobody sees it, and it counts nowhere. Without
    `mask` the batch has none: who computes by `lengths` needs no square of booleans.
    """

    def __init__(self, mask: bool = True) -> None:
        self._mask = mask

    def __call__(self, items: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Return a batch of int64 (items, tokens), and if asked a mask, bool (items, 1, tokens, tokens)."""
        import torch

        width = max(len(item["input_ids"]) for item in items)
        shape = (len(items), width)
        ids, labels = np.zeros(shape, dtype=np.int64), np.full(shape, IGNORED)
        positions, rows = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        sees = np.zeros((len(items), 1, width, width) if self._mask else 0, dtype=bool)
        lengths = [item.get("seq_lengths") or [0, len(item["input_ids"])] for item in items]
        n_rows = 0
        for at, item in enumerate(items):
            n = len(item["input_ids"])
            ids[at, :n], labels[at, :n] = item["input_ids"], item["labels"]
            branch, positions[at, :n] = layout(lengths[at])
            if self._mask:
                sees[at, 0] = visible(branch, width)
            rows[at, :n] = n_rows + np.maximum(branch, 0)
            n_rows += int(branch.max()) + 1
            rows[at, n:] = n_rows - 1
        even = np.array([*zip_longest(*lengths, fillvalue=0)]).T
        batch: dict[str, np.ndarray] = {"input_ids": ids, "labels": labels, "position_ids": positions}
        batch |= {"seq_idx": rows, "lengths": even} | ({"attention_mask": sees} if self._mask else {})
        return {name: torch.from_numpy(value) for name, value in batch.items()}


def layout(lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each token of a bundle its branch (-1: shared) and its position in its own row."""
    shared, *branches = lengths
    branch = np.repeat(np.arange(-1, len(branches)), lengths)
    positions = np.concatenate([np.arange(shared), *(shared + np.arange(n) for n in branches)])
    return branch, positions


def visible(branch: np.ndarray, width: int) -> np.ndarray:
    """Return who sees whom, bool (width, width): what came before, if it is shared or of the same branch.

    Padding sees itself: a token that sees nothing has no attention, not even zero.
    """
    sees = np.eye(width, dtype=bool)
    n = len(branch)
    alike = (branch[None, :] == -1) | (branch[:, None] == branch[None, :])
    sees[:n, :n] = np.tri(n, dtype=bool) & alike
    return sees
