"""Parsers in a process of their own: one that hangs, swells or crashes is ended, and only its file is lost.

`Apart` starts the process when the first file needs it and keeps it for the next ones; whatever goes wrong,
it is killed and the next file gets a new one. Plain text, JSON lines and CSV are read in this process:
their work grows with the size of the file and no faster.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, cast

from ...errors import InvalidInputError, MissingExtraError
from .json_lines import LineSpan
from .passages import Portion, ReadSettings, is_apart, read_portions
from .walk import File

HEADER = struct.Struct(">Q")

TIME_S, TIME_PER_MB_S = 60.0, 10.0
"""Seconds of a processor after which reading is given up, and those added for each megabyte of the file."""

PATIENCE = 4
"""By the clock it may take so many times as long until the next portion, and longer where others want the
processors too: with 25 of them for each, a reader was given up after 46 s of a processor."""

MEMORY = 2**30
"""Bytes that the process may take beyond what it has at its start."""

OCR, OCR_MEMORY = 20, 3
"""How many times the time and the memory there are with OCR: a page takes some 3 s of a processor."""

OUTPUT = 512 * 2**20
"""Bytes of passages that may come out of a file in one portion."""

_MEGABYTE = 10**6
_REMEDY = "split it, or save it in another format"


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What reading a file may take: seconds of a processor, seconds for each megabyte, bytes."""

    time_s: float = TIME_S
    time_per_mb_s: float = TIME_PER_MB_S
    memory: int = MEMORY
    output: int = OUTPUT


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What the process is asked to read, within which limits."""

    file: File
    settings: ReadSettings
    after: int
    part: LineSpan | None
    memory: int
    processor_s: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a file cannot be read; `extra` is the extra that would bring the package `reason`.

    `is_last` says that the process had better read no more.
    """

    reason: str
    extra: str = ""
    is_last: bool = False


class Apart:
    """Reads files in a process of its own where their kind asks for it, else in this one.

    A context: leaving it ends the process. Not for several threads at once.
    """

    def __init__(self, limits: ParserLimits | None = None) -> None:
        self.limits = limits or ParserLimits()
        self.process: subprocess.Popen[bytes] | None = None
        self.in_time = True

    def __enter__(self) -> Apart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def portions(
        self, file: File, settings: ReadSettings, after: int = 0, part: LineSpan | None = None
    ) -> Iterator[Portion]:
        """Yield the passages of a file. Raises InvalidInputError, MissingExtraError or OSError."""
        if not is_apart(file.kind):
            yield from read_portions(file, settings, after, part)
            return
        time_s = self.limits.time_s + self.limits.time_per_mb_s * file.size / _MEGABYTE
        time_s *= OCR if settings.ocr else 1
        memory = self.limits.memory * (OCR_MEMORY if settings.ocr else 1)
        wish = ReadRequest(file, settings, after, part, memory, math.ceil(time_s))
        done = False
        try:
            self._send(wish)
            while isinstance(answer := self._next(time_s), Portion):
                yield answer
            done = answer is None or not answer.is_last
        finally:
            if not done:  # the rest of what it would send is not wanted, or it is in no state to go on
                self.end()
        if answer is not None:
            raise (
                MissingExtraError(answer.reason, answer.extra)
                if answer.extra
                else InvalidInputError(answer.reason)
            )

    def end(self) -> None:
        """End the process, if there is one."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.kill()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                cast("IO[bytes]", stream).close()
        process.wait()

    def _send(self, wish: ReadRequest) -> None:
        for attempt in (1, 2):
            if self.process is None:
                self.process = _started()
            try:
                write(cast("IO[bytes]", self.process.stdin), wish)
                return
            except OSError:  # somebody ended it while it was idle
                self.end()
                if attempt == 2:
                    raise

    def _next(self, time_s: float) -> Portion | Failed | None:
        """Return the next portion, None after the last one, or why there is no more."""
        process = cast("subprocess.Popen[bytes]", self.process)
        self.in_time = True
        timer = threading.Timer(_patience(os.cpu_count() or 1) * time_s, self._give_up, [process])
        timer.daemon = True
        timer.start()
        try:
            answer = read(cast("IO[bytes]", process.stdout), self.limits.output)
        except EOFError:
            raise InvalidInputError(self._end_of(process, time_s)) from None
        finally:
            timer.cancel()
        return cast("Portion | Failed | None", answer)

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        self.in_time = False
        process.kill()

    def _end_of(self, process: subprocess.Popen[bytes], time_s: float) -> str:
        code = process.wait()
        if not self.in_time or code == -getattr(signal, "SIGXCPU", 0):
            return f"reading it took more than {time_s:.0f} s and was given up: {_REMEDY}"
        if code == -signal.SIGABRT:  # libraries in C and Rust end the process where they get no memory
            return out_of_memory(self.limits.memory)
        return f"reading it ended its parser (exit code {code}): save it in another format"


def _patience(n_processors: int) -> float:
    """Return how many seconds by the clock a second of a processor may take."""
    wanting = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows does not tell
    return PATIENCE * max(1.0, wanting / n_processors)


def out_of_memory(memory: int) -> str:
    """Return the reason for a file that takes too much memory."""
    return f"reading it takes more than {memory / _MEGABYTE:,.0f} MB of memory: {_REMEDY}"


def _started() -> subprocess.Popen[bytes]:
    # The same Python with the same path, whatever put it together; its own session, so that Ctrl-C reaches
    # us alone.
    code = f"import sys; sys.path[:] = {sys.path!r}; from rankrag.index.reading.child import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RUST_BACKTRACE": "0"},  # to write one takes seconds, and nobody would read it
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same, on Windows
    )


def write(stream: IO[bytes], value: object) -> int:
    """Write a value with its length before it; return the length."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()
    return len(data)


def read(stream: IO[bytes], most: int) -> object:
    """Return a value that `write` wrote. Raises EOFError at the end, InvalidInputError if it is too long."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        raise EOFError
    (length,) = HEADER.unpack(head)
    if length > most:
        raise InvalidInputError(f"its passages have more than {most / _MEGABYTE:,.0f} MB: split it")
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)
