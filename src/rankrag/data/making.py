"""From an item to the examples of a task: the rules, chosen by what a recipe says."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..prompts import UNANSWERABLE
from ..types import Example, Passage, Task
from . import rules
from .item import Dropped, Item
from .recipe import Ingredient
from .sources import SOURCES

Made = list[Example] | Dropped


@dataclass(frozen=True, slots=True)
class Draw:
    """What a task is made of: an item, the passages found for it, chance, and what the recipe says."""

    item: Item
    hits: Sequence[Passage]
    rng: random.Random
    how: Ingredient


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the examples of one ingredient."""

    name: str
    ingredient: Ingredient

    def make(self, item: Item, hits: Sequence[Passage], rng: random.Random) -> Made:
        """Return the examples of an item with the passages found for it, or why there is none.

        The same generator state gives the same examples. Their ids begin with the ingredient's name.
        """
        if item.example is not None:
            return [self._named(item.example)]
        hits = hits[: self.ingredient.depth]
        made = _TASKS[self.ingredient.task](Draw(item, hits, rng, self.ingredient))
        if isinstance(made, Dropped):
            return made
        if not all(example.target.strip() for example in made):
            return Dropped("no answer")
        return [self._named(self._styled(example, rng)) for example in made]

    def _named(self, example: Example) -> Example:
        name = f"{self.name}/{example.id}"
        return replace(example, id=name, source=self.ingredient.source)

    def _styled(self, example: Example, rng: random.Random) -> Example:
        """Ask in one of the recipe's styles, else in the source's, unless the reader chose one already."""
        asks = example.task in ("context_qa", "retrieval_qa")
        if not asks or example.question.style != "plain":
            return example
        styles = self.ingredient.styles or [SOURCES[self.ingredient.source].style]
        return replace(example, question=replace(example.question, style=rng.choice(styles)))


def _instruct(draw: Draw) -> Made:
    reply = rules.target(draw.item, ())
    return [_example(draw, (), reply)] if reply else Dropped("no reply")


def _context_qa(draw: Draw) -> Made:
    gold = draw.item.gold
    if not gold:
        return Dropped("no gold passage")
    reply = rules.target(draw.item, gold)
    return [_example(draw, [rules.one_passage(gold)], reply)] if reply else Dropped("no answer")


def _retrieval_qa(draw: Draw) -> Made:
    if fault := _retrieval_fault(draw.item):
        return fault
    if draw.rng.random() < draw.how.unanswerable:
        how = draw.how
        passages = rules.without_answer(draw.item, draw.hits, draw.rng, how.passages, not how.ordered)
        if len(passages) == draw.how.passages:
            return [_example(draw, passages, UNANSWERABLE)]
    passages = _five(draw)
    if len(passages) < draw.how.passages:
        return Dropped(f"fewer than {draw.how.passages} passages")
    return [_example(draw, passages, rules.target(draw.item, passages))]


def _retrieval_rank(draw: Draw) -> Made:
    if fault := _retrieval_fault(draw.item):
        return fault
    passages = _five(draw)
    if len(passages) < draw.how.passages:
        return Dropped(f"fewer than {draw.how.passages} passages")
    return [_example(draw, passages, rules.index_list(draw.item, passages))]


def _rank(draw: Draw) -> Made:
    item, how = draw.item, draw.how
    if not item.answerable:
        return Dropped("cannot be answered")
    if how.chunk_words:
        pairs = rules.conversation_ranking(item, draw.rng, how.negatives, how.chunk_words)
        return pairs or Dropped("no chunk with the answer")
    if not item.gold:
        return Dropped("no passage with the answer")
    negatives = rules.hard_negatives(item, draw.hits)
    if not negatives:
        return Dropped("no hard negative")
    return rules.pointwise(item, negatives, draw.rng, how.negatives)


_TASKS: dict[Task, Callable[[Draw], Made]] = {
    "instruct": _instruct,
    "context_qa": _context_qa,
    "retrieval_qa": _retrieval_qa,
    "rank": _rank,
    "retrieval_rank": _retrieval_rank,
}


def _retrieval_fault(item: Item) -> Dropped | None:
    if not item.answerable:
        return Dropped("cannot be answered")
    if not item.answers:
        return Dropped("no answer")
    return None if item.gold else Dropped("no passage with the answer")


def _five(draw: Draw) -> list[Passage]:
    # Rows of a group share their passages only where these stand in one order.
    pick = rules.as_found if draw.how.ordered or draw.how.together else rules.five_passages
    return pick(draw.item, draw.hits, draw.rng, draw.how.passages)


def _example(draw: Draw, passages: Sequence[Passage], reply: str) -> Example:
    item, how = draw.item, draw.how
    asked = rules.plain(item.question) if how.task == "retrieval_rank" else item.question
    return Example(item.id, how.source, how.task, asked, tuple(passages), reply)
