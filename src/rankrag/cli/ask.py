"""`rankrag ask`: retrieve, rank and answer, or hold a conversation."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import formats
from ..types import Answer, Question, Style
from . import answer_view, console, conversation, engines, load
from .options import (
    CacheDir,
    CacheGB,
    IndexFolder,
    ModelName,
    Output,
    PathGlob,
    Precision,
    RankK,
    RankPatience,
    RetrieverName,
    TimeBudget,
    Where,
    arguments,
    budget,
    filters,
    warn_untrained,
)

if TYPE_CHECKING:
    from ..model import Budget

History = Annotated[
    str | None,
    typer.Option("--history", metavar="FILE", help='The conversation so far: messages {"role", "content"}.'),
]
Asked = Annotated[
    str | None, typer.Argument(metavar="[QUESTION]", help="What to ask; - reads it from standard input.")
]


def ask(
    index: IndexFolder,
    question: Asked = None,
    model: ModelName = engines.DEFAULT_MODEL,
    retriever: RetrieverName = None,
    retrieve_k: Annotated[int, typer.Option(min=1, help="Passages taken from the index.")] = 30,
    read_k: Annotated[int, typer.Option(min=1, help="Best passages given to the model.")] = 5,
    rank: Annotated[bool, typer.Option("--rank/--no-rank", help="Rank what was retrieved.")] = True,
    time_budget: TimeBudget = None,
    rank_k: RankK = None,
    rank_patience: RankPatience = None,
    precision: Precision = None,
    cache_dir: CacheDir = None,
    cache_gb: CacheGB = engines.CACHE_GB,
    style: Annotated[Style, typer.Option(help="The kind of answer wanted.")] = "plain",
    where: Where = None,
    path: PathGlob = None,
    history: History = None,
    output: Output = "text",
) -> None:
    """Answer a question from the documents of an index; without a question, hold a conversation.

    A conversation needs a terminal: empty lines are skipped, /sources shows where the last answer came
    from, /quit or Ctrl-D leaves.
    """
    wanted = filters(where, path)
    with arguments():
        load.check_counts(retrieve_k, read_k)
        loading = engines.Loading(precision, cache_dir, cache_gb)
        engines.check_model(model, loading)
        bounds = budget(time_budget, rank_k, rank_patience, rank)
        text = _question(question, output)
    asked = Question("1", text, formats.read_history(history) if history else (), style)
    rag = _load(index, model, retriever, (retrieve_k, read_k), (rank, bounds, loading))
    if not text:
        conversation.hold(rag, asked, wanted)
        return
    answer = answer_view.watch(rag.stream(asked, filters=wanted), console.progress(output))
    _tell(answer, output)
    if not answer.retrieved and not wanted:
        answer_view.say_why_nothing(index, asked.text)


def _tell(answer: Answer, output: str) -> None:
    if output == "json":
        console.emit(formats.answer_record(answer))
    else:
        answer_view.show_answer(answer, console.out())


def _question(given: str | None, output: str) -> str:
    """Return the question to ask, or nothing where a conversation is wanted and possible."""
    if given is not None:
        return load.as_question(sys.stdin.read() if given == "-" else given).text
    if output == "json" or not sys.stdin.isatty():
        raise typer.BadParameter(
            "found no question and no terminal to talk in, wanted one of them: "
            "give the question, or - to read it from standard input"
        )
    return ""


def _load(
    index: Path,
    model: str,
    retriever: load.RetrieverKind | None,
    counts: tuple[int, int],
    how: tuple[bool, Budget | None, engines.Loading],
) -> load.RAG:
    (retrieve_k, read_k), (ranking, bounds, loading) = counts, how
    with console.working(f"loading {model}"):
        rag = load.load(
            index,
            model=model,
            retriever=retriever,
            retrieve_k=retrieve_k,
            read_k=read_k,
            ranking=ranking,
            budget=bounds,
            **asdict(loading),
        )
    if ranking:
        warn_untrained(model, rag.trained, rag.pipeline.threshold is not None)
    return rag
