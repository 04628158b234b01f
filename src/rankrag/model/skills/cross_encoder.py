"""A cross-encoder as ranker: the specialist that the paper compares RankRAG with, as a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FailureError, InvalidInputError, NotFoundError, needs, told
from ...prompts import search_query
from ...types import Hit, Passage, Question, best_first

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


@dataclass(frozen=True)
class CrossEncoderRanker:
    """Orders hits with a cross-encoder in a local folder (layout of sentence-transformers, one label).

    It sees the question as a retriever would (`prompts.search_query`) and title and text of a passage on two
    lines, at most `max_tokens` of both; relevance is the logistic function of its one output, in 0..1.
    """

    folder: Path
    max_tokens: int = 512

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same passages, best first: none dropped, none added, ties by passage id."""
        if not hits:
            return []
        query = search_query(question)
        pairs = [(query, _text(hit.passage)) for hit in hits]
        scores = self._model.predict(pairs, show_progress_bar=False)
        scored = [
            replace(hit, score=float(score), scored=True, cut=0)
            for hit, score in zip(hits, scores, strict=True)
        ]
        if any(hit.score != hit.score for hit in scored):
            raise FailureError(f"{self.folder}: found no number, wanted a relevance: train it anew")
        return best_first(scored)

    def load(self) -> None:
        """Load the weights now, so that the first ranking is not slower than the others."""
        self._model  # noqa: B018

    @cached_property
    def _model(self) -> CrossEncoder:
        if not (self.folder / "config.json").is_file():
            raise NotFoundError(
                f"found no cross-encoder in {self.folder}, wanted its config.json: check the path"
            )
        with needs("sentence-transformers", "local"):
            from sentence_transformers import CrossEncoder
        from torch.nn import Sigmoid

        with told(self.folder, "the cross-encoder"):
            model: CrossEncoder = CrossEncoder(
                str(self.folder),
                local_files_only=True,
                trust_remote_code=False,
                max_length=self.max_tokens,
                activation_fn=Sigmoid(),
            )
        if model.num_labels != 1:
            raise InvalidInputError(
                f"{self.folder}: found a model of {model.num_labels} labels, wanted one: a relevance"
            )
        return model


def _text(passage: Passage) -> str:
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text
