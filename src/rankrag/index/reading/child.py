"""The process that `apart` starts: it reads one file after the other, and says what it found."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO

from ...errors import MissingExtraError, RankRAGError
from .parser_process import Failed, ReadRequest, out_of_memory, read, write
from .passages import read_portions

_MOST_WISH = 2**24


def main() -> None:
    """Answer wishes from standard input on standard output until it closes, and end the process then."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a parser that prints must not spoil what is answered
    sys.setrecursionlimit(3000)
    wishes: queue.SimpleQueue[ReadRequest] = queue.SimpleQueue()
    threading.Thread(target=_take, args=[wishes], daemon=True).start()
    memory: int | None = None
    try:
        while True:
            wish = wishes.get()
            if memory is None:
                memory = wish.memory
                _bound_memory(memory)
            _bound_time(wish.processor_s)
            _answer(out, wish)
    finally:  # without Python's own end, which a thread that reads standard input turns into an abort
        os._exit(1)


def _take(wishes: queue.SimpleQueue[ReadRequest]) -> None:
    """Pass on what comes in; where it ends, whoever sent it has ended, and no file is read to its own end."""
    with contextlib.suppress(EOFError, OSError):
        while isinstance(wish := read(sys.stdin.buffer, _MOST_WISH), ReadRequest):
            wishes.put(wish)
    os._exit(0)


def _answer(out: IO[bytes], wish: ReadRequest) -> None:
    try:
        for portion in read_portions(wish.file, wish.settings, wish.after, wish.part):
            write(out, portion)
    except MissingExtraError as error:
        write(out, Failed(error.package, error.extra))
    except MemoryError:
        write(out, Failed(out_of_memory(wish.memory), is_last=True))
    except (RankRAGError, OSError) as error:
        write(out, Failed(str(error)))
    else:
        write(out, None)


def _bound_memory(memory: int) -> None:
    """Allow so many bytes more than the process has now, where the platform can."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_size_now() + memory,) * 2)


def _bound_time(seconds: int) -> None:
    """Allow so many more seconds of a processor: whoever waits may be gone before a parser that hangs."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = round(used.ru_utime + used.ru_stime) + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _size_now() -> int:
    """Return the bytes of address space that this process has."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):  # no Linux
        return 2**30
    return pages * os.sysconf("SC_PAGE_SIZE")
