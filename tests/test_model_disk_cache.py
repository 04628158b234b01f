"""States of frequent passages on disk: what they give, and what may go wrong with them."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from model_tiny import config, write
from rankrag import prompts
from rankrag.errors import FailureError
from rankrag.model.engine import disk_cache
from rankrag.model.engine.disk_cache import DiskCache
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.system import Loading, SystemSpec, open_engine
from rankrag.types import Passage, Prompt, Question
from serving import until

if TYPE_CHECKING:
    import torch

    from rankrag.model.engine.packed import Segment, States

LABELS = (" True", " False")
PASSAGES = [Passage(str(n), f"Owls of kind {n} hunt at night. " * (1 + n % 3)) for n in range(6)]
LIMIT = 50_000_000
NAMES = [f"{n:032x}" for n in range(3)]


def ask(text: str) -> list[Prompt]:
    return [prompts.rank(Question("q", text), passage, prompts.PAPER) for passage in PASSAGES]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("llama"), config("llama"))


@pytest.fixture
def opened() -> Iterator[list[DiskCache]]:
    """Close what a test opens."""
    found: list[DiskCache] = []
    yield found
    for disk in found:
        disk.close()


def load(folder: Path, kept: Path, opened: list[DiskCache], limit: int = LIMIT) -> LocalLanguageModel:
    lm = LocalLanguageModel(folder)
    lm.keep_on_disk(kept, limit, "weights")
    assert lm.disk is not None
    opened.append(lm.disk)
    return lm


def written(disk: DiskCache | None) -> int:
    """Wait for the writer and count the files."""
    assert disk is not None
    disk.flush()
    return len(list(disk.folder.glob("*/*.safetensors")))


def states(number: float, n_tokens: int = 100) -> States:
    """Return states of one layer that all have one value, 64 bytes a token."""
    import torch

    return [(torch.full((n_tokens, 1, 8), number), torch.full((n_tokens, 1, 8), -number))]


def get(disk: DiskCache, name: str) -> States | None:
    import torch

    return disk.get(name, torch.device("cpu"))


def keep(disk: DiskCache, name: str, kept: States) -> None:
    disk.use([name])
    disk.put(name, [kept])
    disk.flush()


def test_the_second_use_is_kept_and_another_process_finds_it(
    llama: Path, tmp_path: Path, opened: list[DiskCache]
) -> None:
    first = load(llama, tmp_path, opened)
    first.logprobs(ask("Who hunts?"), LABELS)
    assert written(first.disk) == 0
    first.logprobs(ask("When do they hunt?")[:4], LABELS)
    assert written(first.disk) == 4

    wanted = LocalLanguageModel(llama).logprobs(ask("What do they eat?"), LABELS)
    second = load(llama, tmp_path, opened)
    found = second.logprobs(ask("What do they eat?"), LABELS)
    assert np.abs(found - wanted).max() < 2e-5
    assert second.disk
    assert (second.disk.counts.hits, second.disk.counts.misses) == (4, 2)
    alone = load(llama, tmp_path, opened)
    assert np.abs(alone.logprobs(ask("What do they eat?")[:1], LABELS) - wanted[:1]).max() < 2e-5
    assert alone.disk
    assert alone.disk.counts.hits == 1


def test_a_passage_that_was_kept_is_not_computed_again(
    llama: Path, tmp_path: Path, opened: list[DiskCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(llama, tmp_path, opened)
    for question in ("Who hunts?", "When do they hunt?"):
        first.logprobs(ask(question), LABELS)
    assert written(first.disk) == len(PASSAGES)
    second = load(llama, tmp_path, opened)
    n_read: list[int] = []
    real = second._network.packed

    def packed(segments: Sequence[Segment]) -> torch.Tensor:
        n_read.extend(len(segment.tokens) for segment in segments)
        return real(segments)

    monkeypatch.setattr(second._network, "packed", packed)
    asked = ask("What do they eat?")
    second.logprobs(asked, LABELS)
    suffixes = [len(second._tokenizer.prompt(prompt)[1]) for prompt in asked]
    assert sorted(n_read) == sorted(suffixes)


def test_other_weights_and_precisions_find_nothing(
    llama: Path, tmp_path: Path, opened: list[DiskCache]
) -> None:
    names = set()
    for weights, precision in (("a", None), ("b", None), ("a", "bfloat16"), ("a", "int8")):
        lm = LocalLanguageModel(llama, precision=precision)  # type: ignore[arg-type]
        lm.keep_on_disk(tmp_path, LIMIT, weights)
        assert lm.disk
        opened.append(lm.disk)
        names.add(lm.disk.name(b"prefix"))
    assert len(names) == 4


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "other"])
def test_a_broken_file_is_as_if_it_were_not_there(
    llama: Path, tmp_path: Path, opened: list[DiskCache], harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    lm = load(llama, tmp_path, opened)
    for question in ("Who hunts?", "When do they hunt?"):
        lm.logprobs(ask(question), LABELS)
    assert written(lm.disk) == len(PASSAGES)
    for path in tmp_path.glob("*/*.safetensors"):
        whole = path.read_bytes()
        harmed = {
            "cut": whole[: len(whole) // 2],
            "changed": whole[:-8] + bytes(8),
            "empty": b"",
            "other": b"no states at all",
        }[harm]
        path.write_bytes(harmed)
    again = load(llama, tmp_path, opened)
    with caplog.at_level(logging.WARNING, "rankrag.model"):
        found = again.logprobs(ask("What do they eat?"), LABELS)
    assert np.abs(found - LocalLanguageModel(llama).logprobs(ask("What do they eat?"), LABELS)).max() < 2e-5
    assert caplog.text.count("cannot be read and is removed") == len(PASSAGES)
    assert again.disk
    assert again.disk.counts.hits == 0
    assert written(again.disk) == len(PASSAGES)  # written anew: they were used three times


def test_the_folder_keeps_its_limit_and_what_was_used_last(
    llama: Path, tmp_path: Path, opened: list[DiskCache]
) -> None:
    lm = load(llama, tmp_path, opened)
    for question in ("Who hunts?", "When do they hunt?"):
        lm.logprobs(ask(question), LABELS)
    written(lm.disk)
    assert lm.disk
    size = max(path.stat().st_size for path in tmp_path.glob("*/*.safetensors"))
    limit = 3 * size
    small = load(llama, tmp_path / "small", opened, limit)
    for question in ("Who hunts?", "When do they hunt?"):
        for prompt in ask(question):
            small.logprobs([prompt], LABELS)
    n_files = written(small.disk)
    assert small.disk
    assert 2 <= n_files < len(PASSAGES)
    assert small.disk.n_bytes <= limit
    last = small.disk.name(_key(small, ask("x")[-1]))
    assert small.disk._path(last).exists()
    assert written(load(llama, tmp_path / "none", opened, 10).disk) == 0


def _key(lm: LocalLanguageModel, prompt: Prompt) -> bytes:
    from rankrag.model.engine.prefix_cache import key

    return key(lm._row(prompt).prefix)


CHILD = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from rankrag.model.engine.local import LocalLanguageModel
    import test_model_disk_cache as here
    lm = LocalLanguageModel(sys.argv[1])
    lm.keep_on_disk(Path(sys.argv[2]), here.LIMIT, "weights")
    for n in range(5):
        found = lm.logprobs(here.ask(f"Question {n}?"), here.LABELS)
    print(json.dumps(found.tolist()))
    """
)


@pytest.mark.slow
def test_processes_side_by_side_share_a_folder(llama: Path, tmp_path: Path, opened: list[DiskCache]) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-c", CHILD, str(llama), str(tmp_path)]
    running = [
        subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    found = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    wanted = LocalLanguageModel(llama).logprobs(ask("Question 4?"), LABELS)
    assert np.abs(np.array(found) - wanted).max() < 2e-5
    # What waited was written before the processes ended, and by one of them each.
    assert len(list(tmp_path.glob("*/*"))) == len(PASSAGES)
    kept = load(llama, tmp_path, opened).disk
    assert kept
    assert kept.n_bytes > 0


def test_a_file_that_was_never_finished_is_removed_once_it_is_old(
    tmp_path: Path, opened: list[DiskCache]
) -> None:
    (tmp_path / "ab").mkdir()
    old, young = tmp_path / "ab" / "old.partial", tmp_path / "ab" / "young.partial"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    opened.append(DiskCache(tmp_path, LIMIT, "x"))
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match="found no folder for the states of passages at"):
        DiskCache(tmp_path / "file", LIMIT, "x")


def test_a_full_disk_ends_the_keeping_and_nothing_else(
    llama: Path, tmp_path: Path, opened: list[DiskCache], caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource")
    lm = load(llama, tmp_path, opened)
    assert lm.disk
    keep(lm.disk, NAMES[0], states(1.0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with caplog.at_level(logging.WARNING, "rankrag.model"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
        try:
            keep(lm.disk, NAMES[1], states(2.0, 50_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for question in ("Who hunts?", "When do they hunt?", "What do they eat?"):
            found = lm.logprobs(ask(question), LABELS)
    assert written(lm.disk) == 1
    assert caplog.text.count("no more states of passages are kept") == 1
    assert not list(tmp_path.rglob("*.partial"))
    assert lm.disk.n_bytes == 6400
    assert get(lm.disk, NAMES[0]) is not None
    assert np.abs(found - LocalLanguageModel(llama).logprobs(ask("What do they eat?"), LABELS)).max() < 2e-5


def test_what_was_read_does_not_change_with_its_file(tmp_path: Path, opened: list[DiskCache]) -> None:
    opened.append(disk := DiskCache(tmp_path, LIMIT, "x"))
    keep(disk, NAMES[0], states(1.0, 10_000))
    found = get(disk, NAMES[0])
    path = disk._path(NAMES[0])
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert found
    assert bool((found[0][0] == 1.0).all())


def test_the_file_of_another_prefix_is_refused(tmp_path: Path, opened: list[DiskCache]) -> None:
    opened.append(disk := DiskCache(tmp_path, LIMIT, "x"))
    keep(disk, NAMES[0], states(1.0))
    disk._path(NAMES[0]).rename(disk._path(NAMES[1]))
    assert get(disk, NAMES[1]) is None
    assert not disk._path(NAMES[1]).exists()


def test_the_room_of_a_file_is_taken_before_it_is_written(
    tmp_path: Path, opened: list[DiskCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else processes that write at the same time would each find the same room free."""
    opened += [disk := DiskCache(tmp_path, LIMIT, "x"), other := DiskCache(tmp_path, LIMIT, "x")]
    real, seen = disk_cache._save, []

    def save(path: Path, name: str, parts: Sequence[States]) -> None:
        seen.append(other.n_bytes)
        real(path, name, parts)

    monkeypatch.setattr(disk_cache, "_save", save)
    keep(disk, NAMES[0], states(1.0))
    assert seen == [6400]


@pytest.mark.parametrize("harm", ["lost", "garbage", "torn"])
def test_a_table_that_a_crash_broke_is_made_anew_from_the_files(
    tmp_path: Path, opened: list[DiskCache], harm: str
) -> None:
    disk = DiskCache(tmp_path, LIMIT, "x")
    keep(disk, NAMES[0], states(1.0))
    disk.use([f"{n:032x}" for n in range(100, 1100)])
    disk.close()
    table = tmp_path / "uses.sqlite"
    whole = table.read_bytes()
    assert len(whole) > 3 * 4096
    match harm:
        case "lost":
            table.unlink()
        case "garbage":
            table.write_bytes(b"no table" * 1000)
        case "torn":
            table.write_bytes(whole[:4096] + random.Random(1).randbytes(len(whole) - 4096))
    opened.append(again := DiskCache(tmp_path, 7000, "x"))
    assert 6400 <= again.n_bytes <= 7000
    assert get(again, NAMES[0]) is not None
    keep(again, NAMES[1], states(2.0))
    assert [path.stem for path in tmp_path.glob("*/*.safetensors")] == [NAMES[1]]


def test_a_table_that_breaks_while_it_is_used_is_said_once(
    tmp_path: Path, opened: list[DiskCache], caplog: pytest.LogCaptureFixture
) -> None:
    opened.append(disk := DiskCache(tmp_path, LIMIT, "x"))
    with sqlite3.connect(tmp_path / "uses.sqlite") as table:
        table.execute("DROP TABLE prefix")
    table.close()
    with caplog.at_level(logging.WARNING, "rankrag.model"):
        assert disk.use(NAMES) == [False] * len(NAMES)
        assert disk.n_bytes == 0
    assert caplog.text.count("no more states of passages are kept") == 1


@pytest.mark.slow
def test_a_checkpoint_whose_configuration_changed_finds_nothing(llama: Path, tmp_path: Path) -> None:
    """Rotary embeddings are no weights, but the states depend on them."""
    asked, kept = ask("Who hunts?"), Loading("float32", tmp_path / "kept", 1.0)
    folder = shutil.copytree(llama, tmp_path / "model")
    hits = []
    for theta in (10_000.0, 10_000.0, 500.0):
        settings = json.loads((folder / "config.json").read_text())
        settings["rope_parameters"]["rope_theta"] = theta
        (folder / "config.json").write_text(json.dumps(settings))
        lm = open_engine(str(folder), loading=kept).lm
        assert isinstance(lm, LocalLanguageModel)
        assert lm.disk
        for _ in range(2):
            found = lm.logprobs(asked, LABELS)
        lm.disk.close()
        hits.append(lm.disk.counts.hits)
        assert np.abs(found - LocalLanguageModel(folder).logprobs(asked, LABELS)).max() < 2e-5
    assert hits == [0, len(PASSAGES), 0]


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import safetensors.torch
    import test_model_disk_cache as here
    from rankrag.model.engine.disk_cache import DiskCache

    def killed(tensors, path, about):
        Path(path).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    disk = DiskCache(Path(sys.argv[1]), here.LIMIT, "x")
    safetensors.torch.save_file = killed
    here.keep(disk, here.NAMES[0], here.states(1.0))
    """
)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are not killed like this here")
def test_a_writer_that_is_killed_leaves_nothing_that_counts(tmp_path: Path, opened: list[DiskCache]) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL
    (part,) = tmp_path.rglob("*.partial")
    os.utime(part, (1, 1))
    opened.append(disk := DiskCache(tmp_path, 7000, "x"))
    assert not part.exists()
    assert get(disk, NAMES[0]) is None
    for name in NAMES[:2]:
        keep(disk, name, states(1.0))
    assert [path.stem for path in tmp_path.glob("*/*.safetensors")] == [NAMES[1]]


def test_a_server_counts_hits_in_memory_and_on_disk(llama: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient
    from safetensors.numpy import load_file

    from rankrag.cli.served import app_of
    from rankrag.server import ServerSettings

    spec = SystemSpec(model=str(llama), loading=Loading("float32", tmp_path, 1.0))
    found = []
    for _ in range(2):
        app = app_of(spec, ServerSettings(), read_only=True)
        with TestClient(app) as http:
            for question in ("Who hunts?", "When do they hunt?"):
                body = {"query": question, "documents": [passage.text for passage in PASSAGES]}
                assert http.post("/v1/rerank", json=body).status_code == 200
            until(lambda: len(list(tmp_path.glob("*/*.safetensors"))) >= len(PASSAGES))
            lines = (line.split() for line in http.get("/metrics").text.splitlines())
            found.append(
                {line[0].removeprefix("rankrag_"): float(line[1]) for line in lines if "cache" in line[0]}
            )
            told = dict(line.split() for line in http.get("/metrics").text.splitlines() if line[0] != "#")
    if sys.platform == "linux":
        size = 4 * sum(weights.size for weights in load_file(llama / "model.safetensors").values())
        assert float(told["rankrag_weights_bytes"]) == size < float(told["rankrag_rest_bytes"]) < 4e9
    n = len(PASSAGES)
    names = ("cache_misses", "cache_hits", "disk_cache_misses", "disk_cache_hits")
    assert [[counts[name] for name in names] for counts in found] == [[n, n, n, 0], [n, n, 0, n]]
    assert found[0]["disk_cache_bytes"] == found[1]["disk_cache_bytes"] > 0
