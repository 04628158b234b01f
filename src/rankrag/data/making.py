"""From an item to the examples of a task: the rules, chosen by what a recipe says."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..prompts import UNANSWERABLE
from ..types import Example, Passage, Task
from . import rules
from .hostile import hostile
from .item import Dropped, Item
from .matching import squash
from .recipe import Ingredient
from .sentences import full_sentence
from .sources import SOURCES

Made = list[Example] | Dropped


@dataclass(frozen=True, slots=True)
class Draw:
    """What a task is made of: an item, the passages found for it, chance, and what the recipe says.

    `apart` are passages of other questions, near ones, that do not hold the item's answer.
    """

    item: Item
    hits: Sequence[Passage]
    rng: random.Random
    how: Ingredient
    apart: Sequence[Passage] = ()


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the examples of one ingredient."""

    name: str
    ingredient: Ingredient

    def make(
        self, item: Item, hits: Sequence[Passage], rng: random.Random, apart: Sequence[Passage] = ()
    ) -> Made:
        """Return the examples of an item with the passages found for it, or why there is none.

        The same generator state gives the same examples. Their ids begin with the ingredient's name.
        """
        if item.example is not None:
            return [self._named(item.example)]
        how = self.ingredient
        hits = hits[: how.depth]
        if item.gold and (how.least_shared > 0 or how.most_shared < 1):
            shared = rules.shared_words(item)
            if not how.least_shared <= shared <= how.most_shared:
                return Dropped(
                    f"shares too {'few' if shared < how.least_shared else 'many'} words with its gold"
                )
        made = _TASKS[how.task](Draw(item, hits, rng, how, apart))
        if isinstance(made, Dropped):
            return made
        if not all(example.target.strip() for example in made):
            return Dropped("no answer")
        styled = [told for example in made for told in self._styled(item, example, rng)]
        return [self._named(example) for example in styled] or Dropped("no whole sentence")

    def _named(self, example: Example) -> Example:
        name = f"{self.name}/{example.id}"
        return replace(example, id=name, source=self.ingredient.source)

    def _styled(self, item: Item, example: Example, rng: random.Random) -> list[Example]:
        """Ask in the recipe's styles (one of them, or each), else in the source's, or as the reader chose.

        Style plain is left out where its target is to be a sentence and none can be made. Abstention is
        taught in one style: its words are the same in all.
        """
        asks = example.task in ("context_qa", "retrieval_qa")
        if not asks or example.question.style != "plain":
            return [example]
        how = self.ingredient
        styles = how.styles or [SOURCES[how.source].style]
        styles = rng.sample(styles, len(styles))
        asked = [replace(example, question=replace(example.question, style=style)) for style in styles]
        if how.sentences and example.target != UNANSWERABLE:
            asked = [told for example in asked if (told := _told(item, example)) is not None]
        if example.target == UNANSWERABLE or not how.each_style:
            return asked[:1]
        asked = list({example.question.style: example for example in asked}.values())
        return [replace(example, id=f"{example.id}/{example.question.style}") for example in asked]


def _instruct(draw: Draw) -> Made:
    reply = rules.target(draw.item, ())
    return [_example(draw, (), reply)] if reply else Dropped("no reply")


def _context_qa(draw: Draw) -> Made:
    gold = draw.item.gold
    if not gold:
        return Dropped("no gold passage")
    reply = rules.target(draw.item, gold) or ("" if draw.item.answerable else UNANSWERABLE)
    if not reply:
        return Dropped("no answer")
    return [_example(draw, [rules.one_passage(gold)], reply), *_unanswered(draw)]


def _retrieval_qa(draw: Draw) -> Made:
    how = draw.how
    if not draw.item.answerable and how.together and draw.item.gold:
        return [_example(draw, passages, UNANSWERABLE)] if (passages := _five(draw)) else Dropped("no group")
    if fault := _retrieval_fault(draw.item):
        return fault
    if draw.rng.random() < draw.how.unanswerable:
        passages = rules.without_answer(draw.item, draw.hits, draw.rng, how.passages, not how.ordered)
        if len(passages) == draw.how.passages:
            return [_example(draw, passages, UNANSWERABLE)]
    passages = _five(draw)
    if len(passages) < draw.how.passages:
        return Dropped(f"fewer than {draw.how.passages} passages")
    reply = rules.target(draw.item, passages)
    return [_example(draw, _with_orders(draw, passages), reply), *_unanswered(draw)]


def _unanswered(draw: Draw) -> list[Example]:
    """Return the question asked of passages that do not hold its answer, where the recipe has some."""
    if not draw.apart:
        return []
    example = _example(draw, draw.apart, UNANSWERABLE)
    return [replace(example, id=f"{example.id}/apart")]


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
    if how.hostile and draw.rng.random() < how.hostile:
        # An order is never relevant; a claim may be, so a ranker is taught nothing about claims.
        negatives = [hostile(item, passage, draw.rng, claims=False) for passage in negatives]
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
    if not (item.answers or item.target):
        return Dropped("no answer")
    return None if item.gold else Dropped("no passage with the answer")


def _five(draw: Draw) -> list[Passage]:
    how = draw.how
    gold = {squash(passage.text) for passage in draw.item.gold}
    if how.together and len(draw.hits) == how.passages and any(squash(hit.text) in gold for hit in draw.hits):
        return list(draw.hits)  # rows of a group share their passages only where these stand in one order
    if how.ordered or how.together:
        return rules.as_found(draw.item, draw.hits, draw.rng, how.passages)
    return rules.five_passages(draw.item, draw.hits, draw.rng, how.passages, how.all_gold)


def _with_orders(draw: Draw, passages: list[Passage]) -> list[Passage]:
    """Return passages with one that holds no answer made hostile, in as many examples as the recipe says."""
    if not draw.how.hostile or draw.rng.random() >= draw.how.hostile:
        return passages
    others = [n for n, passage in enumerate(passages) if not rules.relevant(passage, draw.item)]
    if not others:
        return passages
    at = draw.rng.choice(others)
    return [
        hostile(draw.item, passage, draw.rng, claims=True) if n == at else passage
        for n, passage in enumerate(passages)
    ]


def _told(item: Item, example: Example) -> Example | None:
    """Return an example in style plain with a whole sentence as its target; None where none can be made.

    What the source gives as a reply is one already.
    """
    if example.question.style != "plain" or item.target:
        return example
    text = "\n".join(passage.text for passage in item.gold)
    said = full_sentence(item.question.text, example.target, text)
    return replace(example, target=said) if said else None


def _example(draw: Draw, passages: Sequence[Passage], reply: str) -> Example:
    item, how = draw.item, draw.how
    asked = rules.plain(item.question) if how.task == "retrieval_rank" else item.question
    return Example(item.id, how.source, how.task, asked, tuple(passages), reply)
