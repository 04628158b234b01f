"""What a reader knows about one question, before a task is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..types import Example, Passage, Question, Turn

BUILT_TURN = "#conversation"
"""What the id of a question ends with that was made a turn of a conversation here."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a source, with all that the source says about it.

    `answers` are alternatives, any one of which is right; `target` is the text to learn where the source
    gives it as such (a reply, a whole sentence) and empty where it is to be chosen from `answers`.
    `gold` are the passages labelled relevant, best first; `negatives` those labelled or mined as not
    relevant, hardest first. `part` names the piece of the source that the item belongs to (a template of
    P3, an answer type of TAT-QA): licences and recipes may tell parts apart. `example` is set where the
    item was read as a finished training example, which then is used as it stands.
    """

    id: str
    question: Question
    target: str = ""
    answers: tuple[str, ...] = ()
    gold: tuple[Passage, ...] = ()
    negatives: tuple[Passage, ...] = ()
    answerable: bool = True
    part: str = ""
    example: Example | None = None

    @property
    def search_id(self) -> str:
        """The id under which a run holds the hits of this question: a turn built here has its question's."""
        return self.id.removesuffix(BUILT_TURN)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that was left out, and why in a few words; the manifest counts the reasons."""

    reason: str


def passage(text: str, title: str = "", prefix: str = "passage") -> Passage:
    """Return a passage whose id is made of its title and text, so that equal passages share it."""
    digest = hashlib.sha1(f"{title}\n{text}".encode(), usedforsecurity=False).hexdigest()[:12]
    return Passage(id=f"{prefix}-{digest}", text=text, title=title)


def dialogue(name: str, turns: Sequence[Turn], part: str = "") -> Item | Dropped:
    """Return a conversation as an item: its last reply is the target, all before it the question.

    The paper trains on the last response of the assistant only (arXiv 2407.02485, section 4.1).
    """
    turns = [turn for turn in turns if turn.text.strip()]
    while turns and turns[-1].role != "assistant":
        turns = turns[:-1]
    if len(turns) < 2 or turns[-2].role != "user":
        return Dropped("no reply to a question")
    question = Question(id=name, text=turns[-2].text, history=tuple(turns[:-2]))
    return Item(id=name, question=question, target=turns[-1].text, part=part)
