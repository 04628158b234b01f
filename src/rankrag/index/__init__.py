"""Documents to passages to a searchable store, and what searches it."""

from ..types import StoreName
from .build import BuildReport, build
from .build_estimate import BuildEstimate, estimate
from .check import compare
from .copy import copy_index
from .documents import IndexDocuments
from .faults import faults
from .location import Location, locate
from .manifest import UPLOADS, IndexManifest, read_manifest
from .older import older_kind
from .place import StorePlace, collection_of
from .reading import READABLE
from .retrievers import BM25, Dense, Hybrid, fuse, retriever, why_nothing
from .settings import LANGUAGES, PassageEncoder, Settings
from .stores.by_name import open_store
from .stores.store import Store
from .watch import changing

__all__ = [
    "BM25",
    "LANGUAGES",
    "READABLE",
    "UPLOADS",
    "BuildEstimate",
    "BuildReport",
    "Dense",
    "Hybrid",
    "IndexDocuments",
    "IndexManifest",
    "Location",
    "PassageEncoder",
    "Settings",
    "Store",
    "StoreName",
    "StorePlace",
    "build",
    "changing",
    "collection_of",
    "compare",
    "copy_index",
    "estimate",
    "faults",
    "fuse",
    "locate",
    "older_kind",
    "open_store",
    "read_manifest",
    "retriever",
    "why_nothing",
]
