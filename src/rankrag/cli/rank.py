"""`rankrag rank`: order passages without an index."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

import typer
from rich.text import Text

from .. import formats
from ..errors import InvalidInputError
from ..types import Hit, Passage
from . import answer_view, console, load
from .options import ModelName, Output, arguments, warn_untrained


def rank(
    question: Annotated[str, typer.Argument(help="The question to rank for.")],
    passages: Annotated[
        str,
        typer.Option("--passages", metavar="FILE|-", help="JSON lines, or plain text with a passage a line."),
    ],
    model: ModelName = load.DEFAULT_MODEL,
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="Print only the best.", show_default="all")
    ] = None,
    output: Output = "text",
) -> None:
    """Rank passages by relevance to a question; the best come first."""
    with arguments():
        asked = load.as_question(question)
        load.check_model(model)
    given = _read(passages)
    with console.working(f"loading {model}"):
        rag = load.load(model=model)
    warn_untrained(model, rag.trained, rag.pipeline.threshold is not None)
    started = perf_counter()
    with console.working(f"ranking {len(given)} passages"):
        ranked = rag.rank(asked, given)
    seconds = perf_counter() - started
    if output == "json":
        records = [formats.hit_record(hit) for hit in ranked[:k]]
        console.emit(
            {
                "question": asked.text,
                "model": model,
                "ranked": records,
                "timings_s": {"rank": round(seconds, 4)},
            }
        )
    else:
        _show(given, ranked[:k], seconds)


def _read(path: str) -> list[Passage]:
    found = [*formats.read_passages(path)]
    if not found:
        raise InvalidInputError(f"found no passages in {path}, wanted a passage a line: check the file")
    return found


def _show(given: list[Passage], ranked: list[Hit], seconds: float) -> None:
    before = {passage.id: place for place, passage in reversed([*enumerate(given)])}
    moved = [before[hit.passage.id] - place for place, hit in enumerate(ranked)]
    answer_view.show_hits(ranked, console.out(), moved)
    console.out().print(Text(f"{len(given)} passages · rank {seconds:.2f} s", style=answer_view.QUIET))
