"""The order of rows: every row once a pass, like lengths together, the same for the same seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rankrag.train.plan import order_rows

LENGTHS = np.random.default_rng(0).integers(10, 500, size=1024)


@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 30), st.booleans())
def test_every_row_once_before_any_twice(n_rows: int, batch: int, n_steps: int, sort: bool) -> None:
    order = order_rows(np.arange(n_rows) + 5, batch, n_steps, seed=1, sort=sort)
    assert order.shape == (n_steps, batch)
    times = np.bincount(order.reshape(-1), minlength=n_rows)
    assert times.max() - times.min() <= 1


def test_sorting_leaves_little_padding_and_the_longest_batch_comes_first() -> None:
    def padding(order: np.ndarray) -> float:
        lengths = LENGTHS[order]
        return float(1 - lengths.sum() / (lengths.max(axis=1, keepdims=True) * np.ones_like(lengths)).sum())

    plain, sorted_ = (order_rows(LENGTHS, 8, 128, seed=0, sort=sort) for sort in (False, True))
    assert padding(sorted_) < 0.08 < 0.3 < padding(plain)
    sums = LENGTHS[sorted_].sum(axis=1)
    assert sums[0] == sums.max()
    # Long and short batches alternate: after the first, length does not follow the step.
    assert abs(np.corrcoef(np.arange(127), sums[1:])[0, 1]) < 0.2


def test_a_seed_fixes_the_order_and_passes_differ() -> None:
    one, same, other = (order_rows(LENGTHS, 8, 256, seed, sort=True) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    first, second = one[:128], one[128:]
    assert sorted(first.reshape(-1)) == sorted(second.reshape(-1)) == list(range(1024))
    assert (first != second).any()
