"""Who reads files for a builder: what is asked of such a reader, and the reader of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .parser_process import Apart
from .passages import Portion, ReadSettings
from .walk import File

ReadPlan = Callable[[File, str], int | None]
"""Told a file and its digest, says after which record to read it: 0 from the start, None not at all."""


class FileReader(Protocol):
    """Reads files for a builder, which asks for them one by one and in the order of `begin`."""

    def begin(self, files: Sequence[File], plan: ReadPlan) -> None:
        """Take note of what will be asked for; one that reads ahead starts here."""

    def digest(self, file: File) -> str:
        """Return the digest of a file's bytes; raises OSError."""

    def portions(self, file: File, after: int) -> Iterator[Portion]:
        """Yield the passages of a file, of a collection only those of records after that one.

        Raises InvalidInputError, MissingExtraError or OSError for what cannot be read.
        """


@dataclass(frozen=True, slots=True)
class LocalReader:
    """Reads on this machine, when it is asked; `apart` has the process for kinds that are not read here."""

    settings: ReadSettings
    apart: Apart

    def begin(self, files: Sequence[File], plan: ReadPlan) -> None:
        """Do nothing: a file is read when it is asked for."""

    def digest(self, file: File) -> str:
        """Return the digest of a file's bytes; raises OSError."""
        return file.sha256()

    def portions(self, file: File, after: int) -> Iterator[Portion]:
        """Yield the document, or a portion a record."""
        return self.apart.portions(file, self.settings, after)
