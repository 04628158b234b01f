"""Recipes: strict, with errors of one line that name the file and the key."""

from pathlib import Path

import pytest

from rankrag.errors import InvalidInputError, NotFoundError
from rankrag.train import read_stage

RECIPE = """\
name: small
model: smollm2-135m
blend: {template: chat, ingredients: {}}
stage1: {learning_rate: 5e-6}
stage2:
  learning_rate: 1e-4
  lora: {r: 8}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_a_stage_takes_what_stands_above_it(recipe: str) -> None:
    first, second = read_stage(recipe, 1), read_stage(recipe, 2)
    assert (first.model, first.template, first.lora) == ("smollm2-135m", "chat", None)
    assert first.learning_rate == pytest.approx(5e-6)
    assert second.lora is not None
    assert (second.lora.r, second.lora.lora_alpha, second.adam_beta2) == (8, 32, 0.98)


def test_settings_come_on_top(recipe: str) -> None:
    settings = [
        "stage2.learning_rate=2e-3",
        "stage2.lora.r=4",
        "stage2.bf16=false",
        "model=/m",
        "blend.seed=1",
    ]
    stage = read_stage(recipe, 2, settings)
    assert stage.lora is not None
    assert (stage.learning_rate, stage.lora.r, stage.bf16, stage.model) == (2e-3, 4, False, "/m")
    assert read_stage(recipe, 2, ["stage2.lora=null"]).lora is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["stage2.learning_rat=1"],
            r"small.yaml: stage2.learning_rat: found an unknown key.*learning_rate\?",
        ),
        (
            ["stage2.lora.rank=1"],
            r"small.yaml: stage2.lora.rank: found an unknown key.*known keys: r, lora_alpha",
        ),
        (["stage2.lora.alpha=1"], r"stage2.lora.alpha: found an unknown key.*lora_alpha\?"),
        (["stage2.learning_rate=fast"], r"small.yaml: stage2.learning_rate: found 'fast', .*number"),
        (["stage2.max_length=4"], r"stage2.max_length: found 4, .*greater than or equal to 16"),
        (["stage2.template=llama"], r"stage2.template: found 'llama', wanted one of paper, chat"),
        (["stage2.lr_scheduler_type=cosin"], r"stage2.lr_scheduler_type: found 'cosin', .*'cosine'"),
        (["stage2.global_batch_size=9"], r"stage2: wanted global_batch_size \(9\) to be a multiple of"),
        (["stage2.lora.r.x=1"], r"the setting 'stage2.lora.r.x=1', but stage2.lora.r holds no names"),
        (["stage3.learning_rate=1"], r"the setting 'stage3.learning_rate=1', wanted KEY=VALUE"),
        (["stage2.learning_rate"], r"wanted NAME.NAME=VALUE"),
        (["stage2.lora=[1"], r"whose value is broken YAML"),
    ],
)
def test_what_is_wrong_is_named(recipe: str, settings: list[str], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        read_stage(recipe, 2, settings)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("model: m\nstage2: {max_length: 100}\n")
    with pytest.raises(InvalidInputError, match=r"r.yaml: stage2.learning_rate: found nothing"):
        read_stage(str(path), 2)


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    with pytest.raises(NotFoundError, match="found no recipe"):
        read_stage(str(path), 1)
    path.write_text("model: m\nstage1: {learning_rate: 1\n")
    with pytest.raises(
        InvalidInputError, match=r"r.yaml:3: found broken YAML .*: mend it here or just above"
    ):
        read_stage(str(path), 1)
    path.write_text("model: m\n")
    with pytest.raises(InvalidInputError, match="found no section 'stage1'"):
        read_stage(str(path), 1)
    path.write_text("- m\n")
    with pytest.raises(InvalidInputError, match=r"r.yaml:1: found list, wanted names and their values"):
        read_stage(str(path), 1)


RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_project_are_read(path: Path) -> None:
    second = read_stage(str(path), 2)
    assert second.template == "paper"
    further = ("-cpu-ranking", "-cpu-together", "-cpu-short", "own-documents")  # more rounds of stage 2
    if path.stem.endswith(further):
        assert second.share_prefixes
        return
    first = read_stage(str(path), 1)
    assert first.template == "paper"
    if path.stem.startswith("paper-"):
        assert (first.learning_rate, first.global_batch_size, first.max_steps) == (5e-6, 128, 1000)
        assert (second.global_batch_size, second.max_steps, second.adam_beta2) == (64, 3300, 0.98)
        assert second.learning_rate == {"paper-8b": 3e-7, "paper-70b": 2e-7}[path.stem]
        assert first.lora is second.lora is None


def test_weights_too_coarse_for_their_steps_are_refused(recipe: str) -> None:
    with pytest.raises(InvalidInputError, match="wanted dtype float32 where all weights are trained"):
        read_stage(recipe, 2, ["stage2.lora=null", "stage2.dtype=bfloat16"])
    assert read_stage(recipe, 2, ["stage2.dtype=bfloat16"]).dtype == "bfloat16"


def test_the_batch_is_shared_by_the_devices(recipe: str) -> None:
    stage = read_stage(recipe, 2, ["stage2.global_batch_size=64", "stage2.per_device_train_batch_size=2"])
    assert [stage.accumulation_steps(n) for n in (1, 8, 32)] == [32, 4, 1]
    with pytest.raises(InvalidInputError, match=r"found global_batch_size 64, wanted a multiple of 6 "):
        stage.accumulation_steps(3)
