"""What is served, put together: an index, a model that requests share, and what the server says of both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import engines, load
from .options import warn_untrained
from .version import __version__

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..model import Budget
    from ..server import About, Settings

BATCH = {"cpu": 32, "cuda": 256}
"""Prompts that share a pass of the model: enough to fill the device, few enough to give others a turn."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be served."""

    index: Path | None
    model: str
    retriever: load.RetrieverKind | None
    retrieve_k: int
    read_k: int
    ranking: bool
    budget: Budget | None = None
    loading: engines.Loading = field(default_factory=engines.Loading)

    def check(self) -> None:
        """Raise InvalidInputError for counts or a model that cannot be."""
        load.check_counts(self.retrieve_k, self.read_k)
        engines.check_model(self.model, self.loading)


def app_of(choice: Choice, settings: Settings, read_only: bool) -> FastAPI:
    """Return the app over an index and a model, both loaded."""
    from ..server import SharedLanguageModel, Telemetry, create_app

    shelf, documents = load.open_shelf(choice.index, choice.retriever), None
    if choice.index is not None:
        documents = load.open_documents(choice.index)
    engine = engines.open_engine(choice.model, loading=choice.loading)
    if choice.ranking:
        warn_untrained(choice.model, engine.trained, engine.threshold is not None)
    telemetry, about = Telemetry(), _about(choice, engine, shelf)
    if not engine.remote:  # a server of its own has its own line
        lm = SharedLanguageModel(engine.lm, BATCH.get(_device(engine), BATCH["cuda"]), telemetry.batch)
        engine = replace(engine, lm=lm)
    rag = load.assemble(shelf, engine, choice.retrieve_k, choice.read_k, choice.ranking, choice.budget)
    uploads, suffixes = _uploads(choice.index, read_only)
    settings = replace(settings, about=about, uploads=uploads, suffixes=suffixes)
    return create_app(rag.pipeline, documents, settings, telemetry)


def _about(choice: Choice, engine: engines.Engine, shelf: load.Shelf) -> About:
    from ..model.local import LocalLanguageModel
    from ..server import About

    lm = engine.lm
    cache, disk = (lm.cache, lm.disk) if isinstance(lm, LocalLanguageModel) else (None, None)
    return About(
        model=choice.model,
        trained=engine.trained,
        retriever=shelf.kind if choice.index is not None else "",
        version=__version__,
        n_tokens=lm.n_tokens,
        cache=(lambda: (len(cache), cache.n_bytes)) if cache is not None else None,
        disk=(lambda: (disk.n_bytes, disk.counts.hits, disk.counts.misses)) if disk is not None else None,
    )


def _device(engine: engines.Engine) -> str:
    from ..model.local import LocalLanguageModel

    return engine.lm.device if isinstance(engine.lm, LocalLanguageModel) else "cpu"


def _uploads(index: Path | None, read_only: bool) -> tuple[Path | None, tuple[str, ...]]:
    """Return the folder that keeps uploads and the kinds of files it takes; none where nothing may change."""
    from ..index import READABLE, UPLOADS

    if index is None or read_only:
        return None, ()
    folder = index / UPLOADS
    folder.mkdir(exist_ok=True)
    return folder, READABLE
