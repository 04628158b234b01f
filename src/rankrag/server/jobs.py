"""Uploads on their way into the index: one after the other, in a thread, through restarts and power cuts."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Condition, Lock, Thread

from ..errors import InUseError, RankRAGError
from ..files import sync
from ..types import Document, Documents
from . import owners
from .desk import BusyError
from .job_files import Job, Problem, Status, read_job, read_jobs, set_aside, write_job

KEPT = 100
"""Finished jobs that are remembered."""

PATIENCE_S = 5.0
"""Seconds that a deletion waits for the file that is going in."""

CLOSING_S = 20.0
"""Seconds that closing waits for it; a file that takes longer goes in again after the next start."""

MOST_ENDS = 2
"""Processes that may end while a file goes in before it is left out: the file may be what ends them."""

LOOK_S = 10.0
"""Seconds between two looks of an idle server for jobs of servers that ended."""

PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
"""Seconds before the index is tried again while another process holds it: the first, and the most."""

IN_USE = "another process is changing the index"

_log = logging.getLogger("rankrag.server")


class _CancelledError(BaseException):  # no Exception: what reads files may catch those
    """The job of the file that is going in was cancelled."""


class _ClosedError(BaseException):
    """The server closes."""


@dataclass(slots=True)
class Jobs:
    """Does jobs in the order in which they came. Their state is a file each, so a restart goes on.

    Several servers may share the folder: each does the jobs that it took in, and those of servers that ended.
    What was running when a process ended is done again: the index passes over what it has.
    """

    folder: Path
    documents: Documents
    changing: Lock = field(default_factory=Lock)
    """Held while the index changes: a deletion waits for the file that is going in."""
    unread: tuple[Problem, ...] = ()
    """Files of jobs that could not be read when the server started."""
    _jobs: dict[str, Job] = field(default_factory=dict)
    _line: deque[str] = field(default_factory=deque)
    _cancelled: set[str] = field(default_factory=set)
    _changed: Condition = field(default_factory=Condition)
    _closed: bool = False
    _is_sealed: bool = False
    _has_moved: bool = False
    _ends: float | None = None
    _owner: owners.Owner | None = None
    _thread: Thread | None = None

    def start(self) -> None:
        """Take over the jobs of processes that have ended, and begin to work."""
        self._states().mkdir(parents=True, exist_ok=True)
        sync(self.folder.parent)
        self._owner = owners.enter(self._states())
        for part in self.folder.glob(".*.part"):  # what an upload left when its process was killed
            if not owners.is_alive(self._states(), part.name[1:].split("-")[0]):
                part.unlink(missing_ok=True)
        self.unread = tuple(set_aside(self._states()))
        self._look()
        if any(one.path.endswith(".broken") for one in self.unread):
            self._find_lost()
        self._thread = Thread(target=self._work, name="rankrag-jobs", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Begin no other file; the one that is going in has so many seconds until `close` leaves it."""
        with self._changed:
            self._closed = True
            self._ends = time.monotonic() + seconds
            self._changed.notify_all()

    def close(self) -> None:
        """End after the file that is going in, or without it; what is left waits for the next start."""
        if self._ends is None:
            self.stop(CLOSING_S)
        assert self._ends is not None
        if self._thread is not None:
            self._thread.join(min(CLOSING_S, max(0.0, self._ends - time.monotonic())))
        with self._changed:
            self._is_sealed = True  # a thread that is left must not write over what the next start does
            left = [job for job in self._jobs.values() if job.at and job.owner == self._name()]
        if self._has_moved:  # no fault of the file: the next start tries it as if for the first time
            for job in left:
                write_job(self._states(), replace(job, at=""))
        if self._owner is not None:
            self._owner.leave()

    def place(self, name: str) -> Path:
        """Return where an upload of this name is kept."""
        return self.folder / name

    def partial(self) -> Path:
        """Return a file of its own for an upload that is coming in."""
        return self.folder / f".{self._name()}-{uuid.uuid4().hex}.part"

    def is_upload(self, document: Document) -> bool:
        """Whether a document came by upload, by where its file lies."""
        return self._kept(document) is not None

    def submit(self, names: Iterable[str]) -> Job:
        """Queue files that lie in the folder of uploads; return their job."""
        sync(self.folder)  # what is promised has to be there after a power cut
        job = Job(uuid.uuid4().hex, tuple(names), time.time(), owner=self._name())
        self._note(job)
        self._queue(job)
        return job

    def get(self, name: str) -> Job | None:
        """Return a job by its id, also one of another server on this folder."""
        with self._changed:
            own = self._jobs.get(name)
        if own is not None or not re.fullmatch(r"\w{1,64}", name):
            return own
        try:
            return read_job(self._states() / f"{name}.json")
        except (OSError, ValueError):
            return None

    def list(self) -> tuple[Job, ...]:
        """Return all jobs that are remembered, newest first, also those of other servers on this folder."""
        with self._changed:
            jobs = dict(self._jobs)
        jobs |= {job.id: job for job in read_jobs(self._states(), set(jobs))}
        return tuple(sorted(jobs.values(), key=lambda job: job.created, reverse=True))

    def cancel(self, name: str) -> Job | None:
        """Cancel a job that is not over: at once where it waits, else at the next step of its file.

        What got in stays. Raises BusyError for a job of another server, which alone can end it.
        """
        job = self.get(name)
        if job is None or job.is_over:
            return job
        with self._changed:
            if name not in self._jobs:
                raise BusyError(10, "found a job of another server on this index, wanted one of this one")
            self._cancelled.add(name)
            waits = name in self._line
            if waits:
                self._line.remove(name)
            self._changed.notify_all()
        return self._end_cancelled(job) if waits else job

    def delete(self, document: Document) -> None:
        """Take a document out of the index, and with the last document of an uploaded file the file.

        Raises BusyError if another file is going in for longer than a moment, or another process builds.
        """
        ends = time.monotonic() + PATIENCE_S
        if not self.changing.acquire(timeout=PATIENCE_S):
            raise BusyError(int(PATIENCE_S), "found the index taking in a file, wanted it free")
        try:
            self._delete(document, ends)
            kept = self._kept(document)
            if kept is not None and not any(one.path == document.path for one in self.documents.list()):
                kept.unlink(missing_ok=True)
        finally:
            self.changing.release()

    def _delete(self, document: Document, ends: float) -> None:
        while True:
            try:
                self.documents.delete([document.id])
            except InUseError as error:
                if time.monotonic() >= ends:
                    raise BusyError(int(PATIENCE_S), f"found that {IN_USE}, wanted it free") from error
                time.sleep(PAUSE_S)
            else:
                return

    # ── what earlier processes left ──────────────────────────────────────────────────────────────────

    def _look(self) -> None:
        """Take over what servers that ended have left, and remember what is over."""
        with self._changed:
            known = set(self._jobs)
        for job in sorted(read_jobs(self._states(), known), key=lambda job: job.created):
            if job.is_over:
                self._show(job)
            elif not owners.is_alive(self._states(), job.owner):
                self._take_over(job)

    def _take_over(self, job: Job) -> None:
        """Queue the job of a process that has ended; count the end against the file that was going in."""
        ended = dict(job.ended)
        if job.at:
            ended[job.at] = ended.get(job.at, 0) + 1
        job = replace(job, ended=ended, owner=self._name(), at="", waits_for="")
        job = replace(job, status="queued", done=0, problems=(), documents=())
        self._note(job)
        self._queue(job)

    def _find_lost(self) -> None:
        """Queue the uploads that no job names any more, since theirs was broken."""
        with self._changed:
            jobs = list(self._jobs.values())
        named = {name for job in jobs for name in (job.ended if job.is_over else job.files)}
        files = (path for path in sorted(self.folder.iterdir()) if path.is_file())
        if names := [path.name for path in files if path.name[0] != "." and path.name not in named]:
            self.submit(names)

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._run(job)
            except _ClosedError:
                return  # still `running` in its file: the next start takes it up
            except _CancelledError:
                self._end_cancelled(job)
            except Exception as error:  # a full disk, for one: the jobs behind it are to have their turn
                _log.error("an upload could not be worked on", exc_info=error)
                problems = tuple(Problem(name, "the server failed; its log says why") for name in job.files)
                self._show(replace(job, status="failed", problems=problems))

    def _next(self) -> Job | None:
        while True:
            with self._changed:
                if not self._line and not self._closed:
                    self._changed.wait(LOOK_S)
                if self._closed:
                    return None
                if self._line:
                    return self._jobs[self._line.popleft()]
            self._look()

    def _run(self, job: Job) -> None:
        sizes = [_size(self.place(name)) for name in job.files]
        job = replace(job, status="running", total=sum(sizes))
        n_failed = 0
        for n, name in enumerate(job.files):
            self._check(job)
            before = sum(sizes[:n])
            if job.ended.get(name, 0) >= MOST_ENDS:
                reason = f"the server ended {MOST_ENDS} times while this file went in: it is left out"
                job, went_in = replace(job, problems=(*job.problems, Problem(name, reason))), False
            else:
                job, went_in = self._index(job, name, before)
            n_failed += not went_in
            job = self._note(
                replace(job, done=before + sizes[n], unit="bytes", total=sum(sizes), at="", waits_for="")
            )
        # A file that was read may have its problems, too: lines passed over, an encoding that was guessed.
        status: Status = "failed" if n_failed == len(job.files) else "done"
        self._note(replace(job, status=status))
        self._forget()

    def _index(self, job: Job, name: str, before: int) -> tuple[Job, bool]:
        """Return the job after one more file, and whether the file went in."""
        path, self._has_moved = str(self.place(name)), False

        def progress(done: int, total: int, unit: str) -> None:
            self._has_moved = True
            self._check(job)
            if unit == "bytes":
                self._show(replace(job, done=before + done))
            else:
                self._show(replace(job, done=done, total=total, unit=unit))

        try:
            job = self._note(replace(job, at=name))
            notes: list[str] = []
            documents = self._when_free(job, lambda: self.documents.add([path], progress, notes.append))
        except (_CancelledError, _ClosedError):
            raise
        except (RankRAGError, OSError) as error:
            problem = Problem(name, self._told(error, name))
        except Exception as error:  # a parser's bug must not end the thread that all uploads need
            _log.error("bug while indexing an upload", exc_info=error)
            problem = Problem(name, "the server failed on this file; its log says why")
        else:
            told = tuple(Problem(name, self._public(note, name)) for note in dict.fromkeys(notes))
            job = replace(job, documents=(*job.documents, *documents), problems=(*job.problems, *told))
            return job, True
        return replace(job, problems=(*job.problems, problem)), False

    def _when_free(self, job: Job, change: Callable[[], tuple[Document, ...]]) -> tuple[Document, ...]:
        """Return what a change returns, once no other process changes the index."""
        pause = PAUSE_S
        while True:
            try:
                with self.changing:
                    return change()
            except InUseError:
                waiting = self._note(replace(job, at="", waits_for=IN_USE))
            with self._changed:
                self._changed.wait(pause)
            self._check(waiting)
            self._note(job)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _check(self, job: Job) -> None:
        """Raise where the job was cancelled, or the server closes and will not wait for it."""
        with self._changed:
            if job.id in self._cancelled:
                raise _CancelledError
            if self._closed and (self._is_sealed or not job.at):
                raise _ClosedError

    def _end_cancelled(self, job: Job) -> Job:
        with self._changed:
            job = self._jobs[job.id]
            self._cancelled.discard(job.id)
        ended = self._note(replace(job, status="cancelled", at="", waits_for=""))
        self._clear(ended)
        self._forget()
        return ended

    def _clear(self, cancelled: Job) -> None:
        """Remove the uploads of a cancelled job that are neither in the index nor wanted by another job."""
        wanted = {name for job in self.list() if not job.is_over for name in job.files}
        paths = {self.documents.place(one).resolve() for one in self.documents.list()}
        for name in cancelled.files:
            if name not in wanted and self.place(name).resolve() not in paths:
                self.place(name).unlink(missing_ok=True)

    def _told(self, error: Exception, name: str) -> str:
        """Return what a client is told of a failure: nothing of where the server keeps its files, or how."""
        if isinstance(error, OSError):
            return f"{error.strerror or 'the server failed on this file; its log says why'}"
        return self._public(str(error), name)

    def _public(self, text: str, name: str) -> str:
        """Return a text for clients: without the server's folders and processes."""
        place = self.place(name)
        # The index names a file from the folder that it was made in, which may be any of these.
        relative = (str(place.relative_to(parent)) for parent in reversed(place.parents))
        for path, shown in (
            (str(place), name),
            *((path, name) for path in relative),
            (str(self.folder), "uploads"),
            (str(self.folder.parent), "the index"),
        ):
            text = text.replace(path, shown)
        return re.sub(r" ?\(process [^)]*\)", "", text)

    # ── state ────────────────────────────────────────────────────────────────────────────────────────

    def _queue(self, job: Job) -> None:
        with self._changed:
            self._line.append(job.id)
            self._changed.notify_all()

    def _note(self, job: Job) -> Job:
        """Remember a job, also on disk."""
        with self._changed:
            if self._is_sealed:
                raise _ClosedError
            write_job(self._states(), job)
            self._jobs[job.id] = job
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
                self._jobs.pop(job.id, None)

    def _name(self) -> str:
        return self._owner.name if self._owner else ""

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
    shown = asdict(replace(job, documents=()))
    for inner in ("documents", "owner", "at", "ended"):
        del shown[inner]
    n_passages = sum(one.n_passages for one in job.documents)
    return shown | {"n_documents": len(job.documents), "n_passages": n_passages}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
