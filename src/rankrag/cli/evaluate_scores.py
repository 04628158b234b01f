"""`rankrag eval add`, `runs`, `score` and `report`: from answers to numbers to a page. No model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .. import formats
from ..errors import InvalidInputError, NotFoundError
from . import answer_view, console
from .evaluate import DataRoot
from .options import Output
from .systems import short_hash

if TYPE_CHECKING:
    from ..eval.answers import Facts
    from ..eval.gold import GoldQuestion
    from ..eval.load import Loaded
    from ..eval.results import Cell, Results, System, Value
    from ..eval.score import Scores

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
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the system in every table.")],
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
    console.say(f"{out / name / benchmark}: {len(given):,} answers to {len(items):,} questions")


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

    for folder in answer_folders(folders):
        given = read_answers(folder)
        name, path = given.facts.system.name, to / given.facts.system.name / f"{given.facts.benchmark}.run"
        path.parent.mkdir(parents=True, exist_ok=True)
        rankings = ((question, one.ranked or one.retrieved) for question, one in given.answers.items())
        console.say(f"{path}: {formats.write_run(str(path), rankings, name):,} lines")


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
    from ..eval.summary import cell

    data: dict[str, Loaded] = {}
    cells = [cell(score_folder(folder, data_root, n, data, skip)) for folder in answer_folders(folders)]
    _warn_of_zeros(cells)
    if output == "json":
        from dataclasses import asdict

        console.emit({"cells": [asdict(one) for one in cells]})
    else:
        _show(cells)


def _warn_of_zeros(cells: Iterable[Cell]) -> None:
    """Say where questions have no answer: a folder that is still being filled looks like a bad system."""
    for one in cells:
        if one.unanswered:
            console.warn(
                f"{one.system} on {one.benchmark}: {one.unanswered:,} of {one.questions:,} questions have no "
                "answer and count zero; the same `rankrag eval predict` asks those that were not asked yet"
            )


def answer_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of answers at or below these, in order; raises NotFoundError if there are none."""
    from ..eval.answers import FACTS

    found = [path.parent for folder in folders for path in sorted(folder.rglob(FACTS))]
    if not found:
        raise NotFoundError(
            f"found no answers below {', '.join(map(str, folders))}: make some with `rankrag eval predict`"
        )
    return list(dict.fromkeys(found))


def score_folder(
    folder: Path,
    data_root: Path | None,
    n: int | None = None,
    data: dict[str, Loaded] | None = None,
    skip: int = 0,
) -> Scores:
    """Score a folder of answers on its sample (or its first `n`) and write the scores there.

    `data` keeps the benchmarks that were read, for the next folder; the first `skip` questions are left out.
    Raises InvalidInputError where none is left.
    """
    from ..eval.answers import ANSWERS, read_answers
    from ..eval.gold import sample
    from ..eval.results import BenchmarkFacts
    from ..eval.score import Scores, score, write_scores

    given = read_answers(folder)
    facts = given.facts
    loaded = _same_data(folder, facts, data_root, {} if data is None else data)
    one = loaded.benchmark
    items = sample(loaded.questions, facts.n if n is None else n, facts.seed, facts.skip)
    made_of = _made_of(facts, loaded, items, skip)
    if not (items := items[skip:]):
        raise InvalidInputError(
            f"{folder}: found no question after the first {skip}, wanted a smaller --skip"
        )
    if facts.gold_found == 0:
        # By gold every measure would be zero, and look as if the retriever were to blame.
        items = [replace(item, gold=replace(item.gold, passages=frozenset(), grades={})) for item in items]
    scores = Scores(
        system=replace(facts.system, facts={**facts.system.facts, **facts.versions, "device": facts.device}),
        benchmark=BenchmarkFacts(one.name, one.title, one.family, one.measures, one.note),
        data_sha256=loaded.sha256,
        of=len(loaded.questions),
        rows=score(items, given.answers, one, facts.system, from_runs=bool(facts.runs)),
        answers_sha256=short_hash(folder / ANSWERS),
        made_of=made_of,
    )
    write_scores(folder, scores)
    return scores


def _made_of(facts: Facts, loaded: Loaded, items: Sequence[GoldQuestion], skip: int) -> dict[str, str]:
    """Return what a report says of one system's answers to one benchmark alone, the first `skip` left out."""
    found = {"file": facts.file}
    if before := facts.skip + skip:
        last = facts.skip + len(items)
        found["questions"] = f"{before + 1} to {last} of the order of seed {facts.seed}"
    if loaded.dropped:
        found["left out of it"] = "; ".join(f"{count:,} {why}" for why, count in loaded.dropped.items())
    found |= {f"run {name}": digest for name, digest in facts.runs.items()}
    if facts.index:
        found["index"] = facts.index
    gold = {name for item in items for name in item.gold.passages}
    if facts.gold_found is not None and gold:
        found["gold passages held"] = f"{facts.gold_found:,} of {len(gold):,}"
    return found


def _same_data(folder: Path, facts: Facts, data_root: Path | None, known: dict[str, Loaded]) -> Loaded:
    """Return the benchmark that a folder answers, remembered in `known`; raises for other data."""
    if facts.benchmark not in known:
        known[facts.benchmark] = _data(facts, data_root)
    loaded = known[facts.benchmark]
    if facts.sha256 != loaded.sha256:
        raise InvalidInputError(
            f"{folder}: found answers to {facts.file} ({facts.sha256[:12]}), wanted the same data as "
            f"{loaded.path} ({loaded.sha256[:12]}): give the folder with that file as --data-root"
        )
    return loaded


def _data(facts: Facts, data_root: Path | None) -> Loaded:
    """Return the benchmark of a folder of answers: below the data root, or where it lay when it was asked."""
    from ..eval.benchmarks import BENCHMARKS
    from ..eval.load import load_benchmark

    path = Path(facts.path)
    own = facts.benchmark not in BENCHMARKS  # a user's own file, whose name alone does not say where it lies
    if (data_root is not None and not own) or not (facts.path and path.exists()):
        return load_benchmark(facts.benchmark, data_root)
    if facts.benchmark in BENCHMARKS:
        return load_benchmark(facts.benchmark, path=path)
    return load_benchmark(facts.path)


def _show(cells: Iterable[Cell]) -> None:
    heads = ("system", "benchmark", "questions", "measure", "x100", "95 % interval")
    rows: list[tuple[str | Text, ...]] = [tuple(Text(head, answer_view.QUIET) for head in heads)]
    for one in cells:
        asked = f"{one.questions:,}" + (f" ({one.unanswered:,} without answer)" if one.unanswered else "")
        for place, (name, value) in enumerate(one.measures.items()):
            first = (Text(one.system, "cyan"), one.benchmark, asked) if place == 0 else ("", "", "")
            rows.append((*first, name, f"{value.value * 100:.1f}", _interval(value)))
    console.table(rows, right=[2, 4])


def _interval(value: Value) -> str:
    return f"{value.low * 100:.1f} to {value.high * 100:.1f}"


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
    if output == "json":
        console.emit({"written": [str(path) for path in written]})
    else:
        console.say("\n".join(map(str, written)))


def _earlier(folders: Sequence[Path]) -> Results | None:
    """Return the results of an earlier report, None where there are answers, or no such file."""
    from ..eval.answers import FACTS
    from ..eval.results import read_results

    place = folders[0] / "results.json"
    alone = len(folders) == 1 and place.is_file() and not any(folders[0].rglob(FACTS))
    return read_results(place) if alone else None


def _results(
    folders: Sequence[Path], compare: Sequence[str] | None, title: str, missing: Sequence[str], browse: bool
) -> Results:
    from ..eval.answers import read_answers
    from ..eval.summary import question_rows

    places = answer_folders(folders)
    scores = [_fresh(place) for place in places]
    results = results_of(scores, pairs_of(compare, scores), title, missing)
    _warn_of_zeros(results.cells)
    if browse:
        answers = {
            (one.system.name, one.benchmark.name): read_answers(place)
            for one, place in zip(scores, places, strict=True)
        }
        results = replace(results, questions=question_rows(scores, answers))
    return results


def _fresh(folder: Path) -> Scores:
    """Return the scores of a folder; raises InvalidInputError if there are other answers by now."""
    from ..eval.answers import ANSWERS
    from ..eval.score import read_scores

    scores = read_scores(folder)
    if scores.answers_sha256 != short_hash(folder / ANSWERS):
        raise InvalidInputError(
            f"{folder}: found other answers than those that were scored: run `rankrag eval score {folder}`"
        )
    return scores


def _check_names(scores: Sequence[Scores]) -> None:
    """Raise InvalidInputError where one name stands for two systems, or a system was scored twice."""
    known: dict[str, System] = {}
    seen: set[tuple[str, str]] = set()
    for one in scores:
        system, place = one.system, (one.system.name, one.benchmark.name)
        if place in seen:
            raise InvalidInputError(f"found {place[0]!r} on {place[1]} twice, wanted it once")
        seen.add(place)
        # What is searched may differ between benchmarks, with what says so; the rest is the system.
        same = replace(system, retriever="", corpus="", facts=_own_facts(system))
        if known.setdefault(system.name, same) != same:
            raise InvalidInputError(
                f"found two systems called {system.name!r} (one of them on {place[1]}), wanted a name for "
                "each: predict again with another --name"
            )


def _own_facts(system: System) -> dict[str, str]:
    names = (
        *("template_hash", "model_sha256", "ranker_sha256", "generator_sha256", "calibration", "variant"),
        *("precision", "budget", "generator_template_hash"),
    )
    return {name: system.facts[name] for name in names if name in system.facts}


def results_of(
    scores: Sequence[Scores], pairs: Sequence[tuple[str, str]], title: str, missing: Sequence[str]
) -> Results:
    """Return the results of systems, with comparisons of each pair (a, b)."""
    from ..eval.benchmarks import BENCHMARKS
    from ..eval.results import Results
    from ..eval.summary import calibrations, cell, comparisons

    _check_names(scores)

    # In the order of the paper's tables; what the paper does not have follows.
    order = {name: place for place, name in enumerate(BENCHMARKS)}
    scores = sorted(scores, key=lambda one: order.get(one.benchmark.name, len(order)))

    cells = tuple(cell(one) for one in scores)
    judged = (calibrations(one, measured) for one, measured in zip(scores, cells, strict=True))
    return Results(
        title=title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["rankrag", *sys.argv[1:]]),
        systems=_systems(scores),
        benchmarks=tuple({one.benchmark.name: one.benchmark for one in scores}.values()),
        cells=cells,
        comparisons=comparisons(scores, pairs),
        reliability=tuple(bins for bins in judged if bins),
        missing=tuple(missing),
    )


def _systems(scores: Sequence[Scores]) -> tuple[System, ...]:
    """Return the systems; facts that differ between the benchmarks of one stand beside each other."""
    from ..eval.results import joined

    found: dict[str, System] = {}
    for one in scores:
        before = found.get(one.system.name, one.system)
        found[one.system.name] = replace(before, facts=joined(before.facts, one.system.facts))
    return tuple(found.values())


def pairs_of(compare: Sequence[str] | None, scores: Sequence[Scores]) -> list[tuple[str, str]]:
    """Return the pairs of systems to compare; by default each against the first."""
    names = list(dict.fromkeys(one.system.name for one in scores))
    if compare is None:
        return [(names[0], name) for name in names[1:]]
    found = []
    for pair in compare:
        a, sign, b = pair.partition(":")
        if not sign or not {a, b} <= set(names):
            raise InvalidInputError(f"found --compare {pair!r}, wanted A:B with systems {', '.join(names)}")
        found.append((a, b))
    return found
