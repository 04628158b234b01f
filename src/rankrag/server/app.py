"""The app: routes, what stands before them, and what starts and ends with the process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from ..pipeline import Pipeline
from ..types import Documents
from .desk import Desk
from .jobs import Jobs
from .routes import ask, chat, embeddings, health, page, rerank
from .routes import documents as document_routes
from .routes.tools import Tools
from .safety import error_responses
from .safety.access import Guard
from .safety.bodies import BodyLimits
from .safety.error_responses import CatchAll
from .safety.request_log import RequestLog
from .settings import ServerSettings
from .state import State
from .telemetry import Telemetry
from .upload_folder import Uploads


def create_app(
    pipeline: Pipeline,
    documents: Documents | None = None,
    settings: ServerSettings | None = None,
    telemetry: Telemetry | None = None,
) -> FastAPI:
    """Return an app that serves a pipeline over HTTP.

    Its language model is called from several threads: wrap one that runs here in `SharedLanguageModel`.
    `documents` is what the index of the pipeline holds; with `settings.uploads` clients may change it.
    """
    settings, telemetry = settings or ServerSettings(), telemetry or Telemetry()
    limits = settings.limits
    jobs = Jobs(Uploads(settings.uploads, documents)) if settings.uploads and documents else None
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
    error_responses.install(app)
    _mount(app, state)
    plain = app.openapi
    app.openapi = lambda: error_responses.described(plain())  # type: ignore[method-assign]  # as the framework advises
    return app


def _middleware(state: State) -> list[Middleware]:
    access = state.settings.access
    outer = [Middleware(RequestLog, state.telemetry)]
    if access.origins:  # outside the guard: a browser asks without a key whether it may ask
        outer.append(
            Middleware(
                CORSMiddleware,
                allow_origins=access.origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["Retry-After", "X-Request-ID"],
            )
        )
    return [*outer, Middleware(Guard, access), Middleware(BodyLimits, state.limits), Middleware(CatchAll)]


def _mount(app: FastAPI, state: State) -> None:
    for group in (page, health, ask, chat, rerank, embeddings):
        app.include_router(group.routes)
    if state.documents is not None:
        app.include_router(document_routes.routes)
    app.state.tools = Tools(state)
    app.router.routes.append(Route("/mcp", endpoint=app.state.tools))


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


def begin_closing(app: FastAPI, seconds: float) -> None:
    """Give what an app is doing so many seconds to finish. Call it in the app's event loop."""
    state: State = app.state.rankrag
    app.state.ready = False
    state.desk.close(seconds)
    if state.jobs is not None:
        state.jobs.stop(seconds)
