"""What a server is told when it starts: its limits, who may come in, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..types import Hit, Ranker

if TYPE_CHECKING:
    import numpy as np

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, or all together, may ask of the machine; beyond it a request is refused."""

    running: int = 8
    """Requests that work at the same time."""
    waiting: int = 32
    """Requests that may wait for their turn; the next is told to come back (429)."""
    seconds: float = 300.0
    """Time of one request, waiting included."""
    body_bytes: int = 8 * MIB
    """Size of a JSON body."""
    bodies_bytes: int = 64 * MIB
    """JSON bodies that are held at the same time, without the first 64 KiB of each."""
    upload_bytes: int = 64 * MIB
    """Size of one upload, and sixteen times that of what its archives hold unpacked."""
    uploads_bytes: int = 256 * MIB
    """Uploads that are coming in at the same time."""
    passages: int = 1000
    """Passages in one request, sent or retrieved."""
    characters: int = 100_000
    """Length of one text: a question, a message, a passage."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in. Without keys anyone who reaches the port may.

    `hosts` are the names under which browsers may reach the server (None: any). A page on another site
    can have its name point at this machine, and its scripts then count as ours: only the name gives it
    away. `origins` are other sites whose scripts may call; none is the default.
    """

    keys: tuple[str, ...] = ()
    hosts: frozenset[str] | None = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class About:
    """What the server says of its models and index.

    `model` answers; `ranker` is the name of what ranks, where that is another. `n_tokens` counts as the model
    that ranks does.
    """

    model: str = "rankrag"
    trained: bool = False
    retriever: str = ""
    version: str = ""
    n_tokens: Callable[[str], int] = field(default=lambda text: len(text.split()))
    cache: Callable[[], tuple[int, int, int, int]] | None = None
    """Entries, bytes, hits and misses of the remembered prefixes, where the engine has such a cache."""
    disk: Callable[[], tuple[int, int, int]] | None = None
    """Bytes, hits and misses of the states on disk, where there are such."""
    memory: Callable[[], dict[str, int]] | None = None
    """Bytes of the weights and of the rest that is resident, by the names of their gauges."""
    ranker: str = ""

    @property
    def ranks_with(self) -> str:
        """The name of the model that ranks."""
        return self.ranker or self.model


@dataclass(frozen=True, slots=True)
class Vectors:
    """The encoder of the index: texts to vectors of shape (texts, dimension), float32."""

    name: str
    dimension: int
    queries: Callable[[Sequence[str]], np.ndarray]
    passages: Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Everything about a server but its pipeline and documents.

    `uploads` is the folder that keeps what was sent, with the state of its jobs; without one nothing can
    be uploaded. `suffixes` are the kinds of files that the index reads. `bounded` returns a ranker like the
    pipeline's that ends after so many seconds and tells each batch that it ranked; without it, or without
    `rerank_s`, `/rerank` answers once everything is ranked. `encoder` is that of the index, if it has one.
    """

    limits: Limits = Limits()
    access: Access = Access()
    about: About = About()
    uploads: Path | None = None
    suffixes: tuple[str, ...] = ()
    rerank_s: float | None = None
    """Seconds after which `/rerank` answers with what it has; None waits for all of it."""
    bounded: Callable[[float, Callable[[Sequence[Hit]], None]], Ranker] | None = None
    encoder: Vectors | None = None
