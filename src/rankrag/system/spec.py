"""What a system is made of, decided once: which index, retriever, ranker, generator, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..types import ReadingMode, RetrieverKind
from .models import DEFAULT_MODEL, Loading, check_loading, check_model, is_here
from .rankers import is_cross_encoder

if TYPE_CHECKING:
    from ..model import Budget


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """What a system is made of.

    `model` ranks and answers. `ranker` and `generator` name others for one of the two: a ranker may also be
    the folder of a cross-encoder, a generator is often a server that tells no probabilities. Without an index
    nothing can be searched, but passages can be ranked. `ranking=False` reads in the retriever's order;
    `generating=False` writes no answer, `citing=False` looks for no sources: models that are then of no use
    are not loaded. `min_relevance` (0..1) is the relevance that some passage must reach for an answer; None
    takes that of the ranker's calibration. `reading` says whether passages stand in one prompt alone or also
    in one each, `query_likelihood` what the likelihood of the question counts in a ranking, 0 in the paper's;
    None takes what the checkpoint says. With `rewrite` a question that leans on its conversation is rewritten
    by the model that answers before it is searched for. `budget` bounds a ranking; `loading` is for models on
    this machine.
    """

    index: Path | None = None
    retriever: RetrieverKind | None = None
    model: str = DEFAULT_MODEL
    ranker: str | None = None
    generator: str | None = None
    ranking: bool = True
    generating: bool = True
    citing: bool = True
    retrieve_k: int = 30
    read_k: int = 5
    min_relevance: float | None = None
    reading: ReadingMode | None = None
    query_likelihood: float | None = None
    rewrite: bool = False
    budget: Budget | None = None
    loading: Loading = field(default_factory=Loading)

    @property
    def ranks_with(self) -> str:
        """The name of what ranks (where anything does)."""
        return self.ranker or self.model

    @property
    def answers_with(self) -> str:
        """The name of the model that answers."""
        return self.generator or self.model

    @property
    def has_own_ranker(self) -> bool:
        """Whether something else ranks than what answers."""
        return self.ranking and self.ranks_with != self.answers_with

    def names(self) -> str:
        """Return the names of the models, for people."""
        return f"{self.ranks_with} and {self.answers_with}" if self.has_own_ranker else self.answers_with

    def check(self) -> None:
        """Raise InvalidInputError (or NotFoundError for a path) for a spec that no system can be made of."""
        from ..model.store.checkpoint import check_query_likelihood

        check_counts(self.retrieve_k, self.read_k)
        if self.min_relevance is not None and not 0 <= self.min_relevance <= 1:
            raise InvalidInputError(
                f"found a least relevance of {self.min_relevance:g}, wanted a probability, 0 to 1"
            )
        if self.min_relevance is not None and not self.ranking:
            raise InvalidInputError(
                "found a least relevance without ranking, which alone tells relevances: leave one of them out"
            )
        if self.ranker is not None and not self.ranking:
            raise InvalidInputError(
                f"found the ranker {self.ranker} and no ranking, wanted one of them: leave out --no-rank"
            )
        models = self.language_models()
        for name in models:
            check_model(name)
        if self.generating and self.reading == "mixture" and not is_here(self.answers_with):
            raise InvalidInputError(
                f"found the reading mixture for {self.answers_with}, wanted it for a model on this machine: "
                "leave --reading out"
            )
        if self.query_likelihood is not None:
            check_query_likelihood(self.query_likelihood)
        if self.query_likelihood and not self._ranks_by_words():
            raise InvalidInputError(
                f"found a query likelihood of {self.query_likelihood:g}, wanted it for a language model here "
                "that ranks: leave it out"
            )
        if models and not any(map(is_here, models)):
            check_loading(models[0], self.loading)

    def _ranks_by_words(self) -> bool:
        """Say whether a language model of this machine ranks, which alone tells how likely a question is."""
        return self.ranking and is_here(self.ranks_with) and not is_cross_encoder(self.ranks_with)

    def language_models(self) -> list[str]:
        """Return the names of the language models needed, each once: first the one that answers."""
        names = [self.answers_with] if self.generating else []
        if self.ranking and self.ranks_with not in names and not is_cross_encoder(self.ranks_with):
            names.append(self.ranks_with)
        return names


def check_counts(retrieve_k: int, read_k: int) -> None:
    """Raise InvalidInputError unless 1 <= read_k <= retrieve_k."""
    if not 1 <= read_k <= retrieve_k:
        raise InvalidInputError(
            f"found read_k {read_k} and retrieve_k {retrieve_k}, wanted 1 <= read_k <= retrieve_k: "
            "read at most as many passages as are retrieved"
        )
