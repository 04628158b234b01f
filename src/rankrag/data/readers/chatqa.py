"""The layout of ChatQA-Training-Data: conversations with a document (arXiv 2401.10225)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...files import Row, messages, rows
from ...prompts import UNANSWERABLE
from ...types import Turn
from ..item import Dropped, Item, dialogue, passage


def chatqa(path: str) -> Iterator[Item | Dropped]:
    """Yield `{messages[].{role, content}, answers, document}`; a row is one turn of a conversation.

    Its last user message is the question and `answers` its reply; where the messages end with the
    assistant, that is the reply. Instruction rows (`sft`) have no document. Of an answer that is itself
    a list the first is taken; a turn whose reply is the sentence of abstention is unanswerable.
    """
    for number, row in enumerate(rows(path), 1):
        turns = messages(row)
        answers = _answers(row)
        if turns and turns[-1].role == "user":
            if not answers:
                yield Dropped("no answer given")
                continue
            turns.append(Turn("assistant", answers[0]))
        yield _item(f"chatqa-{number}", turns, answers, row.optional("document"))


def _item(name: str, turns: list[Turn], answers: list[str], document: str) -> Item | Dropped:
    item = dialogue(name, turns)
    if isinstance(item, Dropped) or not document.strip():
        return item
    gold = (passage(document.strip(), prefix="chatqa"),)
    answerable = item.target.strip() != UNANSWERABLE
    return replace(item, answers=tuple(answers or [item.target]), gold=gold, answerable=answerable)


def _answers(row: Row) -> list[str]:
    """Return the answers: texts, objects with `text`, or lists of texts (of which the first counts)."""
    answers: list[str] = []
    for value in row.items("answers") if row.has("answers") else []:
        first = value[0] if isinstance(value, list) and value else value
        text = first.get("text", "") if isinstance(first, dict) else first
        if isinstance(text, list):
            text = text[0] if text else ""
        if not isinstance(text, str | int | float):
            raise row.error(f"found an answer of type {type(text).__name__}, wanted text")
        answers.append(str(text).strip())
    return [text for text in answers if text]
