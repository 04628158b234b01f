"""`rankrag doctor`: what is here, what is missing, what to do about it."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from ..errors import RankRAGError, amount
from . import console
from .options import Output
from .version import __version__, installed

NEEDED = ("", "local")
"""What `ask` needs: the core and the extra that runs models."""

EVERYTHING = "all"
"""The extra that only names the others."""

ROOM_NEEDED = 2_000_000_000
"""Bytes that pulling the two defaults needs at most: two wheels and what is made of them."""

CheckState = Literal["ok", "missing", "left out"]
STYLES: dict[CheckState, str] = {"ok": "green", "missing": "yellow", "left out": "bright_black"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it stands, what was found and, if it is missing, what to do.

    Something `left out` is an extra that asking questions does not need.
    """

    name: str
    state: CheckState
    found: str
    remedy: str = ""


def doctor(
    index: Annotated[
        Path | None,
        typer.Option("--index", "-i", metavar="DIR", help="Look at this index too.", show_default=False),
    ] = None,
    output: Output = "text",
) -> None:
    """Check this installation; code 3 if something is missing."""
    with console.working("looking"):
        checks = [*_machine(), *packages(), *_device(), *_models(), *(_index(index) if index else ())]
    healthy = all(check.state != "missing" for check in checks)
    if output == "json":
        console.emit({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        console.table(map(_row, checks))
    if not healthy:
        raise typer.Exit(3)


def _machine() -> Iterator[Check]:
    yield Check("rankrag", "ok", __version__)
    yield Check("python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Check("platform", "ok", f"{platform.platform()}, {amount(os.cpu_count() or 1, 'processor')}")


def packages() -> Iterator[Check]:
    """Yield a check for the core and for each extra, as the installed package itself names them."""
    for extra, names in requirements().items():
        versions = {name: installed(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        have = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        target = f"'rankrag[{extra}]'" if extra else "rankrag"
        label = f"extra {extra}" if extra else "core"
        if missing:
            state: CheckState = "missing" if extra in NEEDED else "left out"
            yield Check(label, state, f"no {', '.join(missing)}", f"pip install {target}")
        else:
            yield Check(label, "ok", have)


def requirements() -> dict[str, list[str]]:
    """Return the packages that rankrag needs by extra, the core under the empty name."""
    by_extra: dict[str, list[str]] = {"": []}
    for line in metadata.requires("rankrag") or []:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", line)
        if name and name.group() != "rankrag" and not (extra and extra.group(1) == EVERYTHING):
            by_extra.setdefault(extra.group(1) if extra else "", []).append(name.group())
    return by_extra


def _device() -> Iterator[Check]:
    try:
        import torch
    except ImportError:
        yield Check("device", "missing", "no torch", "pip install 'rankrag[local]'")
        return
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    yield Check("device", "ok", f"{name}, {amount(torch.get_num_threads(), 'thread')}")


def _models() -> Iterator[Check]:
    from ..model.store import named_models, registry

    folder = registry.models_folder()
    yield _cache(folder)
    for name in named_models.DEFAULTS.values():
        yield _model(name)
    yield from _precision(named_models.DEFAULTS["language_model"])
    yield from _memory(named_models.DEFAULTS["language_model"])


def _precision(name: str) -> Iterator[Check]:
    """Say which numbers `--precision auto` takes for a model that is here, and how fast each is."""
    from ..model.engine.precision import choose, rates
    from ..model.store import checkpoint, registry

    try:
        card = checkpoint.read_checkpoint(registry.locate(name))
        folder = registry.locate(card.base) if card.is_adapter else card.folder
        chosen = choose(folder, registry.speeds_file())
    except (ImportError, RankRAGError):  # told above
        return
    speeds = rates(folder, registry.speeds_file()) if chosen else {}
    told = ", ".join(f"{numbers} {rate / 1e9:.0f}" for numbers, rate in speeds.items())
    found = f"{chosen or '16 bits, on the GPU'}{f' (billion operations a second: {told})' if told else ''}"
    yield Check("precision", "ok", found)


def _memory(name: str) -> Iterator[Check]:
    """Say what this process holds once a model that is here is loaded, as `ask` loads it."""
    from ..system.models import open_engine

    try:
        from ..model.engine.local import CACHE_BYTES, LocalLanguageModel
        from ..model.engine.memory import memory

        lm = open_engine(name, calibration=False).lm
    except (ImportError, RankRAGError):  # told above
        return
    if isinstance(lm, LocalLanguageModel) and (held := memory([lm])):
        resident, weights, most = (f"{n / 1e9:.2f}" for n in (held.resident, held.weights, CACHE_BYTES))
        found = f"{resident} GB with {name} ({weights} of weights), {most} more at most for passages"
        yield Check("memory", "ok", found)


def _cache(folder: Path) -> Check:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return Check("cache", "missing", f"{folder} cannot be written", "set RANKRAG_CACHE to another folder")
    if free < ROOM_NEEDED:
        remedy = f"free {ROOM_NEEDED / 1e9:.0f} GB, or set RANKRAG_CACHE to another folder"
        return Check("cache", "missing", f"{folder}, {free / 1e9:.1f} GB free", remedy)
    return Check("cache", "ok", f"{folder}, {free / 1e9:.0f} GB free")


def _model(name: str) -> Check:
    """Look at a default model: it is here, and its files are what was pulled."""
    from ..model.store import pull

    try:
        problems = pull.verify(name)
    except RankRAGError as problem:
        return Check(f"model {name}", "missing", str(problem).partition(":")[0], f"rankrag model pull {name}")
    if problems:
        remedy = f"rankrag model remove {name}, then rankrag model pull {name}"
        return Check(f"model {name}", "missing", problems[0], remedy)
    return Check(f"model {name}", "ok", "its files are as they were pulled")


def _index(folder: Path) -> Iterator[Check]:
    from ..index.manifest import read_manifest

    try:
        manifest = read_manifest(folder)
    except RankRAGError as problem:
        yield Check("index", "missing", str(problem), f"rankrag index PATH --index {folder}")
        return
    vectors = f"vectors by {manifest.encoder.name}" if manifest.encoder else "no vectors"
    counts = f"{amount(manifest.n_files, 'file')}, {amount(manifest.n_passages, 'passage')}"
    found = f"{folder}: {counts}, {vectors}, in {manifest.store}, updated {manifest.updated}"
    yield Check("index", "ok", found)


def _row(check: Check) -> tuple[str | Text, ...]:
    found = Text(check.found)
    if check.remedy:
        found.append(f"\n→ {check.remedy}", style="bold")
    return Text(check.state, STYLES[check.state]), check.name, found
