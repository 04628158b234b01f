"""The numbers that a model computes with unless told otherwise: measured once, remembered, told by doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli_call import call
from rankrag.model.engine import memory, precision
from rankrag.model.engine.precision import MeasuredPrecision
from rankrag.model.store.checkpoint import Checkpoint, write_checkpoint

WIDE = {"model_type": "qwen2", "hidden_size": 512, "intermediate_size": 640}


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def folder_of(path: Path, settings: dict[str, object]) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(settings))
    return path


def says(monkeypatch: pytest.MonkeyPatch, rates: dict[MeasuredPrecision, float]) -> list[tuple[int, int]]:
    """Let the machine be one of these rates; return the shapes that it is asked for."""
    asked: list[tuple[int, int]] = []

    def measured(width: int, inner: int) -> dict[MeasuredPrecision, float]:
        asked.append((width, inner))
        return rates

    monkeypatch.setattr(precision, "_measured", measured)
    return asked


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ({"float32": 100.0, "bfloat16": 200.0, "int8": 90.0}, "bfloat16"),
        ({"float32": 100.0, "bfloat16": 110.0}, "float32"),
        ({"float32": 100.0, "bfloat16": 20.0}, "float32"),
    ],
)
def test_the_fastest_is_chosen_where_it_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rates: dict[MeasuredPrecision, float], chosen: str
) -> None:
    says(monkeypatch, rates)
    assert precision.choose(folder_of(tmp_path / "wide", WIDE), tmp_path / "speeds.json") == chosen


def test_what_loses_quality_is_never_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, dict.fromkeys(("float32", "bfloat16"), 1.0) | {"int8": 99.0})  # type: ignore[arg-type]
    monkeypatch.setattr(precision, "EQUAL", ("float32", "bfloat16"))
    assert precision.choose(folder_of(tmp_path / "wide", WIDE), tmp_path / "speeds.json") == "float32"


def test_a_machine_is_measured_once_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = says(monkeypatch, {"float32": 1.0, "bfloat16": 2.0})
    folder, remembered = folder_of(tmp_path / "wide", WIDE), tmp_path / "made" / "speeds.json"
    for _ in range(2):
        assert precision.rates(folder, remembered) == {"float32": 1.0, "bfloat16": 2.0}
    precision.rates(folder_of(tmp_path / "other", WIDE | {"intermediate_size": 768}), remembered)
    spoilt = json.dumps(dict.fromkeys(json.loads(remembered.read_text()), 3))
    for broken in ("{", "null", spoilt):  # is as if it were not there
        remembered.write_text(broken)
        precision.rates(folder, remembered)
    assert asked == [(512, 640), (512, 768), *[(512, 640)] * 3]


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, {"float32": 1.0, "bfloat16": 2.0})
    (tmp_path / "file").write_text("")
    chosen = precision.choose(folder_of(tmp_path / "wide", WIDE), tmp_path / "file" / "speeds.json")
    assert chosen == "bfloat16"


@pytest.mark.parametrize(
    "changed",
    [
        {"model_type": "granite"},
        {"model_type": ["llama"]},
        {"hidden_size": 64},
        {"hidden_size": None},
        {"hidden_size": 2**31},
    ],
)
def test_what_was_not_tried_stays_in_float32(tmp_path: Path, changed: dict[str, object]) -> None:
    folder = folder_of(tmp_path / "other", WIDE | changed)
    assert precision.choose(folder, tmp_path / "speeds.json") == "float32"
    assert precision.choose(tmp_path / "nowhere", tmp_path / "speeds.json") == "float32"
    assert not (tmp_path / "speeds.json").exists()


def test_products_are_measured(tmp_path: Path) -> None:
    found = precision.rates(folder_of(tmp_path / "wide", WIDE), tmp_path / "speeds.json")
    assert {"float32", "bfloat16"} <= set(found) <= {"float32", "bfloat16", "int8"}
    assert all(rate > 1e6 for rate in found.values())


def test_doctor_says_what_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rankrag.model.store import registry

    says(monkeypatch, {"float32": 1e11, "bfloat16": 2e11})
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path))
    folder = folder_of(tmp_path / "wide", WIDE)
    write_checkpoint(Checkpoint(folder, "paper"))
    (folder / "model.safetensors").touch()
    monkeypatch.setattr(registry, "locate", lambda name: folder)
    out, _ = call(capsys, "doctor", "--output", "json", code=3)
    told = {check["name"]: check["found"] for check in json.loads(out)["checks"]}
    assert told["precision"] == "bfloat16 (billion operations a second: float32 100, bfloat16 200)"


def test_memory_is_given_back_where_the_system_can(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(memory, "_trim", lambda: given.append)
    memory.give_back()
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back()
    assert given == [0]


@pytest.mark.parametrize(("threads", "kept"), [(2, "256"), (16, "1024")])
def test_few_compiled_products_are_kept_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, threads: int, kept: str
) -> None:
    import torch

    first, second = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setenv(first, "7")
    monkeypatch.setenv(second, "7")
    monkeypatch.delenv(second)
    memory.bound_kernels()
    assert (os.environ[first], os.environ[second]) == ("7", kept)


GROWTH = """
from pathlib import Path

import torch

from rankrag.model.engine import memory


def anonymous() -> int:
    memory.give_back()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


torch.set_num_threads(1)
memory.bound_kernels()
with torch.inference_mode():
    for n in range(1, 401):
        torch.bmm(torch.ones(3, n, 64).bfloat16(), torch.ones(3, 64, 200 + n).bfloat16())
        if n == 150:
            before = anonymous()
print(anonymous() - before)
"""


@pytest.mark.slow
def test_products_of_ever_other_sizes_leave_no_memory_behind() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells what is resident")
    told = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    # By the limits of oneDNN and PyTorch each of 250 leaves 0.5 MB.
    assert int(told.stdout) < 20_000
