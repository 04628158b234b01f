"""Full sentences made of a question, its short answer and the passage."""

from __future__ import annotations

import pytest

from rankrag.data.sentences import declarative, evidence, full_sentence, sentences

TEXT = (
    "The Tan Hill Inn is a pub in Yorkshire.[citation needed] It lies at 528 m. The old inn, built in 1737, "
    "was opened by Dr. J. R. Smith in 1894. However, the bridge was closed in 1902."
)


def test_sentences_are_not_cut_at_abbreviations_and_lose_their_notes() -> None:
    assert sentences(TEXT) == [
        "The Tan Hill Inn is a pub in Yorkshire.",
        "It lies at 528 m.",
        "The old inn, built in 1737, was opened by Dr. J. R. Smith in 1894.",
        "However, the bridge was closed in 1902.",
    ]


@pytest.mark.parametrize(
    ("question", "answer", "wanted"),
    [
        ("Who wrote Faust?", "Goethe", "Goethe wrote Faust."),
        ("Who wrote Faust and sang Aida?", "Goethe", ""),  # two clauses
        ("Who is Faust?", "a doctor", ""),
        ("What is the capital of Peru?", "Lima", "The capital of Peru is Lima."),
        ("What is the city that Peru is led from?", "Lima", ""),
        ("What was the Old Inn used for?", "beer", ""),
        ("What is the name of the Inn called?", "Tan", ""),
        ("When was the Old Inn opened?", "1894", "The Old Inn was opened in 1894."),
        ("When was the Old Inn opened?", "1895", ""),  # the passage has no preposition for it
        ("who wrote faust", "Goethe", ""),  # its names would be misspelt
        ("Who wrote it?", "Goethe", ""),
        ("Who wrote Faust?", "", ""),
    ],
)
def test_a_question_becomes_a_statement_only_where_its_words_may_stay(
    question: str, answer: str, wanted: str
) -> None:
    assert declarative(question, answer, TEXT) == wanted


@pytest.mark.parametrize(
    ("question", "answer", "wanted"),
    [
        ("In which county is the Tan Hill Inn?", "Yorkshire", "The Tan Hill Inn is a pub in Yorkshire."),
        ("How high is the Inn?", "528 m", ""),  # It ...: says too little alone
        ("When was the bridge closed?", "1902", ""),  # However ...
        ("Which famous poet likes drinking there?", "Yorkshire", ""),  # repeats nothing of the question
        ("In which county is the Tan Hill Inn?", "Kent", ""),
    ],
)
def test_evidence_stands_alone_and_repeats_the_question(question: str, answer: str, wanted: str) -> None:
    assert evidence(question, answer, TEXT) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "The Danube (/ ˈdænjuːb/) is a long river in Europe.",
        "The Danube -- a river -- is long and lies in Europe.",
        "The Danube is long, it lies in Europe (and so on.",
        "the Danube is a long river of Europe.",
        "The Danube is a long river of Europe",
    ],
)
def test_evidence_is_clean(text: str) -> None:
    assert evidence("Where is the Danube?", "Europe", text) == ""


def test_a_statement_comes_before_evidence() -> None:
    text = "In 1808 the poet Goethe wrote Faust in Weimar."
    assert full_sentence("Who wrote Faust?", "Goethe", text) == "Goethe wrote Faust."
    assert full_sentence("who wrote faust", "Goethe", text) == text
