"""`rankrag ask`: retrieve, rank and answer, or hold a conversation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer

from .. import formats
from ..system import RAG, Retrieval, SystemSpec, open_retrieval, open_system
from ..system.rag import as_question
from ..types import Answer, Filters, Question, Style
from . import answer_view, console, conversation, resident
from .options import (
    DEFAULT_INDEX,
    IndexFolder,
    Output,
    PathGlob,
    Where,
    arguments,
    filters,
    takes_system,
    warn_untrained,
)

History = Annotated[
    str | None,
    typer.Option("--history", metavar="FILE", help='The conversation so far: messages {"role", "content"}.'),
]
Asked = Annotated[
    str | None, typer.Argument(metavar="QUESTION", help="What to ask; - reads it from standard input.")
]


@takes_system()
def ask(
    question: Asked = None,
    index: IndexFolder = DEFAULT_INDEX,
    *,
    spec: SystemSpec,
    style: Annotated[Style, typer.Option(help="The kind of answer wanted.")] = "plain",
    where: Where = None,
    path: PathGlob = None,
    history: History = None,
    output: Output = "text",
) -> None:
    """Answer a question from an index, or hold a conversation.

    Without a question it is a conversation, which needs a terminal: empty lines are skipped, /sources shows
    where the last answer came from, /quit or Ctrl-D leaves.
    """
    wanted = filters(where, path)
    with arguments():
        spec = replace(spec, index=index)
        spec.check()
        text = _question(question, output)
    asked = Question("1", text, formats.read_history(history) if history else (), style)
    stream = _answering(spec)
    if not text:
        conversation.hold(stream, asked, wanted, index)
        return
    _tell(answer_view.watch(stream(asked, wanted), console.progress(output)), output, index)


def _tell(answer: Answer, output: str, index: Path) -> None:
    if output == "json":
        console.emit(formats.answer_record(answer))
    else:
        answer_view.show_answer(answer, console.out(), index)


def _question(given: str | None, output: str) -> str:
    """Return the question to ask, or nothing where a conversation is wanted and possible."""
    if given is not None:
        return as_question(sys.stdin.read() if given == "-" else given).text
    if output == "json" or not sys.stdin.isatty():
        raise typer.BadParameter(
            "found no question and no terminal to talk in, wanted one of them: "
            "give the question, or - to read it from standard input"
        )
    return ""


def _answering(spec: SystemSpec) -> conversation.Stream:
    """Return what answers: a server that runs with the same index and models, else both loaded here.

    Here passages are found while the models are still to be loaded: people see them at once.
    """
    if (server := resident.find(spec)) is not None:
        console.note("using", f"the server at {server.url}, which has {spec.names()} loaded", "cyan")
        return server.stream
    with console.working("opening the index"):
        searched = open_retrieval(spec.index, spec.retriever)
    loaded = cache(partial(_loaded, spec, searched))

    def stream(question: Question, filters: Filters) -> Iterator[Answer]:
        if not (spec.rewrite and question.history):
            query = searched.query(question)
            hits = (searched.at_once or searched.retriever).search(query, spec.retrieve_k, filters)
            yield Answer(question, query=query, retrieved=tuple(hits), read_k=spec.read_k)
        yield from loaded().stream(question, filters=filters)

    return stream


def _loaded(spec: SystemSpec, searched: Retrieval) -> RAG:
    rag = open_system(spec, searched)
    if spec.ranking:
        warn_untrained(spec.ranks_with, rag.trained, rag.pipeline.min_relevance is not None)
    return rag
