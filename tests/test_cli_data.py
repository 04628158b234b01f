"""`rankrag data`: the searches that a recipe needs, the blend, and what it shows of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import blend_small
from cli_call import call

TINY = str(Path(__file__).parents[1] / "recipes" / "tiny.yaml")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return blend_small.write_data(tmp_path / "data")


def build_command(data: Path, out: Path) -> tuple[str, ...]:
    return ("data", "build", str(data / "recipe.yaml"), "--data-root", str(data), "--out", str(out))


def test_what_a_recipe_mines_is_searched_for_once(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    build = build_command(data, tmp_path / "b")
    out, err = call(capsys, *build)
    assert "for the run" in err
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["web", "five", "mine"]
    first = (tmp_path / "b" / "examples.jsonl").read_bytes()
    assert b"The Danube is long." in first
    out, err = call(capsys, *build, "--output", "json")
    assert "for the run" not in err
    assert json.loads(out)["ingredients"]["web"]["items_read"] == 5
    assert (tmp_path / "b" / "examples.jsonl").read_bytes() == first


def test_a_corpus_that_cannot_be_read_is_named(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    (data / "wiki.jsonl").write_text('{"_id": "1", "text": "Ulm."}\n{"_id": \n')
    build = build_command(data, tmp_path / "b")
    _, err = call(capsys, *build, code=6)
    assert "wiki.jsonl" in err
    assert "2: found broken JSON" in err
    assert not (tmp_path / "b" / "own.run").exists()


def test_examples_are_shown_with_what_is_learnt(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    blend = str(tmp_path / "b")
    out, err = call(capsys, "data", "build", TINY, "--out", blend, "--set", "blend.seed=7")
    assert "held out" in out
    # An ingredient may itself be called `read`: what is counted stands behind its name.
    assert {"read, items read: 12", "rank, items read: 96"} <= {*err.splitlines()}
    assert "rank, examples made: " in err
    assert "rank, drawn for stage 2: " in err
    out, _ = call(capsys, "data", "show", blend, "--task", "rank", "-n", "2", "--output", "json")
    shown = json.loads(out)["examples"]
    assert [one["task"] for one in shown] == ["rank", "rank"]
    assert {one["target"] for one in shown} <= {" True", " False"}
    out, _ = call(capsys, "data", "show", blend, "--stage", "1", "-n", "1", "--template", "chat")
    assert "<|im_start|>assistant" in out
    assert "only here it has a loss" in out
    out, err = call(capsys, "data", "show", blend, "--source", "squad")
    assert (out, "found no such example" in err) == ("", True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.yaml"], 4, "found no recipe at nowhere.yaml"),
        ([TINY, "--set", "blend.sead=7"], 5, "found the unknown key 'blend.sead': did you mean 'seed'?"),
        ([TINY, "--set", "blend.ingredients.rank.files=[gone.jsonl]"], 4, "found no gone.jsonl in"),
    ],
)
def test_what_is_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    out, err = call(capsys, "data", "build", *arguments, "--out", str(tmp_path / "b"), code=code)
    assert out == ""
    assert words in err.splitlines()[-1]
    assert not (tmp_path / "b" / "examples.jsonl").exists()


def test_showing_what_was_never_built_names_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, err = call(capsys, "data", "show", str(tmp_path), code=4)
    assert "rankrag data build" in err


def test_a_check_lists_all_that_is_missing_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A copy of the hub counts as there; nothing is asked of a network here, and nothing is written."""
    data = tmp_path / "data"
    split = data / "hub" / "a" / "b" / "c" / "train.jsonl"
    split.parent.mkdir(parents=True)
    split.write_text("{}\n")
    (data / "one.json").write_text("not read")
    (data / "recipe.yaml").write_text(
        """
name: small
model: smollm2-135m
blend:
  draws: {stage2: 4}
  benchmarks: ["eval/*.jsonl"]
  get: {two.json: "https://example.org/two (train)"}
  ingredients:
    one: {source: squad, files: [one.json, two.json], task: context_qa, weight: 1}
    two: {source: squad, files: [two.json], task: retrieval_qa, weight: 1}
    three: {source: drop, format: chatqa, files: ["hub:a/b:c:train"], task: context_qa, weight: 1}
    four: {source: quoref, files: ["gone*.json"], task: context_qa, weight: 1}
"""
    )
    check = ("data", "build", str(data / "recipe.yaml"), "--data-root", str(data), "--check")
    out, _ = call(capsys, *check, code=4)
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [
        ["here", "one.json"],
        ["missing", "two.json"],
        ["here", "hub:a/b:c:train"],
        ["missing", "gone*.json"],
        ["missing", "eval/*.jsonl"],
    ]
    assert "one, two" in lines[2]
    assert "https://example.org/two (train)" in lines[2]
    assert lines[-1] == "2 of 5 can be had, 3 missing"
    found = json.loads(call(capsys, *check, "--output", "json", code=4)[0])
    assert found["ok"] is False
    assert found["needs"][1]["wanted_by"] == ["one", "two"]
    _, err = call(capsys, *check[:-1], "--out", str(tmp_path / "b"), code=4)
    assert "found no two.json, gone*.json, eval/*.jsonl in" in err
    assert not (tmp_path / "b" / "examples.jsonl").exists()
    assert {path.name for path in data.iterdir()} == {"hub", "one.json", "recipe.yaml"}


def test_a_check_without_a_fault_ends_well(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    out, _ = call(capsys, "data", "build", str(data / "recipe.yaml"), "--check")
    assert "wiki.jsonl" in out
    assert "passages.webquestions.jsonl" not in out  # written by the build itself
    _, err = call(capsys, "data", "build", str(data / "recipe.yaml"), code=2)
    assert "wanted --out BLEND to write, or --check" in err
