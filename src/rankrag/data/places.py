"""Where the files of a recipe lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import NotFoundError
from .hub_datasets import PREFIX, fetch, find_copy, hub_split
from .recipe import Recipe

PASSAGES = "passages.{}.jsonl"
"""All passages of a source, as a corpus: a file that the build writes itself."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders in which the files of a recipe are looked for, in their order, and the blend's own.

    `revisions` are the commits that the recipe pins, by repository.
    """

    folders: tuple[Path, ...]
    out: Path
    revisions: Mapping[str, str] = field(default_factory=dict)

    def find(self, path: str) -> list[str]:
        """Return the files of a path or glob; a split of the hub is fetched where no copy of it is there.

        Raises NotFoundError, naming where it looked, and what `hub.fetch` raises.
        """
        if path.startswith(PREFIX):
            wanted = hub_split(path, self.revisions)
            return [str(find_copy(wanted, self.folders) or fetch(wanted, self.out))]
        if files := self.files(path):
            return files
        where = ", ".join(str(folder) for folder in self.folders)
        raise NotFoundError(f"found no {path} in {where}: give the folder that holds it with --data-root")

    def files(self, path: str) -> list[str]:
        """Return the files of a path or glob that is not of the hub, none where there are none."""
        if Path(path).is_absolute():
            return [path] if Path(path).exists() else []
        for folder in self.folders:
            if files := sorted(folder.glob(path)):
                return [str(file) for file in files]
        return []

    def made(self, path: str) -> str:
        """Return a file that may not be there yet: where it was found, else its place in the blend."""
        try:
            return self.find(path)[0]
        except NotFoundError:
            return str(self.out / path)


def places(recipe: Recipe, data_root: Path | None, out: Path) -> Places:
    """Return where a recipe's files are looked for: the data root, the recipe's folder, the blend's own."""
    folders = (*([data_root] if data_root else []), recipe.folder, out)
    return Places(folders, out, recipe.blend.revisions)
