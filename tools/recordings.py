"""Draw the moving pictures of the documentation: docs/session.svg (a terminal) and docs/ranking.svg.

    python tools/recordings.py [--model rankrag-135m] [--to docs]

Indexes the Python language reference of this interpreter and asks it one question, as `make demo` does; both
pictures show what came out. Waiting is shortened. They move by CSS, so they are small and need no script.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from demo import write_reference

QUESTION = "What does the with statement do?"
RETRIEVED, READ = 10, 5
COLUMNS = 92

APPEAR = """
text[clip-path*="-line-"] { opacity: 0; animation: appear .1s forwards }
@keyframes appear { to { opacity: 1 } }
@media (prefers-reduced-motion: reduce) { text[clip-path*="-line-"] { animation: none; opacity: 1 } }
"""
LINE_S, THINK_S = 0.08, 1.2
"""How long a line takes to appear, and what stands for the seconds that a command took."""

ROW, TOP = 34, 58
STYLE = """
text { font: 15px system-ui, sans-serif; fill: #1f2330 }
.quiet { fill: #6b7080; font-size: 13px }
.card { fill: #f0f0eb }
.bar { fill: #9fc4be; transform-box: fill-box; animation: grow 8s ease-out infinite }
.read .bar { fill: #0b6a5f }
.read text { font-weight: 600 }
@keyframes grow { 0%, 10% { transform: scaleX(0) } 28%, 100% { transform: scaleX(1) } }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e8f0 }
  .quiet { fill: #a0a5b5 }
  .card { fill: #2a2d39 }
  .bar { fill: #3d6b64 }
  .read .bar { fill: #5fcab9 }
}
@media (prefers-reduced-motion: reduce) {
  * { animation-delay: -6s !important; animation-play-state: paused !important }
}
"""
MOVE = """
@keyframes m{n} {{
  0%, 30% {{ transform: translateY({start}px) }}
  50%, 100% {{ transform: translateY({end}px) }}
}}
.r{n} {{ animation: m{n} 8s ease-in-out infinite }}
"""
HIT = """<g class="r{n}{read}">
<rect class="card" x="8" width="704" height="29" rx="6"/><text x="20" y="20">{title}</text>
<rect class="bar" x="480" y="9" width="{width:.0f}" height="11" rx="3"/>
<text class="quiet" x="664" y="20">{score:.2f}</text></g>
"""
PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img">
<style>{style}</style>
<text x="12" y="22">{question}</text>
<text class="quiet" x="12" y="44">{count} passages as retrieved, then ranked; the first {read} are read</text>
<text class="quiet" x="480" y="44">relevance</text>
{hits}</svg>
"""


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "docs")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_reference(folder / "python-reference")
        index = ["index", "python-reference", "--encoder", "none"]
        ask = ["ask", QUESTION, "--retrieve-k", str(RETRIEVED)]
        model = ["--model", chosen.model]
        shown = [(command, run([*command, *extra], folder)) for command, extra in ((index, []), (ask, model))]
        answer = json.loads(run([*ask, *model, "--output", "json"], folder))
    (chosen.to / "session.svg").write_text(session(shown), encoding="utf-8")
    (chosen.to / "ranking.svg").write_text(ranking(answer), encoding="utf-8")


def run(arguments: Sequence[str], folder: Path) -> str:
    """Run `rankrag` as in a terminal with colours; return what it says on standard output."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "-m", "rankrag", *arguments]
    done = subprocess.run(
        command, check=True, cwd=folder, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return done.stdout


# ── a terminal ───────────────────────────────────────────────────────────────────────────────────────


def session(shown: Sequence[tuple[Sequence[str], str]]) -> str:
    """Return commands and what they printed as a picture of a terminal whose lines appear in turn."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    starts, n_lines = [], 0
    for command, output in shown:
        starts.append(n_lines)
        words = " ".join(f'"{word}"' if " " in word else word for word in command)
        printed = Text.from_ansi(last_screen(output))
        text = Text.assemble(("$ ", "green"), (f"rankrag {words}", "bold"), "\n", printed, "\n")
        n_lines += len(text.wrap(console, COLUMNS))
        console.print(text)
    picture = console.export_svg(title="rankrag", theme=DIMMED_MONOKAI)
    # Without these rules nothing is fetched from a server of fonts.
    return appearing(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), starts)


def last_screen(output: str) -> str:
    """Return what is left on a terminal of an output that wrote over itself, less the seconds it took."""
    lines = output.rsplit("\x1b[2K", 1)[-1].rstrip("\n").split("\n")
    return "\n".join(line for line in lines if "retrieve " not in line)


def appearing(picture: str, starts: Sequence[int]) -> str:
    """Return rich's picture with lines that appear one after the other, and later behind a command."""
    rules, now = [], 0.0
    for line in map(int, dict.fromkeys(re.findall(r'-line-(\d+)\)"', picture))):
        now += THINK_S if line in starts or line - 1 in starts else LINE_S
        rules.append(f'[clip-path$="-line-{line})"]{{animation-delay:{now:.2f}s}}')
    return picture.replace("</style>", f"{APPEAR}{''.join(rules)}</style>", 1)


# ── a ranking ────────────────────────────────────────────────────────────────────────────────────────


def ranking(answer: Mapping[str, Any]) -> str:
    """Return the hits of an answer (`ask --output json`) as they move from retrieved to ranked order."""
    place = {hit["id"]: n for n, hit in enumerate(answer["ranked"])}
    score = {hit["id"]: hit["score"] for hit in answer["ranked"]}
    best = max(score.values())
    rules, rows = [STYLE], []
    for n, hit in enumerate(answer["retrieved"]):
        rank, relevance = place[hit["id"]], score[hit["id"]]
        rules.append(MOVE.format(n=n, start=TOP + n * ROW, end=TOP + rank * ROW))
        read = " read" if rank < READ else ""
        title, width = html.escape(short(hit)), 170 * relevance / best
        rows.append(HIT.format(n=n, read=read, title=title, width=width, score=relevance))
    return PICTURE.format(
        height=TOP + len(rows) * ROW + 8,
        style="".join(rules),
        question=html.escape(answer["question"]),
        count=len(rows),
        read=READ,
        hits="".join(rows),
    )


def short(hit: Mapping[str, str]) -> str:
    """Return the title of a hit, cut to what fits a row."""
    title = hit["title"] or hit["id"]
    return title if len(title) <= 44 else f"{title[:43]}…"


if __name__ == "__main__":
    main()
