"""The hash of a checkpoint: any byte counts, and none is read twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankrag.files import sha256
from rankrag.model.skills.calibrated import weights_mark
from rankrag.model.store.weights_hash import weights_hash


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


def test_nothing_is_read_twice(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, read = sha256, []

    def counted(path: Path) -> str:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr("rankrag.model.store.weights_hash.sha256", counted)
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
