"""Record a first session: from `make demo` in an empty home to a question about ten files of one's own.

    python tools/first_session.py FILES --ask QUESTION --out docs/first-session.txt

It takes the last commit of this repository, gives it a home of its own and runs what a newcomer types, with
the network. FILES are the newcomer's own. The transcript holds every command, its output as it was, and the
seconds since the beginning.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Record what the command line asks for; return the exit code of the first command that failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="the newcomer's own")
    parser.add_argument("--ask", required=True, metavar="QUESTION")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        project = unpacked(Path(home) / "rankrag")
        own = project / "notes"
        own.mkdir()
        for file in chosen.files:
            (own / file.name).write_bytes(file.read_bytes())
        commands = ("make demo", "rankrag index notes", f"rankrag ask {chosen.ask!r}")
        lines = [*session(commands, project, Path(home))]
    chosen.out.write_text("\n".join(lines).replace(str(home), "~") + "\n", encoding="utf-8")
    return 0 if lines[-1].startswith("# done") else 1


def unpacked(folder: Path) -> Path:
    """Write the last commit into a folder; return it."""
    packed = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def session(commands: tuple[str, ...], project: Path, home: Path) -> Iterator[str]:
    """Yield each command with its output and when it began, until one fails."""
    path = f"{project / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LANG"))}
    place = {**kept, "HOME": str(home), "PATH": path}
    started = perf_counter()
    for command in commands:
        yield f"# {perf_counter() - started:.0f} s\n$ {command}"
        ended = subprocess.run(
            ["sh", "-c", command], cwd=project, env=place, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        yield ended.stdout
        sys.stderr.write(ended.stdout)
        if ended.returncode:
            yield f"# failed with exit code {ended.returncode}"
            return
    yield f"# done after {perf_counter() - started:.0f} s"


if __name__ == "__main__":
    raise SystemExit(main())
