"""What went wrong, in the shape that OpenAI's clients expect; a traceback goes to the log alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import (
    FailureError,
    InvalidInputError,
    MissingError,
    NotFoundError,
    PartialError,
)
from ..desk import BusyError, OverdueError
from ..event_stream import event
from ..sharing import ClosingError, StoppedError

_log = logging.getLogger("rankrag.server")

INVALID, SERVER = "invalid_request_error", "server_error"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What a failure becomes: its status, its type and its code."""

    status: int
    type: str
    code: str | None = None


KINDS: dict[type[Exception], ErrorKind] = {
    InvalidInputError: ErrorKind(400, INVALID),
    NotFoundError: ErrorKind(404, INVALID, "not_found"),
    MissingError: ErrorKind(501, SERVER, "not_installed"),
    BusyError: ErrorKind(429, "rate_limit_error", "busy"),
    OverdueError: ErrorKind(504, SERVER, "timeout"),
    ClosingError: ErrorKind(503, SERVER, "closing"),
    StoppedError: ErrorKind(499, INVALID, "client_left"),
    FailureError: ErrorKind(503, SERVER, "failure"),
    PartialError: ErrorKind(400, INVALID),
}
"""The first kind that fits counts; anything else is a bug of ours, and says no more than that."""

_TYPES = {401: "authentication_error", 403: "permission_error"}
"""Types of refusals by status; others are the client's below 500, ours from there on."""


def shape(message: str, kind: ErrorKind, param: str | None = None) -> dict[str, object]:
    """Return the body of an error."""
    return {"error": {"message": message, "type": kind.type, "param": param, "code": kind.code}}


def response(message: str, kind: ErrorKind, param: str | None = None) -> JSONResponse:
    """Return an error as a response."""
    return JSONResponse(shape(message, kind, param), kind.status)


def told(error: Exception) -> tuple[str, ErrorKind]:
    """Return what a client is told of an error; a bug is logged whole and told in general words."""
    kind = next((kind for cls, kind in KINDS.items() if isinstance(error, cls)), None)
    if kind is not None:
        return str(error), kind
    _log.error("bug", exc_info=error)
    return "the server failed on this request; its log says why", ErrorKind(500, SERVER, "bug")


def fault_event(error: Exception) -> str:
    """Return the event that tells of an error in a stream that has begun."""
    return event(shape(*told(error)), "error")


def install(app: FastAPI) -> None:
    """Have every failure of an app answered in this shape."""
    for cls in KINDS:
        app.add_exception_handler(cls, _known)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _known)
    app.add_exception_handler(RecursionError, _too_deep)


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI description whose errors are those that are sent, not the framework's own (422)."""
    part = {"type": ["string", "null"]}
    fields = {"message": {"type": "string"}, "type": {"type": "string"}, "param": part, "code": part}
    inner = {"type": "object", "properties": fields, "required": list(fields)}
    shown = {"type": "object", "properties": {"error": inner}, "required": ["error"]}
    error = {
        "description": "What was found and what was wanted",
        "content": {"application/json": {"schema": shown}},
    }
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = error
    return schema


async def _known(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001 - the framework's shape
    return answer_to(error)


def answer_to(error: Exception) -> JSONResponse:
    """Return an error as a response: what it says if we know it, that there was a bug if not."""
    if isinstance(error, HTTPException):
        return _refusal(error)
    message, kind = told(error)
    answer = response(message, kind)
    if isinstance(error, BusyError):
        answer.headers["retry-after"] = str(error.retry_s)
    return answer


def _refusal(error: HTTPException) -> JSONResponse:
    other = INVALID if error.status_code < 500 else SERVER
    kind = ErrorKind(error.status_code, _TYPES.get(error.status_code, other))
    answer = response(str(error.detail), kind)
    answer.headers.update(error.headers or {})
    return answer


async def _too_deep(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    return response("found JSON nested too deep to read, wanted a plain request", ErrorKind(400, INVALID))


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"] if part not in ("body", "query", "path"))
    if fault["type"] == "json_invalid":
        return response(f"found a body that is no JSON ({_reason(fault)})", ErrorKind(400, INVALID))
    if fault["type"] == "model_attributes_type" and isinstance(error.body, bytes | str):
        found = request.headers.get("content-type", "none")
        return response(f"found the content type {found}, wanted application/json", ErrorKind(400, INVALID))
    # The place may hold a name of the client's making, a filter's for one.
    where = where if len(where) <= 200 else where[:200] + "…"
    return response(f"{where or 'body'}: {_wanted(fault)}", ErrorKind(400, INVALID), where or None)


def _wanted(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a field, sizes in our words."""
    if fault["type"] in ("string_too_long", "too_long"):
        length, most = len(fault["input"]), fault["ctx"]["max_length"]
        noun, less = ("characters", "less") if isinstance(fault["input"], str) else ("entries", "fewer")
        return f"found {length:,} {noun}, wanted at most {most:,}: send {less}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _reason(fault: dict[str, object]) -> object:
    context = fault.get("ctx")
    return context.get("error", fault["msg"]) if isinstance(context, dict) else fault["msg"]


class CatchAll:
    """Answers an error that nothing else knew, so that it has its id, is counted and may be read elsewhere.

    Where the answer had begun, the error goes on, and the server breaks off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        begun = scope["type"] != "http"

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except asyncio.CancelledError:
            # Only a server that ends cancels a whole request, and it would log a traceback and say
            # "Internal Server Error".
            if scope["type"] != "http":
                raise
            if not begun:
                await answer_to(ClosingError())(scope, receive, answer)
        except Exception as error:
            if begun:
                raise
            await answer_to(error)(scope, receive, answer)
