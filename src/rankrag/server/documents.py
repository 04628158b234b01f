"""`/v1/documents` and `/v1/jobs`: what is in the index, put in and taken out while it is searched."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ..errors import NotFoundError
from ..types import Document, Documents
from .jobs import Jobs, record
from .state import Shared, State
from .uploads import safe_name, save

routes = APIRouter()

MOST_FILES = 100
"""Files in one upload."""


@routes.get("/v1/documents")
async def listed(
    state: Shared, after: str = "", limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
) -> dict[str, object]:
    """List documents by id, those behind `after`; `has_more` says whether some are left."""
    found = await run_in_threadpool(_documents(state).list)
    behind = [one for one in found if one.id > after]
    data = [_record(one, state) for one in behind[:limit]]
    return {"object": "list", "data": data, "has_more": len(behind) > limit}


@routes.post("/v1/documents", status_code=202)
async def upload(file: list[UploadFile], state: Shared) -> dict[str, object]:
    """Take files and index them in the background; a file of the same name is replaced."""
    jobs = _jobs(state)
    if len(file) > MOST_FILES:
        raise HTTPException(413, f"found {len(file)} files, wanted at most {MOST_FILES}: send them in parts")
    names = [safe_name(one.filename, state.settings.suffixes) for one in file]
    for one, name in zip(file, names, strict=True):
        await save(one, jobs.place(name), state.limits.upload_bytes)
    return {"job": record(jobs.submit(dict.fromkeys(names)))}


@routes.delete("/v1/documents/{name:path}")
async def delete(name: str, state: Shared) -> dict[str, object]:
    """Take a document out of the index. Its file goes too if it was uploaded; others stay where they are."""
    jobs = _jobs(state)

    def gone() -> None:
        document = next((one for one in _documents(state).list() if one.id == name), None)
        if document is None:
            raise NotFoundError(f"found no document {name!r}, wanted one of GET /v1/documents")
        jobs.delete(document)

    await run_in_threadpool(gone)
    return {"id": name, "deleted": True}


@routes.get("/v1/jobs")
async def all_jobs(state: Shared) -> dict[str, object]:
    """List the uploads that are remembered, newest first."""
    return {"object": "list", "data": [record(job) for job in state.jobs.list()] if state.jobs else []}


@routes.get("/v1/jobs/{name}")
async def one_job(name: str, state: Shared) -> dict[str, object]:
    """Say how far an upload is."""
    job = _jobs(state).get(name)
    if job is None:
        raise NotFoundError(f"found no job {name!r}, wanted one of GET /v1/jobs")
    return {"job": record(job)}


def _record(document: Document, state: State) -> dict[str, object]:
    uploaded = state.jobs is not None and state.jobs.is_upload(document)
    return {**asdict(document), "uploaded": uploaded}


def _documents(state: State) -> Documents:
    if state.documents is None:
        raise NotFoundError("found a server without an index, wanted one: start it with --index")
    return state.documents


def _jobs(state: State) -> Jobs:
    if state.jobs is None:
        raise HTTPException(403, "found an index that is only read here, wanted one that may change")
    return state.jobs
