"""The only place that puts pieces together: an index, a model or two, and their skills in a row."""

from __future__ import annotations

from collections.abc import Callable

from ..pipeline import Pipeline
from ..types import Citer, Ranker
from .models import Engine, open_engine
from .rag import RAG
from .rankers import bounded, calibrated, is_cross_encoder, open_cross_encoder
from .retrieval import Retrieval, open_retrieval
from .spec import SystemSpec

CITED_FROM = 0.5
"""Relevance from which a passage is cited for a sentence: where the model finds it likelier than not."""

CITED_FROM_UNTRAINED = 0.0
# Before it is trained a model gave an answer's gold passage 0.34..0.72 and a distractor 0.38..0.74 (14
# training questions of HotpotQA; the gold one was higher in 5), so any threshold would drop citations at
# random. What holds them then is the citer's own check that names and numbers occur in the passage.

Shared = Callable[[Engine], Engine]
"""Takes a loaded model and returns what the system is to use in its place."""


def open_system(
    spec: SystemSpec, retrieval: Retrieval | None = None, shared: Shared = lambda engine: engine
) -> RAG:
    """Return the system that a spec describes, its models loaded; nothing is downloaded.

    `retrieval` is one that is open already; `shared` puts something around each model, as a server does,
    whose requests share its passes. One model that ranks and answers is loaded once. Raises
    InvalidInputError, NotFoundError, MissingModelError or MissingExtraError.
    """
    from ..model import ModelGenerator

    spec.check()
    retrieval = retrieval or open_retrieval(spec.index, spec.retriever)
    answering = shared(_opened(spec, spec.answers_with))
    judging, ranker = _judge(spec, answering, shared)
    threshold = spec.min_relevance
    if threshold is None and judging is not None and spec.ranking:
        threshold = judging.threshold
    ranker = bounded(ranker, spec.budget, spec.read_k, threshold)
    pipeline = Pipeline(
        retriever=retrieval.retriever,
        ranker=ranker if spec.ranking else None,
        generator=ModelGenerator(answering.lm, answering.form),
        citer=citer(judging or answering, asked_to_rank=spec.ranking and judging is not None),
        retrieve_k=spec.retrieve_k,
        read_k=spec.read_k,
        threshold=threshold,
        query=retrieval.query,
    )
    return RAG(pipeline, ranker, judging.trained if judging else True, answering, judging)


def _opened(spec: SystemSpec, name: str) -> Engine:
    return open_engine(name, loading=spec.loading.where_it_fits(name))


def _judge(spec: SystemSpec, answering: Engine, shared: Shared) -> tuple[Engine | None, Ranker]:
    """Return the model that ranks, None for a cross-encoder, and the ranker, calibrated.

    Where nothing is to be ranked no further model is loaded: the one that answers is there to be asked.
    """
    from ..model import ModelRanker

    apart = spec.ranking and spec.ranks_with != spec.answers_with
    if apart and is_cross_encoder(spec.ranks_with):
        return None, open_cross_encoder(spec.ranks_with)
    judging = shared(_opened(spec, spec.ranks_with)) if apart else answering
    return judging, calibrated(ModelRanker(judging.lm, judging.form), judging)


def citer(judging: Engine, asked_to_rank: bool) -> Citer | None:
    """Return what finds sources for sentences by a model's own relevance, or None.

    A server that is not asked to rank is not asked to cite either, which is ranking too: it may not be able
    to, and an answer is then one request. A calibration is not used: it was fitted on questions, and the
    citer ranks for the sentences of an answer.
    """
    from ..model import ModelCiter, ModelRanker

    if judging.remote and not asked_to_rank:
        return None
    return ModelCiter(
        ModelRanker(judging.lm, judging.form), CITED_FROM if judging.trained else CITED_FROM_UNTRAINED
    )
