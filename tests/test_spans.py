"""Sentences over hard-wrapped lines, words that tell, and the sentence that matters."""

from __future__ import annotations

import re

import pytest

from rankrag.spans import excerpt, flat, marks, sentences, telling, window, worded

WRAPPED = (
    "The hall of those who were\nSlain stands in Asgard. Dr. J. Smith\nsaw it.\n\n- One item\n- Another one"
)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_a_line_end_ends_no_sentence_and_list_items_do() -> None:
    assert cut(WRAPPED) == [
        "The hall of those who were\nSlain stands in Asgard.",
        "Dr. J. Smith\nsaw it.",
        "- One item",
        "- Another one",
    ]
    assert cut("") == []
    assert cut("It is 5 m. The next. 终わり。次の文。") == ["It is 5 m.", "The next.", "终わり。", "次の文。"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sleep", "sleeps"),
        ("sleep", "sleeping"),
        ("stop", "stopped"),
        ("create", "created"),
        ("Cat", "cat's"),
    ],
)
def test_forms_of_a_word_tell_the_same(one: str, other: str) -> None:
    assert telling(one) == telling(other)


def test_plain_words_tell_nothing() -> None:
    assert telling("What is it that they were?") == frozenset()
    assert telling("the classes") == telling("class")
    assert telling("process") != telling("proce")


TEXT = "Cats are old. How many toes has a cat? A cat has eighteen toes. Its tail is long."


def test_the_sentence_that_matters_carries_the_answer_and_is_no_question() -> None:
    found = excerpt(TEXT, "How many toes does a cat have?", "Eighteen.")
    assert TEXT[found.start : found.end] == "A cat has eighteen toes."
    assert "eighteen" in {TEXT[start:end] for start, end in found.marks}
    without = excerpt(TEXT, "How many toes does a cat have?")
    assert TEXT[without.start : without.end] == "A cat has eighteen toes."
    assert excerpt("", "What?") == excerpt("", "What?")


def test_a_window_begins_where_it_matters_and_is_no_longer_than_wanted() -> None:
    text = "Nothing here. " * 60 + "A cat has eighteen toes. " + "More words. " * 60
    found = excerpt(text, "toes of a cat", "eighteen")
    start, end = window(text, found, 100)
    assert text[start:end].startswith("A cat has eighteen toes.")
    assert end - start <= 100
    long = "word " * 200 + "eighteen toes " + "word " * 50
    start, end = window(long, excerpt(long, "how many toes", "eighteen"), 100)
    assert "eighteen toes" in long[start:end]
    assert end - start <= 100


RST = "\n\n".join(
    (
        "===========\nFeline toes\n===========\nOf the feet\n~~~~~~~~~~~\n"
        "A cat has eighteen\ntoes. It walks on them.",
        "===== =====\nLimb  Toes\n===== =====\nFront 10\n===== =====",
        "+------+------+\n| Hind | 8    |\n+======+======+\n| Sum  | 18   |\n+------+------+",
    )
)
SETEXT = "Feline toes\r\n===========\r\nA cat has eighteen toes.\r\n\r\nLess\n---\n- - -\nThe rest is fur."
TABLE = "Limb | Toes\n-----|:---:\nFront | ten\n\n| Limb | Toes |\n|---|--:|\n| Hind | eight |"
CUT_AT_A_RULE = "-----------\nA cat has eighteen toes.\n───────────\nFur.\n___"


@pytest.mark.parametrize("text", [RST, SETEXT, TABLE, CUT_AT_A_RULE])
@pytest.mark.parametrize(
    "asked", ["cat", "toes of the hind limb", "less fur", "feline", "sum of the front", "x"]
)
def test_no_lead_is_or_begins_with_a_line_that_is_drawn(text: str, asked: str) -> None:
    found = excerpt(text, asked, "eighteen" if asked == "cat" else "")
    lead = text[found.start : found.end]
    assert any(lead == text[start:end] for start, end in worded(text))
    start, end = window(text, found, 40)
    for shown in (lead, text[start:end], flat(text)):
        assert not re.match(r"[-=~+|:─_\s]{3}", shown.replace("| ", ""))
    assert not re.search(r"[-=~─_]{3}", flat(text))
    assert telling(flat(text)) == telling(text)


def test_lines_that_are_drawn_part_sentences_and_words_keep_their_places() -> None:
    assert [RST[start:end] for start, end in worded(RST)] == [
        "Feline toes",
        "Of the feet",
        "A cat has eighteen\ntoes.",
        "It walks on them.",
        "Limb  Toes",
        "Front 10",
        "| Hind | 8    |",
        "| Sum  | 18   |",
    ]
    assert flat("He said - well -- no.\n--\n1 * 2 * 3 ...\n...") == "He said - well -- no. -- 1 * 2 * 3 ... "
    assert [*worded("=====\n-----")] == []
    assert excerpt("=====", "What?").end == 5


def test_marks_are_whole_words() -> None:
    text = "Cats, concatenated: a cat's toe"
    assert [text[start:end] for start, end in marks(text, telling("cat toes"))] == ["Cats", "cat's", "toe"]
