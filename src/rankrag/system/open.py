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

RANK_STEP = 8
"""Passages between two looks at how far a ranking is: as many as a processor takes at a time anyway."""

CITED_FROM = 0.5
"""Relevance from which a passage is cited for a sentence: where the model finds it likelier than not."""

CITED_FROM_UNTRAINED = 0.0
# Before it is trained a model gave an answer's gold passage 0.34..0.72 and a distractor 0.38..0.74 (14
# training questions of HotpotQA; the gold one was higher in 5), so any threshold would drop citations at
# random. What holds them then is the citer's own check that names and numbers occur in the passage.

Wrapped = Callable[[Engine], Engine]
"""Takes a loaded model and returns what the system is to use in its place."""


def open_system(
    spec: SystemSpec, retrieval: Retrieval | None = None, shared: Wrapped = lambda engine: engine
) -> RAG:
    """Return the system that a spec describes, its models loaded; nothing is downloaded.

    `retrieval` is one that is open already; `shared` puts something around each model, as a server does,
    whose requests share its passes. One model that ranks and answers is loaded once. Raises
    InvalidInputError, NotFoundError, MissingModelError or MissingExtraError.
    """
    from ..model import ModelGenerator, ModelRanker, ModelRewriter

    spec.check()
    retrieval = retrieval or open_retrieval(spec.index, spec.retriever)
    answering = shared(_opened(spec, spec.answers_with))
    judging = _judging(spec, answering, shared)
    judge = judging or answering
    by_model = ModelRanker(judge.lm, judge.form)
    ranker = calibrated(by_model, judging) if judging else open_cross_encoder(spec.ranks_with)
    least = spec.min_relevance
    if least is None and judging is not None and spec.ranking:
        least = judging.threshold
    ranker = bounded(ranker, spec.budget, spec.read_k, least)
    pipeline = Pipeline(
        retriever=retrieval.retriever,
        ranker=ranker if spec.ranking else None,
        generator=ModelGenerator(answering.lm, answering.form),
        citer=citer(by_model, judge, asked_to_rank=spec.ranking and judging is not None),
        retrieve_k=spec.retrieve_k,
        read_k=spec.read_k,
        min_relevance=least,
        rank_step=None if spec.budget or not _is_slow(judge) else RANK_STEP,
        calibrated=spec.ranking and judging is not None and judging.calibration is not None,
        query=retrieval.query,
        rewriter=ModelRewriter(answering.lm, answering.form) if spec.rewrite else None,
    )
    return RAG(pipeline, ranker, judging.trained if judging else True, answering, judging)


def _is_slow(engine: Engine) -> bool:
    """Say whether people see a model rank: on a processor or behind a server, not on a GPU here."""
    from ..model.engine.local import LocalLanguageModel

    lm = engine.own or engine.lm
    return not isinstance(lm, LocalLanguageModel) or lm.device == "cpu"


def _opened(spec: SystemSpec, name: str) -> Engine:
    return open_engine(name, loading=spec.loading.where_it_fits(name))


def _judging(spec: SystemSpec, answering: Engine, shared: Wrapped) -> Engine | None:
    """Return the language model that ranks, None where a cross-encoder does.

    Where nothing is to be ranked no further model is loaded: the one that answers is there to be asked.
    """
    if not spec.has_own_ranker:
        return answering
    if is_cross_encoder(spec.ranks_with):
        return None
    return shared(_opened(spec, spec.ranks_with))


def citer(ranker: Ranker, judge: Engine, asked_to_rank: bool) -> Citer | None:
    """Return what finds sources for sentences by a model's own relevance, or None.

    `ranker` is the model's, without its calibration, which was fitted on questions: the citer ranks for the
    sentences of an answer. A server that is not asked to rank is not asked to cite either, which is ranking
    too: it may not be able to, and an answer is then one request.
    """
    from ..model import ModelCiter

    if judge.remote and not asked_to_rank:
        return None
    return ModelCiter(ranker, CITED_FROM if judge.trained else CITED_FROM_UNTRAINED)
