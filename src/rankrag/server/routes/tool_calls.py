"""The calls that an assistant may make: `search`, `rerank` and `ask`, each within the server's limits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, TypeVar

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field
from starlette.requests import Request

from ...errors import RankRAGError
from ...types import Answer, Hit, Passage, Question, Ranker
from ..desk import BusyError, OverdueError, alone, in_thread
from ..granting import PassRequest, granted
from ..requests import check_lengths, check_number
from ..sharing import ClosingError
from ..state import State
from .ask import asked
from .tool_sources import uri

T = TypeVar("T")

READS_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

TELL_S = 0.5
"""Seconds between two looks at how far a call is; what is through by then is told nothing of."""


class FoundPassage(BaseModel):
    """A passage with its score; none where the server's budget for ranking was spent before."""

    id: str
    score: float | None
    title: str
    text: str
    source: str
    page: int | None
    uri: str | None = Field(description="Resource that holds the whole file.")


class Ranked(BaseModel):
    """A text by its place in the request (from 0), with its relevance in 0..1.

    No relevance where the server's budget for ranking was spent before; such texts follow in their order.
    """

    index: int
    relevance: float | None


class Cited(BaseModel):
    """A span of the answer (characters) and the passage that it leans on."""

    start: int
    end: int
    passage_id: str
    source: str
    relevance: float


class Answered(BaseModel):
    """An answer, whether the model abstained or had little to lean on, what it cites and what it read."""

    text: str
    abstained: bool
    weak: bool
    citations: list[Cited]
    passages: list[FoundPassage]


def add_calls(server: MCPServer, state: State) -> None:
    """Offer `search`, `rerank` and `ask` over what an app serves."""
    for tool, title, description in (
        (_search(state), "Search documents", "Find passages in the user's documents."),
        (_rerank(state), "Rank texts", "Order texts by how relevant they are to a question."),
        (_ask(state), "Ask documents", "Answer a question from the user's documents, with citations."),
    ):
        server.add_tool(tool, title=title, description=description, annotations=READS_ONLY)


@dataclass(slots=True)
class Steps:
    """How far a call is. Its thread writes, the loop reads."""

    wanted: bool
    doing: str = "searching"
    done: int = 0
    total: int = 0

    def ranking(self, ranker: Ranker, n_hits: int, state: State) -> Ranker:
        """Return a ranker that counts here what it ranked; it works in smaller batches, to be able to."""
        self.doing, self.total = "ranking", n_hits
        if not self.wanted or state.settings.bounded is None:
            return ranker
        return state.settings.bounded(state.limits.seconds, self._ranked)

    def _ranked(self, hits: Sequence[Hit]) -> None:
        self.done += len(hits)


Asked = Annotated[str, Field(description="A question, in words.")]


def _search(state: State) -> Callable[..., object]:
    async def search(
        context: Context,
        question: Asked,
        k: Annotated[int, Field(ge=1, description="Passages wanted.")] = 10,
        rank: Annotated[bool, Field(description="Have the model order them by relevance.")] = False,
    ) -> list[FoundPassage]:
        with told():
            asked, ranker = _asked(state, question), state.ranker() if rank else None
            check_number("k", k, state.limits)

        def find(steps: Steps) -> list[Hit]:
            hits = state.pipeline.retriever.search(state.pipeline.query(asked), k)
            return steps.ranking(ranker, len(hits), state).rank(asked, hits) if ranker else hits

        return [_found(hit) for hit in await _done(state, context, find)]

    return search


def _rerank(state: State) -> Callable[..., object]:
    async def rerank(
        context: Context,
        question: Asked,
        texts: Annotated[list[str], Field(min_length=1, description="What to order.")],
    ) -> list[Ranked]:
        with told():
            asked, ranker = _asked(state, question), state.ranker()
            check_number("texts", len(texts), state.limits)
            check_lengths({f"texts.{n}": text for n, text in enumerate(texts)}, state.limits)
        hits = [Hit(Passage(str(n), text.strip()), 0.0) for n, text in enumerate(texts)]

        def ranked(steps: Steps) -> list[Hit]:
            return steps.ranking(ranker, len(hits), state).rank(asked, hits)

        ranking = await _done(state, context, ranked)
        return [Ranked(index=int(hit.passage.id), relevance=_score(hit)) for hit in ranking]

    return rerank


def _ask(state: State) -> Callable[..., object]:
    async def ask(
        context: Context,
        question: Asked,
        read_k: Annotated[int | None, Field(ge=1, description="Passages that the model reads.")] = None,
        min_relevance: Annotated[
            float | None, Field(ge=0, le=1, description="Answer only if some passage is this relevant.")
        ] = None,
    ) -> Answered:
        with told():
            asked = _asked(state, question)
            wish = PassRequest(read_k=read_k, min_relevance=min_relevance)
            pipeline = granted(state.pipeline, wish, state.limits)

        def answer(steps: Steps) -> Answer:
            ranker = steps.ranking(pipeline.ranker, pipeline.retrieve_k, state) if pipeline.ranker else None
            for step in replace(pipeline, ranker=ranker).stream(asked):
                steps.total = len(step.retrieved) + 1
                if step.text:
                    steps.doing, steps.done = "answering", steps.total
            return step

        return _answered(state.finished(await _done(state, context, answer)))

    return ask


async def _done(state: State, context: Context, work: Callable[[Steps], T]) -> T:
    """Return what a function returns, run in a thread within the server's limits, telling how far it is.

    It ends when the client cancels: over HTTP by leaving, over standard input and output by saying so.
    """
    meta = context.request_context.meta or {}
    steps = Steps(wanted=meta.get("progress_token") is not None)
    with told():
        async with alone() as group:
            group.start_soon(_tell, context, steps)
            if isinstance(request := context.request_context.request, Request):
                result = await state.desk.run(request, partial(work, steps))
            else:
                with state.desk.in_time():
                    async with state.desk.place():
                        result = await in_thread(partial(work, steps))
            group.cancel_scope.cancel()
    return result


async def _tell(context: Context, steps: Steps) -> None:
    """Tell the client, if it wants to know, whenever a call has come further."""
    said = 0
    while True:
        await anyio.sleep(TELL_S)
        if steps.done > said:
            said = steps.done
            await context.report_progress(said, steps.total, steps.doing)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Let the protocol show the message of an error that we know; of any other it only says that it was."""
    try:
        yield
    except (BusyError, ClosingError, OverdueError, RankRAGError) as error:
        raise ToolError(str(error)) from error


def _asked(state: State, text: str) -> Question:
    question = asked(text)
    check_lengths({"question": text}, state.limits)
    return question


def _score(hit: Hit) -> float | None:
    return hit.score if hit.scored else None


def _found(hit: Hit) -> FoundPassage:
    passage = hit.passage
    return FoundPassage(
        id=passage.id,
        score=_score(hit),
        title=passage.title,
        text=passage.text,
        source=passage.source.path if passage.source else "",
        page=passage.source.page if passage.source else None,
        uri=uri(passage.source.path) if passage.source else None,
    )


def _answered(answer: Answer) -> Answered:
    read = answer.ranked[: answer.read_k]
    return Answered(
        text=answer.text,
        abstained=answer.abstained,
        weak=answer.weak,
        citations=[Cited.model_validate(each, from_attributes=True) for each in answer.citations],
        passages=[_found(hit) for hit in read],
    )
