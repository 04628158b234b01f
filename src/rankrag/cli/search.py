"""`rankrag search`: what a retriever finds, to look at or as a TREC run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
from . import answer_view, console, progress, resident
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
from .resident import Found

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
    if asked is not None:
        spec = SystemSpec(
            index=index,
            retriever=retriever,
            model=model,
            ranking=rank,
            generating=False,
            retrieve_k=k,
            read_k=1,
        )
        _show(_found(spec, asked, wanted), spec, asked, wanted, output)
        return
    with console.working("opening the index"):
        searched = retrieval.open_retrieval(index, retriever)
    if ray is None:
        _many(searched, rankings(searched, str(questions), k, wanted), run, output)
    else:
        from ..index import read_manifest

        make = partial(_searcher, index.absolute(), read_manifest(index), searched.kind, k, wanted)
        _many(searched, _spread(str(questions), make, ray), run, output)


def rankings(searched: retrieval.Retrieval, path: str, k: int, wanted: Filters | None = None) -> Rankings:
    """Yield each question of a file with its hits, showing how many are done."""
    questions = [*formats.read_questions(path)]
    for question in progress.track(questions, len(questions), "questions"):
        yield question, searched.search(question, k, wanted)


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
    searched = retrieval.open_retrieval(index, kind)
    return lambda questions: [searched.search(question, k, wanted) for question in questions]


def _found(spec: SystemSpec, asked: Question, wanted: Filters) -> Found:
    """Return what is found by a server that runs with the same index and ranker, else here."""
    if (server := resident.find(spec)) is not None:
        loaded = spec.ranks_with if spec.ranking else spec.index
        console.note("using", f"the server at {server.url}, which has {loaded} loaded", "cyan")
        with console.working("ranking" if spec.ranking else "searching"):
            return server.search(asked, wanted)
    with console.working("opening the index"):
        searched = retrieval.open_retrieval(spec.index, spec.retriever)
    hits = searched.search(asked, spec.retrieve_k, wanted)
    found = Found(searched.kind, searched.query(asked), hits, [hit.passage for hit in hits])
    return _ranked(found, searched, spec, asked) if spec.ranking and hits else found


def _ranked(found: Found, searched: retrieval.Retrieval, spec: SystemSpec, asked: Question) -> Found:
    """Return the hits in the order of the relevance that a model gives them."""
    with console.working(f"loading {spec.ranks_with}"):
        rag = open_system(replace(spec, generating=True), searched)
    warn_untrained(spec.ranks_with, rag.trained, rag.pipeline.min_relevance is not None)
    with console.working(f"ranking {amount(len(found.hits), 'passage')}"):
        hits = rag.ranker.rank(asked, found.hits)
    return replace(found, hits=hits, calibrated=rag.pipeline.calibrated)


def _show(found: Found, spec: SystemSpec, asked: Question, wanted: Filters, output: str) -> None:
    ranked = spec.ranking and found.hits
    if output == "json":
        model = {"model": spec.ranks_with} if ranked else {}
        record = _record(asked, found.query, found.hits)
        console.emit({"retriever": found.retriever, **model, **record})
    else:
        moved = answer_view.moves(found.retrieved, found.hits) if ranked else None
        answer_view.show_hits(found.hits, console.out(), asked, moved, found.calibrated)
    if not found.hits and not wanted and spec.index is not None:
        answer_view.say_why_nothing(spec.index, found.query)


def _many(searched: retrieval.Retrieval, found: Rankings, run: str, output: str) -> None:
    started = perf_counter()
    if output == "json" and run == "-":
        records = [_record(question, searched.query(question), hits) for question, hits in found]
        console.emit({"retriever": searched.kind, "rankings": records})
        return
    lines = formats.write_run(
        run, ((question.id, hits) for question, hits in found), tag=f"rankrag-{searched.kind}"
    )
    seconds = perf_counter() - started
    if output == "json":
        console.emit({"retriever": searched.kind, "run": run, "lines": lines, "seconds": round(seconds, 3)})
    elif run != "-":
        console.say(f"Wrote {amount(lines, 'line')} to {run} in {seconds:.1f} s.")


def _record(question: Question, query: str, hits: Sequence[Hit]) -> dict[str, object]:
    return {
        "id": question.id,
        "question": question.text,
        "query": query,
        "hits": [formats.hit_record(hit) for hit in hits],
    }
