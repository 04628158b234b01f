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
    now = {"requests_running": state.desk.n_running, "requests_waiting": state.desk.n_waiting}
    if state.about.cache is not None:
        in_memory = ("cache_entries", "cache_bytes", "cache_hits", "cache_misses")
        now |= dict(zip(in_memory, state.about.cache(), strict=True))
    if state.about.disk is not None:
        on_disk = ("disk_cache_bytes", "disk_cache_hits", "disk_cache_misses")
        now |= dict(zip(on_disk, state.about.disk(), strict=True))
    if state.about.memory is not None:
        now |= state.about.memory()
    for name, n in now.items():
        state.telemetry.gauges[name].set(n)
    return PlainTextResponse(state.telemetry.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
