"""What a watcher of the process asks: does it live, is it ready, how is it doing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse

from ..state import Shared

routes = APIRouter()


@routes.get("/health")
@routes.get("/healthz")
async def lives() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@routes.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """Say whether requests can be served: not before the start is through, nor once it is closing."""
    is_ready = bool(request.app.state.ready)
    return JSONResponse({"status": "ok" if is_ready else "closing"}, 200 if is_ready else 503)


@routes.get("/metrics")
async def metrics(state: Shared) -> PlainTextResponse:
    """Return the metrics in Prometheus' words."""
    telemetry = state.telemetry
    telemetry.running.set(state.desk.n_running)
    telemetry.waiting.set(state.desk.n_waiting)
    if state.about.cache is not None:
        entries, n_bytes, hits, misses = state.about.cache()
        telemetry.cache_entries.set(entries)
        telemetry.cache_bytes.set(n_bytes)
        telemetry.cache_hits.set(hits)
        telemetry.cache_misses.set(misses)
    if state.about.disk is not None:
        n_bytes, hits, misses = state.about.disk()
        telemetry.disk_bytes.set(n_bytes)
        telemetry.disk_hits.set(hits)
        telemetry.disk_misses.set(misses)
    return PlainTextResponse(telemetry.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
