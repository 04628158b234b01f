"""Help pages as a person reads them at 80 columns, and what a shell completes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from rankrag.cli import completion
from rankrag.cli.app import app, run


def commands() -> list[list[str]]:
    def below(command: object, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from below(child, [*path, name])

    return [*below(typer.main.get_command(app), [])]


@pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(path) or "rankrag")
def test_a_page_fits_80_columns_with_whole_words_and_no_types(
    path: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*path, "--help"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    kinds = [kind for kind in re.findall(r"<([a-z][^<>]*)>", page) if "|" not in kind]
    assert not kinds  # <bool>, <int range>: what Python calls a value tells a reader nothing
    listed = re.findall(r"^  [a-z]+  +.*$", page.partition("Commands:")[2], re.MULTILINE)
    assert not [line for line in listed if line.endswith("...")]
    assert not [choices for choices in re.findall(r"<[a-z][^<>]*>", page) if re.search(r"\s", choices)]


def test_a_verb_that_is_not_there_brings_one_that_is_to_mind(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serch"]) == 2
    assert "Did you mean 'search'" in capsys.readouterr().err


def test_a_shell_completes_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "mine.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert completion.language_models("rankrag-1") == ["rankrag-135m"]
    assert completion.language_models("models/") == ["models/mine/"]
    assert completion.language_models("minilm") == []
    assert completion.encoders("minilm") == ["minilm-l6"]
    assert "fake" in completion.language_models("")
    assert completion.benchmarks("hot") == ["hotpotqa"]
    assert completion.benchmarks("mi") == ["mine.jsonl"]
    assert "ablation" in completion.studies("abl")
    assert completion.model_names("smollm2-1")


def test_completion_reaches_the_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"_RANKRAG_COMPLETE": "complete_bash", "COMP_CWORD": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMP_WORDS", "rankrag ask --model rankrag-")
    with pytest.raises(SystemExit):
        typer.main.get_command(app)([], prog_name="rankrag")
    assert "rankrag-135m" in capsys.readouterr().out.split()
