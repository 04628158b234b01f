"""Weights are whole, of this model and finite, or refused in one line; nothing of a folder runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from model_tiny import config, write
from rankrag.errors import (
    FailureError,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    RankRAGError,
    told,
)
from rankrag.model.engine.weights import load_weights
from rankrag.model.store.checkpoint import Checkpoint, write_checkpoint
from rankrag.system import open_engine
from test_model_cross_encoder import write as write_cross_encoder

if TYPE_CHECKING:
    import torch

# peft reads a name that transformers renamed, whenever it makes or loads an adapter.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

Tensors = dict[str, "torch.Tensor"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    return write(made, config("qwen2", tie_word_embeddings=True))


def change(path: Path, edit: Callable[[Tensors], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, {"format": "pt"})


def make_adapter(folder: Path, base: Path, half: bool = False) -> Path:
    """Write an adapter of random numbers over a base, in bfloat16 if asked."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, lora).save_pretrained(str(folder))
    if half:
        change(
            folder / "adapter_model.safetensors",
            lambda tensors: tensors.update({name: t.bfloat16() for name, t in tensors.items()}),
        )
    write_checkpoint(Checkpoint(folder, "paper", base=str(base), trained=True))
    return folder


# ── whole ────────────────────────────────────────────────────────────────────────────────────────────

DOWN = "model.layers.1.mlp.down_proj.weight"


def test_a_missing_layer_is_not_made_up(folder: Path) -> None:
    change(folder / "model.safetensors", lambda tensors: tensors.pop(DOWN))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=rf"no weights for {DOWN} \(1 in all\)"):
        load_weights(folder, None, "cpu", None)


def test_a_file_without_tensors_is_refused(folder: Path) -> None:
    change(folder / "model.safetensors", lambda tensors: tensors.clear())
    with pytest.raises(InvalidInputError, match="found no weights for "):
        load_weights(folder, None, "cpu", None)


def test_weights_of_another_model_are_refused(folder: Path) -> None:
    import torch

    change(folder / "model.safetensors", lambda tensors: tensors.update(extra=torch.ones(2)))
    with pytest.raises(InvalidInputError, match=r"weights that the model does not have, extra \(1 in all\)"):
        load_weights(folder, None, "cpu", None)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_numbers_that_are_none_are_refused(folder: Path, value: float) -> None:
    change(folder / "model.safetensors", lambda tensors: tensors[DOWN][0, 3:4].fill_(value))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=rf"found numbers in {DOWN} that are not finite"):
        load_weights(folder, None, "cpu", None)


@pytest.mark.slow
def test_an_adapter_is_looked_at_as_closely(folder: Path, tmp_path: Path) -> None:
    import torch

    adapter = make_adapter(tmp_path / "adapter", folder)
    path = adapter / "adapter_model.safetensors"
    whole = path.read_bytes()
    load_weights(folder, adapter, "cpu", None)
    name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"
    faults: list[tuple[Callable[[Tensors], object], str]] = [
        (lambda tensors: tensors.pop(name), "found no weights for"),
        (lambda tensors: tensors[name].fill_(float("nan")), "not finite"),
        (lambda tensors: tensors.update({"other.lora_A.weight": torch.ones(1)}), "does not have"),
    ]
    for edit, said in faults:
        path.write_bytes(whole)
        change(path, lambda tensors, edit=edit: edit(tensors))  # type: ignore[misc]
        with pytest.raises(InvalidInputError, match=said) as caught:
            load_weights(folder, adapter, "cpu", None)
        assert str(caught.value).startswith(f"{adapter}: ")
    path.write_bytes(whole[:100])
    with pytest.raises(FailureError, match="cannot load the adapter"):
        load_weights(folder, adapter, "cpu", None)
    path.unlink()
    with pytest.raises(NotFoundError, match=r"no adapter_model\.safetensors"):
        load_weights(folder, adapter, "cpu", None)


# ── merging ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_adapter_is_merged_in_float32_and_rounded_once(
    folder: Path, tmp_path: Path, precision: Literal["float32", "bfloat16"]
) -> None:
    import torch
    from safetensors.torch import load_file

    adapter = make_adapter(tmp_path / "adapter", folder, half=True)
    change(
        folder / "model.safetensors",
        lambda tensors: tensors.update({name: t.bfloat16() for name, t in tensors.items()}),
    )
    base, lora = load_file(folder / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    assert lora.keys()
    found = load_weights(folder, adapter, "cpu", precision).state_dict()[DOWN]
    left, right = (
        lora[f"base_model.model.{DOWN.removesuffix('.weight')}.lora_{part}.weight"].float() for part in "BA"
    )
    scale = json.loads((adapter / "adapter_config.json").read_text())["lora_alpha"] / 4
    wanted = base[DOWN].float() + scale * (left @ right)
    assert found.dtype == getattr(torch, precision)
    if precision == "bfloat16":
        assert (
            found == wanted.bfloat16()
        ).float().mean() > 0.99  # sums of another order differ in a last bit
    else:
        torch.testing.assert_close(found, wanted)


# ── broken files ─────────────────────────────────────────────────────────────────────────────────────

CONTENTS = (b"", b"{", b"[]", b"null", b"\xff\xfe\x00x", b"3")
FILES = (
    "config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json",
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "rankrag.json", "calibration.json",
    "adapter_config.json",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_broken_file_is_one_line(folder: Path, name: str) -> None:
    path = folder / name
    for content in CONTENTS:
        path.write_bytes(content)
        with pytest.raises(RankRAGError) as caught:
            open_engine(str(folder))
        assert "\n" not in str(caught.value)
        assert name == "chat_template.jinja" or str(folder) in str(caught.value), content


# ── code ─────────────────────────────────────────────────────────────────────────────────────────────

_OPEN = """
import sys
from pathlib import Path
from rankrag.errors import RankRAGError
from rankrag.model.engine.tokenizer import load_tokenizer
from rankrag.model.engine.weights import load_weights
for load in (load_tokenizer, lambda folder: load_weights(folder, None, "cpu", None)):
    try:
        load(Path(sys.argv[1]))
    except RankRAGError as error:
        print(error, file=sys.stderr)
"""


_OPEN_ENCODERS = """
import sys
from pathlib import Path
from rankrag.errors import RankRAGError
from rankrag.index.encoder_loading import load, load_layout
from rankrag.index.named_encoders import ENCODERS
from rankrag.model.skills.cross_encoder import CrossEncoderRanker
from rankrag.types import Hit, Passage, Question
folder = Path(sys.argv[1])
for opened in (
    lambda: load(folder, ENCODERS["minilm-l6"], 64, "cpu"),
    lambda: load_layout(folder, "cpu"),
    lambda: CrossEncoderRanker(folder).rank(Question("q", "why?"), [Hit(Passage("p", "so"), 0.0)]),
):
    try:
        opened()
    except RankRAGError as error:
        print(error, file=sys.stderr)
"""


@pytest.mark.slow
def test_the_code_of_a_folder_is_neither_run_nor_asked_about(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    for name, key, value in (
        ("tokenizer_config.json", "AutoTokenizer", ["evil.Evil", "evil.Evil"]),
        ("config.json", "AutoModelForCausalLM", "evil.Evil"),
    ):
        settings = json.loads((folder / name).read_text())
        settings |= {"auto_map": {key: value, "AutoConfig": "evil.Evil"}, "tokenizer_class": "Evil"}
        if name == "config.json":
            settings["model_type"] = "evil"
        (folder / name).write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, str(folder)],
        input="y\n" * 100,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout == ""
    assert sum(line.startswith(str(folder)) for line in done.stderr.splitlines()) == 2
    assert not mark.exists()


@pytest.mark.slow
def test_the_code_of_an_encoder_s_folder_is_neither_run_nor_asked_about(tmp_path: Path) -> None:
    """Encoders and cross-encoders, which sentence-transformers loads: by `config.json` and `modules.json`."""
    folder, mark = write_cross_encoder(tmp_path / "ce", 1), tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for module in (None, "evil.Evil"):
        if module:
            parts = [{"idx": 0, "name": "0", "path": "", "type": module}]
            (folder / "modules.json").write_text(json.dumps(parts))
        done = subprocess.run(
            [sys.executable, "-c", _OPEN_ENCODERS, str(folder)],
            input="y\n" * 100,
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
        assert done.stdout == ""
        refused = [line for line in done.stderr.splitlines() if line.startswith(f"{folder}: cannot load")]
        assert len(refused) >= (1 if module else 0)  # a module's code is refused, a tokenizer's passed over
        assert not mark.exists()


def test_a_package_that_is_too_old_is_named(tmp_path: Path) -> None:
    said = r"the chat template: needs jinja2>=3\.1\.6.*pip install -U"
    with pytest.raises(FailureError, match=said), told(tmp_path, "the chat template"):
        raise ImportError("needs jinja2>=3.1.6")
    with pytest.raises(MissingExtraError, match="'gguf' is not installed"), told(tmp_path, "the model"):
        raise ModuleNotFoundError("No module named 'gguf'", name="gguf")
