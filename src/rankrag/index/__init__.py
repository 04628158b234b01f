"""Documents to passages to a searchable store, and what searches it."""

from .build import Report, build
from .copy import copy_index
from .documents import IndexDocuments
from .estimate import Estimate, estimate
from .manifest import UPLOADS, Manifest, older_kind, read_manifest
from .place import StoreName, StorePlace, collection_of
from .reading import READABLE
from .retrievers import BM25, Dense, Hybrid, RetrieverName, fuse, retriever, why_nothing
from .settings import LANGUAGES, PassageEncoder, Settings
from .store import Store
from .stores import open_store

__all__ = [
    "BM25",
    "LANGUAGES",
    "READABLE",
    "UPLOADS",
    "Dense",
    "Estimate",
    "Hybrid",
    "IndexDocuments",
    "Manifest",
    "PassageEncoder",
    "Report",
    "RetrieverName",
    "Settings",
    "Store",
    "StoreName",
    "StorePlace",
    "build",
    "collection_of",
    "copy_index",
    "estimate",
    "fuse",
    "older_kind",
    "open_store",
    "read_manifest",
    "retriever",
    "why_nothing",
]
