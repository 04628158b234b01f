"""Haystack: a ranker for its pipelines."""

from __future__ import annotations

from dataclasses import replace

from haystack import Document, component

from ..system import RAG, load
from ..system.models import DEFAULT_MODEL
from ..types import Passage


@component
class RankRAGRanker:
    """Ranks documents and keeps the best `top_k`; their score is the relevance in 0..1.

    `model` is what `rankrag.load` takes; it is loaded at `warm_up`, or when it is first used. A `title` in
    a document's `meta` is read with its content. What a budget left unscored has no score.
    """

    def __init__(self, model: str = DEFAULT_MODEL, top_k: int = 10) -> None:
        self.model = model
        self.top_k = top_k
        self._rag: RAG | None = None

    def warm_up(self) -> None:
        """Load the model."""
        self._loaded()

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the best documents, most relevant first."""
        passages = [
            Passage(str(number), document.content or "", str(document.meta.get("title") or ""))
            for number, document in enumerate(documents)
        ]
        ranked = self._loaded().rank(query, passages)[: top_k or self.top_k]
        kept = [
            replace(documents[int(hit.passage.id)], score=hit.score if hit.scored else None) for hit in ranked
        ]
        return {"documents": kept}

    def _loaded(self) -> RAG:
        if self._rag is None:
            self._rag = load(model=self.model)
        return self._rag
