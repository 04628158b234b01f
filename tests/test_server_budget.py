"""A server whose rankings are bounded says in every shape what it left unscored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rankrag.cli.served import app_of
from rankrag.model import Budget, BudgetedRanker
from rankrag.server import ServerSettings, tools
from rankrag.system import FAKE_MODEL, SystemSpec
from serving import QUESTION, client, make_app, make_index

DOCUMENTS = ["Tea is green.", "A cat has eighteen toes.", "Many cats have a house."]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def http(index: Path) -> Iterator[TestClient]:
    with client(make_app(index, budget=Budget(rank_k=2))) as found:
        yield found


def test_rerank_gives_a_number_below_every_relevance_and_says_so(http: TestClient) -> None:
    found = http.post("/v1/rerank", json={"query": QUESTION, "documents": DOCUMENTS}).json()
    assert [one["index"] for one in found["results"]] == [1, 0, 2]
    assert found["results"][2]["relevance_score"] == -1
    assert [one.get("scored") for one in found["results"]] == [None, None, False]
    said = "1 document left unscored by the server's budget: last, in the order given"
    assert found["meta"]["warnings"] == [said]
    short = http.post("/v1/rerank", json={"query": QUESTION, "documents": DOCUMENTS[:2]}).json()
    assert short["meta"]["warnings"] == []
    assert not any("scored" in one for one in short["results"])


def test_the_other_shapes_of_rerank(http: TestClient) -> None:
    found = http.post("/rerank", json={"query": QUESTION, "texts": DOCUMENTS}).json()
    assert found[2] == {"index": 2, "score": -1, "scored": False}
    data = http.post("/score", json={"queries": QUESTION, "documents": DOCUMENTS}).json()["data"]
    assert data[2] == {"index": 2, "object": "score", "score": -1, "scored": False}
    assert set(data[0]) == {"index", "object", "score"}


def test_ask_and_search(http: TestClient) -> None:
    question = "What do cats, whales and tea have in common?"
    answer = http.post("/v1/ask", json={"question": question}).json()
    assert (len(answer["ranked"]), answer["n_scored"]) == (3, 2)
    assert answer["ranked"][2]["id"] == answer["retrieved"][2]["id"]
    assert (answer["ranked"][2]["score"], answer["ranked"][2]["scored"]) == (None, False)
    assert answer["retrieved"][2]["score"] > 0
    hits = http.post("/v1/search", json={"question": question, "rank": True}).json()["data"]
    assert [hit["score"] is None for hit in hits] == [False, False, True]
    unranked = http.post("/v1/ask", json={"question": question, "rank": False}).json()
    assert "n_scored" not in unranked


def test_chat(http: TestClient) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "documents": DOCUMENTS}
    hits = http.post("/v1/chat/completions", json=body).json()["retrieval"]["hits"]
    assert [hit["scored"] for hit in hits] == [True, True, False]
    assert (hits[2]["score"], hits[2]["score_retrieved"]) == (None, pytest.approx(1 / 3))


@pytest.mark.anyio
async def test_the_tools_of_an_assistant(index: Path) -> None:
    from mcp import Client

    with client(make_app(index, budget=Budget(rank_k=2))) as http:
        async with Client(tools(http.app.state.rankrag)) as session:  # type: ignore[attr-defined]
            found = await session.call_tool("rerank", {"question": QUESTION, "texts": DOCUMENTS})
    ranked = found.structured_content["result"]
    assert [one["index"] for one in ranked] == [1, 0, 2]
    assert ranked[2]["relevance"] is None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_serve_brings_its_budget_to_the_pipeline(index: Path) -> None:
    spec = SystemSpec(index, "bm25", FAKE_MODEL, read_k=4, budget=Budget(patience=6))
    ranker = app_of(spec, ServerSettings(), read_only=True).state.rankrag.pipeline.ranker
    assert isinstance(ranker, BudgetedRanker)
    assert (ranker.budget, ranker.read_k, ranker.least) == (Budget(patience=6), 4, 0.0)
