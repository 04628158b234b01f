"""`/v1/documents` and `/v1/jobs`: what is in the index, put in and taken out while it is searched."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import APIRouter, Query, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ...errors import InvalidInputError, NotFoundError
from ...types import Document, Documents
from ..job_files import Job, brief, record
from ..jobs import Jobs
from ..safety.uploads import safe_name, save
from ..state import Shared, State

routes = APIRouter()

MOST_FILES = 100
"""Files in one upload."""

_deleting = anyio.CapacityLimiter(4)
"""Deletions that wait for the index at the same time, in threads: others need these, too."""


@routes.get("/v1/documents")
async def listed(
    state: Shared, after: str = "", limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
) -> dict[str, object]:
    """List documents by id, those behind `after`; `has_more` says whether some are left."""
    documents = _documents(state)

    def page() -> dict[str, object]:
        behind = [document for document in documents.list() if document.id > after]
        data = [_record(document, state) for document in behind[:limit]]  # which looks at files
        return {"object": "list", "data": data, "has_more": len(behind) > limit}

    return await run_in_threadpool(page)


@routes.post("/v1/documents", status_code=202)
async def upload(file: list[UploadFile], state: Shared) -> dict[str, object]:
    """Take files and index them in the background; a file of the same name is replaced."""
    jobs = _jobs(state)
    if len(file) > MOST_FILES:
        raise HTTPException(413, f"found {len(file)} files, wanted at most {MOST_FILES}: send them in parts")
    names = [safe_name(upload.filename, state.settings.suffixes) for upload in file]
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise InvalidInputError(f"found two files named {twice[0]!r}, wanted each name once: rename one")
    saved: dict[str, Path] = {}
    try:
        for upload, name in zip(file, names, strict=True):
            saved[name] = await save(upload, name, jobs.partial(), state.limits.upload_bytes)
        for name, partial in saved.items():  # all of them or none
            partial.replace(jobs.uploads.place(name))
    finally:
        for partial in saved.values():
            partial.unlink(missing_ok=True)
    return {"job": record(await run_in_threadpool(jobs.submit, names))}


@routes.delete("/v1/documents/{name:path}")
async def delete(name: str, state: Shared) -> dict[str, object]:
    """Take a document out of the index.

    An uploaded file goes too, with the last of its documents; other files stay where they are.
    """
    jobs = _jobs(state)

    def gone() -> None:
        document = next((document for document in _documents(state).list() if document.id == name), None)
        if document is None:
            raise NotFoundError(f"found no document {name[:200]!r}, wanted one of GET /v1/documents")
        jobs.delete(document)

    await to_thread.run_sync(gone, limiter=_deleting)
    return {"id": name, "deleted": True}


@routes.get("/v1/jobs")
async def all_jobs(state: Shared) -> dict[str, object]:
    """List the uploads that are remembered, newest first, with the number of their documents.

    `unread` names the files of jobs that could not be read when the server started, each with the reason.
    """
    if state.jobs is None:
        return {"object": "list", "data": [], "unread": []}
    jobs = await run_in_threadpool(state.jobs.known.list)
    unread = [asdict(problem) for problem in state.jobs.unread]
    return {"object": "list", "data": [brief(job) for job in jobs], "unread": unread}


@routes.get("/v1/jobs/{name}")
async def one_job(name: str, state: Shared) -> dict[str, object]:
    """Say how far an upload is."""
    return {"job": record(_there(name, await run_in_threadpool(_jobs(state).known.get, name)))}


@routes.post("/v1/jobs/{name}/cancel")
async def cancel(name: str, state: Shared) -> dict[str, object]:
    """Cancel an upload that waits or is going in; one that is going in ends at its next step."""
    return {"job": record(_there(name, await run_in_threadpool(_jobs(state).cancel, name)))}


def _there(name: str, job: Job | None) -> Job:
    if job is None:
        raise NotFoundError(f"found no job {name[:100]!r}, wanted one of GET /v1/jobs")
    return job


def _record(document: Document, state: State) -> dict[str, object]:
    uploaded = state.jobs is not None and state.jobs.uploads.kept(document) is not None
    return {**asdict(document), "uploaded": uploaded}


def _documents(state: State) -> Documents:
    if state.documents is None:
        raise NotFoundError("found a server without an index, wanted one: start it with --index")
    return state.documents


def _jobs(state: State) -> Jobs:
    if state.jobs is None:
        raise HTTPException(403, "found an index that is only read here, wanted one that may change")
    return state.jobs
