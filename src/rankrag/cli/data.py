"""`rankrag data`: datasets become a blend to train on."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.text import Text

from .. import formats
from ..errors import FailureError, amount
from ..prompts import TEMPLATES
from ..system import retrieval
from ..types import Example, Prompt, Task
from . import console, progress
from .options import STAGES, Output, RecipeFile, SettingList, StageName
from .prompt import draw, parts
from .questions import questions
from .search import rankings

if TYPE_CHECKING:
    from ..data import Manifest, Need, Search

MISSING_FILE = 4
"""The exit code of a missing file, as `app.EXIT_CODES` has it."""

app = typer.Typer(help="Build the blend that a model is trained on, and look at it.", no_args_is_help=True)

app.command("questions")(questions)


@app.command("build")
def build(
    recipe: RecipeFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder of the blend.", show_default=False),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the recipe's files. Default: that of the recipe."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only list what the recipe needs, what is missing, how to get it.")
    ] = False,
    settings: SettingList = None,
    output: Output = "text",
) -> None:
    """Build the blend of a recipe.

    It is examples, held-out examples, and a manifest of what went in.

    What the recipe mines is searched for first; a search that is done is not done again. The same recipe on
    the same data writes the same bytes.
    """
    from .. import data
    from ..eval.load import official_questions

    chosen = data.read_recipe(str(recipe), settings or ())
    if check:
        _show_needs(data.needs(chosen, data_root, out), output)
        return
    if out is None:
        raise typer.BadParameter("wanted --out BLEND to write, or --check to see what is missing")
    for search in data.searches(chosen, data_root, out):
        if not search.done:
            _carry_out(search)
    made = data.build(chosen, data_root, out, _tell, official_questions)
    if output == "json":
        console.emit({"blend": str(out), **made})
    else:
        _show_manifest(out, made)
    if commits := data.unpinned(chosen, made):
        pins = ", ".join(f"{name}: {commit}" for name, commit in commits.items())
        console.warn(f"to read the same from the hub again, add to blend.revisions of the recipe: {pins}")


def _show_needs(needs: list[Need], output: str) -> None:
    """Show every file and split of a recipe; leave with the code of a missing file where one is missing."""
    missing = [need for need in needs if need.state == "missing"]
    if output == "json":
        console.emit({"ok": not missing, "needs": [asdict(need) for need in needs]})
    else:
        console.table(map(_need_row, needs), heads=("state", "path", "for", "found", "get it"))
        console.say(f"{len(needs) - len(missing)} of {len(needs)} can be had, {len(missing)} missing")
    if missing:
        raise typer.Exit(MISSING_FILE)


def _need_row(need: Need) -> tuple[str | Text, ...]:
    state = Text(need.state, "red" if need.state == "missing" else "green")
    return state, need.path, ", ".join(need.wanted_by), need.found, need.get


def _tell(what: str, count: int) -> None:
    console.err().print(Text(f"{what}: {count:,}", console.QUIET))


# ── the searches of a recipe ─────────────────────────────────────────────────────────────────────────


def _carry_out(search: Search) -> None:
    """Index the corpora of a search, whole passages, and write its run."""
    from ..index import Settings, build
    from ..model.store import named_models

    folder = Path(search.run).with_suffix(".index")
    console.err().print(Text(f"searching {', '.join(search.corpus)} for the run {search.run}", console.QUIET))
    with progress.reporting() as report:
        # A source whose items carry no passages leaves an empty file, which is no corpus.
        corpora = [path for path in search.corpus if Path(path).stat().st_size]
        encoder = retrieval.open_encoder(named_models.DEFAULTS["encoder"]) if search.vectors else None
        done = build(corpora, folder, Settings(words=0, encoder=encoder, strict=True), report)
    if done.failed:
        path, reason = done.failed[0]
        raise FailureError(f"{path}: cannot be searched: {reason}: mend it and run the same command again")
    searched = retrieval.open_retrieval(folder, search.retriever)
    found = rankings(searched, search.questions, search.k)
    formats.write_run(
        search.run, ((question.id, hits) for question, hits in found), tag=f"rankrag-{searched.kind}"
    )


# ── what came of it ──────────────────────────────────────────────────────────────────────────────────


def _show_manifest(out: Path, made: Manifest) -> None:
    for stage in ("stage1", "stage2"):
        rows = {name: drawn[stage] for name, drawn in made["ingredients"].items() if stage in drawn}
        if rows:
            console.out().print(Text(f"{stage[:-1]} {stage[-1]}", "bold"))
            cells = (_row(name, cast("dict[str, float]", row)) for name, row in rows.items())
            heads = ("ingredient", "share", *(name.replace("_", " ") for name in COLUMNS))
            console.table(cells, right=[1, 2, 3, 4], heads=heads)
    drops = sum(
        sum(cast("dict[str, int]", drawn["drops"]).values()) for drawn in made["ingredients"].values()
    )
    console.say(f"{out}: {amount(drops, 'item')} dropped, each with its reason in manifest.json")


COLUMNS = ("drawn", "distinct", "held_out")
"""Counts of an ingredient in a stage, as its manifest names them."""


def _row(name: str, drawn: dict[str, float]) -> tuple[str | Text, ...]:
    return Text(name, "cyan"), f"{drawn['share']:.1%}", *(f"{drawn[column]:,}" for column in COLUMNS)


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────


@app.command("show")
def show(
    blend: Annotated[Path, typer.Argument(help="Folder of a built blend.", metavar="BLEND")],
    stage: Annotated[StageName, typer.Option(help="Whose examples.")] = "2",
    task: Annotated[Task | None, typer.Option(help="Only examples of this task.")] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Only examples of this source.")] = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"One of {', '.join(TEMPLATES)}. Default: the blend's own."),
    ] = None,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many examples.")] = 3,
    output: Output = "text",
) -> None:
    """Show examples of a blend with their loss mask.

    Only the target is learnt.
    """
    from .. import data

    examples = [*islice(data.shown(blend, template, STAGES[stage], task, source), n)]
    if output == "json":
        console.emit({"examples": [_record(*example) for example in examples]})
        return
    for example, prompt in examples:
        console.out().print(Text(f"{example.id} · {example.task}", "bold"))
        draw(prompt)
        console.say("")
    if not examples:
        console.warn(f"found no such example in {blend}: ask for another task, source or stage")


def _record(example: Example, prompt: Prompt) -> dict[str, object]:
    return {"id": example.id, "source": example.source, "task": example.task, **parts(prompt)}
