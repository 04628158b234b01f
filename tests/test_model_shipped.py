"""The checkpoint that comes with the package: whole, small, of a pulled base, and better than that base."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import rankrag
from rankrag.errors import InvalidInputError, MissingModelError
from rankrag.files import sha256
from rankrag.model.store import named_models, pull, registry
from rankrag.model.store.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from rankrag.types import Prompt

OPEN = {
    "Apache-2.0", "CC BY 4.0", "CC BY-SA 3.0", "CC BY-SA 4.0", "CDLA-Sharing-1.0", "MIT",
    "free for any purpose (Google)",
}  # fmt: skip
"""Licences of training data that allow commercial use."""

NAME = named_models.DEFAULTS["language_model"]
FOLDER = registry.model_folder(NAME)


def test_it_is_the_default_and_small_enough_to_come_along() -> None:
    assert registry.shipped(NAME) is not None
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 25e6
    card = read_checkpoint(FOLDER)
    assert (card.is_adapter, card.trained, card.template) == (True, True, "paper")
    assert card.base in named_models.MODELS


def test_its_files_are_those_of_its_record() -> None:
    record = registry.read_manifest(FOLDER)
    assert record is not None
    assert record.origin == str(named_models.MODELS[NAME].origin)
    # RUN.recipe.yaml and the like, of earlier runs, stay in the repository.
    there = {path.name for path in FOLDER.iterdir() if path.name.count(".") == 1} - {registry.MANIFEST}
    assert there == set(record.files)
    assert all(sha256(FOLDER / name) == file.sha256 for name, file in record.files.items())


def test_it_says_what_it_was_made_of_and_where_it_is_bad() -> None:
    card = (FOLDER / "README.md").read_text()
    for part in ("Trained on", "Not trained on", "Licence", "Measured", "What it is bad at"):
        assert f"## {part}" in card
    training = json.loads((FOLDER / "training.json").read_text())
    assert training["tokens"] > 100_000
    assert re.fullmatch("[0-9a-f]{64}", training["blend_sha256"])
    told = json.loads((FOLDER / "manifest.json").read_text())
    assert set(told["licences"]) <= OPEN
    for path in FOLDER.iterdir():
        if path.suffix in (".json", ".jsonl", ".yaml", ".md"):
            assert not re.search(r"/tmp/|/home/|/work/|/root/", path.read_text()), path.name


def test_without_its_base_it_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path))
    assert registry.installed(NAME) is None
    with pytest.raises(MissingModelError, match=f"rankrag model pull {NAME}"):
        registry.locate(NAME)
    (row,) = [row for row in pull.list_models() if row.name == NAME]
    assert (row.present, row.default) == (False, True)
    with pytest.raises(InvalidInputError, match="comes with rankrag"):
        pull.remove(NAME)


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> named_models.Model:
    """A second shipped adapter, in bfloat16, over a pulled base: both tiny."""
    from model_tiny import config, write
    from test_model_weights import make_adapter

    base = named_models.MODELS["qwen2.5-coder-0.5b"]
    own = replace(base, name="tiny-shipped", origin=named_models.Shipped(base.name), template="paper")
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(named_models.MODELS, own.name, own)
    places = {own.name: tmp_path / "package" / own.name}
    real = registry.model_folder
    monkeypatch.setattr(registry, "model_folder", lambda name: places.get(name) or real(name))
    pulled = registry.model_folder(base.name)
    pulled.mkdir(parents=True)
    write(pulled, config("qwen2"))
    adapter = make_adapter(places[own.name], pulled, half=True)
    write_checkpoint(Checkpoint(adapter, "paper", base=base.name, trained=True))
    for model, folder in ((base, pulled), (own, adapter)):
        files = {
            path.name: registry.FileRecord(path.stat().st_size, sha256(path)) for path in folder.iterdir()
        }
        registry.write_manifest(
            registry.Installed(folder, model.name, model.kind, str(model.origin), "", "MIT", "", "", files)
        )
    return own


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_another_adapter_can_be_shipped(second: named_models.Model) -> None:
    from rankrag.cli import doctor
    from rankrag.system import open_engine

    name = second.name
    folder = registry.locate(name)
    assert folder.parent.name == "package"
    assert pull.pull(name) == folder
    assert pull.plan(name) is None
    assert pull.verify(name) == ()
    (row,) = [row for row in pull.list_models() if row.name == name]
    assert row.present
    assert row.n_bytes > 1000
    assert doctor._model(name).state == "ok"
    engine = open_engine(name)
    assert engine.trained
    relevances = engine.lm.logprobs([Prompt("Owls hunt", " at night")], [" True"])
    assert relevances.shape == (1, 1)
    (registry.model_folder("qwen2.5-coder-0.5b") / "config.json").write_text("{}")
    assert pull.verify(name)[0].startswith("qwen2.5-coder-0.5b: config.json: found sha256")


@pytest.mark.model
def test_it_finds_what_answers_among_what_only_sounds_alike() -> None:
    rag = rankrag.load()
    assert rag.trained
    asked = {
        "When was Nairobi founded?": (
            "Nairobi was founded in 1899 as a depot of the Uganda Railway.",
            "Nairobi is the capital and largest city of Kenya.",
            "Mombasa was founded around the year 900.",
        ),
        "Who wrote the opera Carmen?": (
            "Carmen is an opera in four acts by the French composer Georges Bizet.",
            "The opera house in Paris opened in 1875 with a gala of opera and ballet.",
            "Carmen is a town in the province of Cebu in the Philippines.",
        ),
        "How many legs does a spider have?": (
            "Unlike insects, spiders have eight legs and no antennae.",
            "Spiders live on every continent except Antarctica.",
            "Many people have a fear of spiders.",
        ),
    }
    for question, texts in asked.items():
        ranked = rag.rank(question, list(reversed(texts)))
        assert ranked[0].passage.text == texts[0]
