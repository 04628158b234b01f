"""The questions that documents suggest: their own, then one about a section by the name of its document."""

from __future__ import annotations

from rankrag.index.suggest import suggested
from rankrag.types import Passage, Source


def passage(path: str, title: str, text: str = "Nothing is asked here.") -> Passage:
    return Passage(f"{path} {title}", text, title, Source(path))


def test_a_document_s_own_question_comes_first_and_a_heading_names_its_document() -> None:
    passages = [
        passage("a.md", "Conmon › Installation"),
        passage("a.md", "Conmon › Dependencies"),
        passage(
            "b.md",
            "v1.2: a file",
            "What good are they? Why does ps complain about a dash? A flag.",
        ),
        passage("b.md", "v1.2: a file › Usage"),
        passage("c.md", "v1.2: a file › Usage notes"),
        passage("d.md", "No section"),
    ]
    assert suggested(passages) == (
        "Why does ps complain about a dash?",
        "What does “Conmon” say about “Installation”?",
        "What do the documents say about “Usage notes”?",
    )


def test_a_heading_that_asks_is_a_question_and_there_are_four_at_most() -> None:
    passages = [passage(f"{n}.md", f"Owls › How many ears has owl {n}?") for n in range(9)]
    assert suggested(passages) == tuple(f"How many ears has owl {n}?" for n in range(4))
    assert suggested([]) == ()
