"""Documents to passages to a searchable store, and what searches it."""

from .build import Report, build
from .documents import IndexDocuments
from .estimate import Estimate, estimate
from .manifest import Manifest, read_manifest
from .retrievers import BM25, Dense, Hybrid, RetrieverName, fuse, retriever
from .settings import LANGUAGES, PassageEncoder, Progress, Settings
from .store import Store, open_store

__all__ = [
    "BM25",
    "LANGUAGES",
    "Dense",
    "Estimate",
    "Hybrid",
    "IndexDocuments",
    "Manifest",
    "PassageEncoder",
    "Progress",
    "Report",
    "RetrieverName",
    "Settings",
    "Store",
    "build",
    "estimate",
    "fuse",
    "open_store",
    "read_manifest",
    "retriever",
]
