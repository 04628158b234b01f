"""Ranking within a budget: passages are scored in retrieval order, batch by batch, until it is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from ...errors import InvalidInputError, amount
from ...types import Hit, Question, Ranker, best_first

BATCH = 8
"""Passages between two looks at the budget: 100 words each they give ten workers of the packed scorer as
much as is worth a chunk (128 tokens), and a server elsewhere as many requests as it gets at a time. The
same on every device: where patience ends a ranking then does not depend on the machine."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one ranking may take; None bounds nothing.

    `seconds` are of the clock, so what is scored within them differs from run to run. `rank_k` is the most
    passages that are scored. `patience` ends the ranking once so many passages in a row did not come among
    the best that are read (see `settled`). Raises InvalidInputError for what is no bound.
    """

    seconds: float | None = None
    rank_k: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not (0 < self.seconds < math.inf):
            raise InvalidInputError(
                f"found a time budget of {self.seconds:g} seconds, wanted more than 0: for no ranking at all "
                "say so"
            )
        for name, number in {"rank_k": self.rank_k, "patience": self.patience}.items():
            if number is not None and number < 1:
                raise InvalidInputError(f"found {name} {number}, wanted at least 1: or None for no bound")

    def __str__(self) -> str:
        seconds = "" if self.seconds is None else f"{self.seconds:g} s (differs from run to run)"
        passages = "" if self.rank_k is None else amount(self.rank_k, "passage")
        patience = "" if self.patience is None else f"patience {self.patience}"
        return ", ".join(filter(None, (seconds, passages, patience, f"batches of {BATCH}")))


@dataclass(frozen=True, slots=True)
class BudgetedRanker:
    """Ranks as `ranker` does, until the budget is spent; the other hits follow unscored, as retrieved.

    The first batch is always scored. A later one is made as large as the time that is left allows, by what
    those before it took. `read_k` is how many of the best are read, and `least` the relevance that one of
    them must have before patience may end the ranking: the threshold below which the pipeline abstains.
    """

    ranker: Ranker
    budget: Budget
    read_k: int
    least: float = 0.0
    batch: int = BATCH
    clock: Callable[[], float] = perf_counter

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same passages: the scored ones, best first, ties by passage id, then the others."""
        started = self.clock()
        scored: list[Hit] = []
        relevances: list[float] = []
        while n := self._next(relevances, len(hits), self.clock() - started):
            batch = hits[len(scored) : len(scored) + n]
            ranked = self.ranker.rank(question, batch)
            scored += ranked
            relevances += _as_retrieved(batch, ranked)
        left = [replace(hit, scored=False, cut=0) for hit in hits[len(scored) :]]
        return best_first(scored) + left

    def _next(self, relevances: Sequence[float], n_hits: int, elapsed_s: float) -> int:
        """Return how many hits to score next, 0 to stop."""
        budget, done = self.budget, len(relevances)
        left = min(n_hits, budget.rank_k or n_hits) - done
        if done and budget.seconds is not None and elapsed_s > 0:
            left = min(left, int(done * (budget.seconds - elapsed_s) / elapsed_s))
        if budget.patience and settled(relevances, self.read_k, budget.patience, self.least):
            return 0
        return max(0, min(self.batch, left))


def settled(relevances: Sequence[float], read_k: int, patience: int, least: float = 0.0) -> bool:
    """Say whether the best `read_k` have stood for `patience` passages, by relevances in retrieval order.

    Each of the last `patience` passages is less relevant than all of the best `read_k` before them (one
    that ties might come among them by its id), and the best one has a relevance of `least` or more: where
    nothing relevant was found yet, what was retrieved further down may still be it. If a passage further
    down came among the best with a chance p, so long a row without one would have a chance of
    (1 - p) ** patience; and p falls with the rank, as retrievers put first what looks right.

    Only the order counts, but for `least`: a rising map of the relevances, like a calibration, stops at the
    same passage.
    """
    if len(relevances) < read_k + patience:
        return False
    best = sorted(relevances[:-patience])[-read_k:]
    return best[-1] >= least and max(relevances[-patience:]) < best[0]


def _as_retrieved(batch: Sequence[Hit], ranked: Sequence[Hit]) -> list[float]:
    """Return the relevances of a ranked batch in the order in which it was retrieved."""
    places = {hit.passage.id: n for n, hit in enumerate(batch)}
    return [hit.score for hit in sorted(ranked, key=lambda hit: places[hit.passage.id])]
