"""The folder of a run: what it is a run of, what a killed run goes on from, how it becomes a checkpoint."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import FailureError, InvalidInputError, NotFoundError
from ..files import sha256, write_json
from ..model.store.checkpoint import CARD

EXAMPLES, HELD_OUT, MANIFEST = "examples.jsonl", "heldout.jsonl", "manifest.json"
RUN, STATE, ROWS = "run.json", "state", "rows"
RECIPE, TRAINING = "recipe.yaml", "training.json"
METRICS, EVENTS, CURVES = "metrics.jsonl", "tensorboard", "curves.png"


def claim(out: Path, identity: Mapping[str, object]) -> None:
    """Make the folder of a run, or take up the run of the same identity that was cut short in it.

    A run that was cut short before its first state has nothing to lose: another one may take its place.
    Raises InvalidInputError if a finished checkpoint, another run or anything else is there.
    """
    if (out / CARD).exists():
        raise InvalidInputError(f"found a finished checkpoint in {out}, wanted a new folder: choose another")
    if (out / RUN).exists():
        if last_state(out) is None and read_json(out / RUN) != identity:
            clear(out)
            write_json(out / RUN, identity)
        _check_same(out, identity)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInputError(f"found {out} with something else in it, wanted a new folder: choose another")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RUN, identity)


def _check_same(out: Path, identity: Mapping[str, object]) -> None:
    found = flat(json.loads((out / RUN).read_text(encoding="utf-8")))
    wanted = flat(identity)
    changed = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if changed:
        name = changed[0]
        raise InvalidInputError(
            f"found an unfinished run in {out} with {name} = {found.get(name)}, wanted {wanted.get(name)}: "
            "give the settings that it started with, or choose another folder"
        )


def flat(values: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Return nested values by their dotted names."""
    pairs: dict[str, object] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping)
        pairs |= flat(value, f"{above}{name}.") if inner else {above + name: value}  # type: ignore[arg-type]
    return pairs


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file that this room wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def find_examples(blend: Path) -> str:
    """Return the sha256 of the examples in a folder.

    Raises NotFoundError if they are not there.
    """
    if not (blend / EXAMPLES).is_file():
        raise NotFoundError(
            f"found no {EXAMPLES} in {blend}: make it with `rankrag data build RECIPE --out BLEND`"
        )
    return sha256(blend / EXAMPLES)


def find_held_out(blend: Path) -> str:
    """Return the sha256 of the held-out examples in a folder, empty where none are held out."""
    return sha256(blend / HELD_OUT) if (blend / HELD_OUT).is_file() else ""


def last_state(out: Path) -> Path | None:
    """Return the newest state that was saved to its end, or None.

    Trainer writes `trainer_state.json` last, so a state cut short by a kill or a full disk has none, or
    a broken one.
    """
    states = sorted((out / STATE).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((path for path in reversed(states) if _is_whole(path)), None)


def _is_whole(state: Path) -> bool:
    try:
        said = json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))
        return isinstance(said["global_step"], int)
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def guarded(out: Path) -> Iterator[None]:
    """Turn a write that failed (a full disk above all) into one line that says what is safe."""
    try:
        yield
    except Exception as error:
        if not failed_to_write(error):
            raise
        state = last_state(out)
        safe = f"safe up to step {state.name.rpartition('-')[2]}" if state else "not saved at any step"
        free = shutil.disk_usage(out).free
        raise FailureError(
            f"could not write to {out} ({' '.join(str(error).split())}; {free / 1e9:.1f} GB free), and the "
            f"run is {safe}: make room and run the same command again"
        ) from error


WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES})


def failed_to_write(error: Exception) -> bool:
    """Say whether a file could not be written.

    Only Python raises OSError for it: safetensors and tokenizers raise errors of their own that end in
    `(os error 28)`, and torch one of its writer.
    """
    if isinstance(error, OSError):
        return error.errno in WRITE_ERRORS
    number = re.search(r"\(os error (\d+)\)", str(error))
    return bool(number and int(number[1]) in WRITE_ERRORS) or "PytorchStreamWriter failed" in str(error)


def settle(out: Path, finished: Path) -> None:
    """Move the files of a finished folder into the run's folder."""
    for path in sorted(finished.iterdir()):
        path.replace(out / path.name)
    finished.rmdir()


def clear(out: Path) -> None:
    """Drop what only an unfinished run needs."""
    for name in (STATE, ROWS):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / RUN).unlink(missing_ok=True)
