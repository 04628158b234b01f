"""The stores by name: how one is made, opened and emptied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...types import StoreName
from ..manifest import IndexManifest, read_manifest, recover
from . import lance, qdrant, qdrant_server
from . import lance_tables as tables
from .store import Store


@dataclass(frozen=True, slots=True)
class _Kind:
    """What can be done with a store before it is open; each is given the folder and the manifest."""

    make: Callable[[Path, IndexManifest], None]
    open: Callable[[Path, IndexManifest], Store]
    drop: Callable[[Path, IndexManifest], None]


STORES: Mapping[StoreName, _Kind] = {
    "lancedb": _Kind(tables.make_tables, lance.LanceStore, tables.drop_tables),
    "qdrant": _Kind(qdrant_server.make_collections, qdrant.QdrantStore, qdrant_server.drop_collections),
}


def open_store(folder: Path) -> Store:
    """Open an index to search it, as the last commit that survived a power cut left it.

    Raises NotFoundError or InvalidInputError as `read_manifest` does, and FailureError if its server does
    not answer.
    """
    manifest = read_manifest(folder)
    recover(folder)
    return STORES[manifest.store.name].open(folder, manifest)


def make_store(folder: Path, manifest: IndexManifest) -> Store:
    """Open the store of an index, making what of it is not there yet; a kill at any moment does no harm."""
    kind = STORES[manifest.store.name]
    kind.make(folder, manifest)
    return kind.open(folder, manifest)


def drop_store(folder: Path, manifest: IndexManifest) -> None:
    """Remove all that a store holds of an index; nothing happens if it holds nothing."""
    STORES[manifest.store.name].drop(folder, manifest)
