"""Every error that RankRAG raises on purpose.

    RankRAGError
    ├── MissingError            something to install or to fetch first
    │   ├── MissingModelError   a model that was never pulled
    │   └── MissingExtraError   an optional dependency
    ├── NotFoundError           a file, folder or index that is not there
    ├── InvalidInputError       input that cannot be used as it is
    │   └── FormatError         ... at a line of a file
    ├── FailureError            a step that failed for a reason outside the input
    │   └── InUseError          ... something that another process holds: wait for it
    └── PartialError            finished, but some inputs were left out

A message says what was found, what was wanted and what to do, in one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RankRAGError(Exception):
    """Root of the tree: catch this to catch everything that RankRAG raises on purpose."""


class MissingError(RankRAGError):
    """Something has to be installed or fetched first."""


class MissingModelError(MissingError):
    """A model is not on this machine; the message says which `rankrag model pull` fetches it."""


class MissingExtraError(MissingError):
    """An optional dependency, `package`, is not installed; the message says which `extra` brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"the package {package!r} is not installed: pip install 'rankrag[{extra}]'")
        self.package = package
        self.extra = extra


class NotFoundError(RankRAGError):
    """A file, folder or index is not where it was said to be."""


class InvalidInputError(RankRAGError):
    """Input that cannot be used as it is."""


class FormatError(InvalidInputError):
    """A file breaks its format; `path` and `line` (from 1, or None) say where."""

    def __init__(self, path: str, line: int | None, problem: str) -> None:
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {problem}")
        self.path = path
        self.line = line


class FailureError(RankRAGError):
    """A step failed for a reason that lies outside the input."""


class InUseError(FailureError):
    """Another process holds what is wanted, for a while."""


class PartialError(RankRAGError):
    """The work finished, but some inputs were left out; the message counts them."""


def amount(count: int, noun: str) -> str:
    """Return a number with its noun, as messages have it: `1 file`, `1,200 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def needs(package: str, extra: str) -> Iterator[None]:
    """Raise MissingExtraError where the block cannot import the package, which the extra brings."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(package, extra) from error


@contextmanager
def told(folder: Path, what: str) -> Iterator[None]:
    """Turn what libraries raise about the broken files of a model's folder into one line.

    They raise nearly anything. Errors of our own pass; a package that is missing is MissingExtraError, one
    that is too old FailureError.
    """
    try:
        yield
    except RankRAGError:
        raise
    except ImportError as error:
        if error.name:
            raise MissingExtraError(error.name, "local") from error
        raise FailureError(
            f"cannot load {what}: {in_a_line(error)}: pip install -U 'rankrag[local]'"
        ) from error
    except Exception as error:
        raise FailureError(
            f"{folder}: cannot load {what}: {in_a_line(error)}: pull or export it again"
        ) from error


def in_a_line(said: object) -> str:
    """Return what a library said, on one line of at most 200 characters."""
    return " ".join(str(said).split())[:200]
