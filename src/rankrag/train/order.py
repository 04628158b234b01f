"""The order in which a run sees its rows: fixed before it starts, so that a resumed run sees the same."""

from __future__ import annotations

import numpy as np

CHUNK_BATCHES = 16
"""Batches that are sorted by length together: more saves little padding and makes batches less random."""


def order_rows(lengths: np.ndarray, batch: int, n_steps: int, seed: int, sort: bool) -> np.ndarray:
    """Return the indices of the rows of every step, shape (n_steps, batch).

    Each pass over the rows is a new shuffle (a chunk may straddle two). With `sort`, rows of like length
    share a batch, so that little is padding; the batches themselves stay shuffled, except that the longest
    of the first pass comes first: a model that does not fit the memory fails at once, not after hours.

    The order depends on nothing but the arguments. (Trainer's own samplers draw from the global random
    state, which a resumed run does not have in later epochs.) Any number of devices takes its share of
    the same batches, so the loss of a step does not depend on their number either.
    """
    random = np.random.default_rng(seed)
    n_rows, n_wanted = len(lengths), n_steps * batch
    rows = np.concatenate([random.permutation(n_rows) for _ in range(-(-n_wanted // n_rows))])[:n_wanted]
    if sort:
        size = CHUNK_BATCHES * batch
        rows = np.concatenate(
            [_sorted(rows[i : i + size], lengths, batch, random) for i in range(0, n_wanted, size)]
        )
    batches = rows.reshape(n_steps, batch)
    if sort:
        first_pass = batches[: max(1, n_rows // batch)]
        longest = int(lengths[first_pass].sum(axis=1).argmax())
        batches[[0, longest]] = batches[[longest, 0]]
    return batches


def _sorted(rows: np.ndarray, lengths: np.ndarray, batch: int, random: np.random.Generator) -> np.ndarray:
    """Return a chunk of rows as batches of like length, the batches shuffled."""
    # Stable, so that rows of one length keep their shuffled order.
    batches = rows[np.argsort(-lengths[rows], kind="stable")].reshape(-1, batch)
    return batches[random.permutation(len(batches))].reshape(-1)
