"""The hash of a checkpoint: any byte counts, and none is read twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rankrag.cli import systems
from rankrag.files import sha256
from rankrag.model.skills.calibrated import weights_mark
from rankrag.model.store.weights_hash import file_hashes, weights_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes(bytes(2_000_000))
    (made / "config.json").write_text("{}")
    return made


def test_any_byte_counts(folder: Path, tmp_path: Path) -> None:
    found = [weights_hash([folder], tmp_path / "notes")]
    mark = weights_mark([folder])
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1_100_000)
        file.write(b"x")
    assert weights_mark([folder]) == mark  # which reads samples
    found.append(weights_hash([folder], tmp_path / "notes"))
    (folder / "config.json").write_text('{"rope_theta": 1}')
    found.append(weights_hash([folder], tmp_path / "notes"))
    (folder / "adapter_config.json").write_text("{}")
    found.append(weights_hash([folder], tmp_path / "notes"))
    assert len(set(found)) == 4
    (folder / "README.md").write_text("words")
    assert weights_hash([folder], tmp_path / "notes") == found[-1]


def test_the_same_files_elsewhere_are_the_same(folder: Path, tmp_path: Path) -> None:
    other = folder.rename(tmp_path / "elsewhere")
    first = weights_hash([other], tmp_path / "notes")
    other.rename(folder)
    assert weights_hash([folder], tmp_path / "other notes") == first


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read to be hashed."""
    real, names = sha256, list[str]()

    def counted(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr("rankrag.model.store.weights_hash.sha256", counted)
    return names


def test_nothing_is_read_twice(folder: Path, tmp_path: Path, read: list[str]) -> None:
    first = weights_hash([folder], tmp_path / "kept" / "notes")
    assert weights_hash([folder], tmp_path / "kept" / "notes") == first
    assert sorted(read) == ["config.json", "model.safetensors"]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["notes"]


@pytest.mark.parametrize("broken", ["", "[]", '{"a": 1}', "\x00"])
def test_notes_are_only_notes(folder: Path, tmp_path: Path, broken: str) -> None:
    """They may be broken, or may not be written: here their folder is a file."""
    (tmp_path / "notes").write_text(broken)
    first = weights_hash([folder], tmp_path / "notes")
    assert weights_hash([folder], tmp_path / "notes" / "below") == first


def test_an_evaluation_reads_weights_once_and_hashes_them_as_before(
    folder: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))
    (folder / "tokenizer.json").write_text("{}")
    lines = [f"{name} {sha256(folder / name)[:16]}\n" for name in ("model.safetensors", "tokenizer.json")]
    assert [systems.weights_hash(str(folder)) for _ in range(2)] == [
        hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
    ] * 2
    assert sorted(read) == ["model.safetensors", "tokenizer.json"]


def test_what_is_gone_is_not_remembered(folder: Path, tmp_path: Path) -> None:
    gone = tmp_path / "pulled.bin"
    gone.write_text("x")
    file_hashes([gone], tmp_path / "notes")
    gone.unlink()
    file_hashes([folder / "config.json"], tmp_path / "notes")
    assert "pulled.bin" not in (tmp_path / "notes").read_text()
