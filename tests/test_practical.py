"""The rule of the practical questions, and the questions themselves; no model and no documents are needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from judge import is_evidence, judged, normalised, patterns, refused, supports
from questions import DEVELOPMENT, KINDS, Evidence, KeyFact, Practical, read_questions
from rankrag.errors import FormatError
from rankrag.prompts import UNANSWERABLE

QUESTIONS = {one.id: one for one in read_questions()}
CHOSEN_ON = {one.id: one for one in read_questions(DEVELOPMENT)}
WRITTEN = yaml.safe_load(Path(__file__).with_name("practical_answers.yaml").read_text(encoding="utf-8"))

PURGE, FOUNDER, NAMES = (QUESTIONS[f"debian-{name}"] for name in ("remove-purge", "founder", "names"))


def test_there_are_forty_with_an_answer_and_twenty_without() -> None:
    assert Counter(one.answerable for one in QUESTIONS.values()) == {True: 40, False: 20}
    assert {one.kind for one in QUESTIONS.values()} == KINDS
    assert WRITTEN.keys() == {one.id for one in QUESTIONS.values() if one.answerable}
    assert all(len(written["right"]) == 2 for written in WRITTEN.values())


def test_the_development_set_has_other_questions_thirty_of_them_with_an_answer() -> None:
    assert Counter(one.answerable for one in CHOSEN_ON.values()) == {True: 30, False: 15}
    assert {one.kind for one in CHOSEN_ON.values()} == KINDS
    assert not CHOSEN_ON.keys() & QUESTIONS.keys()


@pytest.mark.parametrize("name", [one.id for one in CHOSEN_ON.values() if one.answerable])
def test_the_answer_of_a_development_question_is_right(name: str) -> None:
    assert judged(CHOSEN_ON[name], CHOSEN_ON[name].answer).ruling == "right"


def test_every_wording_is_a_pattern_that_does_not_match_everything() -> None:
    for one in (*QUESTIONS.values(), *CHOSEN_ON.values()):
        wordings = [*one.against, *(wording for fact in one.facts for wording in fact.wordings)]
        for pattern in patterns(wordings):
            assert not pattern.search("a sentence about something else entirely."), pattern.pattern


@pytest.mark.parametrize("name", [one.id for one in QUESTIONS.values() if one.answerable])
def test_what_fluent_people_would_write_is_judged_as_it_should_be(name: str) -> None:
    asked, written = QUESTIONS[name], WRITTEN[name]
    for text in (asked.answer, *written["right"]):
        assert judged(asked, text).ruling == "right", (text, judged(asked, text))
    assert judged(asked, written["wrong"]).ruling != "right", written["wrong"]
    assert judged(asked, written["wrong"]).ruling != "refused", written["wrong"]


@pytest.mark.parametrize("name", [one.id for one in QUESTIONS.values() if one.answerable])
def test_the_answers_to_all_other_questions_are_not_right(name: str) -> None:
    others = (one for other, written in WRITTEN.items() if other != name for one in written["right"])
    taken = [text for text in others if judged(QUESTIONS[name], text).ruling == "right"]
    assert len(taken) <= 8, taken  # a bare "No" or "You can't" answers more than one question


@pytest.mark.parametrize(
    "text",
    [
        "Both remove the program, but only purge deletes its configuration files.",
        "PURGE also removes the config files.",
        "apt remove leaves configuration files behind, apt purge doesn’t.",
    ],
)
def test_right(text: str) -> None:
    assert judged(PURGE, text).ruling == "right"


@pytest.mark.parametrize(
    ("asked", "text", "missing"),
    [
        (FOUNDER, "It was Ian Murdock.", "1993"),
        (FOUNDER, "It began in 1993.", "Ian Murdock"),
        (PURGE, "The one deals with configuration files.", "purge deletes them, or remove keeps them"),
    ],
)
def test_partly_right(asked: Practical, text: str, missing: str) -> None:
    verdict = judged(asked, text)
    assert (verdict.ruling, verdict.missing) == ("partial", (missing,))


@pytest.mark.parametrize("text", ["Linus Torvalds.", "A company in Utah.", "Debian is a distribution."])
def test_wrong(text: str) -> None:
    assert judged(FOUNDER, text).ruling == "wrong"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("debian-founder", "Ian Murdock founded it in 1993, or perhaps in 1995."),
        ("python-lambda", "Yes, but only one expression counts."),
        ("sqlite-join-tables", "64 by default, but there is no limit really."),
        ("borg-encrypt-later", "It is only possible when you create it; you can change it at any time."),
    ],
)
def test_a_contradiction_makes_an_answer_wrong_whatever_else_it_says(name: str, text: str) -> None:
    verdict = judged(QUESTIONS[name], text)
    assert (verdict.ruling, bool(verdict.against)) == ("contradicts", True)


REFUSING = (
    UNANSWERABLE,
    "I cannot find this in the documents.",
    "I couldn't find an answer.",
    "The provided context does not mention this.",
    "These passages don't say how.",
    "The answer is not given in the documents.",
    "There is no information about that in the given passages.",
    "There isn't enough information to answer the question.",
    "The documentation contains nothing on that.",
    "I don't know.",
    "I'm sorry, but none of the passages mentions it.",
    "That is not in the documents.",
)


@pytest.mark.parametrize("text", REFUSING)
def test_refusing_is_right_where_there_is_no_answer_and_counted_apart_where_there_is(text: str) -> None:
    assert judged(QUESTIONS["none-egg"], text).ruling == "right"
    assert judged(NAMES, text).ruling == "refused"
    assert judged(NAMES, f"{text} They come from Toy Story.").ruling == "refused"


@pytest.mark.parametrize(
    "text",
    [
        "Five minutes.",
        "You cannot do that.",
        "A NameError is raised if the name cannot be found.",
        "SQLite does not say anything when a foreign key is broken.",
        "There is no limit.",
        "If no answer comes, the default is used.",
        "The file is not found.",
    ],
)
def test_an_answer_with_a_negation_is_no_refusal(text: str) -> None:
    assert not refused(text)
    assert judged(QUESTIONS["none-egg"], text).ruling == "answered"


def test_abstaining_is_refusing_and_silence_is_neither() -> None:
    assert judged(QUESTIONS["none-egg"], "", abstained=True).ruling == "right"
    assert judged(QUESTIONS["none-egg"], " ").ruling == "empty"
    assert judged(NAMES, "").ruling == "empty"


def test_marks_of_code_apostrophes_and_commas_in_numbers_do_not_matter() -> None:
    assert normalised("It **can’t** be  `1,000`,\n“OK”") == "it can not be 1000, ok"


def test_evidence_is_found_across_lines_and_marks() -> None:
    asked = QUESTIONS["python-eq-hash"]
    passage = (
        'A class that does not define "__hash__()"\nwill have its "__hash__()" implicitly set to "None".'
    )
    assert is_evidence(asked, passage)
    assert not is_evidence(asked, passage[:40])
    assert not is_evidence(QUESTIONS["none-egg"], passage)


@pytest.mark.parametrize(
    ("asked", "sentence", "quoted", "right"),
    [
        (FOUNDER, "Ian Murdock, in 1993.", "It was created by **Ian Murdock** in 1993, alone.", True),
        (FOUNDER, "Ian Murdock, in 1993.", "It was created by Ian Murdock.", False),
        (FOUNDER, "It was in 1993.", "Begun in 1993 by a student.", True),
        (FOUNDER, "Linus Torvalds", "Linus Torvalds wrote a kernel.", True),  # wrong, but there
        (FOUNDER, "Linus Torvalds", "Linus wrote a kernel.", False),
        (FOUNDER, "Yes.", "Yes.", False),
        (QUESTIONS["none-egg"], "It takes five minutes.", "Waiting takes up to five minutes.", True),
        (QUESTIONS["none-egg"], "It takes five minutes.", "Waiting takes minutes.", False),
    ],
)
def test_a_citation_supports_what_its_sentence_states(
    asked: Practical, sentence: str, quoted: str, right: bool
) -> None:
    assert supports(asked, sentence, quoted) is right


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{id: a, kind: how, question: b}]", "kind 'how'"),
        ("[{id: a, kind: why, question: b, answer: c}]", "in part"),
        ("[{id: a, kind: why, question: b, fact: c}]", "'fact'"),
        ("[{id: a, kind: why, question: b}, {id: a, kind: why, question: c}]", "twice"),
    ],
)
def test_a_question_that_lacks_something_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        read_questions(path)


def test_a_question_is_written_as_predict_reads_it() -> None:
    assert QUESTIONS["none-egg"].record()["answerable"] is False
    made = Practical("a", "why", "b?", "c", (KeyFact("d", ("e",)),), (), (Evidence("f", "g"),))
    assert made.record() == {"id": "a", "question": "b?", "style": "plain", "answers": ["c"]}
