"""The folder of uploads, beside the documents that the index has of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..types import Document, Documents


@dataclass(frozen=True, slots=True)
class Uploads:
    """The files of uploads, and the documents of the index: those of these files and any others."""

    folder: Path
    documents: Documents

    @property
    def states(self) -> Path:
        """The folder of the files that hold how far jobs are."""
        return self.folder / ".jobs"

    def place(self, name: str) -> Path:
        """Return where an upload of this name is kept."""
        return self.folder / name

    def n_bytes(self, names: Iterable[str]) -> int:
        """Return the size of uploads; one that is gone has none."""
        return sum(path.stat().st_size for path in map(self.place, names) if path.is_file())

    def kept(self, document: Document) -> Path | None:
        """Return the file of a document if it is an upload: another may have the same name elsewhere."""
        kept = self.place(Path(document.path).name)
        same = kept.is_file() and self.documents.place(document).resolve() == kept.resolve()
        return kept if same else None

    def remove(self, names: Iterable[str]) -> None:
        """Remove the uploads of these names that the index does not have."""
        indexed = {self.documents.place(document).resolve() for document in self.documents.list()}
        for path in map(self.place, names):
            if path.resolve() not in indexed:
                path.unlink(missing_ok=True)

    def public(self, text: str, name: str) -> str:
        """Return a text for clients: without the server's folders and processes."""
        uploaded = self.place(name)
        # The index names a file from the folder that it was made in, which may be any of these.
        relative = (str(uploaded.relative_to(parent)) for parent in reversed(uploaded.parents))
        for path, shown in (
            (str(uploaded), name),
            *((path, name) for path in relative),
            (str(self.folder), "uploads"),
            (str(self.folder.parent), "the index"),
        ):
            text = text.replace(path, shown)
        return re.sub(r" ?\(process [^)]*\)", "", text)
