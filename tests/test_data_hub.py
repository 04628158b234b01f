"""Splits of the hub: copied once, with their commit; what is missing is named. A folder is the hub here."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
from pathlib import Path

import pytest

from rankrag.data import build, needs, read_recipe
from rankrag.data.hub_datasets import HubSplit, card_of, fetch, find_copy, hub_split, lacking, revision_of
from rankrag.errors import FailureError, InvalidInputError, MissingExtraError, NotFoundError

COMMIT = "0123456789abcdef" * 2 + "01234567"
WITH_CONFIGS = """---
configs:
- config_name: drop
  data_files: [{split: train, path: drop.jsonl}]
- config_name: newsqa
  data_files: [{split: train, path: newsqa/*.json}]
---
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A repository whose card names two configurations; the files of one of them were taken down."""
    folder = tmp_path / "chatqa"
    folder.mkdir()
    (folder / "README.md").write_text(WITH_CONFIGS)
    (folder / "drop.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    return folder


@pytest.mark.parametrize("path", ["hub:rajpurkar/squad", "hub::a:train", "hub:a/b::"])
def test_a_name_needs_its_parts(path: str) -> None:
    with pytest.raises(InvalidInputError, match="hub:OWNER/NAME:CONFIG:SPLIT"):
        hub_split(path, {})


def test_a_name_has_a_place_a_page_and_the_pinned_commit() -> None:
    wanted = hub_split("hub:a/b::train", {"a/b": COMMIT})
    assert wanted == HubSplit("a/b", "", "train", COMMIT)
    assert wanted.copy == Path("hub/a/b/default/train.jsonl")
    assert wanted.page == "https://huggingface.co/datasets/a/b"
    assert hub_split("hub:c/d:sft:train", {"a/b": COMMIT}).revision is None


@pytest.mark.skipif(
    importlib.util.find_spec("datasets") is not None, reason="the package datasets is installed"
)
def test_the_hub_needs_the_extra(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"rankrag\[train\]"):
        fetch(HubSplit("rajpurkar/squad", "plain_text", "train"), tmp_path)


def test_a_split_is_copied_with_its_card(tmp_path: Path, hub: Path) -> None:
    pytest.importorskip("datasets")
    wanted = HubSplit(str(hub), "drop", "train")
    copy = fetch(wanted, tmp_path / "out")
    assert copy == tmp_path / "out" / wanted.copy
    assert [json.loads(line) for line in copy.read_text().splitlines()] == [{"a": 1}, {"a": 2}]
    assert json.loads(card_of(copy).read_text()) == {"hub": str(wanted), "revision": None, "rows": 2}
    assert find_copy(wanted, [tmp_path, tmp_path / "out"]) == copy


def test_what_is_missing_is_named(tmp_path: Path, hub: Path) -> None:
    pytest.importorskip("datasets")
    assert lacking(HubSplit(str(hub), "drop", "train")) == ""
    wrong = {
        ("drop", "test"): "has no split 'test' of the configuration 'drop', only train",
        ("dorp", "train"): "has no configuration 'dorp', only drop, newsqa",
        ("newsqa", "train"): "names the configuration 'newsqa', but has no files of it",
    }
    for (config, split), words in wrong.items():
        with pytest.raises(FailureError, match=words) as caught:
            fetch(HubSplit(str(hub), config, split), tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert "official files" in str(caught.value)
    assert not list((tmp_path / "out").rglob("*.json*"))


def test_a_download_that_breaks_off_leaves_no_copy(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "cut").mkdir()
    whole = gzip.compress(b'{"a": 1}\n' * 5000)
    (tmp_path / "cut" / "train.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FailureError, match="check the network"):
        fetch(HubSplit(str(tmp_path / "cut"), "", "train"), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.json*"))


def test_a_machine_without_a_network_is_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    wanted = HubSplit("a/b", "c", "train")
    with pytest.raises(FailureError, match=r"the repository a/b could not be opened .*check the network"):
        fetch(wanted, tmp_path)
    assert "could not be opened" in lacking(wanted)


@pytest.mark.parametrize("refusal", ["taken down\nby its authors", "StopIteration"])
def test_what_the_hub_itself_refuses_is_one_line(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """An empty configuration ends in StopIteration inside the hub's library."""
    datasets = pytest.importorskip("datasets")

    def refuse(*_: object, **__: object) -> None:
        if refusal == "StopIteration":
            raise StopIteration
        raise datasets.exceptions.DefunctDatasetError(refusal)

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    wanted = HubSplit(str(hub), "drop", "train")
    with pytest.raises(FailureError, match=" ".join(refusal.split())) as caught:
        fetch(wanted, tmp_path)
    assert str(caught.value).startswith(str(wanted))


def test_only_a_copy_of_the_pinned_commit_is_taken(tmp_path: Path) -> None:
    wanted = hub_split("hub:a/b:c:train", {"a/b": COMMIT})
    copy = tmp_path / wanted.copy
    copy.parent.mkdir(parents=True)
    copy.write_text("{}\n")
    assert revision_of(copy) is None
    assert find_copy(hub_split("hub:a/b:c:train", {}), [tmp_path]) == copy
    assert find_copy(wanted, [tmp_path]) is None
    card_of(copy).write_text(json.dumps({"revision": COMMIT}))
    assert find_copy(wanted, [tmp_path]) == copy
    assert revision_of(copy) == COMMIT


RECIPE = """
name: small
model: smollm2-135m
blend:
  draws: {{stage2: 2}}
  revisions: {{a/b: {commit}}}
  ingredients:
    one: {{source: drop, format: chatqa, files: ["hub:a/b:drop:train"], task: context_qa, weight: 1}}
"""


def test_a_build_names_all_that_is_missing_before_it_reads(tmp_path: Path, hub: Path) -> None:
    """Files and splits together; what a split lacks stands in the check."""
    pytest.importorskip("datasets")
    files = [f"hub:{hub}:newsqa:train", "gone.json", f"hub:{hub}:drop:train", f"hub:{hub}:dorp:train"]
    text = RECIPE.format(commit=COMMIT).replace('"hub:a/b:drop:train"', ", ".join(map(json.dumps, files)))
    (tmp_path / "recipe.yaml").write_text(text.replace(f"  revisions: {{a/b: {COMMIT}}}\n", ""))
    recipe = read_recipe(str(tmp_path / "recipe.yaml"))
    with pytest.raises(NotFoundError, match=f"found no {files[0]}, gone.json, {files[3]} in "):
        build(recipe, None, tmp_path / "blend", lambda *_: None)
    assert not list((tmp_path / "blend").rglob("*.jsonl"))
    states = {need.path: (need.state, need.found) for need in needs(recipe, None)}
    assert states[files[2]] == ("on the hub", "the newest commit: none is pinned")
    assert "has no files of it" in states[files[0]][1]


def test_the_manifest_has_commit_and_hash_of_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(commit=COMMIT))
    recipe = read_recipe(str(tmp_path / "recipe.yaml"))
    copy = tmp_path / "hub/a/b/drop/train.jsonl"
    copy.parent.mkdir(parents=True)
    row = {"messages": [{"role": "user", "content": "Who?"}], "answers": ["Ann"], "document": "Ann did it."}
    copy.write_text(json.dumps(row) + "\n")
    card_of(copy).write_text(json.dumps({"revision": COMMIT}))
    made = build(recipe, None, tmp_path / "blend", lambda *_: None)
    wanted = {
        "revision": COMMIT,
        "sha256": hashlib.sha256(copy.read_bytes()).hexdigest(),
        "bytes": copy.stat().st_size,
    }
    assert made["inputs"] == {"hub:a/b:drop:train": wanted}
