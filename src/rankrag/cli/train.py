"""`rankrag train`: a blend becomes a checkpoint, one stage at a time."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from . import console, progress
from .options import STAGES, Output, RecipeFile, SettingList, StageName

if TYPE_CHECKING:
    from ..train import TrainingEstimate
    from ..train.stage_recipe import StageNumber

Stage = Annotated[
    StageName, typer.Option("--stage", help="1: instructions; 2: ranking and answering.", show_default=False)
]
Blend = Annotated[
    Path | None, typer.Option("--blend", metavar="DIR", help="Folder that `rankrag data build` wrote.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder of the checkpoint.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and leave.")]
Devices = Annotated[int, typer.Option(min=1, metavar="N", help="GPUs that --dry-run counts with.")]
DeviceKind = Annotated[Literal["a100", "h100", "h200"], typer.Option(help="Their kind; an A100 unless told.")]


def train(
    recipe: RecipeFile,
    stage: Stage,
    blend: Blend = None,
    out: Out = None,
    settings: SettingList = None,
    dry_run: DryRun = False,
    devices: Devices = 1,
    device: DeviceKind = "a100",
    output: Output = "text",
) -> None:
    """Train one stage of a recipe on its blend.

    A run that was cut short goes on from its last state. Stage 2 goes on from a checkpoint of stage 1 with
    --set model=CHECKPOINT. Several GPUs: accelerate launch -m rankrag train ...
    """
    from .. import train as room

    job = room.TrainingJob(
        room.read_stage(str(recipe), STAGES[stage], settings or ()),
        STAGES[stage],
        blend or Path(),
        out or Path(),
    )
    if dry_run:
        drawn = _drawn(recipe, job.number, settings or ())
        whole_rows = room.Load(drawn or 0, job.stage.max_length)
        load = room.measure(job.examples, job.stage, drawn) if blend else whole_rows
        cost = room.estimate(job.stage, load, devices, device)
        ways = [] if cost.fits else room.ways_to_fit(job.stage, job.number, devices, device)
        _show_estimate(cost, ways, output)
        return
    if blend is None or out is None:
        raise typer.BadParameter("wanted --blend BLEND to read and --out DIR to write: give both")
    first = os.environ.get("RANK", "0") == "0"  # of the processes of a launcher, one speaks
    with progress.reporting() if first else contextlib.nullcontext(lambda *_: None) as report:
        room.train(job, report)
    if first:
        _show_outcome(out, output)


# ── what it would take ───────────────────────────────────────────────────────────────────────────────


def _drawn(recipe: Path, number: StageNumber, settings: Sequence[str]) -> int | None:
    """Return how many examples a recipe draws for a stage, None where it has no blend."""
    from ..data import read_recipe
    from ..files import read_yaml

    if "blend" not in read_yaml(recipe):
        return None
    draws = read_recipe(str(recipe), settings).blend.draws
    return draws.stage1 if number == 1 else draws.stage2


def _show_estimate(cost: TrainingEstimate, ways: Sequence[str], output: str) -> None:
    if output == "json":
        console.emit({**asdict(cost), "fits": cost.fits, "ways_to_fit": ways})
        return
    console.table((Text(name, console.QUIET), value) for name, value in cost.rows())
    if not cost.fits:
        console.say("to make it fit:" if ways else "no number of devices that shares the batch makes it fit")
    for way in ways:
        console.say(f"  {way}")


# ── what it took ─────────────────────────────────────────────────────────────────────────────────────


def _show_outcome(out: Path, output: str) -> None:
    facts = json.loads((out / "training.json").read_text(encoding="utf-8"))
    if output == "json":
        console.emit({"checkpoint": str(out), **facts})
        return
    before, after = facts.get("before", {}), facts.get("after", {})
    rows = [(name.removeprefix("eval_"), f"{before[name]:.4f}", f"{after[name]:.4f}") for name in after]
    if rows:
        console.table(rows, right=[1, 2], heads=("held out", "before", "after"))
    dropped = sum(facts["rows"]["dropped"].values())
    console.say(
        f"{out}: {facts['step']:,} steps, {facts['tokens']:,} tokens in {facts['elapsed_s']:,.0f} s; "
        f"{facts['rows']['rows_cut']:,} rows cut, {dropped:,} dropped"
    )
