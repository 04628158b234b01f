"""Put a trained adapter into the package: src/rankrag/checkpoints/NAME.

    python tools/ship.py CHECKPOINT --before stage1=CHECKPOINT --before round1=CHECKPOINT --name rankrag-135m
    python tools/ship.py CHECKPOINT --onto round2
    python tools/ship.py CHECKPOINT --name rankrag-0.5b --base-folder FOLDER

CHECKPOINT is what the last `rankrag train --stage 2` filled, over a base of the table; `--before` are the
runs that it went on from, first to last, under the names that their files get. `--onto` says that it went on
from what is shipped now: the files of that stay, its last run under the name given. `--base-folder` is the
folder that the run started from, where it was not called by the base's name. Weights become float16 (half
the size; scores move by less than 0.001); what they were made of goes with them, without paths of a
machine. The model card, README.md, is written by hand and stays.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from rankrag.files import sha256
from rankrag.model.skills.calibrated import FILE as CALIBRATION
from rankrag.model.store import named_models, registry
from rankrag.model.store.checkpoint import read_checkpoint, template_hash
from rankrag.model.store.registry import FileRecord, Installed

PLACE = Path(__file__).parents[1] / "src" / "rankrag" / "checkpoints"
LAST = ("adapter_config.json", "rankrag.json", "curves.png")
TEXTS = ("recipe.yaml", "training.json", "metrics.jsonl", "manifest.json")


def ship(
    checkpoint: Path, before: dict[str, Path], name: str, onto: str | None = None, base_folder: str = ""
) -> Path:
    """Copy what a checkpoint is and was made of into the package; return the folder."""
    origin = named_models.MODELS[name].origin
    assert isinstance(origin, named_models.Shipped), f"{name} is no model that ships"
    folder = PLACE / name
    folder.mkdir(parents=True, exist_ok=True)
    if onto:
        for file in TEXTS:
            (folder / file).rename(folder / f"{onto}.{file}")
    (folder / CALIBRATION).unlink(missing_ok=True)  # of the weights that were shipped before
    weights = load_file(checkpoint / "adapter_model.safetensors")
    halves = {key: value.half().contiguous() for key, value in weights.items()}
    save_file(halves, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").chmod(0o644)
    for file in LAST:
        shutil.copyfile(checkpoint / file, folder / file)
    for file in LAST[:2] if base_folder else ():
        text = (folder / file).read_text(encoding="utf-8").replace(base_folder, origin.base)
        (folder / file).write_text(text, encoding="utf-8")
    runs = [("", checkpoint), *((f"{run}.", before[run]) for run in reversed(before))]
    places = before | ({onto: folder} if onto else {})
    written: set[str] = set()
    for prefix, source in runs:
        for file in TEXTS:
            text = _without_places((source / file).read_text(encoding="utf-8"), places)
            text = text.replace(base_folder, origin.base) if base_folder else text
            text = _without_name(text, name, onto) if onto else text
            if text not in written:  # stages of one blend have one manifest
                (folder / f"{prefix}{file}").write_text(text, encoding="utf-8")
            written.add(text)
    _record(folder, name)
    return folder


def _without_places(text: str, places: dict[str, Path]) -> str:
    """Return a text in which a run is called by its name, not by the folder that it had."""
    # A folder's path may begin another's, so the longest goes first.
    for run, place in sorted(places.items(), key=lambda pair: -len(str(pair[1]))):
        text = text.replace(str(place), f"{run} ({run}.training.json)")
    return text


def _without_name(text: str, name: str, run: str) -> str:
    """Return a text in which the model that a run began at, shipped as `name` then, is called as its run."""
    return re.sub(rf'("?model"?: "?){re.escape(name)}(?=["\s])', rf"\g<1>{run} ({run}.training.json)", text)


def _record(folder: Path, name: str) -> None:
    """Write the record by which `rankrag model verify` checks the files."""
    model, card = named_models.MODELS[name], read_checkpoint(folder)
    # Files of earlier runs (RUN.recipe.yaml) stay in the repository: the wheel is without them.
    paths = sorted(path for path in folder.iterdir() if path.name.count(".") == 1)
    paths.remove(folder / registry.MANIFEST)
    files = {path.name: FileRecord(path.stat().st_size, sha256(path)) for path in paths}
    hashed = template_hash(card.template)
    registry.write_manifest(
        Installed(
            folder, name, model.kind, str(model.origin), "", model.licence, card.template, hashed, files
        )
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--before", action="append", default=[], metavar="NAME=CHECKPOINT")
    earlier.add_argument("--onto", metavar="NAME")
    parser.add_argument("--name", default="rankrag-135m")
    parser.add_argument("--base-folder", default="", metavar="FOLDER")
    chosen = parser.parse_args()
    before = {run: Path(place) for run, _, place in (text.partition("=") for text in chosen.before)}
    folder = ship(chosen.checkpoint, before, chosen.name, chosen.onto, chosen.base_folder)
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(json.dumps({"folder": str(folder), "MB": round(total / 1e6, 1)}))


if __name__ == "__main__":
    main()
