"""Questions that are asked of the same passages, so that a trainer computes these once for all of them.

Five passages and a question are some 900 tokens, of which a small machine can learn from few. Put five gold
passages together and ask all their questions of these five: each question finds its own gold among the gold
of others, in rows that differ only in their last tokens.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ..types import Passage
from .item import Item
from .matching import squash

Groups = dict[str, tuple[Passage, ...]]
"""The passages that an item is asked of, by the item's id."""


def together(
    items: Sequence[Item], hits: Callable[[Item], Iterable[Passage]], size: int, rng: random.Random
) -> Groups:
    """Return for each item `size` passages: its first gold and those of others, alike for all on one gold.

    Near passages go together, as far as they are left: the nearer the more often the hits of one's questions
    hold the other. So most negatives are hard, and none is chosen twice as long as there are others. Items
    without gold are left out, and all of them where there are fewer than `size` passages.
    """
    texts: dict[str, Passage] = {}
    asked: dict[str, list[Item]] = {}
    for item in items:
        if item.gold:
            key = squash(item.gold[0].text)
            texts.setdefault(key, item.gold[0])
            asked.setdefault(key, []).append(item)
    if len(texts) < size:
        return {}
    found: Groups = {}
    for group in _groups(asked, hits, size, rng):
        passages = tuple(texts[key] for key in group)
        found |= {item.id: passages for key in group for item in asked[key] if item.id not in found}
    return found


def _groups(
    asked: dict[str, list[Item]], hits: Callable[[Item], Iterable[Passage]], size: int, rng: random.Random
) -> Iterable[list[str]]:
    """Yield groups of `size` keys in an order by chance; the last is filled with keys of earlier groups."""
    order = sorted(asked)
    rng.shuffle(order)
    left = dict.fromkeys(order)
    for key in order:
        if key not in left:
            continue
        near = Counter(squash(hit.text) for item in asked[key] for hit in hits(item))
        nearest = [other for other, _ in near.most_common() if other in left and other != key]
        chosen = [key, *nearest][:size]
        for others in (left, order):
            chosen += [other for other in others if other not in chosen][: size - len(chosen)]
        for one in chosen:
            left.pop(one, None)
        rng.shuffle(chosen)
        yield chosen
