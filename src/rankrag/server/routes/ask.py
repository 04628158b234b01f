"""`/v1/ask` and `/v1/search`: this project's own routes, which show the whole trace of an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from ...errors import InvalidInputError
from ...formats import answer_record, hit_record
from ...pipeline import HIGH, MEDIUM
from ...spans import excerpt
from ...types import Answer, Documents, Hit, Question, Style
from ..desk import each
from ..event_stream import EventStream, event
from ..granting import PassRequest, changes, granted
from ..requests import Filter, Messages, Own, Text, check_lengths, check_number, turns
from ..safety.error_responses import fault_event
from ..state import Shared

routes = APIRouter()

Count = Annotated[int, Field(ge=1)]


class AskRequest(Own):
    """A question with its conversation, and what is wanted of the pipeline."""

    question: Text
    history: Messages = ()
    style: Style = "plain"
    retrieve_k: Count | None = None
    read_k: Count | None = None
    filters: Filter | None = None
    min_relevance: Annotated[float, Field(ge=0, le=1)] | None = None
    rank: bool = True
    stream: bool = False


class SearchRequest(Own):
    """A question to search with; `rank` has the model order what was found."""

    question: Text
    k: Count = 10
    filters: Filter | None = None
    rank: bool = False


@routes.get("/v1/info")
async def info(state: Shared) -> dict[str, object]:
    """Say what is served: the model, the index, and what may be asked for."""
    counts = state.documents.count() if state.documents else None
    upload = {"max_bytes": state.limits.upload_bytes, "suffixes": list(state.settings.suffixes)}
    return {
        "model": state.about.model,
        "ranker": state.about.ranks_with,
        "trained": state.about.trained,
        "version": state.about.version,
        "retriever": state.about.retriever,
        "retrieve_k": state.pipeline.retrieve_k,
        "read_k": state.pipeline.read_k,
        "min_relevance": state.pipeline.min_relevance,
        "rewrites": state.pipeline.rewriter is not None,
        "ranking": state.pipeline.ranker is not None,
        "levels": {"medium": MEDIUM, "high": HIGH} if state.pipeline.calibrated else None,
        "index": {"n_documents": counts[0], "n_passages": counts[1]} if counts else None,
        "upload": upload if state.jobs else None,
    }


@routes.post("/v1/ask")
async def ask(body: AskRequest, request: Request, state: Shared) -> Response:
    """Answer a question. With `stream` each event holds the fields of the answer that changed."""
    texts = {f"history.{n}": turn.content for n, turn in enumerate(body.history)}
    check_lengths({"question": body.question, **texts}, state.limits)
    question = asked(body.question, body)
    wish = PassRequest(body.retrieve_k, body.read_k, body.min_relevance, body.rank)
    pipeline = granted(state.pipeline, wish, state.limits)
    if body.stream:
        steps = (state.finished(answer) for answer in pipeline.stream(question, body.filters))
        told = each(changes(steps, lambda step: {**_shown(step, state.documents), "n_ranked": step.n_ranked}))
        return EventStream(state.desk, _events(told), fault_event)
    answer = await state.desk.run(request, lambda: pipeline.ask(question, body.filters))
    return JSONResponse({**_shown(state.finished(answer), state.documents), "done": True})


def _shown(answer: Answer, documents: Documents | None) -> dict[str, object]:
    """Return an answer with what matters in each passage and, once it is done, the lines of those read."""
    record = {**answer_record(answer), "excerpts": _excerpts(answer)}
    if not answer.done or documents is None:
        return record
    read = [hit.passage for hit in answer.ranked[: answer.read_k]]
    return {**record, "lines": {passage.id: documents.line(passage) for passage in read}}


def _excerpts(answer: Answer) -> dict[str, object]:
    """Return, by the id of each passage, its sentence that matters and the words in it that tell so.

    `{start, end, marks: [[start, end], ...]}`, in characters of the passage's text: before the answer is done
    by the question, then for the passages that were read by the answer too.
    """
    read = {hit.passage.id for hit in answer.ranked[: answer.read_k]} if answer.done else set()
    said = "" if answer.abstained else answer.text
    question = answer.question.text
    return {
        hit.passage.id: asdict(excerpt(hit.passage.text, question, said if hit.passage.id in read else ""))
        for hit in answer.retrieved
    }


@routes.get("/v1/examples")
def examples(state: Shared) -> dict[str, object]:
    """Return a few questions that the documents themselves suggest."""
    return {"object": "list", "data": list(state.documents.examples()) if state.documents else []}


async def _events(told: AsyncIterator[dict[str, object]]) -> AsyncIterator[str]:
    async for changed in told:
        yield event(changed, "answer")


@routes.post("/v1/search")
async def search(body: SearchRequest, request: Request, state: Shared) -> dict[str, object]:
    """Return the passages that the index has for a question, best first.

    `retrieved` has their ids in the order of the retriever, which `rank` changes.
    """
    check_lengths({"question": body.question}, state.limits)
    check_number("k", body.k, state.limits)
    question = asked(body.question)
    ranker = state.ranker() if body.rank else None

    query = state.pipeline.query(question)

    def found() -> tuple[Sequence[Hit], Sequence[Hit]]:
        hits = state.pipeline.retriever.search(query, body.k, body.filters)
        return hits, ranker.rank(question, hits) if ranker else hits

    retrieved, hits = await state.desk.run(request, found)
    return {
        "object": "list",
        "query": query,
        "retriever": state.about.retriever,
        "retrieved": [hit.passage.id for hit in retrieved],
        "calibrated": ranker is not None and state.pipeline.calibrated,
        "data": [hit_record(hit) for hit in hits],
    }


def asked(text: str, body: AskRequest | None = None) -> Question:
    """Return a question; raises InvalidInputError if it has no words."""
    if not text.strip():
        raise InvalidInputError("question: found no words, wanted a question")
    if body is None:
        return Question("1", text.strip())
    return Question("1", text.strip(), turns(body.history), body.style)
