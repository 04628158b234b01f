"""The searches that have to be made before a blend with mined passages can be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..formats import write_records
from ..types import Passage
from .item import Item
from .mining import Search
from .places import Places, places
from .pool import source_reader
from .recipe import Recipe

PASSAGES, QUESTIONS = "passages.{}.jsonl", "questions.{}.jsonl"


def searches(recipe: Recipe, data_root: Path | None, out: Path) -> list[Search]:
    """Write what has to be searched before `build` and return the searches; those that are done, too.

    For every run of the recipe that is not there, `questions.NAME.jsonl` holds the questions of the
    ingredients that mine it. Where its corpus names `passages.SOURCE.jsonl`, that file is written too: all
    passages of that source's items. Passages of another source would differ from gold in length and
    print, and the difference would give gold away.
    """
    out.mkdir(parents=True, exist_ok=True)
    where = places(recipe, data_root, out)
    found = [search(recipe, where, name) for name in recipe.blend.runs]
    if waiting := [one for one in found if not one.done]:
        mining = [name for name, one in recipe.blend.ingredients.items() if one.mine]
        read = {name: _items(recipe, where, name) for name in mining}
        wanted = {path for one in waiting for path in recipe.blend.runs[one.name].corpus}
        for one in waiting:
            write_records(one.questions, _questions(recipe, read, one.name))
        for source in sorted({recipe.blend.ingredients[name].source for name in mining}):
            if (file := PASSAGES.format(source)) in wanted:
                write_records(str(out / file), _passages(recipe, read, source))
    return found


def search(recipe: Recipe, where: Places, name: str) -> Search:
    """Return the search that makes one run of a recipe."""
    run = recipe.blend.runs[name]
    path = where.made(run.run)
    corpus = tuple(where.made(file) for file in run.corpus)
    questions = str(where.out / QUESTIONS.format(name))
    return Search(name, questions, corpus, path, run.k, Path(path).is_file())


def _items(recipe: Recipe, where: Places, name: str) -> list[Item]:
    ingredient = recipe.blend.ingredients[name]
    read = source_reader(name, ingredient)
    files = [file for path in ingredient.files for file in where.find(path)]
    return [item for file in files for item in read(file) if isinstance(item, Item)]


def _questions(recipe: Recipe, read: Mapping[str, list[Item]], run: str) -> Iterator[dict[str, object]]:
    mining = [name for name, one in recipe.blend.ingredients.items() if run in one.mine]
    texts = {item.search_id: item.question.text for name in mining for item in read[name]}
    for name, text in sorted(texts.items()):
        yield {"id": name, "question": text}


def _passages(recipe: Recipe, read: Mapping[str, list[Item]], source: str) -> Iterator[dict[str, object]]:
    own: dict[str, Passage] = {}
    for name, items in read.items():
        if recipe.blend.ingredients[name].source == source:
            own |= {one.id: one for item in items for one in (*item.gold, *item.negatives)}
    for key, one in sorted(own.items()):
        yield {"_id": key, "title": one.title, "text": one.text}
