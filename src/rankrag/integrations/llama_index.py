"""LlamaIndex: a node postprocessor that ranks what a retriever found."""

from __future__ import annotations

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import Field, InstanceOf

from ..errors import InvalidInputError
from ..system import RAG
from ..types import Passage


class RankRAGPostprocessor(BaseNodePostprocessor):
    """Ranks nodes and keeps the best `top_n`; their score is the relevance in 0..1.

    A `title` in a node's metadata is read with its text.
    """

    rag: InstanceOf[RAG] = Field(exclude=True)
    top_n: int = Field(default=5, ge=1)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex stores with settings."""
        return cls.__name__

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidInputError("found no question, wanted one: give query_bundle or query_str")
        passages = [
            Passage(str(number), node.node.get_content(), str(node.node.metadata.get("title") or ""))
            for number, node in enumerate(nodes)
        ]
        ranked = self.rag.rank(query_bundle.query_str, passages)[: self.top_n]
        return [
            NodeWithScore(node=nodes[int(hit.passage.id)].node, score=hit.score if hit.scored else None)
            for hit in ranked
        ]
