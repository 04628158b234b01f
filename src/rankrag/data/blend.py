"""Build a blend: a recipe and its data in, files of examples and a manifest out.

The blend of stage II lies in the folder itself, that of stage I in its `stage1`: each `examples.jsonl`
(to train on), `heldout.jsonl` (evaluation loss), both in the shape of `formats.read_examples`, and
`manifest.json`. The same recipe on the same data writes the same bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

from ..errors import NotFoundError
from ..files import writing
from ..formats import read_examples, write_examples
from ..prompts import PAPER, example, template
from ..types import Example, Passage, Prompt, Task
from .blend_manifest import Drawn, Manifest, drawn, manifest
from .decontamination import Benchmarks, OfficialReader
from .item import Dropped, Item
from .making import Made, Maker
from .mining import Mined
from .places import Places, places
from .pool import Pool, Split, check_licences, fill, hold_out
from .recipe import Recipe
from .recipe_check import require
from .rules import with_distant_gold
from .sampling import draws, rounds
from .searches import search
from .shared_passages import Groups, apart, found_apart, found_together, together

StepDone = Callable[[str, int], None]
"""Called with what was done and how many of it: `("read squad", 3994)`."""

EXAMPLES, HELD_OUT, MANIFEST = "examples.jsonl", "heldout.jsonl", "manifest.json"


@dataclass(slots=True)
class Build:
    """A blend on its way: what was read, what was mined, and the files that both came from."""

    recipe: Recipe
    places: Places
    progress: StepDone
    pools: dict[str, Pool] = field(default_factory=dict)
    mined: dict[str, Mined] = field(default_factory=dict)
    groups: dict[str, Groups] = field(default_factory=dict)
    apart: dict[str, Groups] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def files(self, path: str) -> list[str]:
        """Return the files of a path, noting each as an input of the blend under the name in the recipe."""
        paths = self.places.find(path)
        for file in paths:
            self.inputs[path if len(paths) == 1 else f"{path}: {Path(file).name}"] = file
        return paths

    @property
    def split(self) -> Split:
        """The line between training and held-out examples."""
        return Split(self.recipe.blend.seed, self.recipe.blend.held_out)

    def hits(self, name: str, item: Item) -> Sequence[Passage]:
        """Return what an item is asked of, by rank: its group, or what was mined, of several runs in turn."""
        if group := self.groups.get(name, {}).get(item.id):
            return group
        runs = [self.mined[run].hits(item.search_id) for run in self.pools[name].ingredient.mine]
        return [hit for rank in zip_longest(*runs) for hit in rank if hit is not None]

    def make(self, name: str, item: Item, rng: random.Random, held_out: bool = False) -> Made:
        """Return the examples of an item to train on (or of a held-out one), or why there is none."""
        how, hits = self.pools[name].ingredient, self.hits(name, item)
        if not held_out or (how.task == "rank" and not how.chunk_words):
            item, hits = self.split.one_side(item, hits, held_out)
        return Maker(name, how).make(item, hits, rng, self.apart.get(name, {}).get(item.id, ()))

    def examples(self, name: str, item: Item, rng: random.Random, held_out: bool = False) -> list[Example]:
        """Return the examples of an item, none where none can be made."""
        made = self.make(name, item, rng, held_out)
        return [] if isinstance(made, Dropped) else made

    def seed(self, name: str) -> str:
        """Return what the random numbers of an ingredient are drawn from."""
        return f"{self.recipe.blend.seed} {name}"


def build(
    recipe: Recipe,
    data_root: Path | None,
    out: Path,
    progress: StepDone,
    official: OfficialReader | None = None,
) -> Manifest:
    """Build the blend of a recipe in the folder `out` and return its manifest.

    `official` reads benchmark files that are not in the neutral shape.
    Raises NotFoundError (a file or run that is not there; the message has the commands that make a run),
    FormatError (a broken line) and InvalidInputError (a licence that the recipe refuses). Files that were
    finished stay; none is ever half written.
    """
    check_licences(recipe.blend)
    out.mkdir(parents=True, exist_ok=True)
    work = Build(recipe, places(recipe, data_root, out), progress)
    require(recipe, work.places)
    benchmarks = _benchmarks(work, Benchmarks(official))
    for name, ingredient in recipe.blend.ingredients.items():
        files = [file for path in ingredient.files for file in work.files(path)]
        work.pools[name] = fill(name, recipe.blend, files, benchmarks)
        progress(f"{name}, items read", len(work.pools[name].items))
    _mine(work)
    hold_out(list(work.pools.values()), work.split)
    _put_together(work)
    capacity = {name: _usable(work, pool) for name, pool in work.pools.items()}
    taken = {stage: _write_stage(work, stage, capacity) for stage in (1, 2)}
    made = manifest(recipe, work.pools, taken, benchmarks, work.inputs)
    for stage in (stage for stage in taken if taken[stage]):
        with writing(str(folder(out, stage) / MANIFEST)) as stream:
            stream.write(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return made


def _of_few_groups(work: Build, name: str, count: int) -> list[Item]:
    """Return the held-out items of an ingredient; of those put together as few groups as will do."""
    items, groups = work.pools[name].held_out, work.groups.get(name)
    if not groups:
        return items
    asked: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        if item.id in groups:
            asked.setdefault(tuple(passage.id for passage in groups[item.id]), []).append(item)
    kept: list[Item] = []
    for group in sorted(asked.values(), key=len, reverse=True):
        if len(kept) < count:
            kept += group
    return kept


def folder(blend: Path, stage: int) -> Path:
    """Return where the blend of a stage lies."""
    return blend / "stage1" if stage == 1 else blend


def _benchmarks(work: Build, benchmarks: Benchmarks) -> Benchmarks:
    for path in work.recipe.blend.benchmarks:
        for file in work.files(path):
            benchmarks.add(file)
            work.progress("benchmark questions", len(benchmarks.questions))
    return benchmarks


def _mine(work: Build) -> None:
    wanted: dict[str, set[str]] = {}
    for pool in work.pools.values():
        for run in pool.ingredient.mine:
            wanted.setdefault(run, set()).update(item.search_id for item in pool.items)
    for name, questions in wanted.items():
        mining = search(work.recipe, work.places, name)
        work.mined[name] = Mined(mining, questions)
        work.inputs[work.recipe.blend.runs[name].run] = mining.run
        work.inputs |= dict(zip(work.recipe.blend.runs[name].corpus, mining.corpus, strict=True))
        work.progress(f"mined {name}", len(questions))
        work.progress(f"without a hit in {name}", sum(not work.mined[name].hits(key) for key in questions))
    for pool in work.pools.values():
        pool.items = [_with_gold(work, pool, item) for item in pool.items]


def _with_gold(work: Build, pool: Pool, item: Item) -> Item:
    """Return an item with gold among its hits if it has none: from then on it goes with that paragraph."""
    how = pool.ingredient
    return (
        with_distant_gold(item, work.hits(pool.name, item)[: how.depth], how.gold_depth) if how.mine else item
    )


def _put_together(work: Build) -> None:
    """Give the items that a recipe wants together their groups, apart from those of the held-out ones."""
    for name, pool in work.pools.items():
        how = pool.ingredient
        if not how.together:
            continue
        pool.items, pool.held_out = (
            [replace(item, gold=item.gold[:1]) for item in items] for items in (pool.items, pool.held_out)
        )
        groups: Groups = {}
        without: Groups = {}
        for held_out, items in ((False, pool.items), (True, pool.held_out)):
            rng = random.Random(f"{work.seed(name)} together{' held out' if held_out else ''}")
            near = partial(_near, work, name, held_out)
            put, leave = (found_together, found_apart) if how.together == "found" else (together, apart)
            size = 1 if how.task == "context_qa" else how.passages
            made = _first_groups(put(items, near, size, rng), how.most_groups)
            groups |= made
            without |= leave(items, near, made, how.apart, rng)
        if how.most_groups is not None:
            grouped = [item for item in pool.items if item.id in groups]
            pool.drops["over the limit"] += len(pool.items) - len(grouped)
            pool.items = grouped
        work.groups[name], work.apart[name] = groups, without
        work.progress(f"put together for {name}", len(groups))


def _first_groups(groups: Groups, most: int | None) -> Groups:
    """Return the groups that were put together first, all or so many."""
    numbers: dict[tuple[str, ...], int] = {}
    for group in groups.values():
        numbers.setdefault(tuple(passage.id for passage in group), len(numbers))
    kept = numbers if most is None else {key: n for key, n in numbers.items() if n < most}
    return {name: group for name, group in groups.items() if tuple(passage.id for passage in group) in kept}


def _near(work: Build, name: str, held_out: bool, item: Item) -> Sequence[Passage]:
    """Return what was found for an item, else the negatives of its source, of one side of the line."""
    _, hits = work.split.one_side(item, work.hits(name, item) or item.negatives, held_out)
    return hits


def _usable(work: Build, pool: Pool) -> int:
    """Drop the items that give no example, with their reason; return how many examples there can be."""
    kept, count = [], 0
    for item in pool.items:
        made = work.make(pool.name, item, random.Random(f"{work.seed(pool.name)} {item.id} 0"))
        if isinstance(made, Dropped):
            pool.drops[made.reason] += 1
        else:
            kept.append(item)
            count += len(made)
    pool.items = kept
    work.progress(f"{pool.name}, examples made", count)
    return count * pool.ingredient.repeat


def _write_stage(work: Build, stage: int, capacity: Mapping[str, int]) -> dict[str, Drawn]:
    """Write the two files of a stage and return what it took of each ingredient; no files for no examples."""
    blend = work.recipe.blend
    weights = {name: part.weight for name, part in blend.ingredients.items() if stage in part.stages}
    asked = draws(weights, capacity, blend.draws.stage1 if stage == 1 else blend.draws.stage2)
    if not any(asked.values()):
        return {}
    chosen: list[Example] = []
    held: list[Example] = []
    for name, count in asked.items():
        pool, seed = work.pools[name], work.seed(name)
        chosen += rounds(pool.items, partial(work.examples, name), seed, count, pool.ingredient.repeat)
        judged = partial(work.examples, name, held_out=True)
        kept = _of_few_groups(work, name, blend.held_out_examples)
        held += rounds(kept, judged, seed, blend.held_out_examples, 1)
        work.progress(f"{name}, drawn for stage {stage}", count)
    random.Random(f"{blend.seed} stage{stage}").shuffle(chosen)
    target = folder(work.places.out, stage)
    target.mkdir(exist_ok=True)
    write_examples(str(target / EXAMPLES), chosen)
    write_examples(str(target / HELD_OUT), held)
    return drawn(weights, chosen, held)


def shown(
    blend: Path, form: str | None = None, stage: int = 2, task: Task | None = None, source: str | None = None
) -> Iterator[tuple[Example, Prompt]]:
    """Yield the examples of a built blend with the prompts that a template (its own for None) makes of them.

    Raises NotFoundError where there is no such stage and InvalidInputError for an unknown template.
    """
    path = folder(blend, stage) / EXAMPLES
    if not path.is_file():
        raise NotFoundError(f"found no {path}: make it with rankrag data build RECIPE --out {blend}")
    chosen = template(form or _template_of(folder(blend, stage)))
    for item in read_examples(str(path)):
        if task in (None, item.task) and source in (None, item.source):
            yield item, example(item, chosen)


def _template_of(stage: Path) -> str:
    """Return the template that a blend was built for; examples without a manifest may be anybody's."""
    if not (stage / MANIFEST).is_file():
        return PAPER.name
    return str(json.loads((stage / MANIFEST).read_text(encoding="utf-8"))["template"]["name"])
