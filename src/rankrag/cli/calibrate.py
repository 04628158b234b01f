"""`rankrag calibrate`: what a model's relevance is worth as a probability, fitted on labelled pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from .. import files, formats, prompts
from ..errors import FormatError, InvalidInputError, amount
from ..files import sha256
from ..system import models
from ..system.open import ranker_of
from ..types import Hit, Passage, Question, Ranker
from . import console, progress
from .options import ModelName, Output, arguments

if TYPE_CHECKING:
    from ..eval.calibration import Pairs, Threshold
    from ..model.skills.calibrated import Calibration

Method = Literal["temperature", "isotonic"]

FEW = 100
"""Pairs below which a warning says that the fit may be chance."""

PairsFile = Annotated[
    str,
    typer.Option(
        "--pairs",
        metavar="FILE|-",
        help="JSON lines: questions whose passages are marked `relevant`, or examples of a blend.",
        show_default=False,
    ),
]
Precision = Annotated[
    float,
    typer.Option(
        min=0, max=1, metavar="0..1", help="Wanted share of relevant passages from the threshold on."
    ),
]
Abstaining = Annotated[
    bool,
    typer.Option("--threshold/--no-threshold", help="Look for the threshold below which it abstains, too."),
]
MethodName = Annotated[
    Method, typer.Option(help="Two numbers on the log-odds, or any map that rises (for many pairs).")
]
Count = Annotated[
    int | None, typer.Option("-n", metavar="N", min=2, help="Only so many questions.", show_default="all")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for calibration.json.")]
Write = Annotated[bool, typer.Option("--write", help="Put calibration.json into the checkpoint.")]


@dataclass(frozen=True, slots=True)
class Judged:
    """A question with passages, each labelled as relevant to it or not."""

    question: Question
    passages: tuple[tuple[Passage, bool], ...]


def calibrate(
    pairs: PairsFile,
    model: ModelName = models.DEFAULT_MODEL,
    precision: Precision = 0.9,
    abstaining: Abstaining = True,
    method: MethodName = "temperature",
    n: Count = None,
    out: Out = None,
    write: Write = False,
    output: Output = "text",
) -> None:
    """Fit what a model's relevance means, and when it abstains.

    Relevance is put right to be the share of relevant passages; below the threshold the model abstains. The
    figures after the fit are by cross-validation over questions: they are of pairs that it did not see.
    """
    from ..model.skills.calibrated import weights_mark, write_calibration

    target = _place(model, out, write)
    judged = _sampled(list(read_judged(pairs)), n)
    with console.working(f"loading {model}"):
        engine = models.open_engine(model, calibration=False)
    scored = _scored(judged, ranker_of(engine))
    if len(scored.units) < FEW:
        console.warn(
            f"found {amount(len(scored.units), 'pair')}: below {FEW} a fit may be chance, label more"
        )
    calibration, threshold = _fitted(scored, method, precision if abstaining else None)
    calibration = replace(
        calibration,
        data_sha256="" if pairs == "-" else sha256(Path(pairs)),
        model=weights_mark(folders) if (folders := models.folders_of(model)) else "",
        template_hash=prompts.template_hash(engine.form),
        query_likelihood=engine.query_likelihood,
    )
    written = write_calibration(target, calibration) if target is not None else None
    if output == "json":
        record: dict[str, object] = {"model": model, "questions": len(judged), "pairs": len(scored.units)}
        abstains = asdict(threshold) if threshold else None
        record |= {"relevant": int(scored.labels.sum()), "threshold": abstains}
        console.emit(record | {"calibration": asdict(calibration), "file": str(written) if written else None})
    else:
        _show(calibration, threshold, written)


def _place(model: str, out: Path | None, write: bool) -> Path | None:
    """Return the folder to write to, None to write nothing; what cannot be is refused before any work."""
    from ..model.store import registry

    with arguments():
        models.check_model(model)
        if write and out is not None:
            raise InvalidInputError("found --write and --out, wanted one of them")
        if write and not models.is_here(model):
            raise InvalidInputError(f"found --write for {model}, which has no folder: give --out DIR")
    return registry.locate(model) if write else out


# ── pairs ────────────────────────────────────────────────────────────────────────────────────────────


def read_judged(path: str) -> Iterator[Judged]:
    """Yield the questions of a file with their labelled passages, at least one, in the order of the file.

    A line is `{id, question, passages: [{id, title, text, relevant}]}`, where `relevant` null is left out, or
    an example of the task `rank` as a blend has it (others are left out). Lines of one question become one,
    and a passage that comes twice counts once. Raises FormatError, and InvalidInputError if nothing is left.
    """
    by_question: dict[tuple[str, str], tuple[Question, dict[tuple[str, str], tuple[Passage, bool]]]] = {}
    for number, record in files.read_records(path):
        labelled = _labelled(path, number, record)
        if labelled:
            asked = record.get("question")
            question = formats.question(path, number, asked if isinstance(asked, dict) else record)
            known = by_question.setdefault((question.id, question.text), (question, {}))[1]
            for passage, relevant in labelled:
                known.setdefault((passage.title, passage.text), (passage, relevant))
    if not by_question:
        raise InvalidInputError(
            f"{path}: found no labelled pairs, wanted passages with `relevant` true or false, or examples of "
            "the task rank"
        )
    for question, passages in by_question.values():
        yield Judged(question, tuple(passages.values()))


def _labelled(path: str, number: int, record: files.Record) -> list[tuple[Passage, bool]]:
    passages = record.get("passages", [])
    if not isinstance(passages, list) or not all(isinstance(entry, dict) for entry in passages):
        raise FormatError(path, number, "found passages that are no objects, wanted a list of passages")
    if "target" in record:
        labels = [_target(path, number, record)] * len(passages)
    else:
        labels = [_relevant(path, number, entry.get("relevant")) for entry in passages]
    return [
        (formats.passage(path, number, entry), label)
        for entry, label in zip(passages, labels, strict=True)
        if label is not None
    ]


def _target(path: str, number: int, record: files.Record) -> bool | None:
    if record.get("task") != "rank":
        return None
    target = str(record["target"]).strip()
    if target not in (prompts.TRUE, prompts.FALSE):
        raise FormatError(path, number, f"found target {target!r}, wanted {prompts.TRUE} or {prompts.FALSE}")
    return target == prompts.TRUE


def _relevant(path: str, number: int, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise FormatError(path, number, f"found relevant = {value!r}, wanted true, false or null")
    return value


def _sampled(judged: Sequence[Judged], n: int | None) -> list[Judged]:
    """Return `n` of the questions, chosen by their ids alone as `rankrag eval predict` chooses."""
    from ..eval.gold import Gold, GoldQuestion, sample

    by_question = {id(asked.question): asked for asked in judged}
    items = [GoldQuestion(asked.question, Gold(), asked.question.id) for asked in judged]
    return [by_question[id(item.question)] for item in sample(items, n)] if n else list(judged)


# ── scores and fit ───────────────────────────────────────────────────────────────────────────────────


def _scored(judged: Sequence[Judged], ranker: Ranker) -> Pairs:
    """Return the relevance of every pair; all passages of a question are ranked at once."""
    from ..eval.calibration import paired

    rows: list[tuple[float, bool, str]] = []
    for asked in progress.track(judged, len(judged), "questions"):
        # Numbers for ids: a label is found again by them, and a file may give one id to two passages.
        hits = [Hit(replace(passage, id=str(n)), 0.0) for n, (passage, _) in enumerate(asked.passages)]
        for hit in ranker.rank(asked.question, hits):
            rows.append((hit.score, asked.passages[int(hit.passage.id)][1], asked.question.id))
    return paired(rows)


def _fitted(pairs: Pairs, method: Method, precision: float | None) -> tuple[Calibration, Threshold | None]:
    """Return the map and the threshold on what it maps to; without a precision there is no threshold."""
    from ..eval.calibration import cross_validated, fit_isotonic, fit_temperature, threshold_for
    from ..model.skills.calibrated import Calibration

    fit = {"temperature": fit_temperature, "isotonic": fit_isotonic}[method]
    calibration = Calibration(method, fit(pairs.scores, pairs.labels))
    off = cross_validated(pairs, lambda scores, labels: Calibration(method, fit(scores, labels)).apply)
    calibration = replace(calibration, n_pairs=len(pairs.units), ece=off.ece, brier=off.brier)
    if precision is None:
        return calibration, None
    threshold = threshold_for(calibration.apply(pairs.scores), pairs.labels, precision)
    return replace(calibration, threshold=threshold.value, precision=precision), threshold


# ── what came of it ──────────────────────────────────────────────────────────────────────────────────


def _show(calibration: Calibration, threshold: Threshold | None, written: Path | None) -> None:
    rows: list[list[str | Text]] = [
        [Text(name, "cyan"), *(f"{value:.3f}" for value in pair)]
        for name, pair in (("ECE", calibration.ece), ("Brier score", calibration.brier))
        if pair is not None
    ]
    console.table(rows, right=[1, 2], heads=("", "before", "after, unseen questions"))
    console.say(_abstaining(threshold))
    console.say(
        str(written)
        if written
        else "nothing was written: --write puts it into the checkpoint, --out DIR there"
    )


def _abstaining(threshold: Threshold | None) -> str:
    if threshold is None:
        return "no threshold: it does not abstain"
    return (
        f"threshold {threshold.value:.3f}: {threshold.precision:.1%} of the {amount(threshold.n, 'pair')} "
        f"from there on are relevant (bound {threshold.at_least:.1%}), {threshold.recall:.1%} of "
        "all relevant ones"
    )
