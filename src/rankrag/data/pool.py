"""The items that a recipe's ingredients may use: read, checked, limited, and split from the held-out ones."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..errors import InvalidInputError
from ..types import Passage, Turn
from .decontamination import Benchmarks, Passages, Questions, telling
from .item import BUILT_TURN, Dropped, Item
from .matching import squash, words
from .recipe import Blend, Ingredient
from .rules import target
from .sources import SOURCES, Reader, licence_of, reader

LONG_QUESTION = 40
"""Words from which a question without passage is itself compared as a reading text."""


@dataclass(slots=True)
class Pool:
    """The items of one ingredient; `drops` counts by reason what was left out of the `n_read` read."""

    name: str
    ingredient: Ingredient
    items: list[Item] = field(default_factory=list)
    held_out: list[Item] = field(default_factory=list)
    n_read: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)


def fill(name: str, blend: Blend, files: Sequence[str], benchmarks: Benchmarks) -> Pool:
    """Return the pool of an ingredient: all that its files hold and nothing speaks against."""
    pool = Pool(name, blend.ingredients[name])
    items = _checked(pool, blend, files, benchmarks)
    if pool.ingredient.conversation:
        items = conversations(items, f"{blend.seed} {name}", pool.ingredient.conversation)
    kept = _sample(items, pool, random.Random(f"{blend.seed} {name} limit"))
    pool.items = _on_few_passages(kept, pool, f"{blend.seed} {name} passages")
    pool.licences = Counter(licence_of(pool.ingredient.source, item.part)[0] for item in pool.items)
    return pool


def source_reader(name: str, ingredient: Ingredient) -> Reader:
    """Return what reads an ingredient's files. Raises InvalidInputError where nothing reads that layout."""
    items = reader(ingredient.source, ingredient.format)
    if items is None:
        raise InvalidInputError(
            f"ingredient {name!r}: found format {ingredient.format!r}, which {ingredient.source} has no "
            "reader for: use format neutral"
        )
    return items


def _checked(pool: Pool, blend: Blend, files: Sequence[str], benchmarks: Benchmarks) -> Iterator[Item]:
    read = source_reader(pool.name, pool.ingredient)
    for path in files:
        for item in read(path):
            pool.n_read += 1
            why = _reason_against(item, pool.ingredient, blend.commercial_only, benchmarks)
            if why is not None:
                pool.drops[why] += 1
            elif isinstance(item, Item):
                yield _without_empty(item) if pool.ingredient.own_passages else _bare(item)


def _reason_against(
    item: Item | Dropped, how: Ingredient, commercial_only: bool, benchmarks: Benchmarks
) -> str | None:
    """Say why an item is left out; the cheap reasons first."""
    if isinstance(item, Dropped):
        return item.reason
    if not item.question.text.strip():
        return "no question"
    if how.parts and not item.part.startswith(tuple(how.parts)):
        return "not a wanted part"
    if how.without_parts and item.part.startswith(tuple(how.without_parts)):
        return "an unwanted part"
    licence, commercial = licence_of(how.source, item.part)
    if commercial_only and not commercial:
        return f"licence: {licence}"
    if how.most_words and _n_words(item) > how.most_words:
        return f"more than {how.most_words} words"
    return benchmarks.reason_against(item)


def _bare(item: Item) -> Item:
    """Return an item as if its source had no passages: what is mined then finds its gold, too.

    A paragraph that people labelled may look unlike the passages that a ranker will see.
    """
    return replace(item, gold=(), negatives=())


def _without_empty(item: Item) -> Item:
    """Return an item without passages that hold nothing: no example could be read back with one."""
    gold, negatives = (
        tuple(passage for passage in some if passage.text.strip()) for some in (item.gold, item.negatives)
    )
    return replace(item, gold=gold, negatives=negatives)


def _n_words(item: Item) -> int:
    texts = [item.question.text, *(turn.text for turn in item.question.history)]
    return sum(len(text.split()) for text in [*texts, *(passage.text for passage in item.gold)])


def _sample(items: Iterable[Item], pool: Pool, rng: random.Random) -> list[Item]:
    """Return all items, or a random sample of the limit in the order of the files (Vitter's algorithm R)."""
    limit = pool.ingredient.limit
    kept: list[tuple[int, Item]] = []
    for n, item in enumerate(items):
        if limit is None or n < limit:
            kept.append((n, item))
            continue
        pool.drops["over the limit"] += 1
        if (slot := rng.randrange(n + 1)) < limit:
            kept[slot] = (n, item)
    return [item for _, item in sorted(kept, key=lambda pair: pair[0])]


def _on_few_passages(items: list[Item], pool: Pool, seed: str) -> list[Item]:
    """Return all items, or those on a random sample of gold passages, which stay whole."""
    most = pool.ingredient.most_passages
    if most is None:
        return items
    texts = sorted({squash(item.gold[0].text) for item in items if item.gold})
    chosen = set(random.Random(seed).sample(texts, min(most, len(texts))))
    kept = [item for item in items if item.gold and squash(item.gold[0].text) in chosen]
    pool.drops["over the limit"] += len(items) - len(kept)
    return kept


# ── held out ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Split:
    """Which side of the line between training and held-out examples a paragraph stands on.

    The side is drawn from the paragraph's letters and digits, so it is the same in every ingredient, run and
    corpus. `fraction` is the share that is held out, in 0..1.
    """

    seed: int
    fraction: float

    def holds_out(self, text: str) -> bool:
        """Say whether a paragraph is held out."""
        digest = hashlib.sha256(f"{self.seed} {squash(text)}".encode()).digest()
        return int.from_bytes(digest[:6], "big") < self.fraction * 2**48

    def side_of(self, item: Item) -> bool:
        """Say whether an item is held out: as its paragraph is; without one, as its question is."""
        return self.holds_out(item.gold[0].text if item.gold else item.question.text)

    def one_side(
        self, item: Item, hits: Sequence[Passage], held_out: bool
    ) -> tuple[Item, tuple[Passage, ...]]:
        """Return an item and its hits with the paragraphs of one side alone.

        Were held-out paragraphs left among the negatives of training, a model would learn by heart to call
        `False` what the held-out examples call `True`: the better it remembered, the worse its evaluation.
        """
        gold, negatives, others = (
            tuple(passage for passage in some if self.holds_out(passage.text) is held_out)
            for some in (item.gold, item.negatives, hits)
        )
        return replace(item, gold=gold, negatives=negatives), others


def hold_out(pools: Sequence[Pool], split: Split) -> None:
    """Move the held-out paragraphs, with every question on them, from `items` to `held_out`.

    What is left is dropped where it shares a question, or half of its text, with what was held out.
    """
    questions, texts = Questions(), Passages()
    for pool in pools:
        chosen = [split.side_of(item) for item in pool.items]
        pool.held_out = [item for item, held in zip(pool.items, chosen, strict=True) if held]
        pool.items = [item for item, held in zip(pool.items, chosen, strict=True) if not held]
        for item in pool.held_out:
            questions.add(item.question.text)
            for text in _reading(item):
                texts.add(text)
    for pool in pools:
        kept = [item for item in pool.items if not _shares(item, questions, texts)]
        pool.drops += Counter({"shares a held-out text": len(pool.items) - len(kept)})
        pool.items = kept


def _reading(item: Item) -> list[str]:
    read = (*item.gold, *(item.example.passages if item.example else ()))
    if read:
        return [passage.text for passage in read]
    return [item.question.text] if len(words(item.question.text)) >= LONG_QUESTION else []


def _shares(item: Item, questions: Questions, texts: Passages) -> bool:
    return any(questions.same(text) for text in telling(item)) or any(map(texts.same, _reading(item)))


def check_licences(blend: Blend) -> None:
    """Raise InvalidInputError where a recipe for commercial use has an ingredient that may not be in it."""
    for name, ingredient in blend.ingredients.items():
        card = SOURCES[ingredient.source]
        if blend.commercial_only and not card.commercial:
            raise InvalidInputError(
                f"ingredient {name!r}: found source {ingredient.source!r} with the licence {card.licence!r}, "
                "but blend.commercial_only is true: take it out, or set blend.commercial_only=false"
            )


# ── conversations made of single questions ─────────────────────────────────────────────────────────────


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
