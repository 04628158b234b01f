"""`rankrag eval study`: the paper's figures and ablations, from a recipe, at a size that it chooses.

A study is a row of systems that differ in one thing. Each is trained first where that is the thing, then
predicts and is scored; what is done is not done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from . import answer_view, console, progress
from .evaluate import Asking, DataRoot, predict_all
from .evaluate_scores import answer_folders, pairs_of, results_of, score_folder
from .options import Output, SettingList
from .systems import Plan, short_hash

if TYPE_CHECKING:
    from ..eval.score import Scores
    from .study_recipe import Study, Training


def study(
    recipe: Annotated[str, typer.Argument(help="A name (see docs/evaluation.md) or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study.")],
    data_root: DataRoot = None,
    settings: SettingList = None,
    output: Output = "text",
) -> None:
    """Run a study: train what has to be trained, ask, score, and write a report with curves."""
    from .study_recipe import read_study

    chosen = read_study(recipe, settings or ())
    scores: list[Scores] = []
    for name, setup in chosen.setups().items():
        console.err().print(Text(f"{name}:", "bold"))
        model = _checkpoint(name, setup.train, out) if setup.train else setup.model
        plan = Plan(
            name=name,
            index=Path(setup.index) if setup.index else None,
            runs=tuple(setup.run),
            corpus=(),
            retriever=setup.retriever,
            model=model,
            generator=None,
            retrieve_k=setup.retrieve_k,
            read_k=setup.read_k,
            ranking=setup.ranking,
            generating=setup.generating,
            cite=False,
            corpus_name=chosen.corpus_name,
            cache=out / "relevance.sqlite" if chosen.cache else None,
            variant=setup.variant,
        )
        predict_all(plan, Asking(chosen.benchmarks, data_root, out, chosen.n, chosen.seed))
        scores += [score_folder(folder, data_root) for folder in answer_folders([out / name])]
    _write(chosen, scores, out, output)


def _write(chosen: Study, scores: Sequence[Scores], out: Path, output: str) -> None:
    from ..eval.report import write_report
    from ..eval.summary import curves

    pairs = pairs_of(chosen.compare or None, scores)
    results = results_of(scores, pairs, chosen.title, ())
    if chosen.x is not None:
        places = {
            name: (setup.line, setup.x) for name, setup in chosen.setups().items() if setup.x is not None
        }
        results = replace(results, curves=curves(results.cells, places, chosen.x))
    written = write_report(out / "report", results)
    if output == "json":
        console.emit({"written": [str(path) for path in written]})
    else:
        console.say("\n".join(map(str, written)))


# ── training ─────────────────────────────────────────────────────────────────────────────────────────


def _checkpoint(name: str, training: Training, out: Path) -> str:
    """Return the folder of the checkpoint of a variant, trained now if it is not done."""
    from .. import train as room
    from ..data import subset

    # Variants that differ only in how they are asked share a checkpoint.
    contents = [short_hash(Path(path)) for path in (training.recipe, f"{training.blend}/examples.jsonl")]
    digest = hashlib.sha256(json.dumps([training.model_dump(), contents]).encode()).hexdigest()[:12]
    target = out / "checkpoints" / digest
    blend = target / "blend"
    if not (blend / "subset.json").exists():
        counts = subset(Path(training.blend), blend, training.without, training.ranking_pairs)
        total = sum(counts.values()) or 1
        parts = ", ".join(f"{task} {count:,} ({count / total:.0%})" for task, count in counts.items())
        console.err().print(Text(f"{name} is trained on {parts}", answer_view.QUIET))
    model: str | None = None
    for stage in training.stages:
        settings = [*training.settings, *([f"model={model}"] if model else [])]
        done = target / f"stage{stage}"
        job = room.Job(room.read_stage(training.recipe, stage, settings), stage, blend, done)
        if not (done / "training.json").exists():
            with progress.reporting() as report:
                room.train(job, report)
        model = str(done)
    return model or ""
