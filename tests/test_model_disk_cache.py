"""States of frequent passages on disk: what they give, and what may go wrong with them."""

from __future__ import annotations

import json
import logging
import os
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
from rankrag.model.disk_cache import DiskCache
from rankrag.model.local import LocalLanguageModel
from rankrag.types import Passage, Prompt, Question

if TYPE_CHECKING:
    import torch

    from rankrag.model.packed import Segment

LABELS = (" True", " False")
PASSAGES = [Passage(str(n), f"Owls of kind {n} hunt at night. " * (1 + n % 3)) for n in range(6)]
LIMIT = 50_000_000


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
    from rankrag.model.prefix_cache import key

    return key(lm._row(prompt).prefix)


CHILD = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from rankrag.model.local import LocalLanguageModel
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
    old, young = tmp_path / "ab" / "old.part", tmp_path / "ab" / "young.part"
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
    llama: Path,
    tmp_path: Path,
    opened: list[DiskCache],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rankrag.model.disk_cache._save", full)
    lm = load(llama, tmp_path, opened)
    with caplog.at_level(logging.WARNING, "rankrag.model"):
        for question in ("Who hunts?", "When do they hunt?", "What do they eat?"):
            found = lm.logprobs(ask(question), LABELS)
            written(lm.disk)
    assert caplog.text.count("no more states of passages are kept") == 1
    assert np.abs(found - LocalLanguageModel(llama).logprobs(ask("What do they eat?"), LABELS)).max() < 2e-5
