"""`rankrag search`: what a retriever finds, to look at or as a TREC run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from .. import formats
from ..errors import InvalidInputError, amount
from ..system import SystemSpec, models, open_system, retrieval
from ..system.rag import as_question
from ..types import Filters, Hit, Question, RetrieverKind
from . import answer_view, console, progress
from .options import (
    DEFAULT_INDEX,
    IndexFolder,
    ModelName,
    Output,
    PathGlob,
    RayAddress,
    RetrieverName,
    Where,
    arguments,
    filters,
    warn_untrained,
)

if TYPE_CHECKING:
    from ..index import IndexManifest

Rankings = Iterator[tuple[Question, list[Hit]]]
Searcher = Callable[[list[Question]], list[list[Hit]]]


def search(
    question: Annotated[str | None, typer.Argument(metavar="QUESTION", help="What to search for.")] = None,
    index: IndexFolder = DEFAULT_INDEX,
    questions: Annotated[
        Path | None, typer.Option("--questions", metavar="FILE", help="Questions: JSON lines, TSV or lines.")
    ] = None,
    run: Annotated[
        str, typer.Option("--run", metavar="FILE", help="Where the TREC run of --questions goes.")
    ] = "-",
    retriever: RetrieverName = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Hits for each question.")] = 10,
    rank: Annotated[
        bool, typer.Option("--rank", help="Have the model order the hits of a question.")
    ] = False,
    model: ModelName = models.DEFAULT_MODEL,
    where: Where = None,
    path: PathGlob = None,
    ray: RayAddress = None,
    output: Output = "text",
) -> None:
    """Print the passages that a retriever finds, or write a TREC run."""
    wanted = filters(where, path)
    if (question is None) == (questions is None):
        raise typer.BadParameter("wanted either a question or --questions FILE: give one of them")
    if ray is not None and questions is None:
        raise typer.BadParameter("found --ray beside one question, wanted --questions FILE: leave --ray out")
    if rank and questions is not None:
        raise typer.BadParameter(
            "found --rank beside --questions, wanted one question: `eval predict` ranks many"
        )
    with arguments():
        asked = as_question(question or "") if questions is None else None
    with console.working("opening the index"):
        shelf = retrieval.open_retrieval(index, retriever)
    if asked is not None:
        hits = shelf.search(asked, k, wanted)
        if rank and hits:
            _ranked(shelf, SystemSpec(index=index, retriever=retriever, model=model), asked, hits, output)
        else:
            _one(shelf, asked, hits, output)
        if not hits and not wanted:
            answer_view.say_why_nothing(index, shelf.query(asked))
    elif ray is None:
        _many(shelf, rankings(shelf, str(questions), k, wanted), run, output)
    else:
        from ..index import read_manifest

        make = partial(_searcher, index.absolute(), read_manifest(index), shelf.kind, k, wanted)
        _many(shelf, _spread(str(questions), make, ray), run, output)


def rankings(shelf: retrieval.Retrieval, path: str, k: int, wanted: Filters | None = None) -> Rankings:
    """Yield each question of a file with its hits, showing how many are done."""
    questions = [*formats.read_questions(path)]
    for question in progress.track(questions, len(questions), "questions"):
        yield question, shelf.search(question, k, wanted)


def _spread(path: str, make: Callable[[], Searcher], ray: str) -> Rankings:
    """Yield the same as `rankings`, searched for by the workers of a Ray cluster."""
    from ..index.cluster.spread import in_actors, joined

    questions = [*formats.read_questions(path)]
    with joined(ray):
        found = zip(questions, in_actors(questions, make), strict=True)
        yield from progress.track(found, len(questions), "questions")


def _searcher(
    index: Path, manifest: IndexManifest, kind: RetrieverKind, k: int, wanted: Filters | None
) -> Searcher:
    """Open the index, on a worker; it has to lie there under the same path, in the same state."""
    from ..index import read_manifest

    if (found := read_manifest(index)) != manifest:
        raise InvalidInputError(
            f"found {index} on a worker as of {found.updated} ({amount(found.n_passages, 'passage')}), "
            f"wanted that of {manifest.updated} ({manifest.n_passages}): put the same index on every machine"
        )
    shelf = retrieval.open_retrieval(index, kind)
    return lambda questions: [shelf.search(question, k, wanted) for question in questions]


def _one(shelf: retrieval.Retrieval, question: Question, hits: list[Hit], output: str) -> None:
    if output == "json":
        console.emit({"retriever": shelf.kind, **_record(shelf, question, hits)})
    else:
        answer_view.show_hits(hits, console.out(), question)


def _ranked(
    shelf: retrieval.Retrieval, spec: SystemSpec, asked: Question, hits: list[Hit], output: str
) -> None:
    """Order the hits by the relevance that a model gives them, and print them."""
    with console.working(f"loading {spec.ranks_with}"):
        rag = open_system(spec, shelf)
    warn_untrained(spec.ranks_with, rag.trained, rag.pipeline.min_relevance is not None)
    with console.working(f"ranking {amount(len(hits), 'passage')}"):
        ranked = rag.ranker.rank(asked, hits)
    if output == "json":
        console.emit({"retriever": shelf.kind, "model": spec.ranks_with, **_record(shelf, asked, ranked)})
        return
    moved = answer_view.moves([hit.passage for hit in hits], ranked)
    answer_view.show_hits(ranked, console.out(), asked, moved, rag.pipeline.calibrated)


def _many(shelf: retrieval.Retrieval, found: Rankings, run: str, output: str) -> None:
    started = perf_counter()
    if output == "json" and run == "-":
        records = [_record(shelf, question, hits) for question, hits in found]
        console.emit({"retriever": shelf.kind, "rankings": records})
        return
    lines = formats.write_run(
        run, ((question.id, hits) for question, hits in found), tag=f"rankrag-{shelf.kind}"
    )
    seconds = perf_counter() - started
    if output == "json":
        console.emit({"retriever": shelf.kind, "run": run, "lines": lines, "seconds": round(seconds, 3)})
    elif run != "-":
        console.say(f"Wrote {amount(lines, 'line')} to {run} in {seconds:.1f} s.")


def _record(shelf: retrieval.Retrieval, question: Question, hits: list[Hit]) -> dict[str, object]:
    return {
        "id": question.id,
        "question": question.text,
        "query": shelf.query(question),
        "hits": [formats.hit_record(hit) for hit in hits],
    }
