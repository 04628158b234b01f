"""The files that hold the state of jobs: whole or not there, also after a power cut."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from ..files import summed, typed, unsummed, write_json
from ..types import Document

Status = Literal["queued", "running", "done", "failed", "cancelled"]

FORMAT = 3
"""The newest layout of a job's file that this code reads; one without a number is of the first."""

BROKEN = ".broken"
"""Is put behind the name of a file that cannot be read, which is kept."""

_log = logging.getLogger("rankrag.server")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be told of a file: why it did not get in, or what was guessed or passed over in it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """Files that are to be indexed, and how far it is. `failed` says that none of them got in.

    `waits_for` says why it does not go on at the moment. `owner` is the server that does it, `at` the files
    that are going in, `together` whether with others, and `ended` counts, for each file that was going in
    when a process ended, those that ended while it went in alone.
    """

    id: str
    files: tuple[str, ...]
    created: float
    status: Status = "queued"
    done: int = 0
    total: int = 0
    unit: str = "bytes"
    problems: tuple[Problem, ...] = ()
    documents: tuple[Document, ...] = ()
    waits_for: str = ""
    owner: str = ""
    at: tuple[str, ...] = ()
    together: bool = False
    ended: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("done", "failed", "cancelled")


def write_job(folder: Path, job: Job) -> None:
    """Write a job's file: a reader, also one after a power cut, sees the old one or the new one."""
    write_json(folder / f"{job.id}.json", summed({"format": FORMAT, **asdict(job)}), durable=True)


def read_job(path: Path) -> Job:
    """Return the job of a file; raises ValueError or OSError for one that is broken or too new."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("no job")
    return _job(content)


def read_jobs(folder: Path, known: Set[str] = frozenset()) -> Iterator[Job]:
    """Yield the jobs of a folder but those whose ids are known; what cannot be read is left out."""
    for path in sorted(folder.glob("*.json")):
        try:
            if path.stem not in known:
                yield read_job(path)
        except (OSError, ValueError):
            continue


def set_aside(folder: Path) -> list[Problem]:
    """Rename the files of jobs that are broken, and return them with those that are of a newer version."""
    unread: list[Problem] = []
    for path in sorted(folder.glob("*.json")):
        try:
            read_job(path)
        except NewerError as error:
            unread.append(Problem(path.name, str(error)))
        except (OSError, ValueError):
            kept = path.with_name(path.name + BROKEN)
            path.replace(kept)
            unread.append(Problem(kept.name, "found a broken job file; what was uploaded goes in again"))
    for problem in unread:
        _log.warning("%s: %s", problem.path, problem.reason)
    return unread


def record(job: Job) -> dict[str, object]:
    """Return a job as clients see it."""
    return brief(job) | {"documents": [asdict(document) for document in job.documents]}


def brief(job: Job) -> dict[str, object]:
    """Return a job as it stands in a list: its documents, which may be many, are counted."""
    shown = asdict(replace(job, documents=()))
    for inner in ("documents", "owner", "at", "together", "ended"):
        del shown[inner]
    n_passages = sum(document.n_passages for document in job.documents)
    return shown | {"n_documents": len(job.documents), "n_passages": n_passages}


class NewerError(ValueError):
    """The file of a job was written by a newer version."""


def _job(content: dict[str, object]) -> Job:
    version = content.get("format", 1)
    if not isinstance(version, int):
        raise ValueError("no job")
    if version > FORMAT:
        raise NewerError(
            f"found a job of format {version}, wanted at most {FORMAT}: it is left as it is, update rankrag"
        )
    values = {name: value for name, value in unsummed(content).items() if name != "format"}
    if isinstance(at := values.get("at"), str):  # one name up to format 2
        values["at"] = [at] if at else []
    return typed(Job, values, "job")
