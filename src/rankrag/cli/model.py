"""`rankrag model`: fetch models, the only verb that uses the network, and look after them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ..errors import FailureError
from . import completion, console, progress
from .options import Output, arguments

if TYPE_CHECKING:
    from ..model.store.pull import ModelRow, PullCost

app = typer.Typer(help="Fetch models and look after them.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=completion.model_names,
        help="A name from `rankrag model list`, or a hub id.",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        autocompletion=completion.model_names,
        help="Names from `rankrag model list`, or hub ids. Default: the defaults.",
    ),
]

TITLES = {"language_model": "Language models", "encoder": "Encoders"}


@app.command("pull")
def pull(names: Names = None, output: Output = "text") -> None:
    """Fetch models: those named, or the defaults.

    The defaults are a language model and an encoder. A model that is there already is left alone. An
    interrupted pull leaves nothing half-done. Before anything is fetched a line says how much that will be.
    """
    from ..model.store import pull as room

    folders = {}
    for name in _known(names):
        if plan := room.plan(name):
            console.note("pull", f"{name} {_cost(plan)}", "cyan")
        with progress.reporting() as report:
            folders[name] = str(room.pull(name, report))
        if output == "text":
            console.say(f"{name} is in {folders[name]}")
    if output == "json":
        console.emit({"models": [{"name": name, "path": path} for name, path in folders.items()]})


def _cost(plan: PullCost) -> str:
    sizes = (f"{n / 1e6:,.0f} MB" for n in (plan.n_download, plan.n_disk, plan.n_memory))
    return "is {} to download, {} on disk, {} of memory in float32".format(*sizes)


@app.command("list")
def list_models(output: Output = "text") -> None:
    """List the models that have a name, and which of them are here."""
    from ..model.store.pull import list_models as rows

    models = rows()
    if output == "json":
        console.emit({"models": [asdict(row) for row in models]})
        return
    for kind, title in TITLES.items():
        console.out().print(Text(title, "bold"))
        console.table((_row(row) for row in models if row.kind == kind), right=[1])


def _row(row: ModelRow) -> tuple[str | Text, ...]:
    here = Text(f"{row.n_bytes / 1e6:,.0f} MB", "green") if row.present else Text("–", console.QUIET)
    note = Text(f"{row.note}{' (default)' if row.default else ''}")
    return Text(row.name, "cyan"), here, note.append(f" · {row.licence}", console.QUIET)


@app.command("path")
def path(name: Name, output: Output = "text") -> None:
    """Print the folder of a model on this machine."""
    from ..model.store import registry

    folder = registry.locate(_known([name])[0])
    console.give(output, {"name": name, "path": str(folder)}, str(folder))


@app.command("verify")
def verify(names: Names = None, output: Output = "text") -> None:
    """Hash the files of models and compare with what was pulled.

    The exit code is 6 if one changed.
    """
    from ..model.store import pull as room
    from ..model.store import registry

    problems: dict[str, list[str]] = {}
    for name in _known(names):
        with progress.reporting() as report:
            problems[name] = [*room.verify(name, report)]
        if output == "text":
            console.say("\n".join(f"{name}: {line}" for line in problems[name] or ["ok"]))
    if output == "json":
        console.emit({"models": [{"name": name, "problems": lines} for name, lines in problems.items()]})
    if damaged := [name for name, lines in problems.items() if lines]:
        own = registry.shipped(damaged[0])
        pulled = own.base if own else damaged[0]
        raise FailureError(
            f"found changed files in {', '.join(damaged)}, wanted them as they were pulled: "
            f"run `rankrag model remove {pulled}`, then `rankrag model pull {pulled}`"
        )


@app.command("remove")
def remove(name: Name, output: Output = "text") -> None:
    """Delete a pulled model from this machine."""
    from ..model.store.pull import remove as delete

    there = delete(_known([name])[0])
    words = f"{name} was {'removed' if there else 'not here'}"
    console.give(output, {"name": name, "removed": there}, words)


@app.command("export")
def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Folder that `rankrag train` filled.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write, new.")],
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="Number format of the weights.")
    ] = "float32",
    output: Output = "text",
) -> None:
    """Write a checkpoint as a folder that other tools load.

    They are transformers, sentence-transformers and vLLM.
    """
    from ..train import export as write

    with console.working("merging the weights"):
        folder = write(checkpoint, out, precision)
    record = {"checkpoint": str(checkpoint), "path": str(folder)}
    console.give(output, record, f"{checkpoint} is in {folder}")


def _known(names: list[str] | None) -> list[str]:
    """Return the names, or the defaults where none is given; an unknown name is a fault of the arguments."""
    from ..model.store import named_models, registry

    with arguments():
        for name in names or ():
            registry.resolve(name)
    return names or [*named_models.DEFAULTS.values()]
