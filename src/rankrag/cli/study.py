"""`rankrag eval study`: the paper's figures and ablations, from a recipe, at a size that it chooses.

A study is a row of systems that differ in one thing. Each is trained first where that is the thing, then
predicts and is scored; what is done is not done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..errors import InvalidInputError, NotFoundError
from ..files import read_records
from ..system import SystemSpec, models
from . import completion, console, progress
from .asking import Asking, predict_all
from .options import DataRoot, Output, SettingList
from .systems import NamedSystem

if TYPE_CHECKING:
    from ..eval.load import Loaded
    from ..eval.results import Results
    from ..eval.score import Scores
    from ..train import Stage
    from ..train.stage_recipe import StageNumber
    from .study_recipe import Claim, Setup, Study, Training

MS_MARCO_PAIRS = 503_000
"""What rankers are usually trained on; the paper calls 5,000 pairs 1 % of it."""

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        autocompletion=completion.studies,
        help="A name (see docs/evaluation.md) or a YAML file.",
    ),
]


def study(
    recipe: Recipe,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the study.")],
    data_root: DataRoot = None,
    settings: SettingList = None,
    output: Output = "text",
) -> None:
    """Run a study: train, ask, score, and write a report with curves.

    What is done already is not done again.
    """
    from ..eval.folders import answer_folders
    from ..eval.report import write_report
    from .study_recipe import read_study

    chosen = read_study(recipe, settings or ())
    setups, folders = counted(chosen.setups()), list[Path]()
    asking = Asking(chosen.benchmarks, data_root, out, chosen.n, chosen.seed, skip=chosen.skip)
    for setup in setups.values():
        models.check_loading(setup.model, models.Loading(setup.precision))
    shares = ranking_shares(setups)
    for name, setup in setups.items():
        console.err().print(Text.assemble((f"{name}:", "bold"), f" {shares[name]}" if name in shares else ""))
        model = _checkpoint(setup.train, out) if setup.train else setup.model
        told = setup.model_copy(update={"variant": setup.variant or shares.get(name, "")})
        predict_all(system_of(chosen, name, told, model, out), asking)
        folders += answer_folders([out / name])
    results = _results(chosen, folders, data_root)
    written = write_report(out / "report", results)
    names = [str(path) for path in written]
    record = {"written": names, "claim": results.claim}
    console.give(output, record, "\n".join([*results.claim, *names]))


def system_of(chosen: Study, name: str, setup: Setup, model: str, out: Path) -> NamedSystem:
    """Return a system of a study as an evaluation asks it; `model` may have been trained for it."""
    spec = SystemSpec(
        index=Path(setup.index) if setup.index else None,
        retriever=setup.retriever,
        model=model,
        ranker=setup.ranker if setup.ranking else None,
        ranking=setup.ranking,
        generating=setup.generating,
        citing=False,
        retrieve_k=setup.retrieve_k,
        read_k=setup.read_k,
        reading=setup.reading,
        query_likelihood=setup.query_likelihood,
        loading=models.Loading(setup.precision),
    )
    cache = out / "relevance.sqlite" if chosen.cache else None
    runs, corpus = tuple(setup.run), tuple(setup.corpus)
    return NamedSystem(name, spec, runs, corpus, chosen.corpus_name, setup.variant, cache)


def _results(chosen: Study, folders: Sequence[Path], data_root: Path | None) -> Results:
    """Return what a study found, with its curves and, to browse, its questions."""
    from ..eval.folders import browsable, score_folder
    from ..eval.summary import curves, pairs_of, results_of

    data: dict[str, Loaded] = {}
    scores = [score_folder(folder, data_root, data=data) for folder in folders]
    results = results_of(scores, pairs_of(chosen.compare or None, scores), chosen.title, chosen.missing)
    if chosen.claim is not None:
        results = replace(results, claim=_claimed(chosen.claim, results, scores))
    if chosen.browse:
        results = browsable(results, scores, folders)
    if chosen.x is not None:
        points = {name: (made.line, made.x) for name, made in chosen.setups().items() if made.x is not None}
        results = replace(results, curves=curves(results.cells, points, chosen.x))
    return results


def _claimed(claim: Claim, results: Results, scores: Sequence[Scores]) -> tuple[str, ...]:
    from ..eval.claims import by_depth, evidence, sentences

    pairs = [tuple(pair.split(":", 1)) for pair in claim.pairs]
    proofs = [
        proof for a, b in pairs for measure in claim.measures for proof in evidence(results, a, b, measure)
    ]
    depths: list[str] = []
    if claim.by_depth:
        by_place = {(scored.system.name, scored.benchmark.name): scored for scored in scores}
        depths += [line for a, b in pairs for line in by_depth(by_place, a, b, claim.measures[0])]
    return (*sentences(claim.says, proofs), *depths)


# ── ranking data ─────────────────────────────────────────────────────────────────────────────────────


def counted(setups: Mapping[str, Setup]) -> dict[str, Setup]:
    """Return systems with a share of a blend's ranking pairs as the number that it is.

    Raises InvalidInputError where a blend is so small that the share is no pair.
    """

    def pairs(training: Training) -> Training:
        if training.ranking_share is None:
            return training
        held = _ranking_pairs(training.blend)
        n = round(training.ranking_share * held)
        if training.ranking_share and not n:
            raise InvalidInputError(
                f"found {held:,} ranking pairs in {training.blend}, of which {training.ranking_share:.0%} "
                "are none, wanted some: build a blend with more of them"
            )
        return training.model_copy(update={"ranking_pairs": n, "ranking_share": None})

    return {
        name: setup.model_copy(update={"train": setup.train and pairs(setup.train)})
        for name, setup in setups.items()
    }


def ranking_shares(setups: Mapping[str, Setup]) -> dict[str, str]:
    """Return in words, by name, how much ranking data the systems see that are given a part of it.

    Raises InvalidInputError, before anything is trained, where a blend holds less than is asked for.
    """
    held: dict[str, int] = {}
    shares: dict[str, str] = {}
    for name, setup in setups.items():
        training = setup.train
        if training is None or training.ranking_pairs is None or 2 not in training.stages:
            continue
        if training.blend not in held:
            held[training.blend] = _ranking_pairs(training.blend)
        shares[name] = _share(name, training, training.ranking_pairs, held[training.blend])
    return shares


def _ranking_pairs(blend: str) -> int:
    """Return how many examples of the task rank a built blend holds for stage two."""
    path = Path(blend) / "examples.jsonl"
    if not path.is_file():
        raise NotFoundError(f"found no {path.name} in {blend}: make it with `rankrag data build`")
    return sum(record.get("task") == "rank" for _, record in read_records(str(path)))


def _share(name: str, training: Training, wanted: int, held: int) -> str:
    if wanted > held:
        raise InvalidInputError(
            f"{name}: found {held:,} ranking pairs in {training.blend}, wanted {wanted:,}: "
            f"build a blend with more of them, or leave the variant out with --set variants.{name}=null"
        )
    return (
        f"{wanted:,} ranking pairs ({wanted / (held or 1):.1%} of the blend's {held:,}, "
        f"{wanted / MS_MARCO_PAIRS:.1%} of MS MARCO's {MS_MARCO_PAIRS:,})"
    )


# ── training ─────────────────────────────────────────────────────────────────────────────────────────


def _checkpoint(training: Training, out: Path) -> str:
    """Return the folder of the last checkpoint of a variant; what is not done is trained now.

    Variants that differ only in how they are asked share all checkpoints, and those that differ only in
    stage two share that of stage one.
    """
    start: Path | None = None
    for number in training.stages:
        start = _trained(training, number, start, out)
    return str(start)


def _trained(training: Training, number: StageNumber, start: Path | None, out: Path) -> Path:
    """Return the checkpoint of one stage, which goes on from `start`, the one before it, if there was one."""
    from .. import train as room
    from ..model.store.checkpoint import CARD

    stage = room.read_stage(training.recipe, number, training.settings)
    if start is not None:
        stage = stage.model_copy(update={"model": str(start)})
    target = out / "checkpoints" / digest(training, stage, number, start)
    blend = Path(training.blend) if number == 1 else _part(training, target / "blend")
    job = room.TrainingJob(stage, number, blend, target / f"stage{number}")
    if not (job.out / CARD).exists():
        with progress.reporting() as report:
            room.train(job, report)
    return job.out


def digest(training: Training, stage: Stage, number: StageNumber, start: Path | None) -> str:
    """Return 12 hex digits over what decides a checkpoint: settings, examples, and the one it starts from."""
    from ..train.folder import find_examples

    blend = Path(training.blend)
    parts: list[object] = [
        *(number, stage.model_dump(mode="json", exclude={"model"})),
        start.parent.name if start is not None else stage.model,
        find_examples(blend / "stage1" if number == 1 else blend),
        (training.without, training.ranking_pairs) if number == 2 else (),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _part(training: Training, part: Path) -> Path:
    """Return the folder of the part of a blend that stage two sees, and say what is in it."""
    from ..data import subset

    said = part / "subset.json"
    if not said.exists():
        subset(Path(training.blend), part, training.without, training.ranking_pairs)
    counts = json.loads(said.read_text(encoding="utf-8"))["examples"]
    total = sum(counts.values()) or 1
    parts = ", ".join(f"{task} {count:,} ({count / total:.0%})" for task, count in counts.items())
    console.err().print(Text(f"stage two is trained on {parts}", console.QUIET))
    return part
