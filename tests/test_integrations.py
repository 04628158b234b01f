"""LangChain, LlamaIndex and Haystack, each with its part of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

import rankrag
from rankrag.errors import InvalidInputError
from rankrag.model import Budget
from serving import QUESTION, make_index

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # their imports take seconds

TEXTS = ["Tea is green.", "A cat has eighteen toes.", "Many cats have a house."]


def test_langchain_ranks_what_another_retriever_found() -> None:
    documents = pytest.importorskip("langchain_core.documents")
    from rankrag.integrations.langchain import RankRAGCompressor

    given = [documents.Document(page_content=text, metadata={"n": n}) for n, text in enumerate(TEXTS)]
    compressor = RankRAGCompressor(rag=rankrag.load(model="fake"), top_n=2)
    found = compressor.compress_documents(given, QUESTION)
    assert [document.metadata["n"] for document in found] == [1, 2]
    assert 1 >= found[0].metadata["relevance_score"] > found[1].metadata["relevance_score"] >= 0
    assert "relevance_score" not in given[1].metadata
    assert compressor.compress_documents([], QUESTION) == []
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        RankRAGCompressor(rag=rankrag.load(model="fake"), top_n=0)


def test_langchain_tells_what_a_budget_left_unscored() -> None:
    documents = pytest.importorskip("langchain_core.documents")
    from rankrag.integrations.langchain import RankRAGCompressor

    rag = rankrag.load(model="fake", budget=Budget(rank_k=2))
    found = RankRAGCompressor(rag=rag).compress_documents(
        [documents.Document(page_content=text) for text in TEXTS], QUESTION
    )
    assert found[2].page_content == TEXTS[2]
    assert found[2].metadata["relevance_score"] is None


def test_langchain_retrieves_from_an_index(tmp_path: Path) -> None:
    pytest.importorskip("langchain_core")
    from rankrag.integrations.langchain import RankRAGRetriever

    rag = rankrag.load(index=make_index(tmp_path), model="fake", retrieve_k=3, read_k=1)
    (found,) = RankRAGRetriever(rag=rag).invoke(QUESTION)
    assert "eighteen toes" in found.page_content
    assert found.metadata["source"].endswith("cats.md")
    assert found.metadata["relevance_score"] > 0
    unranked = rankrag.load(index=tmp_path / "index", model="fake", ranking=False)
    assert RankRAGRetriever(rag=unranked).invoke(QUESTION)[0].metadata["source"].endswith("cats.md")


def test_llama_index_ranks_nodes() -> None:
    schema = pytest.importorskip("llama_index.core.schema")
    from rankrag.integrations.llama_index import RankRAGPostprocessor

    part = RankRAGPostprocessor(rag=rankrag.load(model="fake"), top_n=2)
    nodes = [schema.NodeWithScore(node=schema.TextNode(text=text)) for text in TEXTS]
    found = part.postprocess_nodes(nodes, query_str=QUESTION)
    assert [node.node.get_content() for node in found] == [TEXTS[1], TEXTS[2]]
    assert 1 >= (found[0].score or 0) > (found[1].score or 0) >= 0
    assert part.to_dict() == {"top_n": 2, "class_name": "RankRAGPostprocessor"}
    with pytest.raises(InvalidInputError, match="found no question"):
        part.postprocess_nodes(nodes)


def test_haystack_ranks_in_a_pipeline_that_was_written_down() -> None:
    haystack = pytest.importorskip("haystack")
    from rankrag.integrations.haystack import RankRAGRanker

    pipeline = haystack.Pipeline()
    pipeline.add_component("ranker", RankRAGRanker(model="fake", top_k=2))
    read = haystack.Pipeline.loads(pipeline.dumps(), allowed_modules=["rankrag.integrations.haystack"])
    given = [haystack.Document(content=text) for text in TEXTS]
    found = read.run({"ranker": {"query": QUESTION, "documents": given}})["ranker"]["documents"]
    assert [document.content for document in found] == [TEXTS[1], TEXTS[2]]
    assert 1 >= (found[0].score or 0) > (found[1].score or 0) >= 0
    assert RankRAGRanker("fake").run(QUESTION, given, top_k=1)["documents"][0].content == TEXTS[1]
