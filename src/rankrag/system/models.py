"""Language models, loaded: by name, from a folder or a hub, behind a server, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .. import prompts
from ..errors import InvalidInputError, MissingExtraError, MissingModelError
from ..prompts import Template
from ..types import LanguageModel, ReadingMode

if TYPE_CHECKING:
    from ..model.engine.local import LocalLanguageModel
    from ..model.skills.calibrated import Calibration
    from ..model.store.checkpoint import Checkpoint

DEFAULT_MODEL = "rankrag-135m"
FAKE_MODEL = "fake"
"""Word overlap in place of a model: no weights, nothing to pull, for tests and for trying the tool."""

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]

CACHE_GB = 10.0


@dataclass(frozen=True, slots=True)
class Loading:
    """How a local model is loaded: the numbers it computes with, and a folder that keeps passages warm.

    `precision` `auto`, and None, is the fastest on this machine of those that rank equally well. `cache_gb`
    bounds what `cache_dir` holds.
    """

    precision: Precision | None = None
    cache_dir: Path | None = None
    cache_gb: float = CACHE_GB

    def where_it_fits(self, name: str) -> Loading:
        """Return the same for a model on this machine, and nothing of it for one behind a server."""
        return self if is_here(name) else Loading()


@dataclass(frozen=True, slots=True)
class Engine:
    """A language model with what its checkpoint says: its template, and whether ranking was trained.

    `threshold` is the relevance that a passage must reach for an answer, or None if none was fitted.
    `remote` says that the model runs behind a server. `calibration` puts the relevance right: then the
    threshold is one of calibrated relevances, which `rankers.calibrated` gives. `own` is the model itself
    where `lm` is something around it. `reading` is how the checkpoint answers best from several passages,
    `query_likelihood` what the likelihood of the question counts when it ranks.
    """

    lm: LanguageModel
    form: Template
    trained: bool
    threshold: float | None
    remote: bool = False
    calibration: Calibration | None = None
    own: LanguageModel | None = None
    reading: ReadingMode = "joint"
    query_likelihood: float = 0.0

    def ranking_by(self, query_likelihood: float | None) -> Engine:
        """Return the engine with another share of the question's likelihood, None for its own.

        Its calibration and threshold hold for its own only.
        """
        if query_likelihood is None or query_likelihood == self.query_likelihood:
            return self
        return replace(self, query_likelihood=query_likelihood, calibration=None, threshold=None)

    @property
    def precision(self) -> str:
        """The numbers that a model of this machine computes with, another default on a GPU; else empty."""
        from ..model.engine.local import LocalLanguageModel

        return self.lm.precision if isinstance(self.lm, LocalLanguageModel) else ""


def check_model(name: str) -> None:
    """Raise InvalidInputError, listing the names, for what is no name, folder or hub id of a model."""
    from ..model.remote import client as remote
    from ..model.store import registry

    if remote.is_remote(name):
        remote.resolve(name)
    elif name != FAKE_MODEL:
        registry.resolve(name)


def open_engine(name: str, calibration: bool = True, loading: Loading | None = None) -> Engine:
    """Return a language model ready to use, with the calibration of its checkpoint if it has one.

    `calibration=False` leaves a `calibration.json` unread, which one of other weights needs to be made again.
    Raises MissingModelError if it was never pulled, MissingExtraError, NotFoundError, InvalidInputError (also
    for a precision or a cache of a model that is not on this machine), or FailureError.
    """
    from ..model import FakeLanguageModel
    from ..model.remote import client as remote
    from ..model.store.checkpoint import read_checkpoint
    from ..model.store.registry import locate

    loading = loading or Loading()
    check_loading(name, loading)
    if name == FAKE_MODEL:
        return Engine(FakeLanguageModel(), prompts.PAPER, trained=False, threshold=None)
    if remote.is_remote(name):
        server = remote.open_remote(name)
        return Engine(server, server.form, trained=False, threshold=None, remote=True)
    card = read_checkpoint(locate(name))
    engine = Engine(
        _local(card, loading),
        _form(card),
        card.trained,
        card.threshold,
        reading=card.reading,
        query_likelihood=card.query_likelihood,
    )
    return _with_calibration(engine, card) if calibration else engine


def is_here(name: str) -> bool:
    """Return whether a model has weights on this machine: it is no server's, and not `fake`."""
    from ..model.remote import client as remote

    return name != FAKE_MODEL and not remote.is_remote(name)


def check_loading(name: str, loading: Loading) -> None:
    """Raise InvalidInputError for a precision or a cache of a model that is not on this machine."""
    given = {"--precision": loading.precision, "--cache-dir": loading.cache_dir}
    for option, value in given.items():
        if value is not None and not is_here(name):
            raise InvalidInputError(
                f"found {option} {value} for {name}, wanted it for a model on this machine: leave it out"
            )


def _local(card: Checkpoint, loading: Loading) -> LocalLanguageModel:
    from ..model.engine.local import LocalLanguageModel
    from ..model.engine.precision import choose
    from ..model.store.registry import locate, speeds_file
    from ..model.store.weights_hash import weights_hash

    folder, adapter = (locate(card.base), card.folder) if card.is_adapter else (card.folder, None)
    given = loading.precision or "auto"
    numbers = choose(folder, speeds_file()) if given == "auto" else given
    lm = LocalLanguageModel(folder, adapter, precision=numbers, context_length=card.context_length)
    if loading.cache_dir is not None:
        weights = weights_hash(_weights_folders(card), loading.cache_dir / "weights.json")
        lm.keep_on_disk(loading.cache_dir, int(loading.cache_gb * 1e9), weights)
    return lm


def _with_calibration(engine: Engine, card: Checkpoint) -> Engine:
    from ..model.skills.calibrated import FILE, check_calibration, read_calibration, weights_mark

    path = card.folder / FILE
    if not path.exists():
        return engine
    calibration = read_calibration(path)
    mark = weights_mark(_weights_folders(card))
    check_calibration(path, calibration, mark, prompts.template_hash(engine.form), engine.query_likelihood)
    return replace(engine, calibration=calibration, threshold=calibration.threshold)


def _weights_folders(card: Checkpoint) -> list[Path]:
    """Return the folders that hold the weights of a checkpoint: its own, and its base's under an adapter."""
    from ..model.store import registry

    return [card.folder, *([registry.locate(card.base)] if card.is_adapter else [])]


def folders_of(name: str) -> list[Path]:
    """Return the folders that hold the weights of a model; none for fake or a server."""
    from ..model.store import registry
    from ..model.store.checkpoint import read_checkpoint

    return _weights_folders(read_checkpoint(registry.locate(name))) if is_here(name) else []


def _form(card: Checkpoint) -> Template:
    """Return the template of a checkpoint: its own by name, or the frame of a foreign chat model."""
    if card.plain and card.template == "chat":
        from ..model.engine.chat_frame import chat_frame

        return chat_frame(card.folder)
    return prompts.template(card.template)


def token_counter(name: str) -> Callable[[str], int] | None:
    """Return what counts the tokens of a text for a model, or None if the model is not on this machine."""
    from ..model.engine.tokenizer import token_counter as counter
    from ..model.store.checkpoint import read_checkpoint
    from ..model.store.registry import locate

    try:
        card = read_checkpoint(locate(name))
        return counter(locate(card.base) if card.is_adapter else card.folder)
    except (MissingExtraError, MissingModelError):
        return None
