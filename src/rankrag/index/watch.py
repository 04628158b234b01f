"""What changes among the files of an index, as it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import has_magic
from pathlib import Path

from ..errors import needs
from .reading import find_kind, is_under
from .stores.by_name import open_store

_LOOK_MS = 200
"""How often changes are looked for."""


def changing(paths: Iterable[str], folder: Path) -> Iterator[list[str]]:
    """Return what yields the files and folders below the paths that changed or went, until Ctrl-C.

    Watching begins with the call, so what changes while a build runs comes after it. An empty list says that
    nothing did for a while. Raises MissingExtraError.
    """
    with needs("watchfiles", "docs"):
        from watchfiles import Change, watch
    given = [str(Path(path).absolute()) for path in paths]
    index, root = folder.resolve(), Path.cwd()

    def is_ours(_: Change, path: str) -> bool:
        changed = Path(path)
        above = next((above for above in given if is_under(path, above, root)), None)
        if above is None or changed.resolve().is_relative_to(index):
            return False
        below = changed.relative_to(above).parts if changed.is_relative_to(above) else ()
        return not any(part.startswith(".") for part in below)

    changes = watch(
        *{_folder(path) for path in given},
        watch_filter=is_ours,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
    )
    next(changes)
    return (_read_or_gone(sorted({path for _, path in changed}), folder) for changed in changes)


def _folder(path: str) -> str:
    folder = Path(path)
    while has_magic(str(folder)) and not folder.exists():
        folder = folder.parent
    return str(folder if folder.is_dir() else folder.parent)


def _read_or_gone(changed: list[str], folder: Path) -> list[str]:
    """Return those of the paths that can be read, and those that went and were in the index."""
    if not changed:
        return []
    store = open_store(folder)
    root, known = store.manifest.root_of(folder), store.files()
    return [
        path
        for path in changed
        if Path(path).is_dir()
        or (Path(path).is_file() and find_kind(Path(path)))
        or (not Path(path).exists() and any(is_under(name, path, root) for name in known))
    ]
