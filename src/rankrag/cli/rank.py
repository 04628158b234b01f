"""`rankrag rank`: order passages without an index."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Annotated

import typer
from rich.text import Text

from .. import formats
from ..errors import InvalidInputError, amount
from ..system import SystemSpec, open_system
from ..system.rag import as_question
from ..types import Hit, Passage, Question
from . import answer_view, console
from .options import Output, arguments, takes_system, warn_untrained

READ_K = 5
"""How many of the best patience watches where `-k` does not say."""


@takes_system("model", "time_budget", "rank_k", "rank_patience", "precision", "cache_dir", "cache_gb")
def rank(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question to rank for.")],
    passages: Annotated[
        str,
        typer.Option("--passages", metavar="FILE|-", help="JSON lines, or plain text with a passage a line."),
    ],
    *,
    spec: SystemSpec,
    k: Annotated[
        int | None, typer.Option("-k", metavar="N", min=1, help="Print only the best.", show_default="all")
    ] = None,
    output: Output = "text",
) -> None:
    """Rank passages by relevance to a question; the best come first."""
    with arguments():
        asked = as_question(question)
        spec.check()
    given = _read(passages)
    with console.working(f"loading {spec.model}"):
        read_k = k or READ_K
        retrieve_k = max(read_k, len(given))
        rag = open_system(replace(spec, retrieve_k=retrieve_k, read_k=read_k))
    warn_untrained(spec.model, rag.trained, rag.pipeline.min_relevance is not None)
    started = perf_counter()
    with console.working(f"ranking {amount(len(given), 'passage')}"):
        ranked = rag.rank(asked, given)
    seconds = perf_counter() - started
    if output == "json":
        console.emit(_record(asked, spec.model, ranked, k, seconds))
    else:
        moved = answer_view.moves(given, ranked[:k])
        answer_view.show_hits(ranked[:k], console.out(), asked, moved, rag.pipeline.calibrated)
        share = answer_view.share_scored(sum(hit.scored for hit in ranked), len(ranked))
        took = f"{amount(len(given), 'passage')} · {share}rank {seconds:.2f} s"
        console.out().print(Text(took, style=console.QUIET))


def _record(
    asked: Question, model: str, ranked: list[Hit], k: int | None, seconds: float
) -> dict[str, object]:
    n_scored = sum(hit.scored for hit in ranked)
    record: dict[str, object] = {
        "question": asked.text,
        "model": model,
        "ranked": [formats.hit_record(hit) for hit in ranked[:k]],
        "timings_s": {"rank": round(seconds, 4)},
    }
    return record | ({"n_scored": n_scored} if n_scored < len(ranked) else {})


def _read(path: str) -> list[Passage]:
    passages = [*formats.read_passages(path)]
    if not passages:
        raise InvalidInputError(f"found no passages in {path}, wanted a passage a line: check the file")
    return passages
