"""The jobs that a server knows, and the folder of their files, which it may share with other servers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from .job_files import Job, read_job, read_jobs, write_job

KEPT = 1000
"""Finished jobs that are remembered: whoever asks seconds later, behind 70 others a second, is told."""


class ClosedError(BaseException):  # no Exception: what reads files may catch those
    """The server closes."""


@dataclass(slots=True)
class JobRegister:
    """Jobs by their ids, as they stand. Any thread may ask and note."""

    folder: Path
    is_sealed: bool = False
    _jobs: dict[str, Job] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def __contains__(self, name: str) -> bool:
        return name in self._jobs

    def __getitem__(self, name: str) -> Job:
        return self._jobs[name]

    def here(self) -> tuple[Job, ...]:
        """Return the jobs that this server knows."""
        with self._lock:
            return tuple(self._jobs.values())

    def elsewhere(self) -> tuple[Job, ...]:
        """Return the jobs of files that this server does not know yet, oldest first."""
        known = {job.id for job in self.here()}
        return tuple(sorted(read_jobs(self.folder, known), key=lambda job: job.created))

    def list(self) -> tuple[Job, ...]:
        """Return all jobs that are remembered, newest first, also those of other servers on this folder."""
        jobs = {job.id: job for job in self.here()}
        jobs |= {job.id: job for job in read_jobs(self.folder, set(jobs))}
        return tuple(sorted(jobs.values(), key=lambda job: job.created, reverse=True))

    def get(self, name: str) -> Job | None:
        """Return a job by its id, also one of another server on this folder."""
        own = self._jobs.get(name)
        if own is not None or not re.fullmatch(r"\w{1,64}", name):
            return own
        try:
            return read_job(self.folder / f"{name}.json")
        except (OSError, ValueError):
            return None

    def note(self, job: Job) -> Job:
        """Remember a job, also on disk; raises ClosedError once the register is sealed."""
        with self._lock:
            if self.is_sealed:
                raise ClosedError
            write_job(self.folder, job)
            self._jobs[job.id] = job
        return job

    def show(self, job: Job) -> None:
        """Remember a job while this server runs."""
        with self._lock:
            self._jobs[job.id] = job

    def forget(self) -> None:
        """Forget the oldest of the finished jobs, so that few remain."""
        over = [job for job in self.list() if job.is_over]
        for job in over[KEPT:]:
            (self.folder / f"{job.id}.json").unlink(missing_ok=True)
            with self._lock:
                self._jobs.pop(job.id, None)

    def seal(self) -> None:
        """Write nothing more: a thread that is left must not write over what the next start does."""
        with self._lock:
            self.is_sealed = True
