"""The settings of a training stage: the `stage1` and `stage2` sections of a recipe file.

The sections share what stands above them: `model` (what is trained) and `blend.template` (on which words).
Names are those of `transformers.TrainingArguments`, `trl.SFTConfig` and `peft.LoraConfig` wherever these
have one; what is ours says so. An unknown key is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .. import prompts
from ..errors import FormatError, InvalidInputError
from ..files import put_setting, read_yaml

StageNumber = Literal[1, 2]

_STRICT = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Lora(BaseModel):
    """A low-rank update of the frozen base model (names of `peft.LoraConfig`)."""

    model_config = _STRICT

    r: int = Field(16, ge=1, description="rank of the update, in dimensions")
    lora_alpha: float = Field(32, gt=0, description="scale: the update is multiplied by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="share of its inputs set to zero, 0..1")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="layers that get an update: `all-linear`, or names such as q_proj"
    )


class Stage(BaseModel):
    """One stage of training: what starts, on which words, how long and how fast it learns.

    `model`, `template`, `global_batch_size`, `share_prefixes` and `loss_weighting` are ours. The batch is
    what a step sees over all devices, so that a recipe means the same on 1 device as on 128: the
    accumulation steps follow from it.
    """

    model_config = _STRICT

    model: str = Field(description="a name of the table of models, a folder (a checkpoint) or a hub id")
    template: str = Field("paper", description="prompt template, a name of `prompts.TEMPLATES`")
    lora: Lora | None = Field(None, description="low-rank update; without it all weights are trained")
    max_length: int = Field(1024, ge=16, description="longest row, in tokens; passages are cut to fit")

    global_batch_size: int = Field(64, ge=1, description="examples in an optimiser step, over all devices")
    per_device_train_batch_size: int = Field(8, ge=1, description="examples a device computes at once")
    per_device_eval_batch_size: int = Field(8, ge=1, description="examples a device evaluates at once")
    num_train_epochs: float = Field(1.0, gt=0, description="passes over the blend")
    max_steps: int = Field(-1, ge=-1, description="optimiser steps; -1: what num_train_epochs makes")
    train_sampling_strategy: Literal["random", "group_by_length"] = Field(
        "group_by_length", description="order of the rows: shuffled, or shuffled with like lengths together"
    )
    dataset_num_proc: int = Field(1, ge=1, description="processes that turn examples into rows of tokens")
    share_prefixes: bool = Field(
        False,
        description="rows that begin alike, as questions about one passage do, as one: what they share is "
        "computed once; the batch sizes then count such bundles",
    )
    loss_weighting: Literal["example", "token"] = Field(
        "example", description="what counts the same: every example, or every target token"
    )

    learning_rate: float = Field(gt=0, description="peak learning rate")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = Field(
        "linear", description="how the rate falls after warm-up"
    )
    warmup_steps: float = Field(0.0, ge=0, description="steps of warm-up; below 1: their share of all steps")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay (0: Adam)")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean of gradients")
    adam_beta2: float = Field(0.98, ge=0, lt=1, description="decay of the mean of squared gradients")
    adam_epsilon: float = Field(1e-8, gt=0, description="added to the root of the squared mean")
    max_grad_norm: float = Field(1.0, ge=0, description="norm that gradients are clipped to; 0: no clipping")
    seed: int = Field(0, ge=0, description="seed of the order of rows and of the adapter's first weights")

    dtype: Literal["float32", "bfloat16"] = Field("float32", description="number format of the weights")
    bf16: bool | Literal["auto"] = Field(
        "auto", description="compute in bfloat16; auto: on a GPU that has it"
    )
    gradient_checkpointing: bool | Literal["auto"] = Field(
        "auto", description="recompute activations in place of keeping them; auto: on a GPU"
    )
    attn_implementation: Literal["auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"] = Field(
        "auto", description="attention kernel; auto: FlashAttention 2 where it is installed, else sdpa"
    )

    logging_steps: int = Field(10, ge=1, description="steps between two lines of metrics")
    eval_steps: int = Field(100, ge=1, description="steps between two evaluations on held-out examples")
    max_eval_examples: int = Field(
        500,
        ge=1,
        description="held-out examples measured, drawn from all by the seed, each part by its share",
    )
    save_steps: int = Field(100, ge=1, description="steps between two states that a run can resume from")
    save_total_limit: int = Field(1, ge=1, description="such states kept")

    @field_validator("template")
    @classmethod
    def _known_template(cls, name: str) -> str:
        if name not in prompts.TEMPLATES:
            raise ValueError(f"wanted one of {', '.join(prompts.TEMPLATES)}")
        return name

    @model_validator(mode="after")
    def _whole_batches(self) -> Stage:
        if self.global_batch_size % self.per_device_train_batch_size:
            raise ValueError(
                f"wanted global_batch_size ({self.global_batch_size}) to be a multiple of "
                f"per_device_train_batch_size ({self.per_device_train_batch_size})"
            )
        return self

    @model_validator(mode="after")
    def _maskable(self) -> Stage:
        if self.share_prefixes and self.attn_implementation.startswith("flash"):
            raise ValueError(
                "wanted attn_implementation sdpa with share_prefixes: FlashAttention takes no mask that says "
                "who sees whom"
            )
        return self

    @model_validator(mode="after")
    def _fine_weights(self) -> Stage:
        if self.lora is None and self.dtype == "bfloat16":
            raise ValueError(
                "wanted dtype float32 where all weights are trained: a bfloat16 weight swallows every step "
                "below 1/256 of itself; bf16: true computes in bfloat16 all the same"
            )
        return self

    def accumulation_steps(self, n_devices: int) -> int:
        """Return how many times each device computes before an optimiser step.

        Raises InvalidInputError if the batch cannot be shared evenly.
        """
        at_once = self.per_device_train_batch_size * n_devices
        if self.global_batch_size % at_once:
            raise InvalidInputError(
                f"found global_batch_size {self.global_batch_size}, wanted a multiple of {at_once} "
                f"({n_devices} devices x per_device_train_batch_size {self.per_device_train_batch_size}): "
                "set one of them"
            )
        return self.global_batch_size // at_once


SECTIONS = ("name", "model", "blend", "stage1", "stage2")


def read_stage(path: str, number: StageNumber, settings: Sequence[str] = ()) -> Stage:
    """Return a stage of a recipe file, with `a.b=c` settings such as `stage2.learning_rate=1e-4` on top.

    Raises NotFoundError without the file, FormatError for broken YAML or a section that is not there,
    InvalidInputError (naming file and key) for anything else wrong.
    """
    section = f"stage{number}"
    content = read_yaml(Path(path))
    for setting in settings:
        if setting.partition("=")[0].partition(".")[0] not in SECTIONS:
            raise InvalidInputError(
                f"found the setting {setting!r}, wanted KEY=VALUE with a key below {', '.join(SECTIONS)}, "
                "such as stage2.learning_rate=1e-4"
            )
        put_setting(content, setting)
    values, blend = content.get(section), content.get("blend")
    if not isinstance(values, dict):
        raise FormatError(path, None, f"found no section {section!r}, wanted one with the stage's settings")
    shared = {"model": content["model"]} if "model" in content else {}
    if isinstance(blend, dict) and "template" in blend:
        shared["template"] = blend["template"]
    return parse_stage({**shared, **values}, f"{path}: {section}")


def parse_stage(values: Mapping[str, object], where: str) -> Stage:
    """Return a stage from its plain values; the first thing wrong is named in one line after `where`."""
    try:
        return Stage.model_validate(values)
    except ValidationError as error:
        raise InvalidInputError(f"{where}{_problem(error)}") from error


def _problem(error: ValidationError) -> str:
    """Return the first fault as `.key: found ..., wanted ...`."""
    fault = error.errors()[0]
    key = "".join(f".{part}" for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        fields = Lora.model_fields if fault["loc"][0] == "lora" else Stage.model_fields
        near = difflib.get_close_matches(str(fault["loc"][-1]), fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(fields)}"
        return f"{key}: found an unknown key, wanted one of the stage's settings; {hint}"
    if fault["type"] == "missing":
        return f"{key}: found nothing, wanted a value: add the key"
    found = "" if fault["type"] == "value_error" and not fault["loc"] else f"found {fault['input']!r}, "
    return f"{key}: {found}{fault['msg'].removeprefix('Value error, ')}"
