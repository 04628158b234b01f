"""Questions that are asked of the same passages."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path

import blend_small
from rankrag.data import build, read_recipe, searches
from rankrag.data.item import Item, passage
from rankrag.data.making import Maker
from rankrag.data.matching import contains_answer
from rankrag.data.recipe import Ingredient
from rankrag.data.shared_passages import apart, found_apart, found_together, together
from rankrag.formats import read_examples
from rankrag.prompts import UNANSWERABLE
from rankrag.types import Example, Passage, Question


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
        "".join(f"w{n} Q0 p%20{place} 1 1 x\n" for n, place in ((1, 3), (2, 2), (3, 4)))
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


def test_found_passages_are_those_of_the_first_item_that_holds_the_gold() -> None:
    hits = {
        "a": ["text x", "text a", "text b", "text y"],
        "b": ["text b", "text z", "text x"],
        "c": ["text c"],
    }
    items = [item(letter, f"text {letter}") for letter in "abc"]
    for seed in range(5):
        found = found_together(items, lambda one: list(map(passage, hits[one.id])), 3, random.Random(seed))
        asked = {name: [one.text for one in group] for name, group in found.items()}
        assert "c" not in asked  # fewer than three passages were found
        if asked["a"] == ["text x", "text a", "text b"]:
            assert asked["b"] == asked["a"] or asked["b"] == ["text b", "text z", "text x"]
        assert asked["b"] in (["text x", "text a", "text b"], ["text b", "text z", "text x"])
    bare = Item("bare", Question("bare", "?"))
    assert "bare" not in found_together([*items, bare], nothing, 1, random.Random(0))


def test_apart_is_the_nearest_group_without_the_answer() -> None:
    items = [item(letter, f"text {letter}") for letter in "abcdef"]
    groups = {
        name: tuple(passage(f"text {letter}") for letter in letters)
        for letters in ("ab", "cd", "ef")
        for name in letters
    }
    hits = [passage("text a"), passage("text c"), passage("text e"), passage("text f")]
    for share in (0.0, 1.0):
        found = apart(items, lambda _: hits, groups, share, random.Random(0))
        assert (found == {}) is (share == 0.0)
    assert [one.text for one in found["a"]] == ["text e", "text f"]  # two hits; its own group does not count
    assert [one.text for one in found["e"]] in (["text a", "text b"], ["text c", "text d"])
    assert apart(items, nothing, groups, 1.0, random.Random(0)) == {}
    # "f" is a word of what stands in the nearest group, so its own question would be answered there
    known = [Item("k", Question("k", "?"), answers=("f",), gold=(passage("text k"),))]
    held = groups | {"k": (passage("text k"), passage("text l"))}
    assert [one.text for one in apart(known, lambda _: hits, held, 1.0, random.Random(0))["k"]] != [
        "text e",
        "text f",
    ]


def test_items_without_short_answers_are_not_asked_apart() -> None:
    said = Item("s", Question("s", "?"), target="It is so.", gold=(passage("text s"),))
    groups: dict[str, tuple[Passage, ...]] = {"s": (passage("text s"),), "o": (passage("text o"),)}
    assert apart([said], lambda _: [passage("text o")], groups, 1.0, random.Random(0)) == {}


def built(
    tmp_path: Path, *settings: str
) -> tuple[list[Example], list[Example], dict[str, dict[str, object]]]:
    data = blend_small.write_data(tmp_path / "data")
    hits = {1: (3, 4, 2, 0), 2: (2, 4, 3, 1), 3: (4, 2, 3, 0)}
    (data / "own.run").write_text(
        "".join(f"w{n} Q0 p%20{p} {rank} {9 - rank} x\n" for n in hits for rank, p in enumerate(hits[n]))
    )
    recipe = read_recipe(str(data / "recipe.yaml"), ["blend.benchmarks=[]", *settings])
    searches(recipe, data, tmp_path / "out")
    manifest = build(recipe, data, tmp_path / "out", lambda *_: None)
    written = [tmp_path / "out" / name for name in ("examples.jsonl", "heldout.jsonl")]
    examples, held_out = (list(read_examples(str(path))) for path in written)
    return examples, held_out, manifest["ingredients"]


def test_a_recipe_asks_of_few_groups_and_of_others_that_do_not_answer(tmp_path: Path) -> None:
    examples, _, _ = built(
        tmp_path,
        "blend.ingredients.five.together=true",
        "blend.ingredients.five.passages=2",
        "blend.ingredients.five.gold_depth=9",
        "blend.ingredients.five.apart=1.0",
    )
    read = [one for one in examples if one.task == "retrieval_qa"]
    said = [one for one in read if one.target == UNANSWERABLE]
    assert said
    for one in said:
        assert one.id.endswith("/apart")
        (own,) = [other for other in read if f"{other.id}/apart" == one.id]
        assert not any(contains_answer(each.text, [own.target]) for each in one.passages)


def test_one_passage_at_a_time_is_asked_also_where_it_does_not_answer(tmp_path: Path) -> None:
    examples, _, _ = built(
        tmp_path,
        "blend.ingredients.five.task=context_qa",
        "blend.ingredients.five.together=true",
        "blend.ingredients.five.gold_depth=9",
        "blend.ingredients.five.apart=1.0",
    )
    read = {one.id: one for one in examples if one.task == "context_qa"}
    said = [one for one in read.values() if one.target == UNANSWERABLE]
    assert said
    for one in said:
        own = read[one.id.removesuffix("/apart")]
        (near,), (gold,) = one.passages, own.passages
        assert near.id != gold.id
        assert contains_answer(gold.text, [own.target])
        assert not contains_answer(near.text, [own.target])


def test_a_question_that_its_passage_does_not_answer_is_taught_so(tmp_path: Path) -> None:
    asked = Item("q", Question("q", "Who?"), gold=(passage("text a"),), answerable=False)
    maker = Maker("read", Ingredient(source="squad2", files=["x"], task="context_qa", weight=1))
    made = maker.make(asked, [], random.Random(0))
    assert [one.target for one in made] == [UNANSWERABLE]  # type: ignore[union-attr]


def test_a_recipe_keeps_the_first_groups_and_counts_the_others(tmp_path: Path) -> None:
    examples, _, ingredients = built(
        tmp_path,
        "blend.ingredients.five.together=true",
        "blend.ingredients.five.passages=2",
        "blend.ingredients.five.gold_depth=9",
        "blend.ingredients.five.most_groups=1",
    )
    read = [one for one in examples if one.task == "retrieval_qa"]
    assert len({tuple(each.id for each in one.passages) for one in read}) == 1
    assert ingredients["five"]["drops"]["over the limit"] >= 1  # type: ignore[index]


def test_a_recipe_keeps_all_questions_on_few_passages(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    records = [
        {
            "id": f"s{n}{k}",
            "question": f"Who opened House {n}{k}?",
            "answers": [f"Ann{n}"],
            "passages": [{"id": f"p{n}", "title": "", "text": f"Ann{n} opened House {n}.", "relevant": True}],
        }
        for n in range(6)
        for k in range(3)
    ]
    (data / "squad.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    (data / "recipe.yaml").write_text(
        "name: small\nmodel: m\nblend:\n  draws: {stage2: 99}\n  ingredients:\n"
        "    read: {source: squad, format: neutral, files: [squad.jsonl], task: context_qa, weight: 1,\n"
        "      most_passages: 2, styles: [phrase, phrase, plain], each_style: true, sentences: true}\n"
    )
    build(read_recipe(str(data / "recipe.yaml")), data, tmp_path / "out", lambda *_: None)
    examples = list(read_examples(str(tmp_path / "out" / "examples.jsonl")))
    assert len({one.passages[0].text for one in examples}) == 2
    assert len(examples) == 12  # three questions on each, as a phrase and as a sentence
    for one in examples:
        number = one.passages[0].text.split()[0]
        sentence = f"{number} opened {one.question.text.removeprefix('Who opened ').rstrip('?')}."
        assert one.target == (number if one.question.style == "phrase" else sentence)
    assert len({one.id for one in examples}) == 12


def test_held_out_rows_share_their_passages(tmp_path: Path) -> None:
    _, held, _ = built(
        tmp_path,
        "blend.ingredients.five.together=true",
        "blend.ingredients.five.passages=2",
        "blend.ingredients.five.gold_depth=9",
        "blend.held_out=0.8",  # all of Wikipedia, as it happens, but not what is of our own
        "blend.held_out_examples=2",
    )
    read = [one for one in held if one.task == "retrieval_qa"]
    assert len(read) == 2
    assert len({tuple(each.id for each in one.passages) for one in read}) == 1


def test_what_was_found_next_is_read_without_the_answer() -> None:
    one = Item("a", Question("a", "?"), answers=("Ulm",), gold=(passage("In Ulm."),))
    hits = [passage(text) for text in ("In Kiel.", "In Ulm.", "Of Ulm.", "In Bonn.", "In Mainz.")]
    groups = {"a": tuple(hits[:2])}
    found = found_apart([one], lambda _: hits, groups, 1.0, random.Random(0))
    assert [each.text for each in found["a"]] == ["In Kiel.", "In Bonn."]
    assert found_apart([one], lambda _: hits, groups, 0.0, random.Random(0)) == {}
    assert found_apart([one], lambda _: hits[:3], groups, 1.0, random.Random(0)) == {}
