"""A conversation in the terminal: each question carries what was said before it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from rich.text import Text

from ..system import RAG
from ..types import Answer, Filters, Question, Turn
from . import answer_view, console

PROMPT = "› "
HELP = "Ask a question. /sources shows where the last answer came from; /quit or Ctrl-D leaves."


def hold(rag: RAG, question: Question, filters: Filters) -> None:
    """Ask and answer until the user leaves; `question` holds the history before and the style wanted."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - editing and recalling lines; not there on Windows
    _quiet(HELP)
    last: Answer | None = None
    while (line := _line()) != "/quit":
        if line == "/sources":
            _sources(last)
        elif line.startswith("/"):
            _quiet(f"There is no {line.split()[0]}. {HELP}")
        elif line:
            last = _answer(rag, replace(question, text=line), filters)
            said = (Turn("user", line), Turn("assistant", last.text))
            question = replace(question, history=(*question.history, *said))


def _line() -> str:
    try:
        return input(PROMPT).strip()
    except EOFError:
        console.out().print()
        return "/quit"


def _answer(rag: RAG, question: Question, filters: Filters) -> Answer:
    answer = answer_view.watch(rag.stream(question, filters=filters), console.out())
    console.out().print(answer_view.marked(answer))
    answer_view.show_notes(answer, console.out())
    console.out().print(answer_view.timings(answer))
    console.out().print()
    return answer


def _sources(answer: Answer | None) -> None:
    if answer is None:
        _quiet("Nothing was asked yet.")
    else:
        answer_view.show_sources(answer, console.out())


def _quiet(words: str) -> None:
    console.out().print(Text(words, style=answer_view.QUIET))
