"""The whole of `paper-8b` in miniature: every official format in, a blend and two steps of each stage out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import paper_small
from cli_call import call

RECIPE = str(Path(__file__).parents[1] / "recipes" / "paper-8b.yaml")
FEW = ("--set", "blend.draws={stage1: 40, stage2: 120}", "--set", "blend.held_out=0.0")


def build(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    """Build the miniature in `folder/blend` and return what the command says in JSON."""
    data = str(paper_small.write_data(folder / "data"))
    out, _ = call(capsys, "data", "build", RECIPE, "--data-root", data, "--check")
    assert "0 missing" in out
    build = ("data", "build", RECIPE, "--data-root", data, "--out", str(folder / "blend"), *FEW)
    return call(capsys, *build, "--output", "json")[0]


def test_the_papers_recipe_is_built_of_official_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = json.loads(build(capsys, tmp_path))
    for name, ingredient in made["ingredients"].items():
        drawn = [ingredient[stage]["drawn"] for stage in ("stage1", "stage2") if stage in ingredient]
        assert drawn, f"{name} is in no stage"
        assert all(drawn), f"{name} gave nothing to a stage"
    hub = made["inputs"]["hub:nvidia/ChatQA-Training-Data:sft:train"]
    assert hub.keys() == {"revision", "sha256", "bytes"}
    assert made["ingredients"]["newsqa"]["drops"] == {"belongs to the set dev": 1, "bad question": 12}


@pytest.mark.slow
def test_the_miniature_is_trained_in_both_stages(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import train_tiny
    from rankrag.train import TrainingJob, train

    build(capsys, tmp_path)
    model = train_tiny.write_model(tmp_path / "model")
    with train_tiny.one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stage in (1, 2):
            out = tmp_path / f"out{stage}"
            settings = train_tiny.stage(model, max_steps=2, max_length=1024)
            train(TrainingJob(settings, stage, tmp_path / "blend", out), lambda *_: None)
            said = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            assert [one["step"] for one in said if "loss" in one] == [1, 2]
