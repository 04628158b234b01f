"""`rankrag eval add`, `runs`, `score`, `report` and `cases`: from answers to numbers to a page. No model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .. import formats
from ..errors import InvalidInputError, amount
from . import console
from .options import DataRoot, Output, SystemName
from .systems import short_hash

if TYPE_CHECKING:
    from ..eval.load import Loaded
    from ..eval.results import Cell, Results

Folders = Annotated[
    list[Path], typer.Argument(help="Folders of answers, or folders above them.", metavar="DIR")
]


# ── add ──────────────────────────────────────────────────────────────────────────────────────────────


def add(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON lines with `id` and `text` (or `answer`, `output`).")
    ],
    benchmark: Annotated[
        str, typer.Option("--benchmark", metavar="NAME", help="Name of the benchmark, or its file.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the evaluation.")],
    name: SystemName,
    data_root: DataRoot = None,
    n: Annotated[
        int | None, typer.Option("-n", metavar="N", min=1, help="Questions of the sample. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Which sample.")] = 0,
) -> None:
    """Take in the answers of another system, to be scored."""
    from ..eval.answers import AnswerFile, Facts, read_others
    from ..eval.gold import sample
    from ..eval.load import load_benchmark
    from ..eval.results import System
    from ..types import Answer

    loaded = load_benchmark(benchmark, data_root)
    texts = read_others(str(file))
    items = sample(loaded.questions, n, seed)
    if not (given := [item for item in items if item.question.id in texts]):
        first = items[0].question.id if items else ""
        raise InvalidInputError(
            f"{file}: found no answer to a question of {benchmark}, wanted ids such as {first!r}"
        )
    system = System(name, "", "", 0, 0, None, name, facts={"answers": f"{file.name} {short_hash(file)}"})
    benchmark, data = loaded.benchmark.name, (Path(loaded.path).name, loaded.sha256, len(loaded.questions))
    facts = Facts(system, benchmark, *data, seed, len(items), path=str(Path(loaded.path).resolve()))
    with AnswerFile(out / name / benchmark, facts) as answers:
        for item in given:
            if item.question.id not in answers.done:
                answers.add(Answer(item.question, text=texts[item.question.id], done=True))
    console.say(
        f"{out / name / benchmark}: {amount(len(given), 'answer')} to {amount(len(items), 'question')}"
    )


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────


def runs(
    folders: Folders,
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="Folder of the runs: DIR/SYSTEM/BENCHMARK.run.")
    ],
) -> None:
    """Write the rankings of systems as TREC runs.

    They are for other tools, and to mine training examples from.
    """
    from ..eval.answers import read_answers
    from ..eval.folders import answer_folders

    for folder in answer_folders(folders):
        given = read_answers(folder)
        name, path = given.facts.system.name, to / given.facts.system.name / f"{given.facts.benchmark}.run"
        path.parent.mkdir(parents=True, exist_ok=True)
        rankings = (
            (question, answer.ranked or answer.retrieved) for question, answer in given.answers.items()
        )
        console.say(f"{path}: {amount(formats.write_run(str(path), rankings, name), 'line')}")


# ── score ────────────────────────────────────────────────────────────────────────────────────────────


def score(
    folders: Folders,
    data_root: DataRoot = None,
    n: Annotated[
        int | None,
        typer.Option("-n", metavar="N", min=1, help="Questions of the sample. Default: those of predict."),
    ] = None,
    skip: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Leave out the first N of the sample, as looked at before."),
    ] = 0,
    output: Output = "text",
) -> None:
    """Score the answers of systems; needs no model. A question without an answer counts zero."""
    from ..eval.folders import answer_folders, score_folder
    from ..eval.summary import cell

    data: dict[str, Loaded] = {}
    cells = [cell(score_folder(folder, data_root, n, data, skip)) for folder in answer_folders(folders)]
    _warn_of_zeros(cells)
    if output == "json":
        console.emit({"cells": [asdict(cell) for cell in cells]})
    else:
        _show(cells)


def _warn_of_zeros(cells: Iterable[Cell]) -> None:
    """Say where questions have no answer: a folder that is still being filled looks like a bad system."""
    for cell in cells:
        if cell.unanswered:
            console.warn(
                f"{cell.system} on {cell.benchmark}: {cell.unanswered:,} of {cell.questions:,} questions "
                "have no answer and count zero; the same `rankrag eval predict` asks those not asked yet"
            )


def _show(cells: Iterable[Cell]) -> None:
    heads = ("system", "benchmark", "questions", "measure", "x100", "95 % interval")
    rows: list[tuple[str | Text, ...]] = []
    for cell in cells:
        asked = f"{cell.questions:,}" + (f" ({cell.unanswered:,} without answer)" if cell.unanswered else "")
        for n, (name, value) in enumerate(cell.measures.items()):
            first = (Text(cell.system, "cyan"), cell.benchmark, asked) if n == 0 else ("", "", "")
            rows.append(
                (*first, name, f"{value.value * 100:.1f}", f"{value.low * 100:.1f} to {value.high * 100:.1f}")
            )
    console.table(rows, right=[2, 4], heads=heads)


# ── report ───────────────────────────────────────────────────────────────────────────────────────────


def report(
    folders: Folders,
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="Folder of the report: HTML, Markdown, JSON, plots.")
    ],
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare", metavar="A:B", help="Test system B against A. Default: each against the first."
        ),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the page.")] = "RankRAG evaluation",
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", metavar="TEXT", help="A sentence on what is not at hand; repeatable."),
    ] = None,
    browse: Annotated[bool, typer.Option(help="Put questions and answers into the page.")] = True,
    page: Annotated[bool, typer.Option(help="Draw the page and its plots, too.")] = True,
    output: Output = "text",
) -> None:
    """Write a report over scored systems.

    It is one self-contained page, Markdown, JSON and plots. The folder of an earlier report (its
    results.json) is drawn again as it was.
    """
    from ..eval.report import write_report

    results = _earlier(folders) or _results(folders, compare, title, missing or (), browse)
    written = write_report(to, results, page)
    names = [str(path) for path in written]
    console.give(output, {"written": names}, "\n".join(names))


def _earlier(folders: Sequence[Path]) -> Results | None:
    """Return the results of an earlier report, None where there are answers, or no such file."""
    from ..eval.answers import FACTS
    from ..eval.results import read_results

    kept = folders[0] / "results.json"
    alone = len(folders) == 1 and kept.is_file() and not any(folders[0].rglob(FACTS))
    return read_results(kept) if alone else None


def _results(
    folders: Sequence[Path], compare: Sequence[str] | None, title: str, missing: Sequence[str], browse: bool
) -> Results:
    from ..eval.folders import answer_folders, browsable, fresh_scores
    from ..eval.summary import pairs_of, results_of

    answered = answer_folders(folders)
    scores = [*map(fresh_scores, answered)]
    results = results_of(scores, pairs_of(compare, scores), title, missing)
    _warn_of_zeros(results.cells)
    return browsable(results, scores, answered) if browse else results


# ── cases ────────────────────────────────────────────────────────────────────────────────────────────


def cases(
    folders: Folders,
    compare: Annotated[
        list[str] | None,
        typer.Option("--compare", metavar="A:B", help="Two systems. Default: the second against the first."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What says who is right. Default: a benchmark's first measure."),
    ] = None,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Questions of each kind.")] = 3,
    output: Output = "text",
) -> None:
    """Show questions that only one of two systems has right.

    Shown are the first ones of the sample, with the passages that were read (+ where their first words hold
    an answer). Both systems must be scored.
    """
    from ..eval.cases import cases as find
    from ..eval.cases import told
    from ..eval.folders import answer_folders, browsable, fresh_scores
    from ..eval.results import titles
    from ..eval.summary import pairs_of, results_of

    answered = answer_folders(folders)
    scores = [*map(fresh_scores, answered)]
    if not (pairs := pairs_of(compare, scores)):
        raise InvalidInputError(
            f"{folders[0]}: found the answers of one system, wanted two to compare: "
            "ask another system too, with another --name"
        )
    a, b = pairs[0]
    results = browsable(results_of(scores, [], "", ()), scores, answered)
    found = find(results, a, b, measure)
    if output == "json":
        console.emit({"a": a, "b": b, "cases": [asdict(kind) for kind in found]})
        return
    for kind in found:
        for right, wrong, rows in ((b, a, kind.won), (a, b, kind.lost)):
            console.say(
                f"## {titles(results)[kind.benchmark]}: {right} right, {wrong} not ({kind.measure}): "
                f"{len(rows):,} of {amount(kind.asked, 'question')}\n"
            )
            console.say("\n".join(line for row in rows[:n] for line in told(row, (a, b), titles(results))))
