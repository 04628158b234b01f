"""Tiny random models of several architectures, for tests of the engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankrag import prompts

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

WORDS = (
    "The quick brown fox jumps over the lazy dog. Marie Curie was born in Warsaw in 1867. "
    "Owls hunt at night and eat mice; they are found in the World's forests, naïve or not. "
)

LLAMA_3_CHAT = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def tokenizer(start: bool = False, special: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with a few merges; with `start` it begins every text with `<|start|>`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>", "<|im_start|>", "<|im_end|>", "<|start|>", "<filename>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([WORDS, prompts.SYSTEM, *[" True", " False", "True", "False"] * 20], trainer)
    if start:
        made.post_processor = processors.TemplateProcessing(
            single="<|start|> $A", special_tokens=[("<|start|>", made.token_to_id("<|start|>"))]
        )
    fast: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = fast(tokenizer_object=made, bos_token="<|start|>", eos_token="<|end|>")
    return wrapped


def write(folder: Path, config: PretrainedConfig, start: bool = False) -> Path:
    """Write a model of random weights, large enough that a wrong token changes every probability."""
    from transformers import AutoModelForCausalLM, set_seed

    words = tokenizer(start)
    words.save_pretrained(folder)
    set_seed(0)
    auto: Any = AutoModelForCausalLM
    model = auto.from_config(config)
    for name, weight in model.named_parameters():
        weight.data.mul_(10.0 if weight.ndim > 1 else 1.0)
        if name.endswith(".bias"):  # transformers begins with zeros, which nobody would miss
            weight.data.normal_(0.0, 0.5)
    model.save_pretrained(folder)
    return folder


def config(kind: str, **changes: object) -> PretrainedConfig:
    """Return the configuration of a tiny model of an architecture, with some settings changed."""
    from transformers import AutoConfig

    settings: dict[str, object] = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "bos_token_id": 3,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    return AutoConfig.for_model(kind, **(settings | changes))
