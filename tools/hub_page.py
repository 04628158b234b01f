"""Prepare a checkpoint that ships for a model hub: one folder, to be uploaded as it is.

    python tools/hub_page.py rankrag-135m OUT
    hf upload OWNER/NAME OUT

OUT/README.md               the model card, with the front matter that a hub reads
OUT/model.safetensors, …    what `rankrag model export` writes, in float16, and the calibration
OUT/NAME-f16.gguf           the same weights for llama.cpp, Ollama and LM Studio

Then `--model OWNER/NAME` works, after `rankrag model pull OWNER/NAME`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from rankrag.errors import InvalidInputError
from rankrag.model.skills.calibrated import FILE, read_calibration, weights_mark, write_calibration
from rankrag.model.store import named_models, registry
from rankrag.model.store.gguf import ARCHITECTURES, stored_name
from rankrag.train import export

if TYPE_CHECKING:
    from gguf import GGUFWriter

UPSTREAM = {
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "qwen2.5-coder-0.5b": "Qwen/Qwen2.5-Coder-0.5B-Instruct",
}
"""Where the bases of the table are published, for the front matter."""

_NORMAL, _CONTROL, _UNUSED = 1, 3, 5


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=[name for name in named_models.MODELS if registry.shipped(name)])
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    prepare(registry.model_folder(chosen.name), chosen.name, chosen.out)
    for path in sorted(chosen.out.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path.name}")


def prepare(checkpoint: Path, name: str, out: Path) -> None:
    """Write everything that a hub's page of a checkpoint holds into a new folder."""
    export(checkpoint, out, "float16")
    if (checkpoint / FILE).exists():
        # Merged and rounded weights are other bytes; relevance moves by less than 0.001.
        fitted = read_calibration(checkpoint / FILE)
        write_calibration(out, replace(fitted, model=weights_mark([out])))
    write_gguf(out, out / f"{name}-f16.gguf")
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    (out / "README.md").write_text(page(card, name), encoding="utf-8")


def page(card: str, name: str) -> str:
    """Return a model card with front matter and first commands; links that leave its folder become text."""
    model = named_models.MODELS[name]
    base = registry.shipped(name)
    front = {
        "license": model.licence.lower(),
        "base_model": UPSTREAM[base.base] if base else "",
        "base_model_relation": "finetune",
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "text-ranking",
        "tags": ["rankrag", "retrieval-augmented-generation", "reranker", "gguf", "arxiv:2407.02485"],
    }
    title, _, rest = card.partition("\n")
    use = (
        '```\npip install "rankrag[local,docs]"\nrankrag model pull OWNER/NAME\n'
        'rankrag ask "…" --index my.index --model OWNER/NAME\n```\n\n'
        f"`{name}-f16.gguf` is for llama.cpp (`llama-server -m {name}-f16.gguf`) and what is built on it.\n"
    )
    rest = re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", rest)
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n{title}\n\n{use}{rest}"


# ── GGUF ─────────────────────────────────────────────────────────────────────────────────────────────


def write_gguf(folder: Path, path: Path) -> None:
    """Write the model of an exported folder as one GGUF file, matrices in float16, as llama.cpp reads it."""
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    config = _json(folder / "config.json")
    kind = str(config["model_type"])
    if kind not in ARCHITECTURES:
        raise InvalidInputError(f"{folder}: found a {kind}, wanted one of {', '.join(ARCHITECTURES)}")
    heads = {"attn_q": int(config["num_attention_heads"]), "attn_k": int(config["num_key_value_heads"])}
    writer = GGUFWriter(path, kind)
    _add_settings(writer, config)
    _add_tokenizer(writer, folder, int(config["vocab_size"]), ARCHITECTURES[kind].scheme.name)
    for file in sorted(folder.glob("*.safetensors")):
        for name, weights in load_file(file).items():
            stored = stored_name(name)
            if ARCHITECTURES[kind].interleaved and (n_heads := heads.get(stored.split(".")[-2])):
                weights = _interleaved(weights, n_heads)
            form = np.float16 if weights.ndim > 1 else np.float32
            writer.add_tensor(stored, np.ascontiguousarray(weights, dtype=form))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleaved(weights: np.ndarray, n_heads: int) -> np.ndarray:
    """Return the rows of a projection as llama.cpp wants them: (head, half, pair) -> (head, pair, half)."""
    halves = weights.reshape(n_heads, 2, weights.shape[0] // n_heads // 2, weights.shape[1])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _add_settings(writer: GGUFWriter, config: Mapping[str, object]) -> None:
    rope = config.get("rope_parameters")
    theta = rope["rope_theta"] if isinstance(rope, dict) else config["rope_theta"]
    for add, value in {
        "vocab_size": config["vocab_size"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "block_count": config["num_hidden_layers"],
        "head_count": config["num_attention_heads"],
        "head_count_kv": config["num_key_value_heads"],
        "rope_freq_base": theta,
        "layer_norm_rms_eps": config["rms_norm_eps"],
        "file_type": 1,  # mostly float16
    }.items():
        getattr(writer, f"add_{add}")(value)


def _add_tokenizer(writer: GGUFWriter, folder: Path, n_tokens: int, scheme: str) -> None:
    settings, whole = _json(folder / "tokenizer_config.json"), _json(folder / "tokenizer.json")
    vocabulary = dict(whole["model"]["vocab"])
    special = {token["content"]: token["id"] for token in whole["added_tokens"]}
    names = {number: token for token, number in (vocabulary | special).items()}
    tokens = [names.get(n, f"[PAD{n}]") for n in range(n_tokens)]
    kinds = [
        _CONTROL if token in special else _NORMAL if n in names else _UNUSED for n, token in enumerate(tokens)
    ]
    for add, value in {
        "tokenizer_model": "gpt2",
        "tokenizer_pre": scheme,
        "token_list": tokens,
        "token_types": kinds,
        "token_merges": list(_merges(whole["model"]["merges"])),
        "chat_template": (folder / "chat_template.jinja").read_text(encoding="utf-8"),
    }.items():
        getattr(writer, f"add_{add}")(value)
    for role in ("bos", "eos", "unk", "pad"):
        token = settings.get(f"{role}_token")
        if isinstance(token, str):
            getattr(writer, f"add_{role}_token_id")((vocabulary | special)[token])
    writer.add_add_bos_token(False)


def _merges(merges: list[object]) -> Iterator[str]:
    for merge in merges:
        yield merge if isinstance(merge, str) else " ".join(map(str, merge))  # type: ignore[call-overload]


def _json(path: Path) -> dict:  # type: ignore[type-arg]
    content: dict = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[type-arg]
    return content


if __name__ == "__main__":
    main()
