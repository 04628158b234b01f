"""Conversations made of single questions that share a paragraph."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..types import Turn
from .item import BUILT_TURN, Item
from .rules import target


def conversations(items: Iterable[Item], seed: str, most_turns: int = 3) -> Iterator[Item]:
    """Yield one turn of a conversation for every question whose paragraph has others.

    For recipes that may not use a conversational set. The earlier turns are other questions on the same
    paragraph with their answers, one to `most_turns` of them in an order drawn from `seed`; each is one
    that the paragraph answers. Such turns lack the pronouns of real ones: they teach the form, not the
    resolution of references. Questions alone on their paragraph are left out.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        if item.gold and not item.question.history:
            groups.setdefault(item.gold[0].text, []).append(item)
    for group in groups.values():
        answerable = [item for item in group if item.answerable and item.answers]
        for item in group:
            others = [other for other in answerable if other.question.text != item.question.text]
            if others:
                yield _turn(item, others, random.Random(f"{seed} {item.id}"), most_turns)


def _turn(item: Item, others: list[Item], rng: random.Random, most_turns: int) -> Item:
    earlier = rng.sample(others, min(rng.randint(1, most_turns), len(others)))
    history = [
        turn
        for other in earlier
        for turn in (Turn("user", other.question.text), Turn("assistant", target(other, other.gold)))
    ]
    name = item.id + BUILT_TURN
    return replace(item, id=name, question=replace(item.question, id=name, history=tuple(history)))
