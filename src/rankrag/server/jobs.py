"""Uploads on their way into the index: in a thread, in their order, through restarts and power cuts.

Small ones that wait go in together, since to change the index costs much the same for one as for many.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Lock, Thread

from ..errors import InUseError, RankRAGError
from ..files import sync
from ..types import Added, Document
from . import owners
from .desk import BusyError
from .job_files import Job, Problem, Status, set_aside, write_job
from .job_register import ClosedError, JobRegister
from .upload_folder import Uploads

PATIENCE_S = 5.0
"""Seconds that a deletion waits for the file that is going in."""

CLOSING_S = 20.0
"""Seconds that closing waits for it; a file that takes longer goes in again after the next start."""

MOST_ENDS = 2
"""Processes that may end while a file goes in alone before it is left out: the file may be what ends them. An
end while several go in counts for none of them, but each goes in alone from then on."""

TOGETHER, TOGETHER_BYTES = 64, 2**18
"""Files that go in together, and their bytes, which an encoder on a processor has done in seconds."""

LOOK_S = 10.0
"""Seconds between two looks of an idle server for jobs of servers that ended."""

PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
"""Seconds before the index is tried again while another process holds it: the first, and the most."""

IN_USE = "another process is changing the index"

_log = logging.getLogger("rankrag.server")

_Part = Mapping[str, Sequence[str]]
"""Names of files that go in together, by the id of their job."""


class _CancelledError(BaseException):  # no Exception: what reads files may catch those
    """The job of the file that is going in was cancelled."""


@dataclass(slots=True)
class Jobs:
    """Does jobs in the order in which they came. Their state is a file each, so a restart goes on.

    Several servers may share the folder: each does the jobs that it took in, and those of servers that ended.
    What was running when a process ended is done again: the index passes over what it has.
    """

    uploads: Uploads
    changing: Lock = field(default_factory=Lock)
    """Held while the index changes: a deletion waits for the file that is going in."""
    unread: tuple[Problem, ...] = ()
    """Files of jobs that could not be read when the server started."""
    known: JobRegister = field(init=False)
    _line: deque[str] = field(default_factory=deque)
    _cancelled: set[str] = field(default_factory=set)
    _changed: Condition = field(default_factory=Condition)
    _closed: bool = False
    _has_moved: bool = False
    _ends: float | None = None
    _owner: owners.Owner | None = None
    _thread: Thread | None = None

    def __post_init__(self) -> None:
        self.known = JobRegister(self.uploads.states)

    def start(self) -> None:
        """Take over the jobs of processes that have ended, and begin to work."""
        self.uploads.states.mkdir(parents=True, exist_ok=True)
        sync(self.uploads.folder.parent)
        self._owner = owners.enter(self.uploads.states)
        for part in self.uploads.folder.glob(".*.part"):  # what an upload left when its process was killed
            if not owners.is_alive(self.uploads.states, part.name[1:].split("-")[0]):
                part.unlink(missing_ok=True)
        self.unread = tuple(set_aside(self.uploads.states))
        self._look()
        if any(problem.path.endswith(".broken") for problem in self.unread):
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
        self.known.seal()
        left = [job for job in self.known.here() if job.at and job.owner == self._name()]
        if self._has_moved and sum(len(job.at) for job in left) == 1:  # no fault of the file
            write_job(self.uploads.states, replace(left[0], at=()))
        if self._owner is not None:
            self._owner.leave()

    def partial(self) -> Path:
        """Return a file of its own for an upload that is coming in."""
        return self.uploads.folder / f".{self._name()}-{uuid.uuid4().hex}.part"

    def submit(self, names: Iterable[str]) -> Job:
        """Queue files that lie in the folder of uploads; return their job."""
        sync(self.uploads.folder)  # what is promised has to be there after a power cut
        job = Job(uuid.uuid4().hex, tuple(names), time.time(), owner=self._name())
        self._queue(job)
        return job

    def cancel(self, name: str) -> Job | None:
        """Cancel a job that is not over: at once where it waits, else at the next step of its file.

        What got in stays. Raises BusyError for a job of another server, which alone can end it.
        """
        job = self.known.get(name)
        if job is None or job.is_over:
            return job
        with self._changed:
            if name not in self.known:
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
            kept, documents = self.uploads.kept(document), self.uploads.documents.list()
            if kept is not None and all(other.path != document.path for other in documents):
                kept.unlink(missing_ok=True)
        finally:
            self.changing.release()

    def _delete(self, document: Document, ends: float) -> None:
        while True:
            try:
                self.uploads.documents.delete([document.id])
                return
            except InUseError as error:
                if time.monotonic() >= ends:
                    raise BusyError(int(PATIENCE_S), f"found that {IN_USE}, wanted it free") from error
                time.sleep(PAUSE_S)

    # ── what earlier processes left ──────────────────────────────────────────────────────────────────

    def _look(self) -> None:
        """Take over what servers that ended have left, and remember what is over."""
        for job in self.known.elsewhere():
            if job.is_over:
                self.known.show(job)
            elif not owners.is_alive(self.uploads.states, job.owner):
                self._take_over(job)

    def _take_over(self, job: Job) -> None:
        """Queue the job of a process that has ended; count the end against the files that were going in."""
        ended = {**job.ended, **{file: job.ended.get(file, 0) + (not job.together) for file in job.at}}
        job = _anew(replace(job, ended=ended, owner=self._name()))
        self._queue(job)

    def _find_lost(self) -> None:
        """Queue the uploads that no job names any more, since theirs was broken."""
        named = {name for job in self.known.here() for name in (job.ended if job.is_over else job.files)}
        files = (path for path in sorted(self.uploads.folder.iterdir()) if path.is_file())
        if names := [path.name for path in files if path.name[0] != "." and path.name not in named]:
            self.submit(names)

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        with contextlib.suppress(ClosedError):  # the next start takes up what is still `running` in its file
            while jobs := self._next():
                self._do(jobs)

    def _next(self) -> tuple[Job, ...]:
        """Return the jobs that are to be done together, none once the server closes."""
        while True:
            with self._changed:
                if not self._line and not self._closed:
                    self._changed.wait(LOOK_S)
                if self._closed:
                    return ()
                if self._line:
                    return self._from_line()
            self._look()

    def _from_line(self) -> tuple[Job, ...]:
        """Take the first job from the line, and those behind it whose files go in with its files."""
        jobs = [self.known[self._line.popleft()]]
        n_files, n_bytes = len(jobs[0].files), self.uploads.n_bytes(jobs[0].files)
        while self._line and not jobs[0].ended:
            job = self.known[self._line[0]]
            n_files, n_bytes = n_files + len(job.files), n_bytes + self.uploads.n_bytes(job.files)
            if job.ended or n_files > TOGETHER or n_bytes > TOGETHER_BYTES:
                break
            jobs.append(self.known[self._line.popleft()])
        return tuple(jobs)

    def _do(self, jobs: tuple[Job, ...]) -> None:
        """Do jobs together, or each alone where that fails: a fault is told to whose it is."""
        try:
            self._run(jobs)
        except _CancelledError:
            for job in reversed(jobs):
                if job.id in self._cancelled:
                    self._end_cancelled(job)
                elif not self.known[job.id].is_over:
                    self.known.note(_anew(job))
                    with self._changed:
                        self._line.appendleft(job.id)
        except Exception as error:  # a full disk, for one: the jobs behind it are to have their turn
            left = [_anew(job) for job in jobs if not self.known[job.id].is_over]
            if len(left) > 1:
                for job in left:
                    self._do((job,))
                return
            _log.error("an upload could not be worked on", exc_info=error)
            for job in left:
                problems = tuple(Problem(name, "the server failed; its log says why") for name in job.files)
                self.known.show(replace(job, status="failed", problems=problems))

    def _run(self, jobs: tuple[Job, ...]) -> None:
        n_failed = Counter[str]()
        for job in jobs:
            self.known.show(replace(job, status="running", total=self.uploads.n_bytes(job.files)))
        for part in self._parts(jobs):
            self._go_in(part, n_failed)
        self.known.forget()

    def _parts(self, jobs: tuple[Job, ...]) -> Iterator[_Part]:
        """Yield the files of jobs in parts that go in together; what may have ended a process goes alone."""
        part: dict[str, tuple[str, ...]] = {}
        n_files = n_bytes = 0
        for job in jobs:
            for file in job.files:
                size = self.uploads.n_bytes([file])
                if part and (job.ended or n_files >= TOGETHER or n_bytes + size > TOGETHER_BYTES):
                    yield part
                    part, n_files, n_bytes = {}, 0, 0
                part[job.id] = (*part.get(job.id, ()), file)
                n_files, n_bytes = n_files + 1, n_bytes + size
        if part:
            yield part

    def _go_in(self, part: _Part, n_failed: Counter[str]) -> None:
        """Put files in together, or each alone where that fails, and note what became of them."""
        self._check(part)
        files = [(name, file) for name, files in part.items() for file in files]
        try:
            outcome = self._take(part)
        except Exception as error:  # a parser's bug must not end the thread that all uploads need
            if len(files) > 1:
                for name, file in files:
                    self._go_in({name: (file,)}, n_failed)
                return
            outcome = {files[0][1]: Added(problem=_told(error))}
        for name, own in part.items():
            n_failed[name] += sum(outcome[file].problem != "" for file in own)
            self._go_on(self.known[name], own, outcome, n_failed[name])

    def _take(self, part: _Part) -> dict[str, Added]:
        """Return what became of each file of a part."""
        for name, files in part.items():
            if self.known[name].ended.get(files[0], 0) >= MOST_ENDS:  # it is alone
                reason = f"the server ended {MOST_ENDS} times while this file went in: it is left out"
                return {files[0]: Added(problem=reason)}
        return self._when_free(part)

    def _go_on(self, job: Job, files: Iterable[str], outcome: Mapping[str, Added], n_failed: int) -> None:
        """Note what became of some files of a job, and with its last one how it ended."""
        problems, documents, last = list(job.problems), list(job.documents), ""
        for last in files:
            added = outcome[last]
            # A file that was read may have its problems, too: lines passed over, a guessed encoding.
            told = dict.fromkeys(text for text in (added.problem, *added.notes) if text)
            problems += [Problem(last, self.uploads.public(text, last)) for text in told]
            documents += added.documents
        status: Status = "running"
        if last == job.files[-1]:
            status = "failed" if n_failed == len(job.files) else "done"
        done, total = self.uploads.n_bytes(_until(job, last)), self.uploads.n_bytes(job.files)
        moved = replace(job, status=status, problems=tuple(problems), documents=tuple(documents), at=())
        self.known.note(replace(moved, waits_for="", done=done, total=total, unit="bytes"))

    def _when_free(self, part: _Part) -> dict[str, Added]:
        """Put files in, once no other process changes the index; return what became of each."""
        paths = {file: str(self.uploads.place(file)) for files in part.values() for file in files}
        sizes = {name: self.uploads.n_bytes(files) for name, files in part.items()}
        before = {name: _until(self.known[name], files[0])[:-1] for name, files in part.items()}
        begun = {name: self.uploads.n_bytes(files) for name, files in before.items()}
        self._has_moved, pause = False, PAUSE_S

        def progress(done: int, total: int, unit: str) -> None:
            self._has_moved = True
            self._check(part)
            for name in part:
                if unit == "bytes":  # of all the files: each job has its share
                    share = replace(self.known[name], done=begun[name] + sizes[name] * done // max(1, total))
                else:
                    share = replace(self.known[name], done=done, total=total, unit=unit)
                self.known.show(share)

        while True:
            for name, files in part.items():
                now = replace(self.known[name], at=tuple(files), together=len(paths) > 1, waits_for="")
                self.known.note(now)
            try:
                with self.changing:
                    added = self.uploads.documents.add(paths.values(), progress, self._has_more(part))
                    return {file: added[path] for file, path in paths.items()}
            except InUseError:
                for name in part:
                    self.known.note(replace(self.known[name], at=(), waits_for=IN_USE))
            with self._changed:
                self._changed.wait(pause)
            self._check(part)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _has_more(self, part: _Part) -> bool:
        """Whether other files wait behind those of a part."""
        return any(not job.is_over and job.files[-1] not in part.get(job.id, ()) for job in self.known.here())

    def _check(self, part: _Part) -> None:
        """Raise where a job was cancelled, or the server closes and will not wait for what goes in."""
        with self._changed:
            if not self._cancelled.isdisjoint(part):
                raise _CancelledError
            if self._closed and (self.known.is_sealed or not any(self.known[name].at for name in part)):
                raise ClosedError

    def _end_cancelled(self, job: Job) -> Job:
        with self._changed:
            job = self.known[job.id]
            self._cancelled.discard(job.id)
        ended = self.known.note(replace(job, status="cancelled", at=(), waits_for=""))
        self._clear(ended)
        self.known.forget()
        return ended

    def _clear(self, cancelled: Job) -> None:
        """Remove the uploads of a cancelled job that are neither in the index nor wanted by another job."""
        wanted = {name for job in self.known.list() if not job.is_over for name in job.files}
        self.uploads.remove(name for name in cancelled.files if name not in wanted)

    def _queue(self, job: Job) -> None:
        self.known.note(job)
        with self._changed:
            self._line.append(job.id)
            self._changed.notify_all()

    def _name(self) -> str:
        return self._owner.name if self._owner else ""


def _anew(job: Job) -> Job:
    return replace(job, status="queued", done=0, problems=(), documents=(), at=(), waits_for="")


def _until(job: Job, file: str) -> tuple[str, ...]:
    return job.files[: job.files.index(file) + 1]


def _told(error: Exception) -> str:
    if isinstance(error, RankRAGError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    _log.error("bug while indexing an upload", exc_info=error)
    return "the server failed on this file; its log says why"
