"""The recipe of a study: a row of systems that differ in one thing, at a size that it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import FormatError, InvalidInputError, NotFoundError
from ..system import models
from ..types import RetrieverKind, Task

STUDIES = Path(__file__).parents[1] / "eval" / "studies"
"""The studies that come with the package, by file name."""


class _StudyModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_StudyModel):
    """A checkpoint to be trained for one system, on a part of a built blend."""

    recipe: str = Field(description="path of the recipe")
    blend: str = Field(description="folder that `rankrag data build` wrote")
    stages: list[Literal[1, 2]] = Field(default=[2], min_length=1, description="which stages, in order")
    without: list[Task] = Field(default=[], description="tasks left out of stage two")
    ranking_pairs: int | None = Field(default=None, ge=0, description="examples of the task rank; None: all")
    settings: list[str] = Field(
        default=[], description="on top of the recipe, like stage2.learning_rate=1e-4"
    )


class Setup(_StudyModel):
    """What a system is made of; a variant says only what differs from the base."""

    index: str | None = Field(default=None, description="folder of the index")
    run: list[str] = Field(default=[], description="TREC runs in place of a search; several are fused")
    retriever: RetrieverKind | None = Field(default=None, description="bm25, dense or hybrid")
    model: str | None = Field(default=models.DEFAULT_MODEL, description="ranks and answers")
    ranker: str | None = Field(default=None, description="folder of a cross-encoder that ranks in its place")
    precision: models.Precision | None = Field(
        default=None, description="numbers that the model computes with"
    )
    retrieve_k: int = Field(default=30, ge=1, description="passages taken from the index")
    read_k: int = Field(default=5, ge=1, description="passages given to the generator")
    ranking: bool = Field(default=True, description="rank what was retrieved")
    generating: bool = Field(default=True, description="answer, too")
    train: Training | None = Field(default=None, description="trained first; the model is then this one")
    x: float | None = Field(default=None, description="where it stands on a curve")
    variant: str = Field(default="", description="what it lacks, in the ablation table")
    line: str = Field(default="", description="which curve it stands on")


class Study(_StudyModel):
    """A row of systems on some benchmarks."""

    title: str = Field(description="of the report")
    x: str | None = Field(default=None, description="what the curves are drawn against")
    benchmarks: list[str] = Field(min_length=1, description="names or files")
    n: int | None = Field(default=None, ge=1, description="questions of each; None: all")
    seed: int = Field(default=0, description="which sample")
    corpus_name: str = Field(default="", description="what the report calls the corpus")
    compare: list[str] = Field(default=[], description="A:B, tests B against A; empty: all against the first")
    cache: bool = Field(default=True, description="keep relevances; without it every ranking is timed")
    missing: list[str] = Field(default=[], description="sentences on what is not at hand, for the report")
    browse: bool = Field(default=True, description="put questions and answers into the page")
    base: dict[str, object] = Field(default={}, description="what all systems share")
    variants: dict[str, dict[str, object]] = Field(min_length=1, description="what differs, by name")

    def setups(self) -> dict[str, Setup]:
        """Return the systems by name."""
        return {name: Setup.model_validate(_merged(self.base, own)) for name, own in self.variants.items()}


def _merged(base: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Return the base with what is a variant's own on top; `train` is merged, not replaced."""
    found = {**base, **own}
    shared, special = base.get("train"), own.get("train")
    if isinstance(shared, dict) and isinstance(special, dict):
        found["train"] = {**shared, **special}
    return found


def read_study(name: str, settings: Sequence[str] = ()) -> Study:
    """Return a study by name or from a YAML file, with settings like `n=50` or `base.index=DIR` on top.

    Raises NotFoundError, FormatError for what is no study, InvalidInputError for a setting.
    """
    path = STUDIES / f"{name}.yaml" if "/" not in name and not name.endswith(".yaml") else Path(name)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in STUDIES.glob("*.yaml")))
        raise NotFoundError(f"found no study {name!r}, wanted one of {known}, or a YAML file: check the name")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise FormatError(str(path), None, f"found broken YAML ({problem})") from problem
    for setting in settings:
        _set(values, setting)
    try:
        chosen = Study.model_validate(values)
        chosen.setups()
    except ValidationError as problem:
        fault = problem.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "a study"
        raise FormatError(str(path), None, f"{place}: {fault['msg'].lower()}") from problem
    return chosen


def _set(values: object, setting: str) -> None:
    """Set one value in place; a variant that is set to null is left out of the study."""
    place, sign, text = setting.partition("=")
    *path, last = place.split(".")
    for name in path:
        values = values.setdefault(name, {}) if isinstance(values, dict) else None
    if not sign or not isinstance(values, dict):
        raise InvalidInputError(f"found the setting {setting!r}, wanted NAME=VALUE, like base.index=DIR")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise InvalidInputError(f"found the setting {setting!r}, whose value is broken YAML") from problem
    if path == ["variants"] and value is None:
        if last not in values:
            raise InvalidInputError(
                f"found no variant {last!r} to leave out, wanted one of {', '.join(values)}"
            )
        del values[last]
    else:
        values[last] = value
