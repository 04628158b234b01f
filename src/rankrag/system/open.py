"""The only place that puts pieces together: an index, a model or two, and their skills in a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..pipeline import Pipeline
from ..types import Citer, Ranker
from .models import Engine, open_engine
from .rag import RAG
from .rankers import bounded, calibrated, open_cross_encoder
from .retrieval import Retrieval, open_retrieval
from .spec import SystemSpec

if TYPE_CHECKING:
    from ..model import ModelGenerator, ModelRanker

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


@dataclass(frozen=True, slots=True)
class SystemModels:
    """The language models of a system, loaded: `answering` writes, `judging` ranks.

    Often they are one. Where nothing is ranked, `judging` is the one that answers: it is there to be asked
    for sources. `answering` is None where nothing is written, `judging` also where a cross-encoder ranks.
    """

    answering: Engine | None
    judging: Engine | None


def open_system(
    spec: SystemSpec, retrieval: Retrieval | None = None, shared: Wrapped = lambda engine: engine
) -> RAG:
    """Return the system that a spec describes, its models loaded; nothing is downloaded.

    `retrieval` is one that is open already; `shared` puts something around each model, as a server does,
    whose requests share its passes. One model that ranks and answers is loaded once. Raises
    InvalidInputError (also for a spec that is not to answer), NotFoundError, MissingModelError or
    MissingExtraError.
    """
    spec.check()
    retrieval = retrieval or open_retrieval(spec.index, spec.retriever)
    models = open_models(spec, shared)
    if models.answering is None:
        raise InvalidInputError("found a system that is not to answer, wanted one that does: generating=True")
    judging = models.judging
    ranker = open_ranker(spec, judging)
    pipeline = pipeline_of(spec, models, retrieval, ranker)
    return RAG(pipeline, ranker, judging.trained if judging else True, models.answering, judging)


def open_models(spec: SystemSpec, shared: Wrapped = lambda engine: engine) -> SystemModels:
    """Return the language models of a spec, each loaded once, and none that would have nothing to do."""
    loaded = {
        name: shared(open_engine(name, loading=spec.loading.where_it_fits(name)))
        for name in spec.language_models()
    }
    if (judging := loaded.get(spec.ranks_with)) is not None:
        loaded[spec.ranks_with] = judging.ranking_by(spec.query_likelihood)
    answering = loaded.get(spec.answers_with) if spec.generating else None
    return SystemModels(answering, loaded.get(spec.ranks_with) if spec.ranking else answering)


def open_ranker(
    spec: SystemSpec, judging: Engine | None, cached: Callable[[Ranker], Ranker] = lambda ranker: ranker
) -> Ranker:
    """Return what ranks, its relevance put right, within the budget of a spec.

    That is the language model for it, or else the cross-encoder, whose weights are loaded. `cached` puts
    something around it that remembers what it said, below the calibration.
    """
    if judging is None:
        ranker = cached(open_cross_encoder(spec.ranks_with))
    else:
        ranker = calibrated(cached(ranker_of(judging)), judging)
    return bounded(ranker, spec.budget, spec.read_k, _least(spec, judging))


def ranker_of(judging: Engine) -> ModelRanker:
    """Return a language model as ranker, its relevance as the model gives it."""
    from ..model import ModelRanker

    return ModelRanker(judging.lm, judging.form, query_likelihood=judging.query_likelihood)


def pipeline_of(
    spec: SystemSpec, models: SystemModels, retrieval: Retrieval, ranker: Ranker | None
) -> Pipeline:
    """Return the pieces of a system in a row; where a spec does not rank, the ranker is left out."""
    from ..model import ModelRewriter

    judging, answering = models.judging, models.answering
    judge = judging or answering
    return Pipeline(
        retriever=retrieval.retriever,
        ranker=ranker if spec.ranking else None,
        generator=generator_of(spec, answering) if answering else None,
        citer=citer_of(spec, models),
        retrieve_k=spec.retrieve_k,
        read_k=spec.read_k,
        min_relevance=_least(spec, judging),
        rank_step=RANK_STEP if judge and _is_slow(judge) and not spec.budget else None,
        calibrated=spec.ranking and judging is not None and judging.calibration is not None,
        query=retrieval.query,
        rewriter=ModelRewriter(answering.lm, answering.form) if answering and spec.rewrite else None,
    )


def generator_of(spec: SystemSpec, answering: Engine, max_tokens: int | None = None) -> ModelGenerator:
    """Return what answers, reading as a spec says, or else as its checkpoint does."""
    from ..model import ModelGenerator

    return ModelGenerator(answering.lm, answering.form, max_tokens, spec.reading or answering.reading)


def _least(spec: SystemSpec, judging: Engine | None) -> float | None:
    """Return the relevance that a passage must reach for an answer: as told, else as calibrated."""
    if spec.min_relevance is not None or judging is None or not spec.ranking:
        return spec.min_relevance
    return judging.threshold


def _is_slow(engine: Engine) -> bool:
    """Say whether people see a model rank: on a processor or behind a server, not on a GPU here."""
    from ..model.engine.local import LocalLanguageModel

    lm = engine.own or engine.lm
    return not isinstance(lm, LocalLanguageModel) or lm.device == "cpu"


def citer_of(spec: SystemSpec, models: SystemModels) -> Citer | None:
    """Return what finds sources for sentences by a model's own relevance, or None.

    It goes without the model's calibration, which was fitted on questions: the citer ranks for the
    sentences of an answer. A server that is not asked to rank is not asked to cite either, which is ranking
    too: it may not be able to, and an answer is then one request.
    """
    from ..model import ModelCiter, ModelRanker

    judge = models.judging or models.answering
    if judge is None or models.answering is None or not spec.citing:
        return None
    if judge.remote and (models.judging is None or not spec.ranking):
        return None
    threshold = CITED_FROM if judge.trained else CITED_FROM_UNTRAINED
    return ModelCiter(ModelRanker(judge.lm, judge.form), threshold)
