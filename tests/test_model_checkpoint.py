"""The card of a checkpoint folder, and what is refused before anything is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rankrag import prompts
from rankrag.errors import InvalidInputError, NotFoundError
from rankrag.model.store.checkpoint import CARD, Checkpoint, check_weights, read_checkpoint, write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


def change(folder: Path, name: str, value: object) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {name: value}))


def test_what_is_written_is_read(folder: Path) -> None:
    made = Checkpoint(folder, "paper", "llama-3-8b", True, 0.25, "recipe.yaml", "manifest.json", 4096)
    write_checkpoint(made)
    assert read_checkpoint(folder) == made
    assert not made.is_adapter


def test_a_card_from_before_contexts_were_bounded_is_read(folder: Path) -> None:
    write_checkpoint(Checkpoint(folder, "paper"))
    card = json.loads((folder / CARD).read_text())
    del card["context_length"], card["reading"], card["query_likelihood"]
    (folder / CARD).write_text(json.dumps(card))
    assert read_checkpoint(folder).context_length is None
    assert read_checkpoint(folder).reading == "joint"
    assert read_checkpoint(folder).query_likelihood == 0.0


def test_the_card_carries_the_hash_of_the_template(folder: Path) -> None:
    write_checkpoint(Checkpoint(folder, "chat"))
    card = json.loads((folder / CARD).read_text())
    assert card["template_hash"] == prompts.template_hash(prompts.CHAT)


@pytest.mark.parametrize(("trained", "remedy"), [(True, "train again"), (False, "rankrag model pull")])
def test_another_template_is_refused(folder: Path, trained: bool, remedy: str) -> None:
    write_checkpoint(Checkpoint(folder, "chat", trained=trained))
    change(folder, "template_hash", "0123456789abcdef")
    wanted = prompts.template_hash(prompts.CHAT)
    with pytest.raises(
        InvalidInputError, match=f"'chat' with hash 0123456789abcdef, wanted {wanted}.*{remedy}"
    ):
        read_checkpoint(folder)


def test_the_name_of_another_template_with_this_hash_is_refused(folder: Path) -> None:
    write_checkpoint(Checkpoint(folder, "chat"))
    change(folder, "template", "paper")
    with pytest.raises(InvalidInputError, match="found template 'paper' with hash"):
        read_checkpoint(folder)
    change(folder, "template", "poem")
    with pytest.raises(InvalidInputError, match="found template 'poem', wanted one of"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("threshold", 1.5, "found threshold = 1.5"),
        ("context_length", 0, "found context_length = 0"),
        ("context_length", "4k", "card.context_length: found str '4k', wanted int: correct it"),
        ("reading", "fast", "card.reading: found 'fast', wanted one of joint, mixture"),
        ("query_likelihood", -0.1, "found query_likelihood = -0.1, wanted a number from 0"),
        ("query_likelihood", "much", "card.query_likelihood: found str 'much', wanted float"),
        ("threshold", True, "card.threshold: found bool True"),
        ("trained", "yes", "card.trained: found str 'yes'"),
        ("base", None, "card.base: found NoneType None, wanted str"),
        ("colour", "red", "unknown field 'colour'"),
    ],
)
def test_a_wrong_card_is_refused(folder: Path, name: str, value: object, found: str) -> None:
    write_checkpoint(Checkpoint(folder, "chat"))
    change(folder, name, value)
    with pytest.raises(InvalidInputError, match=found):
        read_checkpoint(folder)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_card_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    (folder / CARD).write_text(text)
    with pytest.raises(InvalidInputError, match="JSON"):
        read_checkpoint(folder)


def test_an_adapter_names_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text("{}")
    made = Checkpoint(tmp_path, "chat", base="smollm2-135m", trained=True)
    write_checkpoint(made)
    assert read_checkpoint(tmp_path).is_adapter
    write_checkpoint(replace(made, base=""))
    with pytest.raises(InvalidInputError, match="without the name of its base"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(InvalidInputError, match=rf"found pickled weights \({file}\)"):
        read_checkpoint(tmp_path)


def test_no_folder_and_no_weights_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="check the path"):
        read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="found no weights"):
        read_checkpoint(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    with pytest.raises(InvalidInputError, match=r"wanted also model-2\.safetensors"):
        check_weights(tmp_path)
    (tmp_path / "model-2.safetensors").write_bytes(b"")
    check_weights(tmp_path)


def test_a_folder_without_a_card_is_plain(folder: Path) -> None:
    assert read_checkpoint(folder) == Checkpoint(folder, "paper", plain=True)
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert read_checkpoint(folder) == Checkpoint(folder, "chat", plain=True)
