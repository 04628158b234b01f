"""The whole of `paper-8b` in miniature: every official format in, a blend and two steps of each stage out."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import hub_server
import paper_small
from cli_call import call
from rankrag.data import read_recipe

RECIPE = str(Path(__file__).parents[1] / "recipes" / "paper-8b.yaml")
FEW = ("--set", "blend.draws={stage1: 40, stage2: 120}", "--set", "blend.held_out=0.0")
PINNED = read_recipe(RECIPE).blend.revisions


def test_the_papers_recipe_is_built_of_official_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = paper_small.write_data(tmp_path / "data")
    paper_small.write_copies(data, PINNED)
    out, _ = call(capsys, "data", "build", RECIPE, "--data-root", str(data), "--check")
    assert "0 missing" in out
    build = ("data", "build", RECIPE, "--data-root", str(data), "--out", str(tmp_path / "blend"), *FEW)
    out, err = call(capsys, *build, "--output", "json")
    made = json.loads(out)
    for name, ingredient in made["ingredients"].items():
        drawn = [ingredient[stage]["drawn"] for stage in ("stage1", "stage2") if stage in ingredient]
        assert drawn, f"{name} is in no stage"
        assert all(drawn), f"{name} gave nothing to a stage"
    assert made["ingredients"]["newsqa"]["drops"] == {"belongs to the set dev": 1, "bad question": 12}
    assert made["benchmarks"]["questions"] == len(paper_small.BENCHMARKS)
    drops = made["ingredients"]["self-instruct"]["drops"]
    assert drops == {"is a benchmark question": len(paper_small.BENCHMARKS)}
    assert f"blend.revisions of the recipe: allenai/soda: {paper_small.NEWEST}, {paper_small.CHATQA}: " in err
    assert "oasst1" not in err.splitlines()[-1]


@pytest.mark.slow
def test_the_miniature_comes_from_the_hub_and_is_trained_in_both_stages(tmp_path: Path) -> None:
    import train_tiny
    from rankrag.train import TrainingJob, train

    data, blend = paper_small.write_data(tmp_path / "data"), tmp_path / "blend"
    build = ("data", "build", RECIPE, "--data-root", str(data), "--out", str(blend), *FEW)
    with hub_server.serving(paper_small.repositories(PINNED)) as hub:
        _run(hub.url, tmp_path, *build)
    for repository, commit in PINNED.items():
        assert any(path.startswith(f"/datasets/{repository}/resolve/{commit}/") for path in hub.asked)
    inputs = json.loads((blend / "manifest.json").read_text())["inputs"]
    for name in (name for name in inputs if name.startswith("hub:")):
        repository, config = name.split(":")[1:3]
        copy = blend / "hub" / repository / (config or "default") / "train.jsonl"
        assert inputs[name] == {
            "revision": PINNED.get(repository, paper_small.NEWEST),
            "sha256": hashlib.sha256(copy.read_bytes()).hexdigest(),
            "bytes": copy.stat().st_size,
        }
    model = train_tiny.write_model(tmp_path / "model")
    with train_tiny.one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stage in (1, 2):
            out = tmp_path / f"out{stage}"
            settings = train_tiny.stage(model, max_steps=2, max_length=1024)
            train(TrainingJob(settings, stage, blend, out), lambda *_: None)
            said = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            assert [one["step"] for one in said if "loss" in one] == [1, 2]


def _run(hub: str, folder: Path, *arguments: str) -> None:
    """Run the command in a process of its own: the hub's library reads its address when it is imported."""
    names = {"HF_ENDPOINT": hub, "HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "0"}
    subprocess.run([sys.executable, "-m", "rankrag", *arguments], env=os.environ | names, check=True)
