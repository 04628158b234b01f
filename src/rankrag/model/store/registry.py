r"""Where a model lives on this machine.

A model is a name in `MODELS`, a local folder, or a hub id (`owner/name`). Nothing is downloaded here: what is
not on this machine is a MissingModelError that names the `rankrag model pull` which fetches it.

    <cache>/models/<name>/              one folder a model, `/` of a hub id written `--`
        rankrag-model.json              what it is and the sha256 of every file; written last
        …                               weights (safetensors only), config, tokenizer
        query/… context/…               in their place, for encoders of two sides

`<cache>` is `RANKRAG_CACHE`, or the platform's: `~/.cache/rankrag` (`XDG_CACHE_HOME` is respected) on Linux,
`~/Library/Caches/rankrag` on macOS, `%LOCALAPPDATA%\rankrag\Cache` on Windows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ...errors import InvalidInputError, MissingModelError, NotFoundError
from ...files import typed, user_folder, write_json
from .named_models import MODELS, Model, ModelKind, Shipped

MANIFEST = "rankrag-model.json"


# ── what a text means ────────────────────────────────────────────────────────────────────────────────

_HUB_ID = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """What a name, path or hub id stands for; `model` is set for a name of the table."""

    where: Literal["table", "folder", "hub"]
    model: Model | None = None


def resolve(text: str) -> Reference:
    """Say whether a text is a name of the table, a local folder or a hub id, in this order.

    Raises NotFoundError for a path that is not there and InvalidInputError for anything else.
    """
    if text in MODELS:
        return Reference("table", MODELS[text])
    if text and Path(text).expanduser().is_dir():
        return Reference("folder")
    if text.startswith((".", "~")) or Path(text).is_absolute():
        raise NotFoundError(f"found no model folder at {text}: check the path")
    if _HUB_ID.fullmatch(text):
        return Reference("hub")
    kinds: tuple[ModelKind, ...] = ("language_model", "encoder")
    models, encoders = (", ".join(name for name in MODELS if MODELS[name].kind == kind) for kind in kinds)
    raise InvalidInputError(
        f"found model {text!r}, wanted a folder, a hub id (owner/name), one behind a server "
        f"(openai:{text}@URL) or one of: {models}; of encoders: {encoders}"
    )


def locate(text: str) -> Path:
    """Return the folder of a model on this machine; it never downloads.

    A hub id is looked for in our cache, then in the hub's own cache, where other programs may have
    put it. An encoder of two sides has sub-folders `query` and `context`. Raises MissingModelError.
    """
    reference = resolve(text)
    if reference.where == "folder":
        return Path(text).expanduser()
    present = installed(text)
    if present is not None and (reference.model is None or present.origin == str(reference.model.origin)):
        return present.folder
    if reference.where == "hub" and (snapshot := _hub_snapshot(text)) is not None:
        return snapshot
    stale = f"{present.origin} of " if present is not None else "no "
    raise MissingModelError(
        f"found {stale}model {text!r} in {models_folder()}, and nothing is downloaded unasked: "
        f"run `rankrag model pull {text}`"
    )


def _hub_snapshot(repo: str) -> Path | None:
    """Return the folder of a repository in the hub's own cache, if it is whole and safe to load."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        folder = Path(snapshot_download(repo, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if (folder / "config.json").exists() and any(folder.glob("*.safetensors")) else None


# ── what is on this machine ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size and hash of one file of a model, as they were when it was pulled."""

    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Installed:
    """A pulled model: the content of its `rankrag-model.json`.

    `origin` is the text of the table's origin, `revision` the hub's commits, `files` maps a path
    below `folder` to what it was.
    """

    folder: Path
    name: str
    kind: ModelKind
    origin: str
    revision: str
    licence: str
    template: str
    template_hash: str
    files: Mapping[str, FileRecord]

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return sum(record.n_bytes for record in self.files.values())


def cache_folder() -> Path:
    """Return the folder that everything pulled lives in."""
    return user_folder("CACHE")


def models_folder() -> Path:
    """Return the folder that holds one folder a model."""
    return cache_folder() / "models"


def speeds_file() -> Path:
    """Return the file that remembers how fast this machine computes in which numbers."""
    return cache_folder() / "speeds.json"


def hashes_file() -> Path:
    """Return the file that remembers the hashes of weights, which take a minute to read."""
    return cache_folder() / "hashes.json"


def shipped(name: str) -> Shipped | None:
    """Return what a name stands for if it comes with this package, else None."""
    origin = MODELS[name].origin if name in MODELS else None
    return origin if isinstance(origin, Shipped) else None


def model_folder(name: str) -> Path:
    """Return where a name of the table or a hub id is kept (it need not exist)."""
    if shipped(name):
        return Path(__file__).parents[2] / "checkpoints" / name
    return models_folder() / name.replace("/", "--")


def installed(name: str) -> Installed | None:
    """Return what is known of a pulled model, or None if it was not pulled (or not to the end).

    What comes with this package is there once its base is.
    """
    own = shipped(name)
    return read_manifest(model_folder(name)) if own is None or installed(own.base) else None


def read_manifest(folder: Path) -> Installed | None:
    """Return the content of the `rankrag-model.json` of a folder, or None where there is none."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return typed(Installed, {**content, "folder": folder}, "model")
    except (ValueError, TypeError) as error:
        raise InvalidInputError(
            f"found an unreadable {path} ({error}): delete the folder and run `rankrag model pull` again"
        ) from error


def write_manifest(model: Installed) -> None:
    """Write `rankrag-model.json` into the model's folder."""
    content = asdict(model)
    del content["folder"]
    write_json(model.folder / MANIFEST, content)
