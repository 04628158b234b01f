"""Uploads on their way into the index: one after the other, in a thread, through restarts."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Any, Literal

from ..errors import RankRAGError
from ..formats import writing
from ..types import Document, Documents
from .work import BusyError

Status = Literal["queued", "running", "done", "failed"]

KEPT = 100
"""Finished jobs that are remembered."""

PATIENCE_S = 5.0
"""Seconds that a deletion waits for the file that is going in."""

CLOSING_S = 20.0
"""Seconds that closing waits for it; a file that takes longer goes in again after the next start."""

_log = logging.getLogger("rankrag.server")


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that did not get in, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """Files that are to be indexed, and how far it is. `failed` says that none of them got in."""

    id: str
    files: tuple[str, ...]
    created: float
    status: Status = "queued"
    done: int = 0
    total: int = 0
    unit: str = "bytes"
    problems: tuple[Problem, ...] = ()
    documents: tuple[Document, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("done", "failed")


@dataclass(slots=True)
class Jobs:
    """Does jobs in the order in which they came. Their state is a file each, so a restart goes on.

    What was running when the process ended is done again: the index passes over what it has.
    """

    folder: Path
    documents: Documents
    changing: Lock = field(default_factory=Lock)
    """Held while the index changes: a deletion waits for the file that is going in."""
    _jobs: dict[str, Job] = field(default_factory=dict)
    _line: deque[str] = field(default_factory=deque)
    _changed: Condition = field(default_factory=Condition)
    _closed: bool = False
    _thread: Thread | None = None

    def start(self) -> None:
        """Read the jobs of earlier processes, and begin to work."""
        self._states().mkdir(parents=True, exist_ok=True)
        for part in self.folder.glob(".*.part"):  # what an upload left when the process was killed
            part.unlink()
        with self._changed:
            for job in sorted(_stored(self._states()), key=lambda job: job.created):
                self._jobs[job.id] = job
                if not job.is_over:
                    self._jobs[job.id] = replace(job, status="queued", problems=(), documents=())
                    self._line.append(job.id)
        self._thread = Thread(target=self._work, name="rankrag-jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the file that is going in, or without it; what is left waits for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSING_S)

    def place(self, name: str) -> Path:
        """Return where an upload of this name is kept."""
        return self.folder / name

    def is_upload(self, document: Document) -> bool:
        """Whether a document came by upload, by where its file lies."""
        return self._kept(document) is not None

    def submit(self, names: Iterable[str]) -> Job:
        """Queue files that lie in the folder of uploads; return their job."""
        job = Job(uuid.uuid4().hex, tuple(names), time.time())
        self._note(job)
        with self._changed:
            self._line.append(job.id)
            self._changed.notify()
        return job

    def get(self, name: str) -> Job | None:
        """Return a job by its id."""
        with self._changed:
            return self._jobs.get(name)

    def list(self) -> tuple[Job, ...]:
        """Return all jobs that are remembered, newest first."""
        with self._changed:
            return tuple(sorted(self._jobs.values(), key=lambda job: job.created, reverse=True))

    def delete(self, document: Document) -> None:
        """Take a document out of the index, and with the last document of an uploaded file the file.

        Raises BusyError if another file is going in for longer than a moment.
        """
        if not self.changing.acquire(timeout=PATIENCE_S):
            raise BusyError(int(PATIENCE_S), "found the index taking in a file, wanted it free")
        try:
            self.documents.delete([document.id])
            kept = self._kept(document)
            if kept is not None and not any(one.path == document.path for one in self.documents.list()):
                kept.unlink(missing_ok=True)
        finally:
            self.changing.release()

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._run(job)
            except Exception as error:  # a full disk, for one: the jobs behind it are to have their turn
                _log.error("an upload could not be worked on", exc_info=error)
                problems = tuple(Problem(name, "the server failed; its log says why") for name in job.files)
                self._show(replace(job, status="failed", problems=problems))

    def _next(self) -> Job | None:
        with self._changed:
            while not self._line and not self._closed:
                self._changed.wait()
            return None if self._closed else self._jobs[self._line.popleft()]

    def _run(self, job: Job) -> None:
        sizes = [_size(self.place(name)) for name in job.files]
        job = self._note(replace(job, status="running", total=sum(sizes)))
        for n, name in enumerate(job.files):
            if self._closed:
                return  # still `running` in its file: the next start takes it up
            before = sum(sizes[:n])
            job = self._index(job, name, before)
            job = self._note(replace(job, done=before + sizes[n], unit="bytes", total=sum(sizes)))
        status: Status = "failed" if len(job.problems) == len(job.files) else "done"
        self._note(replace(job, status=status))
        self._forget()

    def _index(self, job: Job, name: str, before: int) -> Job:
        path = str(self.place(name))

        def progress(done: int, total: int, unit: str) -> None:
            if unit == "bytes":
                self._show(replace(job, done=before + done))
            else:
                self._show(replace(job, done=done, total=total, unit=unit))

        try:
            with self.changing:
                documents = self.documents.add([path], progress)
        except (RankRAGError, OSError) as error:
            problem = Problem(name, str(error).replace(path, name))
        except Exception as error:  # a parser's bug must not end the thread that all uploads need
            _log.error("bug while indexing an upload", exc_info=error)
            problem = Problem(name, "the server failed on this file; its log says why")
        else:
            return replace(job, documents=(*job.documents, *documents))
        return replace(job, problems=(*job.problems, problem))

    # ── state ────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, job: Job) -> Job:
        """Remember a job, also on disk."""
        with writing(str(self._states() / f"{job.id}.json")) as stream:
            json.dump(asdict(job), stream, ensure_ascii=False)
        self._show(job)
        return job

    def _show(self, job: Job) -> None:
        with self._changed:
            self._jobs[job.id] = job

    def _forget(self) -> None:
        """Forget the oldest of too many finished jobs."""
        over = [job for job in self.list() if job.is_over]
        for job in over[KEPT:]:
            (self._states() / f"{job.id}.json").unlink(missing_ok=True)
            with self._changed:
                del self._jobs[job.id]

    def _states(self) -> Path:
        return self.folder / ".jobs"

    def _kept(self, document: Document) -> Path | None:
        """Return the file of a document if it is an upload: another may have the same name elsewhere."""
        kept = self.place(Path(document.path).name)
        same = kept.is_file() and self.documents.place(document).resolve() == kept.resolve()
        return kept if same else None


def record(job: Job) -> dict[str, object]:
    """Return a job as clients see it."""
    return brief(job) | {"documents": [asdict(one) for one in job.documents]}


def brief(job: Job) -> dict[str, object]:
    """Return a job as it stands in a list: its documents, which may be many, are counted."""
    found = asdict(replace(job, documents=()))
    del found["documents"]
    n_passages = sum(one.n_passages for one in job.documents)
    return found | {"n_documents": len(job.documents), "n_passages": n_passages}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _stored(folder: Path) -> Iterable[Job]:
    for path in folder.glob("*.json"):
        try:
            yield _job(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError):
            path.unlink()  # half a file of a killed process; the upload itself lies beside it


def _job(values: Mapping[str, Any]) -> Job:
    """Return a job from what `_note` wrote."""
    tuples = {
        "files": tuple(str(name) for name in values["files"]),
        "problems": tuple(Problem(**one) for one in values["problems"]),
        "documents": tuple(Document(**one) for one in values["documents"]),
    }
    return Job(**{**values, **tuples})
