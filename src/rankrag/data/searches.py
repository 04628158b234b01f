"""The searches that have to be made before a blend with mined passages can be built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..files import sha256, write_records, writing
from ..types import Passage
from .item import Item
from .mining import Search
from .places import PASSAGES, Places, places
from .pool import source_reader
from .recipe import Recipe
from .recipe_check import require

QUESTIONS = "questions.{}.jsonl"


def searches(recipe: Recipe, data_root: Path | None, out: Path) -> list[Search]:
    """Write what has to be searched before `build` and return the searches; those that are done, too.

    For every run of the recipe `questions.NAME.jsonl` holds the questions of the ingredients that mine it.
    Where its corpus names `passages.SOURCE.jsonl`, that file is written too: all passages of that source's
    items. Passages of another source would differ from gold in length and print, and the difference
    would give gold away. A run in `out` that was made for other questions, passages or `k` is taken away;
    a run that lies elsewhere is taken as it is. Raises NotFoundError where a corpus is not there.
    """
    if not recipe.blend.runs:
        return []
    out.mkdir(parents=True, exist_ok=True)
    where = places(recipe, data_root, out)
    require(recipe, where)
    mining = [name for name, ingredient in recipe.blend.ingredients.items() if ingredient.mine]
    read = {name: _items(recipe, where, name) for name in mining}
    for source in sorted({recipe.blend.ingredients[name].source for name in mining}):
        if any((file := PASSAGES.format(source)) in run.corpus for run in recipe.blend.runs.values()):
            write_records(str(out / file), _passages(recipe, read, source))
    return [_prepared(recipe, where, name, read) for name in recipe.blend.runs]


def _prepared(recipe: Recipe, where: Places, name: str, read: Mapping[str, list[Item]]) -> Search:
    """Return a search with its questions written, and without a run of it that answers others."""
    mining = search(recipe, where, name)
    own = Path(mining.run).parent == where.out
    if mining.done and not own:
        return mining
    write_records(mining.questions, _questions(recipe, read, name))
    card, wanted = Path(mining.run).with_suffix(".search.json"), _identity(recipe, where, mining)
    if card.is_file() and card.read_text(encoding="utf-8") != wanted:
        Path(mining.run).unlink(missing_ok=True)
    with writing(str(card)) as stream:
        stream.write(wanted)
    return replace(mining, done=Path(mining.run).is_file())


def _identity(recipe: Recipe, where: Places, mining: Search) -> str:
    """Return what a run depends on, as JSON."""
    corpora = [path for name in recipe.blend.runs[mining.name].corpus for path in where.find(name)]
    files = {Path(path).name: sha256(Path(path)) for path in (mining.questions, *corpora)}
    how = {"retriever": mining.retriever} if mining.vectors else {}
    return json.dumps({"k": mining.k, **how, "files": files}, indent=1) + "\n"


def search(recipe: Recipe, where: Places, name: str) -> Search:
    """Return the search that makes one run of a recipe."""
    run = recipe.blend.runs[name]
    path = where.made(run.run)
    corpus = tuple(where.made(file) for file in run.corpus)
    questions = str(where.out / QUESTIONS.format(name))
    return Search(name, questions, corpus, path, run.k, Path(path).is_file(), run.retriever)


def _items(recipe: Recipe, where: Places, name: str) -> list[Item]:
    ingredient = recipe.blend.ingredients[name]
    read = source_reader(name, ingredient)
    files = [file for path in ingredient.files for file in where.find(path)]
    return [item for file in files for item in read(file) if isinstance(item, Item)]


def _questions(recipe: Recipe, read: Mapping[str, list[Item]], run: str) -> Iterator[dict[str, object]]:
    mining = [name for name, ingredient in recipe.blend.ingredients.items() if run in ingredient.mine]
    items = (item for name in mining for item in read[name])
    asked = {item.search_id: item.question for item in items if item.question.text.strip()}
    for name, question in sorted(asked.items()):
        history = [{"role": turn.role, "content": turn.text} for turn in question.history]
        yield {"id": name, "question": question.text} | ({"history": history} if history else {})


def _passages(recipe: Recipe, read: Mapping[str, list[Item]], source: str) -> Iterator[dict[str, object]]:
    own: dict[str, Passage] = {}
    for name, items in read.items():
        if recipe.blend.ingredients[name].source == source:
            own |= {passage.id: passage for item in items for passage in (*item.gold, *item.negatives)}
    for key, passage in sorted(own.items()):
        yield {"_id": key, "title": passage.title, "text": passage.text}
