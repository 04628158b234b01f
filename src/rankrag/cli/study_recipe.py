"""The recipe of a study: a row of systems that differ in one thing, at a size that it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import FormatError, InvalidInputError, NotFoundError
from ..files import put_setting, read_yaml
from ..system import models
from ..types import ReadingMode, RetrieverKind, Task

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
    ranking_share: float | None = Field(
        default=None, ge=0, le=1, description="the same as a share of the blend's"
    )
    settings: list[str] = Field(
        default=[], description="on top of the recipe, like stage2.learning_rate=1e-4"
    )


class Setup(_StudyModel):
    """What a system is made of; a variant says only what differs from the base."""

    index: str | None = Field(default=None, description="folder of the index")
    run: list[str] = Field(default=[], description="TREC runs in place of a search; several are fused")
    corpus: list[str] = Field(default=[], description="files with the texts of a run, in place of an index")
    retriever: RetrieverKind | None = Field(default=None, description="bm25, dense or hybrid")
    model: str = Field(default=models.DEFAULT_MODEL, description="ranks and answers")
    ranker: str | None = Field(default=None, description="folder of a cross-encoder that ranks in its place")
    precision: models.Precision | None = Field(
        default=None, description="numbers that the model computes with"
    )
    retrieve_k: int = Field(default=30, ge=1, description="passages taken from the index")
    read_k: int = Field(default=5, ge=1, description="passages given to the generator")
    reading: ReadingMode = Field(default="joint", description="joint, as in the paper, or mixture")
    query_likelihood: float = Field(
        default=0.0, ge=0, description="share of the question's likelihood in relevance, none in the paper"
    )
    ranking: bool = Field(default=True, description="rank what was retrieved")
    generating: bool = Field(default=True, description="answer, too")
    train: Training | None = Field(default=None, description="trained first; the model is then this one")
    x: float | None = Field(default=None, description="where it stands on a curve")
    variant: str = Field(default="", description="what it lacks, in the ablation table")
    line: str = Field(default="", description="which curve it stands on")


class Claim(_StudyModel):
    """What a study is to show: its systems b are better than their a."""

    says: str = Field(description="the claim, a sentence")
    pairs: list[str] = Field(min_length=1, description="A:B, B against A")
    measures: list[str] = Field(
        min_length=1, description="by which; those that a benchmark lacks are left out"
    )
    by_depth: bool = Field(default=False, description="also by where the retriever has its first answer")


class Study(_StudyModel):
    """A row of systems on some benchmarks."""

    title: str = Field(description="of the report")
    x: str | None = Field(default=None, description="what the curves are drawn against")
    benchmarks: list[str] = Field(min_length=1, description="names or files")
    n: int | None = Field(default=None, ge=1, description="questions of each; None: all")
    seed: int = Field(default=0, description="which sample")
    skip: int = Field(default=0, ge=0, description="the first questions of it that are left out")
    corpus_name: str = Field(default="", description="what the report calls the corpus")
    compare: list[str] = Field(default=[], description="A:B, tests B against A; empty: all against the first")
    claim: Claim | None = Field(default=None, description="what it is to show")
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
    merged = {**base, **own}
    shared, special = base.get("train"), own.get("train")
    if isinstance(shared, dict) and isinstance(special, dict):
        merged["train"] = {**shared, **special}
    return merged


def study_names() -> list[str]:
    """Return the names of the studies that come with the package."""
    return sorted(file.stem for file in STUDIES.glob("*.yaml"))


def read_study(name: str, settings: Sequence[str] = ()) -> Study:
    """Return a study by name or from a YAML file, with settings like `n=50` or `base.index=DIR` on top.

    Raises NotFoundError, FormatError for what is no study, InvalidInputError for a setting.
    """
    path = STUDIES / f"{name}.yaml" if "/" not in name and not name.endswith(".yaml") else Path(name)
    if not path.is_file():
        known = ", ".join(study_names())
        raise NotFoundError(f"found no study {name!r}, wanted one of {known}, or a YAML file: check the name")
    values = read_yaml(path)
    variants = values.get("variants")
    before = [*variants] if isinstance(variants, dict) else []
    for setting in settings:
        put_setting(values, setting)
    if isinstance(variants := values.get("variants"), dict):
        values["variants"] = _kept(variants, before)
    try:
        chosen = Study.model_validate(values)
        chosen.setups()
    except ValidationError as problem:
        fault = problem.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "a study"
        raise FormatError(str(path), None, f"{key}: {fault['msg'].lower()}") from problem
    return chosen


def _kept(variants: Mapping[str, object], before: Sequence[str]) -> dict[str, object]:
    """Return the variants without those that a setting made null; a name that was not there is an error."""
    left_out = {name for name, variant in variants.items() if variant is None}
    if strange := left_out - {*before}:
        raise InvalidInputError(
            f"found no variant {min(strange)!r} to leave out, wanted one of {', '.join(before)}"
        )
    return {name: variant for name, variant in variants.items() if name not in left_out}
