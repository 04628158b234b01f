"""A server for tests: a small index, a language model without weights, in this process or behind a port."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
from fastapi import FastAPI
from starlette.testclient import TestClient

from rankrag import prompts
from rankrag.index import READABLE, IndexDocuments, build, open_store, retriever
from rankrag.model import Budget, BudgetedRanker, FakeLanguageModel, ModelCiter, ModelGenerator, ModelRanker
from rankrag.pipeline import Pipeline
from rankrag.server import About, ServerSettings, SharedLanguageModel, Telemetry, create_app
from rankrag.server.jobs import Jobs
from rankrag.server.listening import make_server
from rankrag.server.safety.bodies import BodyLimits
from rankrag.types import Filters, Hit, LanguageModel, Prompt, Retriever

TEXTS = {
    "cats.md": "# Cats\n\nCats sleep for sixteen hours a day. A cat has eighteen toes.",
    "whales.md": "# Whales\n\nThe blue whale weighs 150 tonnes. Whales breathe air.",
    "tea.md": "# Tea\n\nGreen tea is steeped at eighty degrees. Black tea wants boiling water.",
}

QUESTION = "How many toes does a cat have?"

PATIENCE_S = 300.0
"""Seconds after which what a test waits for counts as hanging: far more than any load makes of it."""


@cache
def _built() -> Path:
    """Return a folder with three short documents and an index of them, made once a process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    (folder / "documents").mkdir()
    for name, text in TEXTS.items():
        (folder / "documents" / name).write_text(text)
    with contextlib.chdir(folder):  # the index names its documents from there
        build(["documents"], folder / "index")
    return folder


def make_index(folder: Path) -> Path:
    """Put an index of three short documents into a folder, and these beside it."""
    shutil.copytree(_built(), folder, dirs_exist_ok=True)
    return folder / "index"


def pipeline_over(
    index: Path | None, lm: LanguageModel, min_relevance: float | None = None, budget: Budget | None = None
) -> Pipeline:
    """Return the roles in a row over an index (without one, over nothing)."""
    judge = ModelRanker(lm, prompts.PAPER)
    ranker = BudgetedRanker(judge, budget, 5) if budget else judge
    found: Retriever = retriever("bm25", open_store(index)) if index else _Nothing()
    generator = ModelGenerator(lm, prompts.PAPER)
    return Pipeline(found, ranker, generator, ModelCiter(judge), 30, 5, min_relevance)


class _Nothing:
    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        return []


def make_app(
    index: Path | None,
    lm: LanguageModel | None = None,
    settings: ServerSettings | None = None,
    uploads: bool = True,
    min_relevance: float | None = None,
    budget: Budget | None = None,
    n_shared: int = 32,
) -> FastAPI:
    """Return an app over an index; the model is the fake one unless another is given."""
    telemetry = Telemetry()
    shared = SharedLanguageModel(lm or FakeLanguageModel(), n_shared, telemetry.batch)
    settings = settings or ServerSettings()
    if index is not None and uploads:
        (index / "uploads").mkdir(exist_ok=True)
        settings = replace(settings, uploads=index / "uploads", suffixes=READABLE)
    about = About("fake", False, "bm25", "0.0.0", shared.n_tokens)
    documents = IndexDocuments(index) if index else None
    pipeline = pipeline_over(index, shared, min_relevance, budget)
    return create_app(pipeline, documents, replace(settings, about=about), telemetry)


def client(app: FastAPI, **more: object) -> TestClient:
    """Return a client of an app in this process."""
    return TestClient(app, raise_server_exceptions=False, **more)  # type: ignore[arg-type]


@dataclass
class SlowModel:
    """The fake model, that holds every pass until it is let go; it counts what it was asked."""

    fake: FakeLanguageModel = field(default_factory=FakeLanguageModel)
    go: threading.Event = field(default_factory=threading.Event)
    begun: int = 0
    passes: list[int] = field(default_factory=list)
    pieces: int = 0
    piece_s: float = 0.0

    @property
    def context_length(self) -> int:
        return self.fake.context_length

    def n_tokens(self, text: str) -> int:
        return self.fake.n_tokens(text)

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        self.begun += 1
        assert self.go.wait(PATIENCE_S)
        self.passes.append(len(prompts))
        return self.fake.logprobs(prompts, choices)

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        for piece in self.fake.generate(prompt, max_tokens, stop):
            time.sleep(self.piece_s)
            self.pieces += 1
            yield piece


@contextlib.contextmanager
def live(app: FastAPI, grace_s: float = 10) -> Iterator[str]:
    """Serve an app on a free port of this machine; give its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = make_server(app, grace_s)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def bodies_of(app: FastAPI) -> BodyLimits:
    """Return what counts the bodies that a running server holds: how much of them has come so far."""
    layer: object = app.middleware_stack
    while not isinstance(layer, BodyLimits):
        layer = layer.app  # type: ignore[attr-defined]
    return layer


def jobs_of(http: TestClient) -> Jobs:
    """Return what a server of this process works on: to ask by HTTP all the time slows what is waited for."""
    found = cast("FastAPI", http.app).state.rankrag.jobs
    assert isinstance(found, Jobs)
    return found


def until(true: object, seconds: float = PATIENCE_S) -> None:
    """Wait until a function says true."""
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
