"""Readers of claims, yes-or-no questions, replies and questions without an answer, on made-up lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from rankrag.data.item import Dropped, Item
from rankrag.data.readers import grounded
from rankrag.data.sources import Reader
from rankrag.prompts import UNANSWERABLE


def read(reader: Reader, tmp_path: Path, *records: dict[str, object]) -> list[Item | Dropped]:
    path = tmp_path / "made.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{n}"} | one) + "\n" for n, one in enumerate(records)))
    return list(reader(str(path)))


def passages(*texts: tuple[str, bool | None]) -> list[dict[str, object]]:
    return [{"id": text, "title": "T", "text": text, "relevant": relevant} for text, relevant in texts]


def items(found: Iterable[Item | Dropped]) -> list[Item]:
    return [one for one in found if isinstance(one, Item)]


def test_a_claim_is_true_or_false_by_one_piece_of_evidence(tmp_path: Path) -> None:
    found = read(
        grounded.claims,
        tmp_path,
        {
            "question": "Ulm is big .",
            "label": "SUPPORTS",
            "passages": passages(("Ulm , a city .", True), ("Kiel.", None)),
        },
        {"question": "Ulm is small.", "label": "REFUTES", "passages": passages(("Ulm.", True))},
        {"question": "Ulm?", "label": "NOT ENOUGH INFO", "passages": passages(("Ulm.", None))},
        {"question": "Ulm.", "label": "REFUTES", "passages": passages(("Ulm.", True), ("Kiel.", True))},
    )
    first, second = items(found)
    assert (first.target, second.target) == ("True", "False")
    assert first.question.style == "true_false"
    assert first.question.text == "Ulm is big."
    assert [one.text for one in first.gold] == ["Ulm, a city."]
    assert [one.text for one in first.negatives] == ["Kiel."]
    assert found[2:] == [Dropped("neither true nor false"), Dropped("evidence in several places")]


def test_yes_and_no_are_asked_as_a_phrase(tmp_path: Path) -> None:
    found = read(
        grounded.yes_no,
        tmp_path,
        {"question": "Is it?", "answers": ["YES"], "passages": passages(("It is.", True))},
        {"question": "Is it?", "answers": ["less"], "passages": passages(("It is.", True))},
        {"question": "Is it?", "answers": [], "answerable": False, "passages": passages(("It is.", True))},
    )
    yes, unknown = items(found)
    assert (yes.target, yes.question.style) == ("Yes", "phrase")
    assert (unknown.target, unknown.question.style, unknown.answerable) == (UNANSWERABLE, "phrase", False)
    assert found[1] == Dropped("neither yes nor no")


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        (["Yes, it has a pool. Can I help with anything else?"], "Yes, it has a pool."),
        (["It has a pool. Anything else today?", "It has a pool and a bar by the sea."], "It has a pool."),
        (["Yes, it wasn‚Äôt open then."], "Yes, it wasn’t open then."),
        (["a pool"], None),
        (["It has a ' pool ' by the sea."], None),
        (["It has a pool.The bar is shut."], None),
        (["It is " + "very " * 80 + "nice."], None),
        (["Would you like a pool?"], None),
    ],
)
def test_a_reply_is_taught_without_what_an_assistant_adds(
    tmp_path: Path, answers: list[str], wanted: str | None
) -> None:
    (found,) = read(
        grounded.replies,
        tmp_path,
        {"question": "is there a pool", "answers": answers, "passages": passages(("A pool .", None))},
    )
    if wanted is None:
        assert found == Dropped("no whole sentence")
        return
    assert isinstance(found, Item)
    assert (found.target, found.answers, found.question.text) == (wanted, (), "Is there a pool")
    assert [one.text for one in found.gold] == [
        "A pool."
    ]  # nobody judged it: what the reply was written from


def test_questions_without_an_answer_look_like_the_others(tmp_path: Path) -> None:
    text = "The pub is in Yorkshire. Pubs of England are old; the Tan Hill Inn is high in England."
    found = read(
        grounded.squad2,
        tmp_path,
        {
            "question": "what pub in england is low?",
            "answers": [],
            "answerable": False,
            "passages": passages((text, True)),
        },
        {
            "question": "where is the tan hill inn?",
            "answers": ["yorkshire"],
            "passages": passages((text, True)),
        },
        {"question": "where is it?", "answers": ["ulm"], "passages": passages(("it is in ulm.", True))},
        {
            "question": "who?",
            "answers": [],
            "answerable": False,
            "unit": "sentence",
            "passages": passages(("It.", True)),
        },
    )
    none, cased, lower, sentence = items(found)
    assert none.question.text == "What pub in England is low?"
    assert (none.target, none.part) == (UNANSWERABLE, "cased")
    assert cased.question.text == "Where is the Tan Hill Inn?"
    assert (cased.answers, cased.part) == (("Yorkshire",), "cased")
    assert (lower.question.text, lower.answers, lower.part) == ("where is it?", ("ulm",), "lower")
    assert sentence.part == "sentence"


def test_a_turn_keeps_the_passage_that_has_its_answer(tmp_path: Path) -> None:
    found = read(
        grounded.spans,
        tmp_path,
        {
            "question": "Where?",
            "answers": ["Ulm"],
            "passages": passages(("In Kiel.", True), ("In Ulm.", True)),
        },
        {"question": "Where?", "answers": ["Ulm"], "passages": passages(("In Kiel.", True))},
    )
    (kept,) = items(found)
    assert [one.text for one in kept.gold] == ["In Ulm."]
    assert found[1] == Dropped("no passage with the answer")
