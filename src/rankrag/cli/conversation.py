"""A conversation in the terminal: each question carries what was said before it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from ..types import Answer, Filters, Question, Turn
from . import answer_view, console

PROMPT = "› "
HELP = (
    "Ask a question. Ctrl-C stops an answer, /sources shows where the last one came from, /open 2 the place "
    "of its second source, /quit leaves."
)

Stream = Callable[[Question, Filters], Iterator[Answer]]
"""What answers a question, step by step, from the passages that filters let through."""


def hold(stream: Stream, question: Question, filters: Filters, index: Path | None = None) -> None:
    """Ask and answer until the user leaves; `question` holds the history before and the style wanted."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - editing and recalling lines; not there on Windows
    _quiet(HELP)
    last: Answer | None = None
    while (line := _line()) != "/quit":
        if looked := re.fullmatch(r"/sources|/open (\d{1,3})", line):
            _look_back(last, looked[1], index)
        elif line.split()[:1] == ["/open"]:
            _quiet("Give the number of a source after /open: /open 2, for example.")
        elif line.startswith("/"):
            _quiet(f"There is no {line.split()[0]}. {HELP}")
        elif line:
            answer = _answer(stream, replace(question, text=line), filters)
            if answer is not None:
                last, said = answer, (Turn("user", line), Turn("assistant", answer.text))
                question = replace(question, history=(*question.history, *said))


def _line() -> str:
    """Return what was typed; the end of the input leaves, Ctrl-C only throws the line away."""
    try:
        return input(PROMPT).strip()
    except (EOFError, KeyboardInterrupt) as end:
        console.out().print()
        return "/quit" if isinstance(end, EOFError) else ""


def _answer(stream: Stream, question: Question, filters: Filters) -> Answer | None:
    """Return the answer, shown, or None where it was stopped: then nothing of it is remembered."""
    try:
        answer = answer_view.watch(stream(question, filters), console.out())
    except KeyboardInterrupt:
        _quiet("Stopped.")
        return None
    console.out().print(answer_view.marked(answer))
    answer_view.show_notes(answer, console.out())
    console.out().print(answer_view.timings(answer))
    console.out().print()
    return answer


def _look_back(answer: Answer | None, number: str | None, index: Path | None) -> None:
    """Show the sources of an answer, or the place of the one of this number."""
    if answer is None:
        _quiet("Nothing was asked yet.")
    elif number is not None:
        answer_view.show_place(answer, int(number), console.out(), index)
    else:
        answer_view.show_sources(answer, console.out(), index)


def _quiet(words: str) -> None:
    console.out().print(Text(words, style=console.QUIET))
