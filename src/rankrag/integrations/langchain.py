"""LangChain: a retriever over an index, and a compressor that ranks what another retriever found."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, InstanceOf

from ..system import RAG
from ..types import Hit, Passage


class RankRAGRetriever(BaseRetriever):
    """Finds passages in an index and ranks them: those that `RAG.ask` would read, best first.

    How many are retrieved and returned was said to `load` (`retrieve_k`, `read_k`). The metadata has
    `relevance_score` in 0..1 (None where a budget left a passage unscored), `title`, `source` and `page`.
    """

    rag: InstanceOf[RAG]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002
    ) -> list[Document]:
        pipeline = self.rag.pipeline
        hits = self.rag.search(query, pipeline.retrieve_k)
        if pipeline.ranker is not None:
            hits = self.rag.rank(query, [hit.passage for hit in hits])
        return [_document(hit) for hit in hits[: pipeline.read_k]]


class RankRAGCompressor(BaseDocumentCompressor):
    """Ranks documents of any retriever and keeps the best `top_n`.

    A `title` in a document's metadata is read with its text. `relevance_score` is added to the metadata.
    """

    rag: InstanceOf[RAG]
    top_n: int = Field(default=5, ge=1)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> list[Document]:
        """Return the best documents, most relevant first; those that were given stay as they are."""
        passages = [
            Passage(str(number), document.page_content, str(document.metadata.get("title") or ""))
            for number, document in enumerate(documents)
        ]
        kept = []
        for hit in self.rag.rank(query, passages)[: self.top_n]:
            document = documents[int(hit.passage.id)]
            metadata = {**document.metadata, "relevance_score": _relevance(hit)}
            kept.append(document.model_copy(update={"metadata": metadata}))
        return kept


def _document(hit: Hit) -> Document:
    passage, source = hit.passage, hit.passage.source
    metadata: dict[str, object] = {**passage.attributes, "relevance_score": _relevance(hit)}
    if passage.title:
        metadata["title"] = passage.title
    if source is not None:
        metadata |= {"source": source.path} | ({"page": source.page} if source.page is not None else {})
    return Document(id=passage.id, page_content=passage.text, metadata=metadata)


def _relevance(hit: Hit) -> float | None:
    return hit.score if hit.scored else None
