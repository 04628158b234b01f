"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: str, **more: str) -> str:
    where = {"PYTHONPATH": str(ROOT / "src"), "RANKRAG_MODEL": "fake", **more}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **where}, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_example_is_listed_and_has_cells() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert len(scripts) == 4
    for script in scripts:
        assert f"]({script.name})" in listed
        assert script.read_text(encoding="utf-8").count("# %% ") >= 3


@pytest.mark.slow
def test_a_folder_is_asked() -> None:
    assert "eighteen toes" in run("ask_a_folder.py")
    said = run("ask_a_folder.py", str(ROOT / "recipes" / "tiny"), "Where does the river end?")
    assert said.startswith("2 files") or "files" in said


@pytest.mark.slow
def test_langchain_is_ranked() -> None:
    pytest.importorskip("langchain_core")
    assert "A cat has eighteen toes." in run("langchain_rerank.py").splitlines()[1]


@pytest.mark.slow
def test_ranking_is_measured() -> None:
    pytest.importorskip("ir_measures")
    assert "report.html" in run("does_ranking_help.py")


@pytest.mark.slow
@pytest.mark.model
def test_a_checkpoint_is_tuned_on_own_documents(tmp_path: Path) -> None:
    from rankrag.index import Settings, build

    build([str(ROOT / "docs" / "architecture.md")], tmp_path / "index", Settings())
    where = {"RANKRAG_WORK": str(tmp_path), "RANKRAG_MODEL": "rankrag-135m"}
    said = run("own_documents.py", str(tmp_path / "index"), **where)
    assert "questions on" in said
    assert (tmp_path / "checkpoint" / "rankrag.json").is_file()
