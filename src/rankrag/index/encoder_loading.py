"""Loads an encoder from a folder, and refuses one that is not whole or could run code when opened."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, NotFoundError, needs, told
from .named_encoders import ENCODERS, EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

_DPR_KEYS = {r"^ctx_encoder\.": "question_encoder."}
"""transformers opens every DPR checkpoint as a question encoder; without this a context encoder would keep
random weights, with nothing but a line in a log."""


def load(folder: Path, settings: EncoderSettings, n_tokens: int, device: str | None) -> SentenceTransformer:
    """Build an encoder by our settings, whatever modules the folder may describe."""
    _check_folder(folder)
    with needs("sentence-transformers", "local"):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules
    own_output = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    here: dict[str, object] = {"local_files_only": True, "trust_remote_code": False}  # unsaid, it may ask
    with _quiet(), told(folder, "the encoder"):
        words = modules.Transformer(
            str(folder),
            max_seq_length=n_tokens,
            model_kwargs={"use_safetensors": True, "key_mapping": _DPR_KEYS, **here},
            processor_kwargs=here,
            config_kwargs=here,
            modality_config=own_output if settings.pooling == "pooler" else None,
            module_output_name="sentence_embedding" if settings.pooling == "pooler" else None,
        )
    _check_complete(folder, words)
    parts = [words]
    if settings.pooling != "pooler":
        parts.append(modules.Pooling(words.get_embedding_dimension(), settings.pooling))
    return SentenceTransformer(modules=parts, device=device)


def load_layout(folder: Path, device: str | None) -> SentenceTransformer:
    """Load a folder in the layout of sentence-transformers as it describes itself."""
    if not (folder / "modules.json").exists():
        raise InvalidInputError(
            f"{folder}: found no modules.json, wanted a folder in the layout of sentence-transformers, "
            f"or a named encoder: {', '.join(ENCODERS)}"
        )
    with told(folder, "modules.json"):
        for module in json.loads((folder / "modules.json").read_text(encoding="utf-8")):
            _check_pickles(folder / module["path"])
    with needs("sentence-transformers", "local"):
        from sentence_transformers import SentenceTransformer
    with _quiet(), told(folder, "the encoder"):
        return SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").exists():
        raise NotFoundError(f"found no encoder (config.json) in {folder}: check the path, or pull it again")
    _check_pickles(folder)
    if not any(folder.glob("*.safetensors")):
        raise InvalidInputError(f"{folder}: found no *.safetensors, wanted the weights there: pull it again")


def _check_pickles(folder: Path) -> None:
    pickled = [*folder.glob("*.bin"), *folder.glob("*.pt")]
    if pickled and not any(folder.glob("*.safetensors")):
        raise InvalidInputError(
            f"{folder}: found pickled weights ({pickled[0].name}), which can run code when opened, wanted "
            "*.safetensors: save the model as safetensors where you trust it and give that folder"
        )


def _check_complete(folder: Path, words: Transformer) -> None:
    """Refuse a checkpoint that leaves weights random; BERT's pooler may be missing, nobody reads it."""
    from safetensors import safe_open

    stored: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            stored.update(_endings(file.keys()))
    names = (name for name, _ in words.model.named_parameters())
    missing = [name for name in names if ".pooler." not in f".{name}" and name not in stored]
    if missing:
        raise InvalidInputError(
            f"{folder}: found no weights for {missing[0]} ({len(missing)} missing), wanted a checkpoint of "
            f"{type(words.model).__name__}: it is of another architecture or not whole"
        )


def _endings(keys: Sequence[str]) -> Iterator[str]:
    """Yield each stored name as it is and without its first parts (`bert.…`), in today's spelling."""
    for key in keys:
        for old, new in _DPR_KEYS.items():
            key = re.sub(old, new, key)
        key = key.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        parts = key.split(".")
        yield from (".".join(parts[n:]) for n in range(len(parts) - 1))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' own progress bars and its table of weights while a model loads."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
