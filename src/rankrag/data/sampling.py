"""How many examples of each ingredient a blend takes, and which."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from ..types import Example
from .item import Item


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights divided by their sum (the paper's sum is 1.331, arXiv 2407.02485 appendix B)."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def quotas(wanted: Mapping[str, float], total: int) -> dict[str, int]:
    """Return whole numbers in the proportions of `wanted` that add up to `total` (largest remainder)."""
    exact = {name: share * total for name, share in shares(wanted).items()} if wanted else {}
    whole = {name: int(value) for name, value in exact.items()}
    rest = total - sum(whole.values()) if whole else 0
    for name in sorted(exact, key=lambda n: (whole[n] - exact[n], n))[:rest]:
        whole[name] += 1
    return whole


def draws(weights: Mapping[str, float], most: Mapping[str, int], total: int) -> dict[str, int]:
    """Return how many examples to draw of each ingredient, none more than its `most`.

    What an ingredient cannot give goes to the others in proportion to their weights, so a blend has
    `total` examples unless all ingredients together have fewer.
    """
    given: dict[str, int] = {}
    open_ = {name: weight for name, weight in weights.items() if weight > 0}
    while open_:
        asked = quotas(open_, total - sum(given.values()))
        short = [name for name, count in asked.items() if count >= most[name]]
        if not short:
            return given | asked
        for name in short:
            given[name] = min(asked[name], most[name])
            del open_[name]
    return given


def rounds(
    items: Sequence[Item],
    make: Callable[[Item, random.Random], Sequence[Example]],
    seed: str,
    count: int,
    most: int,
) -> list[Example]:
    """Return `count` examples: of all items in an order drawn from `seed`, then of all again, `most` times.

    Each item has a generator of its own a round, so that in the next one its passages stand in another
    order and other negatives are drawn, and what it gives does not depend on which items are beside it.
    Fewer come back where the rounds do not give as many.
    """
    order = sorted(items, key=lambda item: random.Random(f"{seed} order {item.id}").random())
    examples: list[Example] = []
    for turn in range(most):
        for item in order:
            if len(examples) >= count:
                return examples[:count]
            examples += make(item, random.Random(f"{seed} {item.id} {turn}"))
    return examples[:count]
