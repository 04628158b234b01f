"""SQuAD v1.1 and v2.0, Quoref, ROPES and AdversarialQA: paragraphs with their questions."""

from __future__ import annotations

from collections.abc import Iterator

from ...files import Row, rows
from ...prompts import UNANSWERABLE
from ...types import Passage, Question
from ..item import Dropped, Item, passage


def squad(path: str) -> Iterator[Item | Dropped]:
    """Yield SQuAD: `data[].paragraphs[].{context, qas[].{id, question, answers[].text, is_impossible}}`.

    Hub rows (`context, question, answers.text`) are read too. A question of v2.0 that cannot be answered
    becomes an item with the words of abstention as its target.
    """
    for article in rows(path):
        if not article.has("paragraphs"):
            yield _item(article, passage(article.text("context"), _title(article), "squad"))
            continue
        for paragraph in article.rows("paragraphs"):
            context = passage(paragraph.text("context"), _title(article), "squad")
            for qa in paragraph.rows("qas"):
                yield _item(qa, context)


def quoref(path: str) -> Iterator[Item | Dropped]:
    """Yield Quoref: SQuAD's layout, but the answers of a question are spans that belong together."""
    for item in squad(path):
        if isinstance(item, Dropped):
            yield item
            continue
        together = ", ".join(item.answers)
        yield Item(item.id, item.question, answers=(together,), gold=item.gold)


def ropes(path: str) -> Iterator[Item | Dropped]:
    """Yield ROPES: `data[].paragraphs[].{background, situation, qas[]}`; both texts make one passage."""
    for article in rows(path):
        for paragraph in article.rows("paragraphs") if article.has("paragraphs") else [article]:
            text = f"{paragraph.text('background')}\n{paragraph.text('situation')}"
            context = passage(text, prefix="ropes")
            for qa in paragraph.rows("qas") if paragraph.has("qas") else [paragraph]:
                yield _item(qa, context)


def _item(qa: Row, context: Passage) -> Item | Dropped:
    question = Question(id=qa.text("id"), text=qa.text("question").strip())
    answers = _answers(qa)
    if answers:
        return Item(question.id, question, answers=answers, gold=(context,))
    if qa.values.get("is_impossible") or qa.has("answers"):
        return Item(question.id, question, target=UNANSWERABLE, gold=(context,), answerable=False)
    return Dropped("no answer given")


def _answers(qa: Row) -> tuple[str, ...]:
    """Return the distinct answers, in their order: a list of objects, or the hub's object of lists."""
    if not qa.has("answers") or qa.values.get("is_impossible"):
        return ()
    listed = isinstance(qa.values["answers"], list)
    texts = [a.text("text") for a in qa.rows("answers")] if listed else qa.row("answers").texts("text")
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _title(article: Row) -> str:
    return article.optional("title").replace("_", " ")
