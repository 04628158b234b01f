"""Questions that are asked of the same passages."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import blend_small
from rankrag.data import build, read_recipe, searches
from rankrag.data.item import Item, passage
from rankrag.data.together import together
from rankrag.formats import read_examples
from rankrag.types import Passage, Question


def item(name: str, *texts: str) -> Item:
    return Item(name, Question(name, f"about {name}?"), answers=(name,), gold=tuple(map(passage, texts)))


def nothing(one: Item) -> list[Passage]:
    assert one.gold
    return []


ITEMS = [item(f"{letter}{n}", f"text {letter}") for letter in "abcdefg" for n in range(2)]


def test_every_item_is_asked_of_its_gold_among_others() -> None:
    found = together(ITEMS, nothing, 3, random.Random(1))
    assert found.keys() == {one.id for one in ITEMS}
    for one in ITEMS:
        assert len({each.text for each in found[one.id]}) == 3
        assert one.gold[0] in found[one.id]


def test_items_of_a_group_have_the_same_passages_in_one_order() -> None:
    found = together(ITEMS, nothing, 3, random.Random(1))
    asked: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name, passages in found.items():
        asked[tuple(one.id for one in passages)].add(name)
    assert sorted(map(len, asked.values())) == [2, 6, 6]  # 7 texts, of two items each: 3, 3, and the last
    assert found == together(ITEMS, nothing, 3, random.Random(1))
    assert found != together(ITEMS, nothing, 3, random.Random(2))


def test_near_passages_go_together() -> None:
    near = {"a": "c", "b": "d", "c": "a", "d": "b"}
    items = [item(letter, f"text {letter}") for letter in "abcd"]
    for seed in range(5):
        found = together(
            items, lambda one: [passage(f"text {near[one.id]}"), *one.gold], 2, random.Random(seed)
        )
        assert {one.text for one in found["a"]} == {"text a", "text c"}
        assert (found["a"], found["b"]) == (found["c"], found["d"])


def test_too_few_passages_and_items_without_gold_are_left_out() -> None:
    assert together(ITEMS[:4], nothing, 3, random.Random(0)) == {}
    bare = Item("bare", Question("bare", "?"))
    assert "bare" not in together([*ITEMS, bare], nothing, 3, random.Random(0))


def test_a_recipe_puts_together_what_it_reads_and_what_it_ranks(tmp_path: Path) -> None:
    data = blend_small.write_data(tmp_path / "data")
    (data / "own.run").write_text(
        "".join(f"w{n} Q0 p_{place} 1 1 x\n" for n, place in ((1, 3), (2, 2), (3, 4)))
    )
    settings = [
        "blend.ingredients.five.together=true",
        "blend.ingredients.five.passages=2",
        "blend.ingredients.web.together=true",
        "blend.ingredients.web.passages=2",
        "blend.benchmarks=[]",
    ]
    recipe = read_recipe(str(data / "recipe.yaml"), settings)
    searches(recipe, data, tmp_path / "out")
    build(recipe, data, tmp_path / "out", lambda *_: None)
    examples = list(read_examples(str(tmp_path / "out" / "examples.jsonl")))
    read = [one for one in examples if one.task == "retrieval_qa"]
    texts = {one.id: [each.text for each in one.passages] for one in read}
    assert len(texts) == 3
    assert sorted(map(len, texts.values())) == [2, 2, 2]
    assert len({tuple(one) for one in texts.values()}) == 2  # three texts in twos: one stands in both groups
    ranked = [one for one in examples if one.task == "rank" and one.id.startswith("web/")]
    gold = {one.question.text: one.passages[0].text for one in ranked if one.target == "True"}
    assert {one.passages[0].text for one in ranked if one.target == "False"} <= set(gold.values())
