"""Recipes: what is wrong in one is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankrag.data import read_recipe
from rankrag.data.sampling import draws, quotas, shares
from rankrag.errors import FormatError, InvalidInputError, NotFoundError
from rankrag.eval.benchmarks import PAPER

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = """
name: small
model: smollm2-135m
blend:
  draws: {stage2: 4}
  ingredients:
    one: {source: squad, files: [a.json], task: rank, weight: 1}
"""


def write(folder: Path, text: str) -> str:
    (folder / "recipe.yaml").write_text(text)
    return str(folder / "recipe.yaml")


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_read(path: Path) -> None:
    recipe = read_recipe(str(path))
    number, _, word = path.stem.partition("-")
    assert recipe.name == (f"{path.parent.name}-{word}" if number.isdigit() else path.stem)
    assert recipe.stage2


def test_rows_that_stand_alone_can_have_passages_that_give_orders() -> None:
    recipe = str(RECIPES / "rankrag-0.5b" / "1-first.yaml")
    names = [
        name
        for name, one in read_recipe(recipe).blend.ingredients.items()
        if one.task in ("retrieval_qa", "rank") and not one.together
    ]
    assert len(names) == 6
    changed = read_recipe(recipe, [f"blend.ingredients.{name}.hostile=0.1" for name in names])
    assert {name for name, one in changed.blend.ingredients.items() if one.hostile} == {*names}


@pytest.mark.parametrize("size", ["8b", "70b"])
def test_the_papers_weights_are_as_printed(size: str) -> None:
    blend = read_recipe(str(RECIPES / f"paper-{size}.yaml")).blend
    weights = {name: one.weight for name, one in blend.ingredients.items() if 2 in one.stages}
    assert sum(weights.values()) == pytest.approx(1.331)
    assert (blend.draws.stage1, blend.draws.stage2) == (1000 * 128, 3300 * 64)
    # the table of draws in 211,200 that follows from appendix B
    wanted = {"drop": 10949, "narrativeqa": 14281, "quoref": 4126, "ropes": 4126, "newsqa": 14281}
    wanted |= {"tatqa-arithmetic": 23802, "tatqa-others": 12694, "convqa": 31736, "sft": 31736}
    wanted |= {"squad-retrieval": 14281, "webq-retrieval": 14281, "squad-list": 3174, "webq-list": 3174}
    wanted |= {"msmarco-rank": 23802, "convqa-rank": 4760}
    found = quotas(weights, blend.draws.stage2)
    assert sum(found.values()) == 211200
    assert all(abs(found[name] - count) <= 1 for name, count in wanted.items())


@pytest.mark.parametrize("size", ["8b", "70b"])
def test_the_papers_instructions_stand_in_stage_one(size: str) -> None:
    blend = read_recipe(str(RECIPES / f"paper-{size}.yaml")).blend
    first = {name: one for name, one in blend.ingredients.items() if 1 in one.stages}
    assert {one.source for one in first.values()} == {
        *("chatqa_sft", "openassistant", "dolly", "soda", "self_instruct", "unnatural_instructions"),
        *("flan", "flan_cot"),
    }
    asked = quotas({name: one.weight for name, one in first.items()}, blend.draws.stage1)
    assert all(one.limit is None or one.limit >= asked[name] for name, one in first.items())


def test_the_papers_benchmarks_are_kept_out_of_its_recipes() -> None:
    named = read_recipe(str(RECIPES / "paper-8b.yaml")).blend.benchmarks
    for benchmark in PAPER.values():
        assert any(f"eval/{file}" in named for file, _ in benchmark.files), benchmark.name
    neutral = read_recipe(str(RECIPES / "paper-8b.yaml"), ['blend.benchmarks=["eval/*.jsonl"]'])
    assert neutral.blend.benchmarks == ["eval/*.jsonl"]


def test_every_download_of_the_papers_recipes_says_where_it_is() -> None:
    blend = read_recipe(str(RECIPES / "paper-8b.yaml")).blend
    files = {file for one in blend.ingredients.values() for file in one.files} | set(blend.benchmarks)
    assert blend.get.keys() == {file for file in files if not file.startswith("hub:")}


@pytest.mark.parametrize(
    "path", [RECIPES / "gpu.yaml", *sorted(RECIPES.glob("rankrag-*/*.yaml"))], ids=lambda path: path.stem
)
def test_what_ships_has_no_licence_against_it(path: Path) -> None:
    blend = read_recipe(str(path)).blend
    forbidden = {
        "msmarco",
        "topiocqa",
        "lima",
        "alpaca",
        "triviaqa",
        "bioasq",
        "hotpotqa",
        "2wiki",
        "musique",
    }
    assert blend.commercial_only is True
    assert blend.benchmarks
    assert not forbidden & {one.source for one in blend.ingredients.values()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("weight: 1", "wieght: 1"), "unknown key 'blend.ingredients.one.wieght': did you mean 'weight'"),
        (("name: small", "nmae: small"), "unknown key 'nmae': did you mean 'name'"),
        (("source: squad", "source: sqaud"), "blend.ingredients.one.source: found 'sqaud'"),
        (("weight: 1", "weight: -1"), "blend.ingredients.one.weight: found -1"),
        (("task: rank", "task: instruct, hostile: 0.1"), "one.hostile: found 0.1 for task instruct, wanted"),
        ((", task: rank", ""), "blend.ingredients.one.task: found nothing"),
        (("task: rank", "task: rank, mine: [bm25]"), "found run 'bm25', wanted one of none"),
        (("{stage2: 4}", "{stage2: 4"), "recipe.yaml:.*broken YAML"),
        (("  draws", "  get: {b.json: page}\n  draws"), "blend.get: found 'b.json': did you mean 'a.json'"),
        (("  draws", "  revisions: {a/b: main}\n  draws"), "blend.revisions.a/b: found 'main'"),
        (("  draws", f"  revisions: {{a/b: {'a' * 40}}}\n  draws"), "blend.revisions: found 'a/b': no ingr"),
        (("{stage2: 4}", "{zzz: 4}"), "unknown key 'blend.draws.zzz': wanted one of stage1, stage2"),
    ],
)
def test_a_wrong_recipe_is_explained(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = write(tmp_path, SMALL.replace(*change))
    with pytest.raises(FormatError, match=words) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)
    assert path in str(caught.value)


def test_a_recipe_that_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="found no recipe"):
        read_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(FormatError, match="found list"):
        read_recipe(write(tmp_path, "[1]"))


def test_settings_go_on_top(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    settings = ["blend.seed=7", "blend.ingredients.one.weight=0.5", "blend.ingredients.one.parts=[a, b]"]
    recipe = read_recipe(path, settings)
    assert recipe.blend.seed == 7
    assert recipe.blend.ingredients["one"].weight == 0.5
    assert recipe.blend.ingredients["one"].parts == ["a", "b"]
    assert recipe.sha256 != read_recipe(path).sha256
    for setting in ("blend.seed", "=3", "name.x=3", "blend..seed=1", "blend.seed=[1"):
        with pytest.raises(InvalidInputError, match="found the setting"):
            read_recipe(path, [setting])
    with pytest.raises(FormatError, match=r"unknown key 'blend\.sede': did you mean 'seed'"):
        read_recipe(path, ["blend.sede=7"])


def test_weights_become_shares_once() -> None:
    assert shares({"a": 0.2, "b": 0.6}) == {"a": pytest.approx(0.25), "b": pytest.approx(0.75)}
    assert quotas({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}


def test_what_one_cannot_give_the_others_do() -> None:
    weights = {"a": 1.0, "b": 1.0, "c": 2.0}
    assert draws(weights, {"a": 99, "b": 99, "c": 99}, 40) == {"a": 10, "b": 10, "c": 20}
    assert draws(weights, {"a": 4, "b": 99, "c": 99}, 40) == {"a": 4, "b": 12, "c": 24}
    assert draws(weights, {"a": 4, "b": 5, "c": 6}, 40) == {"a": 4, "b": 5, "c": 6}
    assert draws(weights, {"a": 0, "b": 99, "c": 99}, 30) == {"a": 0, "b": 10, "c": 20}
    assert draws(weights, {"a": 9, "b": 9, "c": 9}, 0) == {"a": 0, "b": 0, "c": 0}
