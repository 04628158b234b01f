"""From a GGUF file to a plain folder: float32 safetensors, config.json and a tokenizer.

Only what the default language model needs: the `llama` architecture with the `smollm` tokenizer. Two things
are done here that a straight read gets wrong:

* GGUF files of this architecture hold the rows of the query and key projections interleaved for rotary
  position embeddings; they are put back as transformers wants them.
* The `smollm` tokenizer splits digits ("2015" is four tokens), which transformers' own GGUF reader forgets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader

Field = str | int | float | bool | list[str] | list[int]

_CONTROL = 3
"""The token type of control tokens (`gguf.TokenType.CONTROL`)."""

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(source: Path, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write the model of a GGUF file into an existing folder.

    `progress` is told how many of how many tensors are done. Raises InvalidInputError for any other
    architecture or tokenizer than `llama` with `smollm`.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingExtraError("gguf", "local") from error
    reader = GGUFReader(source)
    fields = _fields(reader)
    _check(source, fields)
    tensors = _tensors(reader, fields, progress)
    _write_weights(tensors, folder / "model.safetensors")
    _write_json(folder / "config.json", _config(fields, tied="lm_head.weight" not in tensors))
    _write_tokenizer(fields, folder)


def _fields(reader: GGUFReader) -> dict[str, Field]:
    wanted = ("general.", "llama.", "tokenizer.")
    return {name: field.contents() for name, field in reader.fields.items() if name.startswith(wanted)}


def _check(source: Path, fields: Mapping[str, Field]) -> None:
    found = (fields.get("general.architecture"), fields.get("tokenizer.ggml.pre"))
    if found != ("llama", "smollm"):
        raise InvalidInputError(
            f"{source.name}: found architecture {found[0]!r} with tokenizer {found[1]!r}, "
            "wanted 'llama' with 'smollm': convert it to safetensors and give the folder"
        )


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────


def _tensors(
    reader: GGUFReader, fields: Mapping[str, Field], progress: Callable[[int, int], None]
) -> dict[str, np.ndarray]:
    from gguf import dequantize

    tensors: dict[str, np.ndarray] = {}
    for done, tensor in enumerate(reader.tensors, 1):
        # dequantize returns a view for tensors stored as float32, and the file is about to be deleted.
        weights = dequantize(tensor.data, tensor.tensor_type).astype("float32", copy=True)
        tensors[_name(tensor.name)] = _straighten(tensor.name, weights, fields)
        progress(done, len(reader.tensors))
    return tensors


def _name(name: str) -> str:
    """Return what transformers calls a tensor of a GGUF file."""
    if name in _OUTER:
        return _OUTER[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{_INNER[part]}.{kind}"


def _straighten(name: str, weights: np.ndarray, fields: Mapping[str, Field]) -> np.ndarray:
    """Return query and key projections with the two halves of each head one after the other.

    GGUF interleaves them, (head, pair, half) by rows; transformers wants (head, half, pair).
    """
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}
    part = name.split(".")[-2]
    if part not in heads:
        return weights
    n_heads = _whole(fields, f"llama.attention.{heads[part]}")
    paired = weights.reshape(n_heads, weights.shape[0] // n_heads // 2, 2, weights.shape[1])
    return paired.swapaxes(1, 2).reshape(weights.shape)


def _write_weights(tensors: dict[str, np.ndarray], path: Path) -> None:
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtraError("safetensors", "local") from error
    save_file(tensors, path, metadata={"format": "pt"})


# ── config ───────────────────────────────────────────────────────────────────────────────────────────


def _config(fields: Mapping[str, Field], tied: bool) -> dict[str, object]:
    heads = _whole(fields, "llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": _whole(fields, "llama.vocab_size"),
        "hidden_size": _whole(fields, "llama.embedding_length"),
        "intermediate_size": _whole(fields, "llama.feed_forward_length"),
        "num_hidden_layers": _whole(fields, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _whole(fields, "llama.attention.head_count_kv"),
        "head_dim": _whole(fields, "llama.embedding_length") // heads,
        "hidden_act": "silu",
        "max_position_embeddings": _whole(fields, "llama.context_length"),
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "bos_token_id": _whole(fields, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _whole(fields, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _whole(fields, "tokenizer.ggml.padding_token_id"),
    }


# ── tokenizer ────────────────────────────────────────────────────────────────────────────────────────


def _write_tokenizer(fields: Mapping[str, Field], folder: Path) -> None:
    tokens = _words(fields, "tokenizer.ggml.tokens")
    _save_bpe(fields, tokens, folder / "tokenizer.json")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[_whole(fields, "tokenizer.ggml.bos_token_id")],
        "eos_token": tokens[_whole(fields, "tokenizer.ggml.eos_token_id")],
        "unk_token": tokens[_whole(fields, "tokenizer.ggml.unknown_token_id")],
        "pad_token": tokens[_whole(fields, "tokenizer.ggml.padding_token_id")],
        "model_max_length": _whole(fields, "llama.context_length"),
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    if isinstance(chat := fields.get("tokenizer.chat_template"), str):
        (folder / "chat_template.jinja").write_text(chat, encoding="utf-8")


def _save_bpe(fields: Mapping[str, Field], tokens: list[str], path: Path) -> None:
    try:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    except ImportError as error:
        raise MissingExtraError("tokenizers", "local") from error
    pairs = [
        (left, right)
        for left, _, right in (m.partition(" ") for m in _words(fields, "tokenizer.ggml.merges"))
    ]
    bpe = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(tokens)}, merges=pairs))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    if not isinstance(kinds, list):
        raise InvalidInputError(
            f"found token types {kinds!r} in the GGUF file, wanted a list: fetch it again"
        )
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    bpe.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    bpe.save(str(path))


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


def _whole(fields: Mapping[str, Field], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int):
        raise InvalidInputError(
            f"found {name} = {value!r} in the GGUF file, wanted a whole number: fetch it again"
        )
    return value


def _words(fields: Mapping[str, Field], name: str) -> list[str]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise InvalidInputError(f"found {name} = {value!r} in the GGUF file, wanted a list: fetch it again")
    return [str(word) for word in value]


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
