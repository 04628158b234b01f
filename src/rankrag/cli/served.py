"""What is served, put together: an index, a model that requests share, and what the server says of both."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ..files import user_folder
from ..system import RAG, SystemSpec, models, open_retrieval, open_system
from ..system.retrieval import encoder_for, open_documents
from ..types import Hit, Passage, Question, Ranker
from .options import DEFAULT_INDEX, INDEX_VARIABLE, warn_untrained
from .version import __version__

if TYPE_CHECKING:
    import numpy as np
    from fastapi import FastAPI

    from ..index import PassageEncoder
    from ..server import About, ServerSettings, Vectors

BATCH = {"cpu": 32, "cuda": 256}
"""Prompts that share a pass of the model: enough to fill the device, few enough to give others a turn."""


def default_index() -> Path:
    """Return where the index of a server lies that was started without one; it need not exist.

    That is where the other commands look, if there is one, else a place of the user's own.
    """
    if named := os.environ.get(INDEX_VARIABLE):
        return Path(named).expanduser()
    return DEFAULT_INDEX if DEFAULT_INDEX.is_dir() else user_folder("DATA") / "index"


def make_index(folder: Path) -> bool:
    """Make an empty index where there is an empty folder, or none at the default place; say whether it did.

    A folder that somebody named and that is not there is more likely misspelt, and is left to be told so.
    """
    if folder == default_index():
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir() or any(folder.iterdir()):
        return False
    from ..index import Settings, build

    settings = Settings(encoder=encoder_for(folder, None), prune=True)  # else it wants files
    place = folder.absolute()
    with contextlib.chdir(place):  # from where it names its documents, which are to be uploaded into it
        build([], place, settings)
    return True


def app_of(spec: SystemSpec, settings: ServerSettings, read_only: bool) -> FastAPI:
    """Return the app over an index and its models, all loaded."""
    from ..server import SharedLanguageModel, Telemetry, create_app

    retrieval = open_retrieval(spec.index, spec.retriever)
    documents = open_documents(spec.index) if spec.index is not None else None
    telemetry = Telemetry()

    def shared(engine: models.Engine) -> models.Engine:
        if engine.remote:  # a server of its own has its own line
            return engine
        at_once = BATCH.get(_device(engine), BATCH["cuda"])
        return replace(engine, lm=SharedLanguageModel(engine.lm, at_once, telemetry.batch), own=engine.lm)

    rag = open_system(spec, retrieval, shared)
    if rag.judging is None and rag.pipeline.ranker is not None:
        rag = replace(rag, pipeline=replace(rag.pipeline, ranker=_OneAtATime(rag.pipeline.ranker)))
    if spec.ranking:
        warn_untrained(spec.ranks_with, rag.trained, rag.pipeline.min_relevance is not None)
    encoder = documents.encoder if documents is not None else None
    uploads, suffixes = _uploads(spec.index, read_only)
    settings = replace(
        settings,
        about=_about(spec, rag, retrieval.kind),
        uploads=uploads,
        suffixes=suffixes,
        bounded=partial(_bounded, rag.pipeline.ranker) if rag.pipeline.ranker else None,
        encoder=_vectors(encoder) if encoder is not None else None,
    )
    return create_app(rag.pipeline, documents, settings, telemetry)


@dataclass(frozen=True, slots=True)
class _TellingRanker:
    """Ranks as another does, and tells what it ranked."""

    ranker: Ranker
    tell: Callable[[Sequence[Hit]], None]

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        ranked = self.ranker.rank(question, hits)
        self.tell(ranked)
        return ranked


@dataclass(frozen=True, slots=True)
class _OneAtATime:
    """Ranks as a cross-encoder does: for one request at a time, and for none that is over."""

    ranker: Ranker
    lock: Lock = field(default_factory=Lock)

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        from ..server import check_stopped

        with self.lock:
            check_stopped()
            return self.ranker.rank(question, hits)


def _bounded(ranker: Ranker, seconds: float, tell: Callable[[Sequence[Hit]], None]) -> Ranker:
    """Return a ranker that ends after so many seconds, or after what its own budget allows."""
    from ..model import Budget, BudgetedRanker

    if not isinstance(ranker, BudgetedRanker):
        return BudgetedRanker(_TellingRanker(ranker, tell), Budget(seconds), read_k=1)
    seconds = min(seconds, ranker.budget.seconds or seconds)
    return replace(
        ranker, ranker=_TellingRanker(ranker.ranker, tell), budget=replace(ranker.budget, seconds=seconds)
    )


def _vectors(encoder: PassageEncoder) -> Vectors:
    from ..server import Vectors

    def passages(texts: Sequence[str]) -> np.ndarray:
        return encoder.encode_passages([Passage(str(n), text) for n, text in enumerate(texts)])

    return Vectors(encoder.name, encoder.dimension, encoder.encode_queries, passages)


def _about(spec: SystemSpec, rag: RAG, kind: str) -> About:
    from ..model.engine.local import LocalLanguageModel
    from ..server import About

    ranks = rag.judging or rag.answering
    lm = ranks.own or ranks.lm
    cache, disk = (lm.cache, lm.disk) if isinstance(lm, LocalLanguageModel) else (None, None)
    return About(
        model=_public(spec.answers_with),
        ranker=_public(spec.ranks_with) if spec.has_own_ranker else "",
        trained=rag.trained,
        retriever=kind if spec.index is not None else "",
        version=__version__,
        n_tokens=(rag.judging or rag.answering).lm.n_tokens,
        cache=(lambda: (len(cache), cache.n_bytes, cache.hits, cache.misses)) if cache is not None else None,
        memory=lambda: _memory(rag),
        disk=(lambda: (disk.n_bytes, disk.counts.hits, disk.counts.misses)) if disk is not None else None,
    )


def _memory(rag: RAG) -> dict[str, int]:
    """Return what the models of this machine, and the rest of the process, hold now."""
    from ..model.engine.local import LocalLanguageModel
    from ..model.engine.memory import memory

    engines = [engine for engine in (rag.answering, rag.judging) if engine is not None]
    models = {id(lm): lm for lm in (engine.own or engine.lm for engine in engines)}
    held = memory([lm for lm in models.values() if isinstance(lm, LocalLanguageModel)])
    return {"weights_bytes": held.weights, "rest_bytes": held.rest} if held else {}


def _public(name: str) -> str:
    """Return the name of a model without the address of its server or a folder's place: clients read it."""
    name = name.partition("@")[0]
    return Path(name).name if Path(name).is_absolute() else name


def _device(engine: models.Engine) -> str:
    from ..model.engine.local import LocalLanguageModel

    return engine.lm.device if isinstance(engine.lm, LocalLanguageModel) else "cpu"


def _uploads(index: Path | None, read_only: bool) -> tuple[Path | None, tuple[str, ...]]:
    """Return the folder that keeps uploads and the kinds of files it takes; none where nothing may change."""
    from ..index import READABLE, UPLOADS

    if index is None or read_only:
        return None, ()
    folder = index / UPLOADS
    folder.mkdir(exist_ok=True)
    return folder, READABLE
