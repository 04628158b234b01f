"""`/v1/chat/completions` and `/v1/models`, as OpenAI's clients speak."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BeforeValidator, Field
from starlette.responses import JSONResponse, Response

from ...errors import InvalidInputError, NotFoundError
from ...files import Record
from ...pipeline import Pipeline
from ...types import Answer, Filters, Passage, Question, Speaker, Style, Turn
from ..desk import each
from ..event_stream import EventStream, event
from ..granting import PassRequest, granted
from ..requests import (
    MOST_MESSAGES,
    Filter,
    Foreign,
    Items,
    Name,
    Text,
    as_passage,
    check_lengths,
    check_number,
)
from ..safety.error_responses import fault_event
from ..state import Shared, State
from .chat_shapes import beside, reason, url_citations, usage

routes = APIRouter()

PLAIN = "rankrag-chat"
"""The name of a model that answers without looking anything up: for prompts that are no questions, such as
those by which chat programs have a title or tags made for a conversation."""

TASK_HEADER = "x-openwebui-task"
"""Names what Open WebUI wants a prompt for that its user did not write; empty beside a question. It is sent
where the connection has the header `X-OpenWebUI-Task: {{TASK}}`. Such a prompt is answered as by `PLAIN`."""

NOT_GRANTED: dict[str, Sequence[object]] = {
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
    "logprobs": (),
    "logit_bias": (),
    "audio": (),
    "response_format": ({"type": "text"},),
}
"""Wishes of OpenAI's clients that would change the answer, and that this server refuses to ignore; with the
values of each that wish for nothing."""

UNUSED = ("tools", "functions")
"""Offers that a model may leave. This one does, with a warning, since chat programs send some beside every
question; a `tool_choice` that asks for a call is refused."""

MOST_STOPS = 16
"""Texts of `stop` in a request; OpenAI takes four."""

Stops = Annotated[
    list[Annotated[Text, Field(max_length=1000)]],
    Field(max_length=MOST_STOPS),
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
]
"""One text or several: a union would name both kinds in its errors."""


def _limit(number: int) -> int | None:
    """Return the most tokens to write; None for -1, by which clients say that there is no limit."""
    if number == 0 or number < -1:
        raise ValueError("wanted 1 or more, or -1 for no limit")
    return None if number == -1 else number


Limit = Annotated[int, AfterValidator(_limit)]

READ_AS: dict[str, Speaker] = {"user": "user", "assistant": "assistant"}
"""Roles that are read. The model was trained on one system text, so others are left out, with a warning."""

BEFORE_THE_QUESTION = ("system", "developer")
"""Roles that `PLAIN` reads at the front of the question: RAGFlow and Dify put passages there."""


class MessagePart(Foreign):
    """A part of a message; only text is read."""

    type: str = "text"
    text: Text | None = None


class ChatMessage(Foreign):
    """A message of a chat."""

    role: Annotated[Text, Field(max_length=50)]
    content: Text | Annotated[list[MessagePart], Field(max_length=MOST_MESSAGES)] | None = None

    def words(self) -> str:
        """Return the text of a message; raises InvalidInputError for images and other parts."""
        if isinstance(self.content, str):
            return self.content.strip()
        other = [part.type for part in self.content or () if part.type != "text"]
        if other:
            raise InvalidInputError(
                f"messages: found a part of type {other[0]!r}, wanted text: send words only"
            )
        return "\n".join(part.text for part in self.content or () if part.text).strip()


class StreamOptions(Foreign):
    """What a stream is to hold besides the answer."""

    include_usage: bool | None = None


class ChatRequest(Foreign):
    """A chat: OpenAI's fields, and beside them ours (an OpenAI client sends those in `extra_body`).

    Answers are greedy: `temperature`, `top_p`, `top_k` and `seed` are accepted and change nothing.
    """

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    model: Name | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    tools: object = None
    tool_choice: object = None
    functions: object = None
    function_call: object = None
    logprobs: object = None
    stop: Stops | None = None
    logit_bias: object = None
    audio: object = None
    response_format: object = None
    # ours
    documents: Items | None = None
    filters: Filter | None = None
    retrieve_k: Annotated[int, Field(ge=1)] | None = None
    read_k: Annotated[int, Field(ge=1)] | None = None
    min_relevance: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="relevance that a passage must reach, or the model abstains"
    )
    rank: bool = True
    style: Style = "plain"


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat as it is answered: its question, its pipeline, and what its chunks have in common."""

    question: Question
    pipeline: Pipeline
    filters: Filters | None
    model: str
    usage_wanted: bool = True
    warnings: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    looks_up: bool = True

    def steps(self) -> Iterator[Answer]:
        """Yield the answer as it grows."""
        if self.looks_up:
            return self.pipeline.stream(self.question, self.filters)
        return self.pipeline.answer_alone(self.question)

    def answer(self) -> Answer:
        """Return the finished answer."""
        *_, answer = self.steps()
        return answer

    def beside(self, answer: Answer) -> Record:
        """Return what stands beside OpenAI's fields, the same in a stream and without one."""
        return beside(answer, self.warnings, self.pipeline.ranker is not None)

    def head(self, kind: str) -> Record:
        """Return the fields that every object of this chat begins with."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


@routes.get("/v1/models")
async def models(state: Shared) -> Record:
    """List the one model that is served, and the name by which it answers without the index."""
    return {"object": "list", "data": _models(state)}


@routes.get("/v1/models/{name:path}")
async def model(name: str, state: Shared) -> Record:
    """Return one of the models."""
    for known in _models(state):
        if known["id"] == name:
            return known
    raise NotFoundError(f"found no model {name[:200]!r}, wanted one of GET /v1/models")


def _models(state: State) -> list[Record]:
    names = (state.about.model, PLAIN)
    return [{"id": name, "object": "model", "created": 0, "owned_by": "rankrag"} for name in names]


@routes.post("/v1/chat/completions")
async def completions(body: ChatRequest, request: Request, state: Shared) -> Response:
    """Answer the last message of a conversation from the index, or from the passages sent with it."""
    chat = _chat(body, state, looks_up=body.model != PLAIN and not request.headers.get(TASK_HEADER))
    if body.stream:
        return EventStream(state.desk, _chunks(chat, state), fault_event)
    answer = await state.desk.run(request, chat.answer)
    state.finished(answer)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text, "annotations": url_citations(answer)},
        "finish_reason": reason(answer),
        "logprobs": None,
    }
    return JSONResponse(
        {
            **chat.head("chat.completion"),
            "choices": [choice],
            "usage": usage(answer),
            **chat.beside(answer),
        }
    )


async def _chunks(chat: Chat, state: State) -> AsyncIterator[str]:
    head, said = chat.head("chat.completion.chunk"), ""
    answer = None
    async for answer in each(chat.steps()):
        if not said and answer.text:
            yield _chunk(head, {"role": "assistant", "content": ""})
        if answer.text != said:
            yield _chunk(head, {"content": answer.text[len(said) :]})
            said = answer.text
    if answer is None:
        return
    state.finished(answer)
    if not said:
        yield _chunk(head, {"role": "assistant", "content": ""})
    last = _choice({"annotations": url_citations(answer)}, reason(answer))
    yield event({**head, "choices": [last], **chat.beside(answer)})
    if chat.usage_wanted:
        yield event({**head, "choices": [], "usage": usage(answer)})
    yield event("[DONE]")


def _chunk(head: Record, delta: Record) -> str:
    return event({**head, "choices": [_choice(delta, None)]})


def _choice(delta: Record, reason: str | None) -> Record:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _chat(body: ChatRequest, state: State, looks_up: bool) -> Chat:
    _check(body)
    question, warnings = _question(body, state, () if looks_up else BEFORE_THE_QUESTION)
    if not looks_up and (body.filters or body.documents is not None):
        raise InvalidInputError(
            f"found documents or filters beside the model {PLAIN}, wanted none: it looks nothing up"
        )
    wish = PassRequest(
        retrieve_k=body.retrieve_k,
        read_k=body.read_k,
        min_relevance=body.min_relevance,
        ranking=body.rank,
        passages=_passages(body.documents, state),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stop=tuple(filter(None, body.stop or ())),
    )
    return Chat(
        question,
        granted(state.pipeline, wish, state.limits),
        body.filters,
        state.about.model if looks_up else PLAIN,
        looks_up=looks_up,
        usage_wanted=bool(body.stream_options and body.stream_options.include_usage),
        warnings=warnings,
    )


def _check(body: ChatRequest) -> None:
    """Raise InvalidInputError for a wish that cannot be granted and would be missed."""
    if body.n not in (None, 1):
        raise InvalidInputError(f"n: found {body.n}, wanted 1: answers are greedy, so all would be the same")
    for name, harmless in NOT_GRANTED.items():
        wish = getattr(body, name)
        if wish and wish not in harmless:
            raise InvalidInputError(f"{name}: found a value, wanted none: this server cannot grant it")


def _question(body: ChatRequest, state: State, before: Sequence[str]) -> tuple[Question, tuple[str, ...]]:
    """Return the last message of the user with the turns before it, and what was left out.

    Messages of the roles `before` stand at the front of the question.
    """
    read = (*READ_AS, *before)
    left_out = sorted({message.role for message in body.messages if message.role not in read})
    said = [
        Turn(READ_AS[message.role], message.words()) for message in body.messages if message.role in READ_AS
    ]
    turns = [turn for turn in said if turn.text]
    check_lengths({f"messages.{n}": turn.text for n, turn in enumerate(turns)}, state.limits)
    if not turns or turns[-1].role != "user":
        raise InvalidInputError("messages: found no question at the end, wanted a last message of the user")
    warnings = [f"messages of the role {role!r} were left out" for role in left_out]
    warnings += [f"{name} were left unused" for name in UNUSED if getattr(body, name)]
    texts = [*(message.words() for message in body.messages if message.role in before), turns[-1].text]
    text = "\n".join(filter(None, texts))
    check_lengths({"messages": text}, state.limits)
    return Question("1", text, tuple(turns[:-1]), body.style), tuple(warnings)


def _passages(given: Sequence[object] | None, state: State) -> tuple[Passage, ...] | None:
    if given is None:
        return None
    if not given:
        raise InvalidInputError(
            "documents: found none, wanted some, or no such field to answer from the index"
        )
    check_number("documents", len(given), state.limits)
    passages = tuple(as_passage(number, document) for number, document in enumerate(given))
    if len({passage.id for passage in passages}) < len(passages):
        raise InvalidInputError("documents: found an id twice, wanted each once, since citations name them")
    check_lengths({f"documents.{n}": passage.text for n, passage in enumerate(passages)}, state.limits)
    return passages
