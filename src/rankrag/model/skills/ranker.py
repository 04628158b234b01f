"""The model as ranker: a passage is as relevant as the model is sure to say `True`.

In the same pass it can be asked how likely the passage makes the question (query likelihood, arXiv
2204.07496): what it learned of language before it learned to rank, which carries further than the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ... import prompts
from ...errors import FailureError
from ...fitting import fit
from ...types import ASKED, Cut, Hit, LanguageModel, Passage, Prompt, Question, best_first
from ..engine.tokens import counter

_REMEMBERED = 64
"""Questions whose own likelihood is remembered: as many as a server may have at work, and some."""


@dataclass(frozen=True, slots=True)
class ModelRanker:
    """Orders hits by relevance = P(True) / (P(True) + P(False)), read off the first token of the answer.

    The paper (arXiv 2407.02485, section 4.3) takes "the probability of generating True" and does not say
    whether that is divided by the probability of both labels. We divide: the order then does not depend
    on how much probability an untuned model leaves for other words, and 0.5 means undecided.

    `query_likelihood` says how many times the log-odds are raised by what the passage adds to the natural log
    of the question's probability, over the same prompt without a passage. 0 is the paper's ranking.

    `cut` of each hit counts the characters of a passage that did not fit the model's context.
    """

    lm: LanguageModel
    form: prompts.Template
    query_likelihood: float = 0.0
    _alone: dict[Prompt, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The natural log of a question's probability without a passage: it is ranked for in several steps."""

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same passages, best first: none dropped, none added, ties by passage id.

        Raises InvalidInputError if the question alone does not fit the model, FailureError if the model
        answers with something that is no number.
        """
        if not hits:
            return []
        asked = [self._prompt(question, hit) for hit in hits]
        scores = self._relevance(question, [prompt for prompt, _ in asked])
        scored = [
            replace(hit, score=float(score), scored=True, cut=sum(cut.length - cut.kept for cut in cuts))
            for hit, score, (_, cuts) in zip(hits, scores, asked, strict=True)
        ]
        return best_first(scored)

    def _relevance(self, question: Question, asked: Sequence[Prompt]) -> np.ndarray:
        labels = self.form.labels()
        if not self.query_likelihood:
            return relevance(self.lm.logprobs(asked, labels))
        bare = prompts.rank(question, Passage("", ""), self.form)
        alone = self._alone.get(bare)
        table = self.lm.logprobs([*asked, bare] if alone is None else asked, (*labels, ASKED))
        if alone is None:
            if len(self._alone) >= _REMEMBERED:
                self._alone.clear()
            alone = self._alone[bare] = float(table[-1, 2])
        table = table[: len(asked)]
        return relevance(table[:, :2], self.query_likelihood * (table[:, 2] - alone))

    def _prompt(self, question: Question, hit: Hit) -> tuple[Prompt, tuple[Cut, ...]]:
        n_tokens = counter(self.lm, self.form.markers)
        label = max(self.lm.n_tokens(label) for label in self.form.labels())
        budget = self.lm.context_length - label
        return fit(
            lambda passages: prompts.rank(question, passages[0], self.form), [hit.passage], budget, n_tokens
        )


def relevance(logprobs: np.ndarray, raised: np.ndarray | float = 0.0) -> np.ndarray:
    """Return P(True) / (P(True) + P(False)), shape (prompts,), from natural logs of shape (prompts, 2).

    `raised` is added to the log-odds. Computed from the difference of the logs, so that labels of
    probability 1e-300 still compare.
    Raises FailureError where a probability is not a number or both are zero.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scores: np.ndarray = 1.0 / (1.0 + np.exp(logprobs[:, 1] - logprobs[:, 0] - raised))
    if np.isnan(scores).any():
        raise FailureError(
            f"found no probability of True or False for {int(np.isnan(scores).sum())} of {len(scores)} "
            "passages, wanted numbers: check the weights with `rankrag model verify`"
        )
    return scores
