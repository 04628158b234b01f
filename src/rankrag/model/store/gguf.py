"""From a GGUF file to a plain folder: safetensors, config.json and a tokenizer.

Only what the named models need: the architectures of `ARCHITECTURES`, each with its tokenizer. Three things
are done here that a straight read gets wrong:

* Files of the architecture `llama` hold the rows of the query and key projections interleaved for rotary
  position embeddings; they are put back as transformers wants them. Files of `qwen2` hold them as they are.
* A file may hold one matrix twice, quantised differently, as embedding and as output head. The finer one
  serves as both, so that it is stored and held in memory once.
* Tokenizers split digits ("2015" is four tokens), which transformers' own GGUF reader forgets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...errors import InvalidInputError, needs
from . import gguf_tokenizer
from .gguf_tokenizer import SCHEMES, Field, Scheme, whole

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader
    from gguf.gguf_reader import ReaderTensor


@dataclass(frozen=True, slots=True)
class Architecture:
    """What differs between the architectures of GGUF files.

    `matrices` is the format that matrices are stored in; norms and biases are always float32. Four to eight
    bits make few values: float16 (eleven bits) keeps them closer than bfloat16 (eight) in the same room.
    """

    scheme: Scheme
    config: Mapping[str, object]
    interleaved: bool
    matrices: Format


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(
        scheme=SCHEMES["smollm"],
        config={
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "float32",
            "attention_bias": False,
            "mlp_bias": False,
        },
        interleaved=True,
        matrices="F32",
    ),
    "qwen2": Architecture(
        scheme=SCHEMES["qwen2"],
        config={
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "dtype": "float16",
            "use_sliding_window": False,
        },
        interleaved=False,
        matrices="F16",
    ),
}

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

_SAME = 0.1
"""Two matrices are one, quantised twice, if they differ by less than this share of their mean size.

The head and the embedding of Qwen2.5-Coder-0.5B differ by 0.044 of it; two that were trained apart by over 1.
"""
_SAMPLED_ROWS = 512

_ROWS = 8192
"""Rows of a matrix that are in memory at a time."""


def convert(source: Path, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write the model of a GGUF file into an existing folder.

    `progress` is told how many of how many tensors are done; a few rows are in memory at a time. Raises
    InvalidInputError for any architecture or tokenizer that is not in `ARCHITECTURES`, or a broken file.
    """
    with needs("gguf", "local"):
        from gguf import GGUFReader
    try:
        reader = GGUFReader(source)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise InvalidInputError(
            f"{source.name}: found no GGUF file that can be read ({error}), wanted one: fetch it again"
        ) from error
    fields = _fields(reader)
    kind = _architecture(source, fields)
    stored = {tensor.name: tensor for tensor in reader.tensors}
    tied = _tied(stored)
    if tied:
        stored["token_embd.weight"] = tied
    stored = {name: tensor for name, tensor in stored.items() if not (tied and name == "output.weight")}
    tensors = [_tensor(name, tensor, kind, fields) for name, tensor in stored.items()]
    write(tensors, folder / "model.safetensors", progress)
    _write_json(folder / "config.json", _config(kind, fields, tied="output.weight" not in stored))
    if len(ends := kind.scheme.end_tokens(fields)) > 1:
        _write_json(folder / "generation_config.json", {"eos_token_id": ends})
    gguf_tokenizer.write_tokenizer(kind.scheme, fields, folder, _number(fields, "context_length"))


def _fields(reader: GGUFReader) -> dict[str, Field]:
    wanted = ("general.", "tokenizer.", *(f"{name}." for name in ARCHITECTURES))
    return {name: field.contents() for name, field in reader.fields.items() if name.startswith(wanted)}


def _architecture(source: Path, fields: Mapping[str, Field]) -> Architecture:
    name, tokenizer = fields.get("general.architecture"), fields.get("tokenizer.ggml.pre")
    kind = ARCHITECTURES.get(str(name))
    if kind is None or kind.scheme.name != tokenizer:
        wanted = " or ".join(f"{name!r} with {kind.scheme.name!r}" for name, kind in ARCHITECTURES.items())
        raise InvalidInputError(
            f"{source.name}: found architecture {name!r} with tokenizer {tokenizer!r}, "
            f"wanted {wanted}: convert it to safetensors and give the folder"
        )
    return kind


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────


def _tensor(name: str, stored: ReaderTensor, kind: Architecture, fields: Mapping[str, Field]) -> Tensor:
    shape = tuple(int(size) for size in reversed(stored.shape))
    return Tensor(
        name=_name(name),
        shape=shape,
        form=kind.matrices if len(shape) > 1 else "F32",
        read=partial(_read, name, stored, kind, fields),
    )


def _read(
    name: str, stored: ReaderTensor, kind: Architecture, fields: Mapping[str, Field]
) -> Iterator[np.ndarray]:
    from gguf import dequantize

    # A vocabulary of 151,936 takes 545 MB in float32, and dequantize needs several times that.
    step = len(stored.data) if kind.interleaved else _ROWS
    for start in range(0, len(stored.data), step):
        rows: np.ndarray = dequantize(stored.data[start : start + step], stored.tensor_type)
        rows = rows.astype("float32", copy=False)
        yield _straighten(name, rows, fields) if kind.interleaved else rows


def _name(name: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    try:
        _, layer, part, kind = name.split(".")
        return f"model.layers.{layer}.{_INNER[part]}.{kind}"
    except (ValueError, KeyError) as error:
        raise InvalidInputError(
            f"found a tensor {name!r} in the GGUF file, wanted those of a plain decoder: convert it to "
            "safetensors and give the folder"
        ) from error


def stored_name(name: str) -> str:
    """Return what a GGUF file calls a tensor of transformers."""
    outer = {ours: theirs for theirs, ours in _OUTER.items()}
    if name in outer:
        return outer[name]
    _, _, layer, *parts, kind = name.split(".")
    (part,) = (theirs for theirs, ours in _INNER.items() if ours == ".".join(parts))
    return f"blk.{layer}.{part}.{kind}"


def _straighten(name: str, weights: np.ndarray, fields: Mapping[str, Field]) -> np.ndarray:
    """Return query and key projections with the two halves of each head one after the other.

    GGUF interleaves them, (head, pair, half) by rows; transformers wants (head, half, pair).
    """
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}
    part = name.split(".")[-2]
    if part not in heads:
        return weights
    n_heads = _number(fields, f"attention.{heads[part]}")
    paired = weights.reshape(n_heads, weights.shape[0] // n_heads // 2, 2, weights.shape[1])
    return paired.swapaxes(1, 2).reshape(weights.shape)


def _tied(stored: Mapping[str, ReaderTensor]) -> ReaderTensor | None:
    """Return the finer of embedding and head where the two are one matrix, quantised differently."""
    embedding, head = stored.get("token_embd.weight"), stored.get("output.weight")
    if embedding is None or head is None or list(embedding.shape) != list(head.shape):
        return None
    first, second = _sample(embedding), _sample(head)
    if not abs(first - second).mean() < _SAME * abs(second).mean():
        return None
    return max((head, embedding), key=lambda tensor: tensor.n_bytes)


def _sample(stored: ReaderTensor) -> np.ndarray:
    from gguf import dequantize

    step = max(1, stored.data.shape[0] // _SAMPLED_ROWS)
    rows: np.ndarray = dequantize(stored.data[::step], stored.tensor_type)
    return rows


# ── config ───────────────────────────────────────────────────────────────────────────────────────────


def _config(kind: Architecture, fields: Mapping[str, Field], tied: bool) -> dict[str, object]:
    heads = _number(fields, "attention.head_count")
    width = _number(fields, "embedding_length")
    own = dict(kind.config)
    first = {name: own.pop(name) for name in ("architectures", "model_type", "dtype")}
    name = fields["general.architecture"]
    size = fields.get(f"{name}.vocab_size")
    return {
        **first,
        "vocab_size": size if isinstance(size, int) else len(gguf_tokenizer.words(fields, "tokens")),
        "hidden_size": width,
        "intermediate_size": _number(fields, "feed_forward_length"),
        "num_hidden_layers": _number(fields, "block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _number(fields, "attention.head_count_kv"),
        "head_dim": width // heads,
        "hidden_act": "silu",
        "max_position_embeddings": _number(fields, "context_length"),
        "rms_norm_eps": fields[f"{name}.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": fields[f"{name}.rope.freq_base"]},
        **own,
        "tie_word_embeddings": tied,
        "bos_token_id": kind.scheme.start_token(fields),
        "eos_token_id": whole(fields, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": whole(fields, "tokenizer.ggml.padding_token_id"),
    }


def _number(fields: Mapping[str, Field], name: str) -> int:
    """Return a whole number that the file keeps under the name of its architecture."""
    return whole(fields, f"{fields['general.architecture']}.{name}")


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


# ── the file that is written ───────────────────────────────────────────────────────────────────────────


Format = Literal["F32", "F16"]

_NUMPY: dict[Format, str] = {"F32": "<f4", "F16": "<f2"}
_LARGEST_F16 = 65504.0


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor to be written: `read` makes its values, float32, when its turn comes, some rows at a time."""

    name: str
    shape: tuple[int, ...]
    form: Format
    read: Callable[[], Iterable[np.ndarray]]

    @property
    def n_bytes(self) -> int:
        """Bytes of its values in the file."""
        return prod(self.shape) * (4 if self.form == "F32" else 2)


def write(tensors: Iterable[Tensor], path: Path, progress: Callable[[int, int], None]) -> None:
    """Write tensors to a new file; `progress` is told how many of how many are done.

    The bytes are those that the safetensors package writes: first by width of the numbers, then by name.
    Raises InvalidInputError for a value that is not finite or does not fit the format, or for a wrong number
    of values.
    """
    ordered = sorted(tensors, key=lambda tensor: (tensor.form != "F32", tensor.name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in ordered:
        offsets = [offset, offset := offset + tensor.n_bytes]
        header[tensor.name] = {"dtype": tensor.form, "shape": [*tensor.shape], "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for done, tensor in enumerate(ordered, 1):
            for values in _values(tensor):
                file.write(values)
            progress(done, len(ordered))


def _values(tensor: Tensor) -> Iterator[bytes]:
    import numpy as np

    limit = _LARGEST_F16 if tensor.form == "F16" else float(np.finfo(np.float32).max)
    written = 0
    for rows in tensor.read():
        largest = max(float(rows.max(initial=0.0)), -float(rows.min(initial=0.0)))
        if not largest <= limit:  # this holds for NaN as well
            raise InvalidInputError(
                f"found {tensor.name} with numbers up to {largest:.3g}, wanted finite ones up to "
                f"{limit:.3g}: fetch the file again"
            )
        content = rows.astype(_NUMPY[tensor.form], copy=False).tobytes()
        written += len(content)
        yield content
    if written != tensor.n_bytes:
        raise InvalidInputError(
            f"found {written} bytes of {tensor.name}, wanted {tensor.n_bytes}: fetch the file again"
        )
