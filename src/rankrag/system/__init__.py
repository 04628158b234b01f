"""The only room that puts pieces together: a spec says which, `open_system` makes them one."""

from .models import DEFAULT_MODEL, FAKE_MODEL, Engine, Loading, open_engine
from .open import open_system
from .rag import RAG, load
from .retrieval import Retrieval, build_index, open_retrieval
from .spec import SystemSpec

__all__ = [
    "DEFAULT_MODEL",
    "FAKE_MODEL",
    "RAG",
    "Engine",
    "Loading",
    "Retrieval",
    "SystemSpec",
    "build_index",
    "load",
    "open_engine",
    "open_retrieval",
    "open_system",
]
