"""`rankrag train` and `rankrag model export`, on a language model of 60,000 weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import train_tiny
from cli_call import call

ROOT = Path(__file__).parents[1]
RECIPE = """
name: small
model: {model}
stage2:
  lora: {{r: 4, lora_alpha: 8}}
  learning_rate: 0.01
  max_length: 512
  global_batch_size: 8
  max_steps: 4
  eval_steps: 2
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with train_tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a recipe, a blend."""
    home = tmp_path_factory.mktemp("home")
    (home / "model").mkdir()
    (home / "recipe.yaml").write_text(RECIPE.format(model=train_tiny.write_model(home / "model")))
    train_tiny.write_blend(home / "blend")
    (home / "passages.txt").write_text("The harbour of Oslo.\nThe castle of Lima.\n")
    return home


@pytest.mark.slow
def test_a_blend_becomes_a_checkpoint_becomes_an_export(
    capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path
) -> None:
    made, exported = str(tmp_path / "checkpoint"), str(tmp_path / "exported")
    recipe, blend = str(home / "recipe.yaml"), str(home / "blend")
    train = ("train", recipe, "--stage", "2", "--blend", blend, "--out", made)
    out, _ = call(capsys, *train)
    assert [line.split()[0] for line in out.splitlines()[1:7]] == [
        "loss", "answer_loss", "list_loss", "rank_loss", "rank_accuracy", "rank_auc",
    ]  # fmt: skip
    assert f"{made}: 4 steps" in out
    assert "eval_loss" in (tmp_path / "checkpoint" / "metrics.jsonl").read_text()
    _, err = call(capsys, *train, code=5)
    assert "found a finished checkpoint" in err
    out, _ = call(capsys, "model", "export", made, exported, "--output", "json")
    assert json.loads(out) == {"checkpoint": made, "path": exported}
    assert (tmp_path / "exported" / "model.safetensors").is_file()
    rank = ("rank", "Where is the harbour?", "--passages", str(home / "passages.txt"), "--output", "json")
    scores = [
        [hit["score"] for hit in json.loads(call(capsys, *rank, "--model", folder)[0])["ranked"]]
        for folder in (made, exported)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


@pytest.mark.slow
def test_settings_go_on_top_and_json_has_the_facts(
    capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path
) -> None:
    out, _ = call(
        capsys, "train", str(home / "recipe.yaml"), "--stage", "2", "--blend", str(home / "blend"), "--out",
        str(tmp_path / "c"), "--set", "stage2.max_steps=1", "--output", "json",
    )  # fmt: skip
    facts = json.loads(out)
    assert (facts["step"], facts["stage"]["max_steps"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--stage", "2", "--out", "c"], 2, "wanted --blend BLEND to read and --out DIR to write"),
        (["--stage", "3"], 2, "'3' is not one of '1', '2'"),
        (["--stage", "1", "--blend", "b", "--out", "c"], 5, "found no section 'stage1'"),
        (["--stage", "2", "--dry-run", "--set", "stage2.lerning_rate=1"], 5, "did you mean learning_rate?"),
    ],
)
def test_what_is_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], home: Path, arguments: list[str], code: int, words: str
) -> None:
    out, err = call(capsys, "train", str(home / "recipe.yaml"), *arguments, code=code)
    assert out == ""
    assert words in err.splitlines()[-1]


def test_a_dry_run_needs_neither_model_nor_blend(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(ROOT / "recipes" / "paper-8b.yaml")
    dry = ("train", recipe, "--stage", "2", "--dry-run", "--devices", "32")
    cost = json.loads(call(capsys, *dry, "--output", "json")[0])
    assert (cost["steps"], cost["n_devices"], cost["fits"]) == (3300, 32, True)
    assert cost["tokens"] == 3300 * 64 * 4096
    out, _ = call(capsys, *dry)
    assert "8,030,261,248" in out
    assert "to make it fit" not in out
    out, _ = call(capsys, *dry[:-1], "1")
    assert "to make it fit:\n  --devices 2\n" in out


def test_hours_are_for_the_recipe_s_own_draws(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    """The blend at hand, a small one, says only how long an example is."""
    recipe = home / "drawn.yaml"
    blend = "blend: {draws: {stage2: 800}, ingredients: {own: {source: own, format: examples, files: [x],"
    text = (home / "recipe.yaml").read_text().replace("max_steps: 4", "num_train_epochs: 1")
    recipe.write_text(f"{text}{blend} task: rank, weight: 1}}}}}}\n")
    dry = ("--stage", "2", "--blend", str(home / "blend"), "--dry-run", "--output", "json")
    cost = json.loads(call(capsys, "train", str(recipe), *dry)[0])
    assert (cost["load"]["n_examples"], cost["steps"]) == (800, 100)
    recipe.write_text(text)  # without a blend section its own number is all that is known
    cost = json.loads(call(capsys, "train", str(recipe), *dry)[0])
    assert (cost["load"]["n_examples"], cost["steps"]) == (48, 6)
