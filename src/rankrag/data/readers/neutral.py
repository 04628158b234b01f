"""The neutral shape of a prepared data folder, and the project's own example files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...files import Row, messages, rows
from ...formats import read_examples
from ...prompts import UNANSWERABLE
from ...types import Passage, Question, Style
from ..item import Dropped, Item, dialogue, passage
from ..matching import tidy
from .reading import with_scale

_STYLES: dict[str, Style] = {"arithmetic": "number", "count": "number"}


def neutral(path: str) -> Iterator[Item | Dropped]:
    """Yield `{id, question, answers, passages[], history[]}`, or `{id, messages[]}`.

    A passage is `{id, title, text, relevant}`; `relevant` is true (gold), false (a distractor) or null
    (not judged, left out). `answerable: false` makes the item unanswerable. The part is `template`, `task`
    or `answer_type`, whichever is there.
    """
    for row in rows(path):
        part = row.optional("template") or row.optional("task") or row.optional("answer_type")
        if row.has("messages"):
            yield dialogue(row.text("id"), messages(row), part)
        else:
            yield item_of(row, part)


def joined(path: str) -> Iterator[Item | Dropped]:
    """Yield the neutral shape with all passages of an item, in their order, made one gold passage.

    So ROPES (background, situation) and TAT-QA (table, paragraphs) are read: neither text says enough
    alone. TAT-QA's answers get their scale.
    """
    for row in rows(path):
        item = item_of(row, row.optional("answer_type"))
        if isinstance(item, Dropped):
            yield item
            continue
        text = "\n".join(p.text("text").strip() for p in row.rows("passages"))
        answers = tuple(with_scale(answer, row.optional("scale")) for answer in item.answers)
        style = _STYLES.get(item.part, item.question.style)
        question = Question(item.id, item.question.text, item.question.history, style)
        gold = (passage(text, prefix=item.id.split("-")[0]),)
        yield Item(item.id, question, item.target, answers, gold, (), item.answerable, item.part)


def tokenised(path: str) -> Iterator[Item | Dropped]:
    """Yield the neutral shape of sources whose texts are tokens (QED, AmbigNQ), printed as text again."""
    for row in rows(path):
        item = item_of(row, row.optional("answer_type"))
        if isinstance(item, Dropped):
            yield item
            continue
        gold = tuple(Passage(p.id, tidy(p.text), p.title) for p in item.gold)
        answers = tuple(map(tidy, item.answers))
        negatives = tuple(Passage(p.id, tidy(p.text), p.title) for p in item.negatives)
        yield replace(item, answers=answers, gold=gold, negatives=negatives)


def examples(path: str) -> Iterator[Item | Dropped]:
    """Yield the project's own example files (see `formats.read_examples`), each as it stands."""
    for example in read_examples(path):
        gold = () if example.task == "instruct" else example.passages
        yield Item(example.id, example.question, example.target, gold=gold, example=example)


def item_of(row: Row, part: str) -> Item | Dropped:
    """Return the item of a neutral row; what cannot be answered has the words of abstention as its target."""
    name = row.text("id")
    history = tuple(messages(row, "history", "text")) if row.has("history") else ()
    question = Question(name, row.text("question").strip(), history)
    given = row.texts("answers") if row.has("answers") else []
    answers = tuple(text.strip() for text in given if text.strip())
    judged = row.rows("passages") if row.has("passages") else []
    gold, negatives = (
        tuple(passage_of(p) for p in judged if p.values.get("relevant") is wanted) for wanted in (True, False)
    )
    if row.values.get("answerable") is False:
        # Where no answer is in the passage the passage is read all the same, to say so.
        return Item(name, question, UNANSWERABLE, (), gold or negatives, (), False, part)
    if not gold and not answers:
        return Dropped("no gold passage and no answer")
    return Item(name, question, "", answers, gold, negatives, True, part)


def passage_of(row: Row) -> Passage:
    """Return a passage of a neutral row."""
    return Passage(row.text("id"), row.text("text").strip(), row.optional("title"))
