"""`rankrag model` and `rankrag doctor`, on a cache of their own with one small pulled model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from rankrag.cli import doctor
from rankrag.cli.app import run
from rankrag.model.store import named_models, registry

NAME = "owner/tiny"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds one model of one file, as a pull leaves it."""
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path))
    folder = registry.model_folder(NAME)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    record = registry.FileRecord(2, hashlib.sha256(b"{}").hexdigest())
    registry.write_manifest(
        registry.Installed(
            folder=folder,
            name=NAME,
            kind="encoder",
            origin=f"hub {NAME}",
            revision="1",
            licence="MIT",
            template="",
            template_hash="",
            files={"config.json": record},
        )
    )
    return folder


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--output", "json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_list_has_every_name_and_what_was_pulled(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in as_json(capsys, "model", "list")["models"]}
    assert rows.keys() == {*named_models.MODELS, NAME}
    assert [name for name, row in rows.items() if row["present"]] == [NAME]
    assert [name for name, row in rows.items() if row["default"]] == [*named_models.DEFAULTS.values()]
    assert run(["model", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in rows)
    assert out.count("(default)") == 2


def test_a_model_that_is_here_is_not_pulled_again(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"models": [{"name": NAME, "path": str(cache)}]}
    assert as_json(capsys, "model", "pull", NAME) == wanted
    assert run(["model", "path", NAME]) == 0
    assert capsys.readouterr().out == f"{cache}\n"


def test_a_changed_file_is_found(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "model", "verify", NAME)["models"] == [{"name": NAME, "problems": []}]
    (cache / "config.json").write_text("[]")
    found = as_json(capsys, "model", "verify", NAME, code=6)["models"][0]["problems"]
    assert "config.json" in found[0]
    assert run(["model", "verify", NAME]) == 6
    assert f"rankrag model remove {NAME}" in capsys.readouterr().err


def test_a_model_is_removed_once(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "model", "remove", NAME) == {"name": NAME, "removed": True}
    assert not cache.exists()
    assert as_json(capsys, "model", "remove", NAME) == {"name": NAME, "removed": False}


@pytest.mark.parametrize("verb", ["pull", "path", "verify", "remove"])
def test_an_unknown_name_lists_the_names(cache: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert run(["model", verb, "nobody"]) == 2
    assert "smollm2-135m" in capsys.readouterr().err


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_doctor_names_what_is_missing_and_the_command(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = as_json(capsys, "doctor", "--index", "nowhere", code=3)
    checks = {check["name"]: check for check in found["checks"]}
    assert found["ok"] is False
    assert checks["python"]["state"] == checks["core"]["state"] == checks["cache"]["state"] == "ok"
    for name in named_models.DEFAULTS.values():
        assert checks[f"model {name}"]["remedy"] == f"rankrag model pull {name}"
    assert checks["index"]["remedy"] == "rankrag index PATH --index nowhere"
    assert run(["doctor"]) == 3
    assert "→ rankrag model pull rankrag-135m" in capsys.readouterr().out


def test_the_doctor_looks_at_an_index(
    cache: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "page.txt").write_text("Snow.")
    assert (
        run(["index", str(tmp_path / "page.txt"), "--index", str(tmp_path / "i"), "--encoder", "none"]) == 0
    )
    checks = as_json(capsys, "doctor", "--index", str(tmp_path / "i"), code=3)["checks"]
    assert checks[-1]["state"] == "ok"
    assert "1 file, 1 passage, no vectors" in checks[-1]["found"]


def test_the_doctor_knows_the_packages_of_each_extra() -> None:
    found = doctor.requirements()
    assert {"lancedb", "typer", "rich"} <= {*found[""]}
    assert {"torch", "transformers"} <= {*found["local"]}
    assert "pypdf" in found["docs"]
    assert doctor.EVERYTHING not in found


def test_a_missing_extra_counts_only_if_asking_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requirements", lambda: {"": ["rich"], "local": ["nope"], "docs": ["nope"]})
    states = {check.name: (check.state, check.remedy) for check in doctor.packages()}
    assert states == {
        "core": ("ok", ""),
        "extra local": ("missing", "pip install 'rankrag[local]'"),
        "extra docs": ("left out", "pip install 'rankrag[docs]'"),
    }
