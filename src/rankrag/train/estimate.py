"""What a stage would take, before it is started: parameters, memory a device by part, steps, tokens, hours.

The model is built on the meta device, which holds shapes and no numbers, so a 70B recipe is estimated on a
laptop in seconds and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .. import prompts
from ..errors import InvalidInputError, MissingModelError
from ..files import put_setting
from ..formats import read_examples
from ..model.store.checkpoint import read_checkpoint
from ..model.store.registry import locate
from .folder import EXAMPLES
from .plan import n_steps
from .shared import grouped
from .stage_recipe import Stage, StageNumber
from .start import hush, lora_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

DeviceName = Literal["a100", "h100", "h200"]

LLAMA_3: dict[str, object] = {
    "vocab_size": 128_256,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rope_theta": 500_000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}

ARCHITECTURES: dict[str, dict[str, object]] = {
    "llama-3-8b": LLAMA_3
    | {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "llama-3-70b": LLAMA_3
    | {"hidden_size": 8192, "intermediate_size": 28_672, "num_hidden_layers": 80, "num_attention_heads": 64},
    "smollm2-135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "rope_theta": 100_000.0,
        "tie_word_embeddings": True,
    },
}
"""Shapes of the named models (their published config.json), so that none has to be on this machine."""


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of accelerator: memory in bytes, peak of dense bfloat16 matrix products in FLOP/s."""

    memory: float
    peak_flops: float


DEVICES: dict[DeviceName, Device] = {
    "a100": Device(80e9, 312e12),
    "h100": Device(80e9, 989e12),
    "h200": Device(141e9, 989e12),
}
"""As their data sheets say, without sparsity."""

UTILISATION = 0.4
"""Share of the peak that training reaches: 38 to 43 % were published for Llama 3 405B (arXiv 2407.21783)."""

HEAD_CHUNK = 256
"""Target tokens whose logits are in memory at once (TRL's fused head)."""

ADAPTER = ("dtype=bfloat16", "lora.r=16", "learning_rate=2.0e-4")
"""Settings that train an adapter over a frozen base; it needs a higher rate, here one of our recipes."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be learnt: examples, and the tokens of each, target included, on average."""

    n_examples: int
    tokens_per_example: float


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """What a stage takes; memory in bytes a device by part, `tokens` over the whole stage."""

    parameters: int
    trainable: int
    n_devices: int
    device: DeviceName
    load: Load
    steps: int
    tokens: float
    flops: float
    hours: float
    memory: Mapping[str, float] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether the parts together leave a tenth of a device's memory free."""
        return _fits(self.memory, self.device)

    def rows(self) -> list[tuple[str, str]]:
        """Return the estimate as names and values to print."""
        total = sum(self.memory.values())
        minutes = f"{60 * self.hours:.1f} min" if self.hours >= 1 / 60 else "under a minute"
        time = f"{self.hours:.1f} h" if self.hours >= 1 else minutes
        parts = [(f"memory a device: {name}", f"{size / 1e9:.2f} GB") for name, size in self.memory.items()]
        return [
            ("parameters", f"{self.parameters:,}"),
            ("trained", f"{self.trainable:,} ({self.trainable / self.parameters:.2%})"),
            ("devices", f"{self.n_devices} x {self.device} (--devices, --device)"),
            *parts,
            ("memory a device", f"{total / 1e9:.2f} GB, {'fits' if self.fits else 'does not fit'}"),
            ("examples", f"{self.load.n_examples:,}, of {self.load.tokens_per_example:,.0f} tokens each"),
            ("steps", f"{self.steps:,}"),
            ("tokens", f"{self.tokens:,.0f}"),
            ("work", f"{self.flops:.2e} FLOP"),
            ("time", f"{time} at {UTILISATION:.0%} of the peak"),
        ]


def estimate(stage: Stage, load: Load, n_devices: int = 1, device: DeviceName = "a100") -> TrainingEstimate:
    """Return what a stage would take on so many devices, weights shared out among them (FSDP).

    Raises InvalidInputError for an unknown device, for a batch that the devices cannot share, or for a
    model whose shape is unknown here.
    """
    if device not in DEVICES:
        raise InvalidInputError(f"found device {device!r}, wanted one of {', '.join(DEVICES)}")
    stage.accumulation_steps(n_devices)
    model = on_meta(stage)
    total, trainable = _sizes(model)
    base = total - trainable if stage.lora else total
    steps = n_steps(stage, load.n_examples)
    if not steps:
        raise InvalidInputError("found no number of steps, wanted max_steps in the stage or a blend to count")
    tokens = steps * stage.global_batch_size * load.tokens_per_example
    flops = tokens * flops_per_token(stage, model, base, load.tokens_per_example)
    return TrainingEstimate(
        parameters=total,
        trainable=trainable,
        n_devices=n_devices,
        device=device,
        load=load,
        steps=steps,
        tokens=tokens,
        flops=flops,
        hours=flops / (n_devices * DEVICES[device].peak_flops * UTILISATION) / 3600,
        memory=memory(stage, model.config, total, trainable, n_devices),
    )


def ways_to_fit(stage: Stage, number: StageNumber, n_devices: int, device: DeviceName) -> list[str]:
    """Return options of `rankrag train` with each of which a stage fits its devices; empty where none does.

    Tried are more devices, one row at once, and an adapter over a frozen base.
    """
    few = ("per_device_train_batch_size=1",) if stage.per_device_train_batch_size > 1 else ()
    changes: list[tuple[str, ...]] = [(), few] if few else [()]
    if stage.lora is None:
        changes.append((*few, *ADAPTER))
    ways = []
    for change in changes:
        values = stage.model_dump(exclude_none=True)
        for setting in change:
            put_setting(values, setting)
        if least := _least_devices(Stage.model_validate(values), n_devices, device):
            ways.append(
                " ".join([f"--devices {least}", *(f"--set stage{number}.{setting}" for setting in change)])
            )
    return ways


def _least_devices(stage: Stage, n_devices: int, device: DeviceName) -> int | None:
    """Return the fewest devices, from `n_devices` on, that a stage fits and that share its batch."""
    model = on_meta(stage)
    total, trainable = _sizes(model)
    parts = stage.global_batch_size // stage.per_device_train_batch_size
    shared = (n for n in range(n_devices, parts + 1) if parts % n == 0)
    return next((n for n in shared if _fits(memory(stage, model.config, total, trainable, n), device)), None)


def _sizes(model: PreTrainedModel) -> tuple[int, int]:
    """Return the number of weights, of all and of those that are trained."""
    weights = list(model.parameters())
    return sum(p.numel() for p in weights), sum(p.numel() for p in weights if p.requires_grad)


def _fits(parts: Mapping[str, float], device: DeviceName) -> bool:
    return sum(parts.values()) <= 0.9 * DEVICES[device].memory


def measure(blend: Path, stage: Stage, drawn: int | None = None) -> Load:
    """Return the load of a blend, at four characters a token (English text in the vocabularies of today).

    The examples are as many as `drawn`, or all of the blend's, and as long as the blend's on average. Where
    the stage shares prefixes, a bundle is what a step counts as an example.
    """
    form, most = prompts.template(stage.template), 4 * stage.max_length
    read = (prompts.example(item, form) for item in read_examples(str(blend / EXAMPLES)))
    texts = ((prompt.prefix + prompt.suffix, prompt.target) for prompt in read)
    if stage.share_prefixes:
        kept = [*texts]
        n_texts, lengths = len(kept), _bundled(kept, most)
    else:
        lengths = [len(prompt) + len(target) for prompt, target in texts]
        n_texts = len(lengths)
    n_examples = len(lengths) if drawn is None else round(drawn * len(lengths) / max(n_texts, 1))
    return Load(n_examples, sum(min(n, most) for n in lengths) / 4 / max(len(lengths), 1))


def _bundled(texts: Sequence[tuple[str, str]], most: int) -> list[int]:
    """Return the bytes of the bundles that rows of prompt and target make."""
    rows = [np.frombuffer((prompt + target).encode(), np.uint8) for prompt, target in texts]
    prompts_end = [len(prompt.encode()) for prompt, _ in texts]
    return [
        shared + sum(len(rows[n]) - shared for n in group)
        for group, shared in grouped(rows, prompts_end, most)
    ]


def on_meta(stage: Stage) -> PreTrainedModel:
    """Return the stage's model without numbers, with its adapter if it trains one."""
    import torch
    from transformers import AutoModelForCausalLM

    hush()

    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(_config(stage.model))  # type: ignore[no-untyped-call]
        if stage.lora is None:
            return model
        from peft import get_peft_model

        return get_peft_model(model, lora_config(stage.lora))  # type: ignore[return-value]


def _config(model: str) -> PretrainedConfig:
    from transformers import AutoConfig, LlamaConfig

    if model in ARCHITECTURES:
        return LlamaConfig(**ARCHITECTURES[model])  # type: ignore[arg-type]
    try:
        folder = locate(model)
        if (folder / "adapter_config.json").is_file():  # it has the shape of what it lies on
            folder = locate(read_checkpoint(folder).base)
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except MissingModelError as error:
        raise MissingModelError(
            f"{error}, or estimate one whose shape is known: {', '.join(ARCHITECTURES)}"
        ) from error
    return config


def flops_per_token(stage: Stage, model: PreTrainedModel, base: int, length: float) -> float:
    """Return the floating-point work of one token: forward, backward, and forward again if recomputed.

    Two operations a weight and pass (arXiv 2001.08361, section 2.1) over all weights but the look-up of
    embeddings; a frozen weight needs no gradient of its own, which saves one pass. Attention adds
    4 x hidden size a layer for each of the `length` / 2 tokens that a token sees on average.
    """
    config = model.config
    looked_up = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    attention = 2 * config.num_hidden_layers * config.hidden_size * length
    forward = 2 * (base - looked_up) + attention
    passes = (3 if stage.lora is None else 2) + (stage.gradient_checkpointing is not False)
    return float(forward * passes)


def memory(
    stage: Stage, config: PretrainedConfig, total: int, trainable: int, n_devices: int
) -> dict[str, float]:
    """Return the bytes a device needs for each part, everything of the weights shared out (ZeRO stage 3).

    Weights in their own format, gradients in it too, Adam with two float32 numbers a trained weight
    (arXiv 1910.02054), the layers that are gathered whole to compute (the present and the next one),
    activations, and the logits of a chunk of targets with their gradient.
    """
    width = 4 if stage.dtype == "float32" else 2
    gathered = 0 if n_devices == 1 else 2 * _layer_parameters(config) + config.vocab_size * config.hidden_size
    # peft keeps the adapter in float32 over weights of any format.
    trained_width = 4 if stage.lora else width
    frozen = total - trainable
    return {
        "weights": (frozen * width + trainable * trained_width) / n_devices,
        "gradients": trainable * trained_width / n_devices,
        "optimiser": trainable * 8 / n_devices,
        "gathered layers": gathered * 2,
        "activations": activations(stage, config),
        "logits": 2.0 * HEAD_CHUNK * config.vocab_size * 4,
    }


def activations(stage: Stage, config: PretrainedConfig) -> float:
    """Return the bytes of activations of a device's batch of longest rows.

    Recomputing keeps the input of every layer and all of one layer; otherwise all of every layer is kept
    (arXiv 2205.05198, without its attention matrix, which fused attention never writes).
    """
    width = 4 if stage.bf16 is False else 2
    tokens = stage.per_device_train_batch_size * stage.max_length
    # Two norms and their inputs, queries, keys, values and their sum, and four times the feed-forward width.
    layer = 4 * config.hidden_size + 2 * _attention_width(config) + 4 * config.intermediate_size
    layers = config.num_hidden_layers
    kept = layers * layer if stage.gradient_checkpointing is False else layers * config.hidden_size + layer
    return float(tokens * kept * width)


def _layer_parameters(config: PretrainedConfig) -> int:
    attention = 2 * config.hidden_size * _attention_width(config)
    return int(attention + 3 * config.hidden_size * config.intermediate_size + 2 * config.hidden_size)


def _attention_width(config: PretrainedConfig) -> int:
    """Return the numbers of a token's queries and keys; its output and values are as many."""
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(head * (heads + config.num_key_value_heads))
