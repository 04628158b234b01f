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
from .matching import contains_answer, squash
from .rules import as_found, without_answer

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
    grouped: Groups = {}
    for group in _groups(asked, hits, size, rng):
        passages = tuple(texts[key] for key in group)
        grouped |= {item.id: passages for key in group for item in asked[key] if item.id not in grouped}
    return grouped


def found_together(
    items: Sequence[Item], hits: Callable[[Item], Iterable[Passage]], size: int, rng: random.Random
) -> Groups:
    """Return for each item `size` passages as they were found, best first, gold among them.

    An item whose gold stands in the passages of an earlier one is asked of those. Items are taken in an
    order by chance; those of which fewer passages were found are left out.
    """
    groups: Groups = {}
    holding: dict[str, tuple[Passage, ...]] = {}
    for item in rng.sample(list(items), len(items)):
        if not item.gold:
            continue
        passages = holding.get(squash(item.gold[0].text)) or tuple(
            as_found(item, list(hits(item)), rng, size)
        )
        if len(passages) == size:
            groups[item.id] = passages
            for passage in passages:
                holding.setdefault(squash(passage.text), passages)
    return groups


def apart(
    items: Sequence[Item],
    hits: Callable[[Item], Iterable[Passage]],
    groups: Groups,
    share: float,
    rng: random.Random,
) -> Groups:
    """Return for a share of the items the nearest group that does not hold their answer, where one is near.

    The question then looks as if these passages answered it, and they do not. Items without short answers are
    left out: of them nobody can say where else the answer stands.
    """
    distinct = list({tuple(passage.id for passage in group): group for group in groups.values()}.values())
    places: dict[str, list[int]] = {}
    for number, group in enumerate(distinct):
        for passage in group:
            places.setdefault(squash(passage.text), []).append(number)
    assigned: Groups = {}
    for item in items:
        if not (item.answerable and item.answers and item.id in groups) or rng.random() >= share:
            continue
        gold = squash(item.gold[0].text)
        near = Counter(number for hit in hits(item) for number in places.get(squash(hit.text), ()))
        for number, _ in near.most_common():
            group = distinct[number]
            texts = [passage.text for passage in group]
            if gold not in map(squash, texts) and not any(
                contains_answer(text, item.answers) for text in texts
            ):
                assigned[item.id] = group
                break
    return assigned


def found_apart(
    items: Sequence[Item],
    hits: Callable[[Item], Iterable[Passage]],
    groups: Groups,
    share: float,
    rng: random.Random,
) -> Groups:
    """Return for a share of the items what was found first without gold and without their answer.

    It is as many passages as in an item's group; items of which fewer were found are left out.
    """
    apart: Groups = {}
    for item in [item for item in items if item.answers and item.id in groups and rng.random() < share]:
        size = len(groups[item.id])
        passages = without_answer(item, list(hits(item)), rng, size, shuffled=False)
        if len(passages) == size:
            apart[item.id] = tuple(passages)
    return apart


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
        for member in chosen:
            left.pop(member, None)
        rng.shuffle(chosen)
        yield chosen
