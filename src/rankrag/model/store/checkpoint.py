"""A checkpoint: a folder with weights (or an adapter), a tokenizer and `rankrag.json`.

    model.safetensors | model-….safetensors + index | adapter_model.safetensors + adapter_config.json
    config.json, tokenizer.json, …      as transformers and peft write them
    rankrag.json                        which prompt template it was taught with, and what it was made of

A model knows only the words that it was taught with, so the card carries the name and the hash of its prompt
template and loading it with other words is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ... import prompts
from ...errors import InvalidInputError, NotFoundError
from ...files import typed, write_json
from ...types import ReadingMode

CARD = "rankrag.json"

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What `rankrag.json` says about a folder.

    `template` names a template of `prompts.py`; `base` is the model under an adapter (a name of the
    table, a hub id or a folder); `trained` says that it learned to rank; `threshold` is the relevance,
    in 0..1, below which no passage answers the question (None: it does not abstain); `recipe` and
    `manifest` name files in the folder; `context_length` is the most tokens of a prompt with its answer
    (None: what the base takes), for a base that takes far more than was taught; `reading` is how it was
    measured to answer best from several passages; `query_likelihood` is what the likelihood of the question
    counts when it ranks (see `ModelRanker`).

    `plain` marks a folder without a card, made elsewhere: `template` is then `chat` if its tokenizer
    brings a chat template (whose frame the engine takes), else `paper`.
    """

    folder: Path
    template: str
    base: str = ""
    trained: bool = False
    threshold: float | None = None
    recipe: str = ""
    manifest: str = ""
    context_length: int | None = None
    reading: ReadingMode = "joint"
    query_likelihood: float = 0.0
    plain: bool = False

    @property
    def is_adapter(self) -> bool:
        """Whether the folder holds a peft adapter, to be put on `base`, in place of whole weights."""
        return (self.folder / "adapter_config.json").exists()


def template_hash(name: str) -> str:
    """Return the hash of a template, by its name."""
    return prompts.template_hash(prompts.template(name))


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return what a folder holds, after checking that it can be loaded safely and with our words.

    Raises NotFoundError without a folder, InvalidInputError for a broken card, another template, an
    adapter without a base, or weights that are not safetensors.
    """
    if not folder.is_dir():
        raise NotFoundError(f"found no checkpoint folder at {folder}: check the path")
    check_weights(folder)
    card = folder / CARD
    checkpoint = _read_card(card) if card.exists() else _plain(folder)
    if checkpoint.is_adapter and not checkpoint.base:
        raise InvalidInputError(
            f"{folder}: found an adapter without the name of its base model, wanted it in {CARD}: "
            f'write {{"base": "…"}} there'
        )
    return checkpoint


def write_checkpoint(checkpoint: Checkpoint) -> None:
    """Write `rankrag.json` into the checkpoint's folder, with the hash of its template as it is now."""
    content = {name: value for name, value in asdict(checkpoint).items() if name not in _NOT_WRITTEN}
    content["template_hash"] = template_hash(checkpoint.template)
    write_json(checkpoint.folder / CARD, content)


def check_weights(folder: Path) -> None:
    """Raise InvalidInputError unless all weights of a model folder are there as safetensors."""
    missing = [name for name in _shards(folder) if not (folder / name).exists()]
    if missing:
        raise InvalidInputError(
            f"{folder}: found an index of weights, wanted also {missing[0]} "
            f"({len(missing)} missing): copy the folder again"
        )
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    found = f"pickled weights ({pickled[0]}), which can run code when opened" if pickled else "no weights"
    raise InvalidInputError(
        f"{folder}: found {found}, wanted *.safetensors: save the model with `save_pretrained`, "
        "where you trust it, and give that folder"
    )


def _shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return []
    return sorted(set(_read_json(index).get("weight_map", {}).values()))


# ── the card ─────────────────────────────────────────────────────────────────────────────────────────

_NOT_WRITTEN = ("folder", "plain")
_LATER: Mapping[str, object] = {"context_length": None, "reading": "joint", "query_likelihood": 0.0}
"""What a card says that was written before it had these fields."""


def _read_card(path: Path) -> Checkpoint:
    content = {**_LATER, **_read_json(path)}
    names = ["template_hash", *(field.name for field in fields(Checkpoint) if field.name not in _NOT_WRITTEN)]
    if odd := sorted(content.keys() ^ set(names)):
        raise InvalidInputError(
            f"{path}: found a missing or unknown field {odd[0]!r}, wanted exactly: {', '.join(names)}"
        )
    digest = content.pop("template_hash")
    try:
        card = typed(Checkpoint, {**content, "folder": path.parent}, "card")
    except ValueError as problem:
        raise InvalidInputError(f"{path}: {problem}: correct it") from problem
    _check_numbers(path, card)
    if digest != (wanted := template_hash(card.template)):
        raise InvalidInputError(
            f"{path}: found template {card.template!r} with hash {digest}, wanted {wanted}: the prompts "
            f"changed since; {_remedy(card.trained)}"
        )
    return card


def _remedy(trained: bool) -> str:
    if trained:
        return "use the version of rankrag that trained it, or train again with this one"
    return "run `rankrag model pull` again for a pulled model, or write the card anew"


def _check_numbers(path: Path, card: Checkpoint) -> None:
    if card.threshold is not None and not 0 <= card.threshold <= 1:
        raise InvalidInputError(
            f"{path}: found threshold = {card.threshold}, wanted a number in 0..1: correct it"
        )
    check_query_likelihood(card.query_likelihood, f"{path}: ")
    if card.context_length is not None and card.context_length < 1:
        raise InvalidInputError(
            f"{path}: found context_length = {card.context_length}, wanted 1 or more: correct it"
        )


def check_query_likelihood(value: object, where: str = "") -> None:
    """Raise InvalidInputError unless a value is a finite number from 0."""
    if not isinstance(value, float | int) or not 0 <= value < math.inf:
        raise InvalidInputError(
            f"{where}found query_likelihood = {value!r}, wanted a number from 0: correct it"
        )


def _plain(folder: Path) -> Checkpoint:
    tokenizer = folder / "tokenizer_config.json"
    chat = (folder / "chat_template.jinja").exists() or (
        tokenizer.exists() and bool(_read_json(tokenizer).get("chat_template"))
    )
    return Checkpoint(folder, "chat" if chat else "paper", plain=True)


def _read_json(path: Path) -> dict:  # type: ignore[type-arg]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInputError(
            f"{path}: found no JSON ({error}), wanted an object: copy the file again"
        ) from error
    if not isinstance(content, dict):
        raise InvalidInputError(
            f"{path}: found a {type(content).__name__}, wanted a JSON object: copy it again"
        )
    return content
