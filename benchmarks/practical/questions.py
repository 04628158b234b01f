"""The questions: what is asked, what decides, and where the answer stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rankrag.errors import FormatError

QUESTIONS = Path(__file__).with_name("questions.yaml")
DEVELOPMENT = Path(__file__).with_name("development.yaml")
"""Other questions over other documents; ways of answering may be chosen on them."""

KINDS = frozenset(
    {
        *("how do I", "what happens if", "why", "which", "default value", "number", "yes/no"),
        *("error message", "comparison", "definition"),
    }
)


@dataclass(frozen=True, slots=True)
class KeyFact:
    """What an answer has to say, by name, and the wordings of which any one is enough."""

    name: str
    wordings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A document, by its path below the folder of documents, and a few words of it."""

    document: str
    phrase: str


@dataclass(frozen=True, slots=True)
class Practical:
    """A question with what decides about its answers. Without facts the documents do not answer it."""

    id: str
    kind: str
    question: str
    answer: str = ""
    facts: tuple[KeyFact, ...] = ()
    against: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    near_miss: str = ""

    @property
    def answerable(self) -> bool:
        """Say whether the documents answer it."""
        return bool(self.facts)

    def record(self) -> dict[str, object]:
        """Return it as `rankrag eval predict` reads a user's own question, in the style that people use."""
        shown = {"id": self.id, "question": self.question, "style": "plain"}
        return shown | ({"answers": [self.answer]} if self.answerable else {"answerable": False})


def read_questions(path: Path = QUESTIONS) -> tuple[Practical, ...]:
    """Return the questions in the order of the file; raises FormatError for one that lacks something."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    questions = tuple(_question(str(path), number, record) for number, record in enumerate(found, 1))
    if len({one.id for one in questions}) < len(questions):
        raise FormatError(str(path), None, "found an id twice, wanted each once")
    return questions


def _question(path: str, number: int, record: Mapping[str, Any]) -> Practical:
    names = record.keys() - set(Practical.__dataclass_fields__)
    if names:
        raise FormatError(path, number, f"found {sorted(names)[0]!r} in a question, wanted a field of it")
    if record["kind"] not in KINDS:
        raise FormatError(path, number, f"found kind {record['kind']!r}, wanted one of {', '.join(KINDS)}")
    facts = tuple(KeyFact(one["fact"], _texts(one["wordings"])) for one in record.get("facts", ()))
    evidence = tuple(Evidence(one["document"], one["phrase"]) for one in record.get("evidence", ()))
    if bool(facts) != bool(evidence) or bool(facts) != bool(record.get("answer")):
        raise FormatError(path, number, "found facts, answer and evidence in part, wanted all or none")
    return Practical(
        id=record["id"],
        kind=record["kind"],
        question=record["question"],
        answer=record.get("answer", ""),
        facts=facts,
        against=_texts(record.get("against", ())),
        evidence=evidence,
        near_miss=record.get("near_miss", ""),
    )


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    return tuple("false" if value is False else str(value) for value in values)
