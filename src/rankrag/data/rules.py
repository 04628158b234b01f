"""The rules by which the paper makes training examples (arXiv 2407.02485, section 4.2), one function each.

Where the paper is silent the docstring says what was decided; docs/blend-rules.md gathers those decisions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from ..prompts import FALSE, TRUE, passage_list
from ..types import Example, Passage, Question
from .item import Item, passage
from .matching import contains_answer, ngram_recall, squash
from .sentences import telling

RELEVANT_ABOVE, IRRELEVANT_BELOW = 0.5, 0.1
"""4-gram recall of the answer in a chunk: above the first it is relevant, below the second not."""


# ── which passages are relevant ──────────────────────────────────────────────────────────────────────


def relevant(passage: Passage, item: Item) -> bool:
    """Say whether a passage is relevant: it contains an answer, or the source itself labelled it so.

    The paper has only the first half; the second keeps gold whose answer is worded differently.
    """
    labelled = any(passage.id == gold.id for gold in item.gold)
    return labelled or contains_answer(passage.text, item.answers)


def hard_negatives(item: Item, hits: Sequence[Passage]) -> list[Passage]:
    """Return the passages, hardest first, that are taken to be irrelevant.

    The source's own negatives and what retrieval found, without gold (also under another id) and without
    any that contains an answer. A source without answers keeps every hit that is not gold.
    """
    others = _without_gold(item, [*item.negatives, *hits])
    return [passage for passage in others if not contains_answer(passage.text, item.answers)]


def _without_gold(item: Item, passages: Sequence[Passage]) -> list[Passage]:
    """Return the distinct texts among passages that are not gold, in their order."""
    gold = {squash(passage.text) for passage in item.gold}
    by_text: dict[str, Passage] = {}
    for other in passages:
        by_text.setdefault(squash(other.text), other)
    return [passage for key, passage in by_text.items() if key not in gold]


def with_distant_gold(item: Item, hits: Sequence[Passage], depth: int) -> Item:
    """Return an item without gold with the best hit that contains an answer as its gold.

    So DPR finds positives of WebQuestions (arXiv 2004.04906, section 4.1). Only the first `depth` hits
    count: further down an answer string stands there by chance more and more often. Of 30 such passages
    among the first five hits that were read, 21 answered the question.
    """
    if item.gold or not item.answers:
        return item
    positives = [passage for passage in hits[:depth] if contains_answer(passage.text, item.answers)]
    return replace(item, gold=tuple(positives[:1]))


def same_dress(passages: Sequence[Passage]) -> list[Passage]:
    """Return passages without titles unless all have one: else a title would tell gold from the rest."""
    if all(passage.title for passage in passages):
        return list(passages)
    return [replace(passage, title="") for passage in passages]


# ── the tasks ────────────────────────────────────────────────────────────────────────────────────────


def target(item: Item, passages: Sequence[Passage]) -> str:
    """Return what to answer: the source's own reply, else the first answer that the passages contain.

    Answers are alternatives; one that can be read off the passage teaches to read. None there: the first.
    """
    if item.target or not item.answers:
        return item.target
    text = "\n".join(passage.text for passage in passages)
    return next((answer for answer in item.answers if contains_answer(text, [answer])), item.answers[0])


def one_passage(passages: Sequence[Passage]) -> Passage:
    """Return gold passages as the one passage of context-rich question answering, line after line."""
    if len(passages) == 1:
        return passages[0]
    return passage("\n".join(passage.text for passage in passages), passages[0].title, "joined")


def five_passages(
    item: Item, hits: Sequence[Passage], rng: random.Random, size: int = 5, all_gold: bool = False
) -> list[Passage]:
    """Return gold and the top of BM25, five in all, shuffled; fewer where there are not as many.

    Section 4.2: "gold and top-retrieved contexts, in total five", some of which may hold the answer too.
    One gold passage goes in; where the source has several, another one each time that `rng` differs. With
    `all_gold` all of them do, for replies that were written from several; where they are more than `size`,
    nothing is returned.
    """
    gold = item.gold if all_gold else (rng.choice(item.gold),)
    if len(gold) > size:
        return []
    chosen = [*gold, *_without_gold(item, [*hits, *item.negatives])[: size - len(gold)]]
    rng.shuffle(chosen)
    return same_dress(chosen)


def as_found(item: Item, hits: Sequence[Passage], rng: random.Random, size: int = 5) -> list[Passage]:
    """Return gold and the top of the hits, five in all, in the order of the hits; fewer where there are not.

    Not in the paper, which shuffles. A reader is given passages best first; where the hits are ranked as they
    will be, it can learn how far to trust the order. Gold stands where it was found, last if it was not among
    the first.
    """
    gold = rng.choice(item.gold)
    others = _without_gold(item, [*hits, *item.negatives])[: size - 1]
    places = [squash(passage.text) for passage in hits]
    key = squash(gold.text)
    ahead = {squash(passage.text) for passage in hits[: places.index(key)]} if key in places else None
    n = len(others) if ahead is None else sum(squash(passage.text) in ahead for passage in others)
    return same_dress([*others[:n], gold, *others[n:]])


def without_answer(
    item: Item, hits: Sequence[Passage], rng: random.Random, size: int = 5, shuffled: bool = True
) -> list[Passage]:
    """Return passages none of which holds the answer, shuffled: the question cannot be answered from them.

    Not in the paper, whose unanswerable turns are conversations; off unless a recipe asks for a share.
    """
    chosen = hard_negatives(item, hits)[:size]
    if shuffled:
        rng.shuffle(chosen)
    return same_dress(chosen)


def shared_words(item: Item) -> float:
    """Return the share of the question's telling words that its gold passage repeats, in 0..1."""
    asked = telling(item.question.text)
    read = telling(" ".join(f"{passage.title} {passage.text}" for passage in item.gold))
    return len(asked & read) / len(asked) if asked else 1.0


def index_list(item: Item, passages: Sequence[Passage]) -> str:
    """Return the target of retrieval-augmented ranking: the numbers of all the relevant passages."""
    return passage_list([n for n, passage in enumerate(passages, 1) if relevant(passage, item)])


def pointwise(item: Item, negatives: Sequence[Passage], rng: random.Random, n: int = 1) -> list[Example]:
    """Return one example with gold (`True`) and `n` with hard negatives (`False`), a passage each.

    Section 4.2, MS MARCO. How many negatives stand against a positive the paper does not say: 1 unless
    a recipe asks for more. They are drawn from all that were given, so another round meets others.
    """
    chosen = [rng.choice(item.gold), *rng.sample(list(negatives), min(n, len(negatives)))]
    labels = [TRUE] + [FALSE] * (len(chosen) - 1)
    return [
        ranking_example(item, passage, label)
        for passage, label in zip(same_dress(chosen), labels, strict=True)
    ]


def ranking_example(item: Item, passage: Passage, label: str) -> Example:
    """Return the example that asks whether one passage is relevant."""
    name = f"{item.id}/{label.lower()}/{passage.id}"
    return Example(name, "", "rank", plain(item.question), (passage,), label)


def plain(question: Question) -> Question:
    """Return a question without a style: ranking asks for no answer (a claim stays a claim)."""
    return question if question.style == "true_false" else replace(question, style="plain")


# ── conversations ────────────────────────────────────────────────────────────────────────────────────


def chunks(text: str, n_words: int = 150) -> list[Passage]:
    """Return a document cut into pieces of 150 words, the last one shorter (section 4.2)."""
    said = text.split()
    pieces = [" ".join(said[start : start + n_words]) for start in range(0, len(said), n_words)]
    return [passage(piece, prefix="chunk") for piece in pieces]


def chunk_is_relevant(answer: str, chunk: Passage) -> bool | None:
    """Say whether a chunk is relevant by the 4-gram recall of the answer; None in between: not used."""
    recall = ngram_recall(answer, chunk.text)
    if recall > RELEVANT_ABOVE:
        return True
    return False if recall < IRRELEVANT_BELOW else None


def conversation_ranking(item: Item, rng: random.Random, n: int = 1, n_words: int = 150) -> list[Example]:
    """Return one relevant chunk of the item's document (`True`) and `n` irrelevant ones (`False`).

    Empty where the document has no relevant chunk. The item must be answerable.
    """
    answer = item.target or item.answers[0]
    pieces = [piece for document in item.gold for piece in chunks(document.text, n_words)]
    judged = [(piece, chunk_is_relevant(answer, piece)) for piece in pieces]
    good, bad = ([piece for piece, label in judged if label is wanted] for wanted in (True, False))
    if not good:
        return []
    chosen = [(rng.choice(good), TRUE), *((passage, FALSE) for passage in rng.sample(bad, min(n, len(bad))))]
    return [ranking_example(item, passage, label) for passage, label in chosen]
