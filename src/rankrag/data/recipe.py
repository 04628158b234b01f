"""Recipes: one YAML file with a blend and the two stages that are trained on it.

Only `blend` is read here; what `stage1` and `stage2` may hold the training room says, and checks.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from ..errors import FormatError
from ..files import put_setting, read_yaml
from ..prompts import TEMPLATES
from ..types import Style, Task
from .sources import FormatName, SourceName

Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[^/\s]+$")]
"""Of an ingredient: the ids of its examples begin with it and a slash."""
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
"""A git commit of a hub repository, in full: names of branches move."""
Fraction = Annotated[float, Field(ge=0, le=1)]
RetrieverName = Literal["bm25", "dense", "hybrid"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Run(_Strict):
    """A search whose hits an ingredient may mine: the run it wrote and the corpora it searched."""

    run: str = Field(description="path of the TREC run")
    corpus: list[str] = Field(min_length=1, description="paths; passages.SOURCE.jsonl is a source's own")
    k: Count = Field(default=20, description="hits a question")
    retriever: RetrieverName = Field(default="bm25", description="what searches where the run is not there")


class Ingredient(_Strict):
    """One source as one task."""

    source: SourceName = Field(description="name in the table of sources")
    format: FormatName = Field(default="official", description="layout of the files")
    files: list[str] = Field(min_length=1, description="paths, or hub:OWNER/NAME:CONFIG:SPLIT")
    task: Task = Field(description="one of the paper's five; finished examples keep their own")
    weight: float = Field(gt=0, description="on any scale; all are divided by their sum")
    stages: list[Literal[1, 2]] = Field(default=[2], min_length=1, description="1, 2 or both")
    styles: list[Style] = Field(default=[], description="empty: the source's own; else one is drawn")
    parts: list[str] = Field(default=[], description="only parts that begin so; empty: all")
    without_parts: list[str] = Field(default=[], description="not the parts that begin so")
    limit: Count | None = Field(default=None, description="most items kept, a random sample")
    most_passages: Count | None = Field(
        default=None, description="most gold passages kept, a random sample, with all questions on them"
    )
    repeat: Count = Field(default=1, description="most times that an item may be used")
    most_words: Count | None = Field(
        default=None, description="words of gold and question; longer is dropped"
    )
    mine: list[str] = Field(default=[], description="names of runs")
    own_passages: bool = Field(default=True, description="false: gold is found among the hits alone")
    depth: Count = Field(default=20, description="hits used, from the top: fewer are harder negatives")
    gold_depth: Count = Field(default=5, description="hits among which an answer makes gold")
    negatives: Count = Field(default=1, description="negatives a positive (task rank)")
    passages: Count = Field(default=5, description="passages a prompt (retrieval tasks)")
    ordered: bool = Field(default=False, description="passages of a prompt as found, not shuffled")
    together: bool | Literal["found"] = Field(
        default=False,
        description="gold of several items is asked about as one, in place of hits; found: the first hits of "
        "an item are, also by the items whose gold is among them; of task context_qa one passage each",
    )
    most_groups: Count | None = Field(
        default=None, description="most groups put together; the first have the nearest passages"
    )
    apart: Fraction = Field(
        default=0.0,
        description="share of the items that are also asked of passages put together without their answer",
    )
    all_gold: bool = Field(default=False, description="all gold passages stand in a prompt, not one")
    sentences: bool = Field(
        default=False, description="style plain is taught in whole sentences, or not at all"
    )
    each_style: bool = Field(default=False, description="an example in each of the styles, not in one")
    most_shared: Fraction = Field(
        default=1.0,
        description="share of the question's words in its gold passage; more is dropped (task rank)",
    )
    least_shared: Fraction = Field(
        default=0.0, description="the same share, less of which is dropped: an answer found by chance"
    )
    unanswerable: Fraction = Field(default=0.0, description="share of retrieval_qa items without gold")
    hostile: Fraction = Field(
        default=0.0,
        description="share with a passage that gives orders, the target stays (retrieval_qa, rank)",
    )
    chunk_words: Count | None = Field(default=None, description="words a chunk: rank by 4-gram recall")
    conversation: Count | None = Field(default=None, description="most earlier turns to build")


class Draws(_Strict):
    """Examples in the file of each stage."""

    stage1: int = Field(default=0, ge=0, description="examples")
    stage2: int = Field(default=0, ge=0, description="examples")


class Blend(_Strict):
    """The data half of a recipe."""

    seed: int = Field(default=0, ge=0, description="of everything that is drawn")
    template: str = Field(default="paper", description="whose hash the manifest notes")
    draws: Draws = Field(description="how many examples")
    held_out: Fraction = Field(default=0.0, description="share of paragraphs kept for evaluation loss")
    held_out_examples: Count = Field(default=50, description="most held-out examples an ingredient")
    commercial_only: bool = Field(default=False, description="refuse other licences")
    benchmarks: list[str] = Field(default=[], description="files (globs) to keep out, neutral or official")
    revisions: dict[str, Commit] = Field(
        default={}, description="commit of each hub dataset, by OWNER/NAME; the newest where none is named"
    )
    get: dict[str, str] = Field(default={}, description="command or page that gets a file, by its path")
    runs: dict[str, Run] = Field(default={}, description="searches to mine")
    ingredients: dict[Name, Ingredient] = Field(min_length=1, description="by name")

    @field_validator("template")
    @classmethod
    def _known_template(cls, name: str) -> str:
        if name not in TEMPLATES:
            raise ValueError(f"wanted one of {', '.join(TEMPLATES)}")
        return name


class Recipe(_Strict):
    """A whole recipe."""

    name: str = Field(description="of the recipe and of the checkpoint made with it")
    model: str = Field(description="what is trained: a name, a folder or a hub id")
    blend: Blend = Field(description="data")
    stage1: dict[str, object] | None = Field(default=None, description="read by `rankrag train` alone")
    stage2: dict[str, object] | None = Field(default=None, description="read by `rankrag train` alone")

    _folder: Path = PrivateAttr(default=Path())
    _sha256: str = PrivateAttr(default="")

    @property
    def folder(self) -> Path:
        """Where the recipe file lies: one of the places in which its files are looked for."""
        return self._folder

    @property
    def sha256(self) -> str:
        """Hash of the recipe file and the settings on top of it."""
        return self._sha256


def read_recipe(path: str, settings: Iterable[str] = ()) -> Recipe:
    """Return the recipe in a YAML file, with settings like `blend.seed=3` on top.

    Raises NotFoundError, FormatError (broken YAML, with its line; an unknown key, with its name) and
    InvalidInputError (a setting that cannot be read).
    """
    values, settings = read_yaml(Path(path)), list(settings)
    text = Path(path).read_text(encoding="utf-8")
    for setting in settings:
        put_setting(values, setting)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise FormatError(path, None, _explain(error)) from error
    _check_ingredients(path, recipe)
    files = _files(recipe.blend)
    repositories = {file.split(":")[1] for file in files if file.startswith("hub:") and file.count(":") == 3}
    _check_names(path, "revisions", recipe.blend.revisions, repositories)
    if not settings:  # a setting may name other files than those that `get` tells of
        _check_names(path, "get", recipe.blend.get, files)
    recipe._folder = Path(path).resolve().parent
    recipe._sha256 = hashlib.sha256("\n".join([text, *settings]).encode()).hexdigest()
    return recipe


def _check_ingredients(path: str, recipe: Recipe) -> None:
    for name, ingredient in recipe.blend.ingredients.items():
        if ingredient.hostile and (ingredient.together or ingredient.task not in ("retrieval_qa", "rank")):
            raise FormatError(
                path,
                None,
                f"blend.ingredients.{name}.hostile: found {ingredient.hostile:g} for task {ingredient.task}, "
                "wanted it for retrieval_qa or rank, without together, whose rows share their passages",
            )
        for run in ingredient.mine:
            if run not in recipe.blend.runs:
                known = ", ".join(recipe.blend.runs) or "none"
                raise FormatError(
                    path, None, f"blend.ingredients.{name}.mine: found run {run!r}, wanted one of {known}"
                )


def _files(blend: Blend) -> set[str]:
    """Return all that a recipe reads: of ingredients, corpora and benchmarks."""
    files = {file for ingredient in blend.ingredients.values() for file in ingredient.files}
    return files | {file for run in blend.runs.values() for file in run.corpus} | set(blend.benchmarks)


def _check_names(path: str, key: str, names: Iterable[str], known: set[str]) -> None:
    """Refuse a commit or a way to get a file of something that the recipe does not read: it was misspelt."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "no ingredient or run reads it"
            raise FormatError(path, None, f"blend.{key}: found {name!r}: {hint}")


def _explain(error: ValidationError) -> str:
    """Return one fault in one line: its place, what was found, what was wanted.

    An unknown key comes before a missing one, as it most often is that one misspelt.
    """
    fault = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = _names_at(fault["loc"][:-1])
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"wanted one of {', '.join(known)}"
        return f"found the unknown key {key!r}: {hint}"
    found = "nothing" if fault["type"] == "missing" else repr(fault["input"])
    return f"{key}: found {found[:80]}; {fault['msg'][:1].lower()}{fault['msg'][1:]}"


_INSIDE: Mapping[str, type[BaseModel]] = {
    "blend": Blend,
    "draws": Draws,
    "runs": Run,
    "ingredients": Ingredient,
}


def _names_at(keys: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are known at a place of a recipe."""
    model: type[BaseModel] = Recipe
    for name in keys:
        model = _INSIDE.get(str(name), model)
    return list(model.model_fields)
