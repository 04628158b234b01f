"""The whole of `paper-8b` in miniature: every official format in, two steps of each stage out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import paper_small
import train_tiny
from cli_call import call
from rankrag.train import Job, train

RECIPE = str(Path(__file__).parents[1] / "recipes" / "paper-8b.yaml")
FEW = ("--set", "blend.draws={stage1: 40, stage2: 120}", "--set", "blend.held_out=0.0")


@pytest.mark.slow
def test_the_papers_recipe_is_built_and_trained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data, blend = str(paper_small.write_data(tmp_path / "data")), tmp_path / "blend"
    out, _ = call(capsys, "data", "build", RECIPE, "--data-root", data, "--check")
    assert "0 missing" in out
    build = ("data", "build", RECIPE, "--data-root", data, "--out", str(blend), *FEW, "--output", "json")
    made = json.loads(call(capsys, *build)[0])
    for name, ingredient in made["ingredients"].items():
        for stage in ("stage1", "stage2"):
            assert ingredient.get(stage, {"drawn": 1})["drawn"] > 0, f"{name} gave nothing to {stage}"
    hub = made["inputs"]["hub:nvidia/ChatQA-Training-Data:sft:train"]
    assert hub.keys() == {"revision", "sha256", "bytes"}
    assert made["ingredients"]["newsqa"]["drops"] == {"belongs to the set dev": 1, "bad question": 12}
    model = train_tiny.write_model(tmp_path / "model")
    with train_tiny.one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stage in (1, 2):
            settings = train_tiny.stage(model, max_steps=2, max_length=1024)
            folder = train(Job(settings, stage, blend, tmp_path / f"out{stage}"), lambda *_: None)
            assert (folder / "manifest.json").is_file()
