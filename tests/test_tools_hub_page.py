"""The page of a checkpoint for a model hub: the weights as GGUF, the card, and `--model OWNER/NAME` of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import hub_page
import test_model_gguf as tiny
import test_train_export as exported
import train_tiny
from cli_call import call
from rankrag.model.store import gguf, named_models, pull, registry
from rankrag.train import export
from small_hub import Repos
from test_model_pull import serve

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

__all__ = ["serve"]  # a fixture


@pytest.mark.parametrize("write", [tiny.write, tiny.write_qwen2], ids=["llama", "qwen2"])
def test_weights_and_tokenizer_come_back_from_the_gguf_that_is_written(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    from safetensors.numpy import load_file

    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir()
    again.mkdir()
    write(first / "a.gguf", tiny.random_llama() if write is tiny.write else tiny.random_qwen2())
    gguf.convert(first / "a.gguf", first, tiny.silent)
    hub_page.write_gguf(first, again / "b.gguf")
    gguf.convert(again / "b.gguf", again, tiny.silent)
    ours, theirs = load_file(first / "model.safetensors"), load_file(again / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(np.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4) for name in ours)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        assert (first / name).read_text() == (again / name).read_text()


@pytest.mark.parametrize("name", hub_page.UPSTREAM)
def test_every_base_of_the_table_is_published_somewhere(name: str) -> None:
    shipped = {found.base for model in named_models.MODELS if (found := registry.shipped(model))}
    assert name in shipped
    assert shipped == set(hub_page.UPSTREAM)


def test_a_card_has_front_matter_and_no_link_out_of_its_folder() -> None:
    for name in ("rankrag-135m", "rankrag-0.5b"):
        card = (registry.model_folder(name) / "README.md").read_text(encoding="utf-8")
        _, front, text = hub_page.page(card, name).split("---\n", 2)
        assert yaml.safe_load(front)["base_model"] in hub_page.UPSTREAM.values()
        assert yaml.safe_load(front)["license"] == "apache-2.0"
        assert "](../" not in text
        assert text.count("\n# ") == 1


@pytest.mark.slow
def test_an_exported_checkpoint_is_pulled_by_its_hub_id_and_ranks(
    tmp_path: Path,
    serve: Callable[[Repos], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "base").mkdir()
    base = train_tiny.write_model(tmp_path / "base")
    export(exported.tuned(tmp_path / "adapter", base, "paper"), tmp_path / "out", "float16")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    serve(
        {
            "me/mine": {
                "main": {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files}
            }
        }
    )
    assert pull.pull("me/mine") == registry.locate("me/mine")
    assert pull.verify("me/mine") == ()
    (tmp_path / "p.txt").write_text("The harbour of Oslo.\nA tower.\n")
    said, _ = call(
        capsys, "rank", "Where is Oslo?", "--passages", str(tmp_path / "p.txt"), "--model", "me/mine"
    )
    assert "harbour" in said
