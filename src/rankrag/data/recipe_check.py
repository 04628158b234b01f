"""What a recipe needs before its blend can be built: what is there, what is missing, and how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import MissingExtraError, NotFoundError
from .blend_manifest import Manifest
from .hub_datasets import PREFIX, find_copy, hub_split, lacking
from .places import PASSAGES, Places, places
from .recipe import Blend, Recipe
from .sources import SOURCES

_INSTALL = "pip install 'rankrag[train]'"

NeedState = Literal["here", "on the hub", "missing"]


@dataclass(frozen=True, slots=True)
class Need:
    """One path of a recipe.

    `wanted_by` are the ingredients (or `benchmarks`, or a run) that name it, `found` says where it lies or
    why it does not, `get` is the command or the page that gets it.
    """

    path: str
    wanted_by: tuple[str, ...]
    state: NeedState
    found: str
    get: str


def needs(recipe: Recipe, data_root: Path | None, out: Path | None = None) -> list[Need]:
    """Return everything that a recipe reads, in its order; no file is opened, no row of the hub is read."""
    return _needs(recipe.blend, places(recipe, data_root, out or recipe.folder))


def require(recipe: Recipe, where: Places) -> None:
    """Raise NotFoundError where files or splits of the hub are missing, naming all of them."""
    missing = [need for need in _needs(recipe.blend, where) if need.state == "missing"]
    if not missing:
        return
    if any(need.get == _INSTALL for need in missing):
        raise MissingExtraError("datasets", "train")
    folders = ", ".join(map(str, where.folders))
    raise NotFoundError(
        f"found no {', '.join(need.path for need in missing)} in {folders}: give the folder that holds what "
        "is missing with --data-root; the same command with --check says where to get each"
    )


def unpinned(recipe: Recipe, manifest: Manifest) -> dict[str, str]:
    """Return the commits, by repository, that a blend was read from and that its recipe does not name."""
    read = {
        hub_split(name, {}).repository: read_from
        for name, read_from in manifest["inputs"].items()
        if name.startswith(PREFIX)
    }
    return {
        repository: str(given["revision"])
        for repository, given in read.items()
        if given["revision"] and repository not in recipe.blend.revisions
    }


def _needs(blend: Blend, where: Places) -> list[Need]:
    return [_need(blend, where, path, names) for path, names in _paths(blend).items()]


def _paths(blend: Blend) -> dict[str, tuple[str, ...]]:
    """Return the paths of a recipe with what names them; not those that the build writes itself."""
    wanted: dict[str, tuple[str, ...]] = {}
    for path, name in _named(blend):
        wanted[path] = (*wanted.get(path, ()), name)
    return wanted


def _named(blend: Blend) -> Iterator[tuple[str, str]]:
    for name, ingredient in blend.ingredients.items():
        yield from ((path, name) for path in ingredient.files)
    mining = [ingredient for ingredient in blend.ingredients.values() if ingredient.mine]
    made = {PASSAGES.format(ingredient.source) for ingredient in mining}
    for name in dict.fromkeys(run for ingredient in mining for run in ingredient.mine):
        yield from ((path, f"run {name}") for path in blend.runs[name].corpus if path not in made)
    yield from ((path, "benchmarks") for path in blend.benchmarks)


def _need(blend: Blend, where: Places, path: str, names: tuple[str, ...]) -> Need:
    if not path.startswith(PREFIX):
        if files := where.files(path):
            return Need(path, names, "here", files[0] if len(files) == 1 else f"{len(files)} files", "")
        return Need(path, names, "missing", "not in the data root", blend.get.get(path) or _ask(blend, names))
    wanted = hub_split(path, blend.revisions)
    if copy := find_copy(wanted, where.folders):
        return Need(path, names, "here", str(copy), "")
    try:
        lacks = lacking(wanted)
    except MissingExtraError as error:
        return Need(path, names, "missing", f"the package {error.package} is needed", _INSTALL)
    if lacks:
        return Need(path, names, "missing", lacks, blend.get.get(path, wanted.page))
    commit = f"commit {wanted.revision[:12]}" if wanted.revision else "the newest commit: none is pinned"
    return Need(path, names, "on the hub", commit, wanted.page)


def _ask(blend: Blend, names: tuple[str, ...]) -> str:
    """Return the best that is known of a file for which the recipe itself says nothing."""
    if names[0] not in blend.ingredients:
        return "blend.get of the recipe does not say"
    source = blend.ingredients[names[0]].source
    return f"the files of {source}, see {SOURCES[source].citation}"
