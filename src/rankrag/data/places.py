"""Where the files of a recipe lie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import NotFoundError
from .recipe import Recipe


@dataclass(frozen=True, slots=True)
class Places:
    """The folders in which the files of a recipe are looked for, in their order, and the blend's own."""

    folders: tuple[Path, ...]
    out: Path

    def find(self, path: str) -> list[str]:
        """Return the files of a path or glob. Raises NotFoundError, naming where it looked."""
        if path.startswith("hub:"):
            return [path]
        if Path(path).is_absolute():
            return [path]
        for folder in self.folders:
            if found := sorted(folder.glob(path)):
                return [str(file) for file in found]
        where = ", ".join(str(folder) for folder in self.folders)
        raise NotFoundError(f"found no {path} in {where}: give the folder that holds it with --data-root")

    def made(self, path: str) -> str:
        """Return a file that may not be there yet: where it was found, else its place in the blend."""
        try:
            return self.find(path)[0]
        except NotFoundError:
            return str(self.out / path)


def places(recipe: Recipe, data_root: Path | None, out: Path) -> Places:
    """Return where a recipe's files are looked for: the data root, the recipe's folder, the blend's own."""
    return Places((*([data_root] if data_root else []), recipe.folder, out), out)


def sha256(path: str) -> str:
    """Return the hash of a file, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
