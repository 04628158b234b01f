"""What went into a blend, so that anyone can say later."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from ..files import sha256
from ..prompts import template, template_hash
from ..types import Example
from .decontamination import Benchmarks
from .hub_datasets import PREFIX, revision_of
from .pool import Pool
from .recipe import Recipe
from .sampling import shares
from .sources import SOURCES


class Manifest(TypedDict):
    """The manifest of a blend, as it stands in manifest.json.

    `ingredients` counts items up to `drops` and examples in its stages; `licences` counts the items that
    could be drawn; `inputs` maps each file of the recipe to its sha256 and bytes, and a split of the hub also
    to the commit that it was read from (null where a copy does not say).
    """

    recipe: dict[str, object]
    template: dict[str, str]
    versions: dict[str, str]
    sum_of_weights: float
    ingredients: dict[str, dict[str, object]]
    licences: dict[str, int]
    benchmarks: dict[str, int]
    inputs: dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a stage took of an ingredient.

    `share` is the part of the stage that the weights ask for (0..1), `drawn` the examples taken,
    `distinct` those that differ from one another, `labels` how many say True and False (task rank),
    `target_words` the length of all targets.
    """

    share: float
    drawn: int
    distinct: int
    held_out: int
    labels: dict[str, int]
    target_words: int


def drawn(
    weights: Mapping[str, float], chosen: Sequence[Example], held: Sequence[Example]
) -> dict[str, Drawn]:
    """Return what a stage took of each ingredient; the id of an example begins with its ingredient's name."""
    taken: dict[str, list[Example]] = {name: [] for name in weights}
    for example in chosen:
        taken[example.id.split("/")[0]].append(example)
    kept = Counter(example.id.split("/")[0] for example in held)
    return {
        name: Drawn(
            share=round(share, 6),
            drawn=len(taken[name]),
            distinct=len({(made.id, made.target, *(p.id for p in made.passages)) for made in taken[name]}),
            held_out=kept[name],
            labels=dict(sorted(Counter(made.target for made in taken[name] if made.task == "rank").items())),
            target_words=sum(len(example.target.split()) for example in taken[name]),
        )
        for name, share in shares(weights).items()
    }


def manifest(
    recipe: Recipe,
    pools: Mapping[str, Pool],
    taken: Mapping[int, Mapping[str, Drawn]],
    benchmarks: Benchmarks,
    inputs: Mapping[str, str],
) -> Manifest:
    """Return the manifest of a blend: no times and no absolute paths, so equal blends have equal ones."""
    licences = sum((pool.licences for pool in pools.values()), Counter[str]())
    return {
        "recipe": {"name": recipe.name, "sha256": recipe.sha256, "seed": recipe.blend.seed},
        "template": {"name": recipe.blend.template, "hash": template_hash(template(recipe.blend.template))},
        "versions": {"rankrag": version("rankrag"), "python": platform.python_version()},
        "sum_of_weights": round(sum(part.weight for part in recipe.blend.ingredients.values()), 6),
        "ingredients": {name: _ingredient(pool, taken) for name, pool in pools.items()},
        "licences": dict(sorted(licences.items())),
        "benchmarks": {
            "questions": len(benchmarks.questions),
            "passages": benchmarks.passages.n_passages,
        },
        "inputs": {name: _input(name, path) for name, path in sorted(inputs.items())},
    }


def _ingredient(pool: Pool, taken: Mapping[int, Mapping[str, Drawn]]) -> dict[str, object]:
    ingredient = pool.ingredient
    card = SOURCES[ingredient.source]
    stages = {f"stage{n}": asdict(drawn[pool.name]) for n, drawn in taken.items() if pool.name in drawn}
    return {
        "source": ingredient.source,
        "task": ingredient.task,
        "weight": ingredient.weight,
        "licences": dict(sorted(pool.licences.items())),
        "citation": card.citation,
        "items_read": pool.n_read,
        "items_usable": len(pool.items),
        "items_held_out": len(pool.held_out),
        "drops": dict(sorted(pool.drops.items())),
        **stages,
    }


def _input(name: str, path: str) -> dict[str, object]:
    """Return what was read under a name of the recipe; of a split of the hub its commit too."""
    revision = {"revision": revision_of(Path(path))} if name.startswith(PREFIX) else {}
    return {**revision, **_file(path)}


def _file(path: str) -> dict[str, object]:
    """Return the sha256 and size of a file, or of each file of a folder."""
    if Path(path).is_dir():
        return {file.name: _file(str(file)) for file in sorted(Path(path).iterdir()) if file.is_file()}
    return {"sha256": sha256(Path(path)), "bytes": Path(path).stat().st_size}
