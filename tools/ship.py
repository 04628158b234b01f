"""Put a trained adapter into the package: src/rankrag/checkpoints/NAME.

    python tools/ship.py CHECKPOINT --stage1 CHECKPOINT --name rankrag-135m

CHECKPOINT is what `rankrag train --stage 2` filled, over a base of the table. Weights become float16 (half
the size; scores move by less than 0.001); what it was made of goes with them, without paths of a machine. The
model card, README.md, is written by hand and stays.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from rankrag.model import registry
from rankrag.model.checkpoint import read_checkpoint, template_hash
from rankrag.model.registry import FileRecord, Installed

PLACE = Path(__file__).parents[1] / "src" / "rankrag" / "checkpoints"
STAGE2 = ("adapter_config.json", "rankrag.json", "manifest.json", "curves.png")
TEXTS = ("recipe.yaml", "training.json", "metrics.jsonl")
STAGE1 = "after stage 1 (stage1.training.json)"


def ship(checkpoint: Path, stage1: Path, name: str) -> Path:
    """Copy what a checkpoint is and was made of into the package; return the folder."""
    folder = PLACE / name
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(checkpoint / "adapter_model.safetensors")
    halves = {key: value.half().contiguous() for key, value in weights.items()}
    save_file(halves, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").chmod(0o644)
    for file in STAGE2:
        shutil.copyfile(checkpoint / file, folder / file)
    for prefix, source in (("", checkpoint), ("stage1.", stage1)):
        for file in TEXTS:
            text = (source / file).read_text(encoding="utf-8").replace(str(stage1), STAGE1)
            (folder / f"{prefix}{file}").write_text(text, encoding="utf-8")
    _record(folder, name)
    return folder


def _record(folder: Path, name: str) -> None:
    """Write the record by which `rankrag model verify` checks the files."""
    model, card = registry.MODELS[name], read_checkpoint(folder)
    paths = sorted(path for path in folder.iterdir() if path.name != registry.MANIFEST)
    files = {path.name: FileRecord(path.stat().st_size, registry.sha256(path)) for path in paths}
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
    parser.add_argument("--stage1", type=Path, required=True)
    parser.add_argument("--name", default="rankrag-135m")
    chosen = parser.parse_args()
    folder = ship(chosen.checkpoint, chosen.stage1, chosen.name)
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(json.dumps({"folder": str(folder), "MB": round(total / 1e6, 1)}))


if __name__ == "__main__":
    main()
