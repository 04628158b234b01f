"""`tools/gpu_round.py`, `dense_runs.py`, `dense_over_run.py`: what can be checked without GPU and weights."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from eval_place import make
from rankrag.data import read_recipe
from rankrag.formats import read_passages
from rankrag.train import read_stage

ROOT = Path(__file__).parents[1]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_arm_of_the_search_is_a_stage_and_differs_from_the_others() -> None:
    gpu_round = tool("gpu_round")
    stages = [read_stage(str(gpu_round.RECIPE), 2, arm) for arm in gpu_round.ARMS.values()]
    assert len({stage.model_dump_json() for stage in stages}) == len(stages)
    assert read_recipe(str(gpu_round.RECIPE)).blend.commercial_only


def test_systems_are_asked_where_their_runs_are(tmp_path: Path) -> None:
    gpu_round = tool("gpu_round")
    for run in ("gold/bm25/nq", "gold/dense/nq", "wiki/bm25/nq", "gold/bm25/fever"):
        (tmp_path / run).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{run}.run").touch()
    chosen = argparse.Namespace(
        trained=Path("out"), runs=tmp_path, texts=Path("texts"), out=Path("answers"), retrieve_k=100, n=7,
        data_root=Path("data"),
    )  # fmt: skip
    asked = gpu_round.asked(chosen)
    assert "predict nq fever --name ranked" in " ".join(asked["gold-ranked"])
    assert "wiki-untuned" in asked
    both = [name for name in asked if "hybrid" in name]
    assert both == ["gold-hybrid-ranked", "gold-hybrid-unranked"]
    command = " ".join(asked["gold-hybrid-ranked"])
    assert "fever" not in command, "its run by vectors is not there"
    assert f"--run {tmp_path}/gold/bm25 --run {tmp_path}/gold/dense" in command
    assert "--corpus texts/gold/nq.jsonl.xz" in command
    assert "--retrieve-k 100 -n 7" in command


def test_the_texts_that_runs_name_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_round, place = tool("gpu_round"), make(tmp_path)
    (place / "eval").mkdir()
    (place / "eval" / "nq.jsonl").write_text((place / "capitals.jsonl").read_text())
    (place / "runs" / "gold" / "bm25").mkdir(parents=True)
    (place / "runs" / "gold" / "bm25" / "nq.run").write_text((place / "x.run").read_text())
    monkeypatch.setattr(gpu_round, "CORPORA", {"gold": ("", ("nq", "popqa"))})
    gpu_round.texts(place, place / "runs", [place / "index"], 2, place / "texts")
    found = [one.id for one in read_passages(str(place / "texts" / "gold" / "nq.jsonl.xz"))]
    assert len(found) == 4  # two questions, two passages each
    assert len({name[1:] for name in found}) == 2
    assert not (place / "texts" / "gold" / "popqa.jsonl.xz").exists()


def test_a_search_by_vectors_is_exact_over_several_files() -> None:
    dense_runs = tool("dense_runs")
    draw = np.random.default_rng(3)
    files = {name: draw.normal(size=(size, 8)).astype(np.float16) for name, size in (("a", 30), ("b", 11))}

    class Shelf:
        def file(self, path: str) -> tuple[list[str], torch.Tensor]:
            return [f"{path}{n}" for n in range(len(files[path]))], torch.from_numpy(files[path])

    queries = draw.normal(size=(5, 8)).astype(np.float32)
    found = list(dense_runs.search(Shelf(), ["a", "b"], queries, 7))
    names = [f"{path}{n}" for path in files for n in range(len(files[path]))]
    scores = queries @ np.concatenate([*files.values()]).astype(np.float32).T
    for row, hits in zip(scores, found, strict=True):
        assert [hit.passage.id for hit in hits] == [names[n] for n in np.argsort(-row)[:7]]
        assert [hit.score for hit in hits] == pytest.approx(np.sort(row)[::-1][:7], abs=1e-4)


def test_the_passages_of_a_run_are_ordered_by_vectors() -> None:
    dense_over_run = tool("dense_over_run")
    vectors = {name: np.array(row) for name, row in (("a", [1, 0]), ("b", [0, 1]), ("c", [0.5, 0.5]))}
    vectors["d"] = vectors["c"]
    found = dense_over_run.ordered(["a", "d", "c", "b"], np.array([0.2, 0.8]), vectors)
    assert [hit.passage.id for hit in found] == ["b", "c", "d", "a"]  # equal ones by id
    assert [hit.score for hit in found] == [0.8, 0.5, 0.5, 0.2]
