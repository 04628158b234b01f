"""`rankrag prompt`: the words of a prompt and the seam of the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from rankrag import prompts
from rankrag.cli.app import run
from rankrag.types import Style, Task


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model that was pulled counts the tokens, and its tokenizer takes a tenth of a second to load."""
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path))


def show(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    assert run(["prompt", "show", *options, "--output", "json"]) == 0
    shown: dict[str, str] = json.loads(capsys.readouterr().out)
    return shown


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("template", prompts.TEMPLATES)
def test_every_task_has_a_prompt_with_a_target(
    capsys: pytest.CaptureFixture[str], task: str, template: str
) -> None:
    shown = show(capsys, "--task", task, "--template", template)
    form = prompts.template(template)
    assert shown["prefix"].startswith(form.system[0] + prompts.SYSTEM)
    assert shown["suffix"].endswith(form.open_answer)
    assert shown["target"]
    assert shown["template_hash"] == prompts.template_hash(form)


@pytest.mark.parametrize("style", get_args(Style))
def test_every_style_has_its_words(capsys: pytest.CaptureFixture[str], style: str) -> None:
    shown = show(capsys, "--task", "retrieval_qa", "--style", style, "--question", "Is snow white?")
    assert "Is snow white?" in shown["suffix"]
    assert (style == "plain") == (shown["suffix"] == "\n\nUser: Is snow white?\n\nAssistant:")


def test_the_text_is_the_prompt_itself_with_a_legend(capsys: pytest.CaptureFixture[str]) -> None:
    shown = show(capsys)
    assert run(["prompt", "show"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(shown["prefix"] + shown["suffix"] + shown["target"])
    legend = out[len(shown["prefix"] + shown["suffix"] + shown["target"]) :].split("\n")
    assert [line.split()[0] for line in legend if line.strip()] == ["prefix", "suffix", "target"]


def test_own_passages_question_and_target(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "passages.txt"
    path.write_text("One.\nTwo.\n")
    shown = show(capsys, "--task", "retrieval_qa", "--passages", str(path), "--target", "Both.")
    assert shown["prefix"].endswith("Passage 1: One.\n\nPassage 2: Two.")
    assert shown["target"] == " Both."


def test_the_list_names_everything_that_show_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prompt", "list", "--output", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["tasks"] == [*get_args(Task)]
    assert listed["styles"] == [*get_args(Style)]
    assert [*listed["templates"]] == [*prompts.TEMPLATES]
    assert run(["prompt", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*get_args(Task), *get_args(Style), *prompts.TEMPLATES))
