"""What a run starts from: a model on this machine, how it reads a template, and an adapter on it or not."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import prompts
from ..errors import InvalidInputError
from ..model.engine.tokenizer import Tokenizer, load_tokenizer
from ..model.store.checkpoint import read_checkpoint
from ..model.store.registry import locate, resolve
from ..types import Prompt
from . import branches
from .stage_recipe import Lora, Stage
from .token_rows import Vocabulary

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Start:
    """The folder of the base weights, its name for a checkpoint card, and the folder of an adapter on it."""

    folder: Path
    base: str
    adapter: Path | None = None


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files of a model's tokenizer, to be copied as they are: a re-written one may differ."""
    names = ("tokenizer*", "special_tokens_map.json", "chat_template.*", "vocab.*", "merges.txt")
    return sorted(path for name in names for path in folder.glob(name) if path.is_file())


def find_start(stage: Stage) -> Start:
    """Return what the stage's model is on this machine.

    Raises MissingModelError if it was never pulled, InvalidInputError if it was trained with another
    template or has an adapter of another shape than the stage asks for.
    """
    folder = locate(stage.model)
    checkpoint = read_checkpoint(folder)
    if checkpoint.recipe and checkpoint.template != stage.template:
        raise InvalidInputError(
            f"found {folder} trained with template {checkpoint.template!r}, wanted {stage.template!r}: "
            f"set template: {checkpoint.template}"
        )
    if not checkpoint.is_adapter:
        name = stage.model if resolve(stage.model).where != "folder" else str(folder.resolve())
        return Start(folder, name)
    _check_adapter(folder, stage.lora)
    return Start(locate(checkpoint.base), checkpoint.base, folder)


def _check_adapter(folder: Path, lora: Lora | None) -> None:
    """Refuse to go on with an adapter of another shape: one adapter over one base is what ships."""
    if lora is None:
        return
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    for name, wanted in (("r", lora.r), ("lora_alpha", lora.lora_alpha)):
        if config.get(name) != wanted:
            raise InvalidInputError(
                f"found {folder}, an adapter with {name}={config.get(name)}, wanted {wanted}: give the stage "
                "the same lora section, or start from what `rankrag model export` makes of it"
            )


def load_model(start: Start, stage: Stage) -> PreTrainedModel:
    """Return the model to train: with the adapter that it came with, trainable, if it came with one.

    An adapter is melted into the weights where the stage trains all of them.
    """
    import torch
    from transformers import AutoModelForCausalLM

    branches.register()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        start.folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=getattr(torch, stage.dtype),
        attn_implementation=attention(stage, in_half(stage)),
    )
    if start.adapter is None:
        return model
    from peft import PeftModel

    tuned = PeftModel.from_pretrained(model, str(start.adapter), is_trainable=stage.lora is not None)
    # When peft saves, it looks for a folder by this and asks the hub if there is none: give it the folder.
    # The name comes back in the checkpoint.
    tuned.peft_config["default"].base_model_name_or_path = str(start.folder)
    return tuned if stage.lora is not None else tuned.merge_and_unload()  # type: ignore[return-value]


def in_half(stage: Stage) -> bool:
    """Say whether the stage computes in bfloat16 on this machine."""
    import torch

    if stage.bf16 == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return stage.bf16


def n_devices() -> int:
    """Return the processes of this run, as the launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def attention(stage: Stage, half: bool) -> str:
    """Return the attention kernel; `auto` is FlashAttention 2 where it is installed and takes the numbers."""
    if stage.attn_implementation != "auto":
        return stage.attn_implementation
    import torch

    if stage.share_prefixes:
        return "sdpa" if torch.accelerator.is_available() else branches.ATTENTION
    from transformers.utils.import_utils import is_flash_attn_2_available

    flash = half and torch.cuda.is_available() and is_flash_attn_2_available()
    return "flash_attention_2" if flash else "sdpa"


def lora_config(lora: Lora) -> LoraConfig:
    """Return peft's own configuration of a low-rank update."""
    from peft import LoraConfig, TaskType

    modules = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,  # type: ignore[arg-type]  # peft takes fractions, its hint does not
        lora_dropout=lora.lora_dropout,
        target_modules=modules,
        task_type=TaskType.CAUSAL_LM,
    )


def hush() -> None:
    """Keep the libraries' bars and their notes to developers off the terminal."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # peft still reads a name that transformers renamed.
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


def vocabulary(start: Start, template: str) -> Vocabulary:
    """Return how the model's tokenizer reads a template: the same ids as when it is served.

    A target ends with the marker that closes the assistant's turn, or with the tokenizer's end of text
    where the template is plain text; either ends an answer when it is served.
    """
    tokenizer, form = Tokenizer(start.folder), prompts.template(template)
    missing = [marker for marker in form.markers if tokenizer.control(marker) is None]
    if missing:
        raise InvalidInputError(
            f"found no control token {missing[0]!r} in {start.folder}, wanted one for template {template!r}: "
            "set template: paper, which is plain text"
        )
    closing = [marker for marker in form.markers if form.assistant[1].startswith(marker)]
    end = tokenizer.control(closing[0] if closing else str(load_tokenizer(start.folder).eos_token))
    if end is None:
        raise InvalidInputError(f"found no end-of-text token in {start.folder}, wanted one to end a target")

    def encode(prompt: Prompt) -> tuple[list[int], list[int]]:
        prefix, suffix = tokenizer.prompt(prompt)
        return prefix + suffix, tokenizer.continuation(prompt.prefix + prompt.suffix, prompt.target)

    def n_tokens(text: str) -> int:
        prefix, suffix = tokenizer.prompt(Prompt(text, "", markers=form.markers))
        return len(prefix) + len(suffix) - len(tokenizer.start)

    return Vocabulary(form, encode, n_tokens, (end,))
