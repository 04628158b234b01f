"""`rankrag serve` as a process of its own, with the model without weights."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from serving import PATIENCE_S, until


@dataclass
class Served:
    """A server in a process: where it is, and what it wrote to standard error."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def resident_bytes(self) -> int:
        """Memory that the process holds."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=PATIENCE_S).status_code == 200
        except httpx.TransportError:
            return False


@contextlib.contextmanager
def served(command: Sequence[str], log: Path, files: int | None = None) -> Iterator[Served]:
    """Run a command that serves and says where; `files` is the most that it may have open."""

    def limit() -> None:
        import resource

        assert files is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, preexec_fn=limit if files is not None else None)
    try:
        until(lambda: " at http://127.0.0.1:" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        found = Served(process, log.read_text().split(" at http://")[-1].split(",")[0], log)
        found.url = f"http://{found.url}"
        until(found.is_ready)
        yield found
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_S)


def serve(
    index: Path, log: Path, *options: str, files: int | None = None
) -> contextlib.AbstractContextManager[Served]:
    """Run `rankrag serve` over an index."""
    command = [sys.executable, "-m", "rankrag", "serve", "--index", str(index), "--model", "fake"]
    return served([*command, "--port", "0", *options], log, files)
