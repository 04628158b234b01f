"""The app: routes, what stands before them, and what starts and ends with the process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from mcp.server.transport_security import TransportSecuritySettings
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import FailureError
from ..pipeline import Pipeline
from ..types import Documents
from . import ask, chat, faults, health, page, rerank
from .borders import Caught, Guard, Sized, Watched
from .documents import routes as document_routes
from .jobs import Jobs
from .settings import Settings
from .state import State
from .telemetry import Telemetry
from .tools import tools
from .work import Desk


def create_app(
    pipeline: Pipeline,
    documents: Documents | None = None,
    settings: Settings | None = None,
    telemetry: Telemetry | None = None,
) -> FastAPI:
    """Return an app that serves a pipeline over HTTP.

    Its language model is called from several threads: wrap one that runs here in `SharedLanguageModel`.
    `documents` is what the index of the pipeline holds; with `settings.uploads` clients may change it.
    """
    settings, telemetry = settings or Settings(), telemetry or Telemetry()
    limits = settings.limits
    jobs = Jobs(settings.uploads, documents) if settings.uploads and documents else None
    desk = Desk(limits.running, limits.waiting, limits.seconds)
    state = State(pipeline, documents, jobs, settings, telemetry, desk)
    app = FastAPI(
        title="RankRAG",
        version=settings.about.version,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
        middleware=_middleware(state),
    )
    app.state.rankrag = state
    app.state.ready = False
    faults.install(app)
    _mount(app, state)
    plain = app.openapi
    app.openapi = lambda: faults.described(plain())  # type: ignore[method-assign]  # as the framework advises
    return app


def _middleware(state: State) -> list[Middleware]:
    access = state.settings.access
    found = [Middleware(Watched, state.telemetry)]
    if access.origins:  # outside the guard: a browser asks without a key whether it may ask
        found.append(
            Middleware(
                CORSMiddleware,
                allow_origins=access.origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["Retry-After", "X-Request-ID"],
            )
        )
    return [*found, Middleware(Guard, access), Middleware(Sized, state.limits), Middleware(Caught)]


def _mount(app: FastAPI, state: State) -> None:
    for room in (page, health, ask, chat, rerank):
        app.include_router(room.routes)
    if state.documents is not None:
        app.include_router(document_routes)
    app.state.tools = Tools(state)
    app.router.routes.append(Route("/mcp", endpoint=app.state.tools))


class Tools:
    """The tools of the protocol as a route. What answers is made anew for each start of the app."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._answers: ASGIApp | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer while the block runs."""
        server = tools(self._state)
        self._answers = server.streamable_http_app(
            stateless_http=True,
            json_response=True,
            transport_security=TransportSecuritySettings(
                enable_dns_rebinding_protection=False
            ),  # the guard's
        )
        async with server.session_manager.run():
            yield
        self._answers = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if self._answers is None:
            raise FailureError(
                "found the server starting or closing, wanted it to run: ask again in a moment"
            )
        if scope["method"] != "POST":  # there are no sessions: a GET would be a stream without end or content
            raise HTTPException(
                405, f"found {scope['method']}, wanted POST: this server keeps no sessions", {"allow": "POST"}
            )
        await self._answers(scope, receive, send)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.rankrag
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(app.state.tools.running())
        if state.jobs is not None:
            await run_in_threadpool(state.jobs.start)
            stack.push_async_callback(run_in_threadpool, state.jobs.close)
        app.state.ready = True
        yield
        app.state.ready = False
