"""The clients that people have, against a server behind a port."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from rankrag.server import Access, ServerSettings
from serving import QUESTION, live, make_app, make_index

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # their imports take seconds

KEY = "correct-horse-battery"
DOCUMENTS = ["Tea is green.", "A cat has eighteen toes.", "Many cats have a house."]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    with live(make_app(index, settings=ServerSettings(access=Access((KEY,))))) as found:
        yield found


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    """What is entered is left at the end: a connection left open is a warning in whatever test runs later."""
    with ExitStack() as stack:
        yield stack


def test_openai(url: str, leaving: ExitStack) -> None:
    openai = pytest.importorskip("openai")
    client = leaving.enter_context(openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0))
    assert [model.id for model in client.models.list()] == ["fake", "rankrag-chat"]
    messages = [{"role": "user", "content": QUESTION}]
    whole = client.chat.completions.create(
        model="fake", messages=messages, extra_body={"retrieve_k": 3, "top_k": 1}
    )
    (choice,) = whole.choices
    assert "eighteen toes" in choice.message.content
    assert choice.message.annotations[0].url_citation.url.endswith("cats.md")
    assert whole.citations[0]["sources"][0]["document"]["text"].startswith("# Cats")
    assert len(whole.retrieval["hits"]) <= 3

    stream = client.chat.completions.create(
        model="fake", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == choice.message.content
    assert (
        chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens
    )
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].citations == whole.citations

    wrong = leaving.enter_context(openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0))
    with pytest.raises(openai.AuthenticationError):
        wrong.models.list()
    with pytest.raises(openai.BadRequestError, match="n: found 2, wanted 1"):
        client.chat.completions.create(model="fake", messages=messages, n=2)


def test_cohere(url: str, leaving: ExitStack) -> None:
    cohere = pytest.importorskip("cohere")
    first = leaving.enter_context(cohere.Client(api_key=KEY, base_url=url))
    found = first.rerank(query=QUESTION, documents=DOCUMENTS, top_n=2, return_documents=True)
    assert [one.index for one in found.results] == [1, 2]
    assert found.results[0].document.text == DOCUMENTS[1]
    assert found.meta.billed_units.search_units == 1
    second = leaving.enter_context(cohere.ClientV2(api_key=KEY, base_url=url))
    again = second.rerank(model="any", query=QUESTION, documents=DOCUMENTS, max_tokens_per_doc=100)
    assert [one.index for one in again.results] == [1, 2, 0]
    assert all(0 <= one.relevance_score <= 1 for one in again.results)
    with pytest.raises(cohere.core.ApiError):
        second.rerank(model="any", query=QUESTION, documents=[])


def test_langchain(url: str, monkeypatch: pytest.MonkeyPatch, leaving: ExitStack) -> None:
    module = pytest.importorskip("langchain_community.document_compressors.jina_rerank")
    from langchain_core.documents import Document

    monkeypatch.setattr(module, "JINA_API_URL", f"{url}/v1/rerank")  # it has no setting for this
    ranker = module.JinaRerank(jina_api_key=KEY, top_n=2)
    leaving.enter_context(closing(ranker.session))
    found = ranker.compress_documents([Document(page_content=text) for text in DOCUMENTS], QUESTION)
    assert [document.page_content for document in found] == [DOCUMENTS[1], DOCUMENTS[2]]
    assert found[0].metadata["relevance_score"] >= found[1].metadata["relevance_score"]


def test_llama_index(url: str, leaving: ExitStack) -> None:
    module = pytest.importorskip("llama_index.postprocessor.jinaai_rerank")
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    ranker = module.JinaRerank(base_url=f"{url}/v1", api_key=KEY, top_n=2)
    leaving.enter_context(closing(ranker._session))
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]
    found = ranker.postprocess_nodes(nodes, QueryBundle(QUESTION))
    assert [one.node.get_content() for one in found] == [DOCUMENTS[1], DOCUMENTS[2]]


# ── the Model Context Protocol ───────────────────────────────────────────────────────────────────────


async def use_tools(client: object) -> None:
    listed = await client.list_tools()  # type: ignore[attr-defined]
    assert {tool.name for tool in listed.tools} == {"search", "rerank", "ask"}

    async def call(name: str, **arguments: object) -> object:
        return await client.call_tool(name, arguments)  # type: ignore[attr-defined]

    answer = await call("ask", question=QUESTION)
    assert "eighteen toes" in answer.structured_content["text"]  # type: ignore[attr-defined]
    assert answer.structured_content["citations"][0]["source"].endswith("cats.md")  # type: ignore[attr-defined]
    found = await call("search", question=QUESTION, k=1, rank=True)
    assert found.structured_content["result"][0]["source"].endswith("cats.md")  # type: ignore[attr-defined]
    ranked = await call("rerank", question=QUESTION, texts=DOCUMENTS)
    assert [one["index"] for one in ranked.structured_content["result"]] == [1, 2, 0]  # type: ignore[attr-defined]
    wrong = await call("ask", question=" ")
    assert wrong.is_error  # type: ignore[attr-defined]
    assert "no words" in wrong.content[0].text  # type: ignore[attr-defined]


def test_mcp_over_http(index: Path) -> None:
    from mcp import Client

    async def use(url: str) -> None:
        async with Client(f"{url}/mcp") as client:
            await use_tools(client)

    with live(make_app(index)) as url:
        asyncio.run(use(url))


def test_mcp_over_standard_input_and_output(index: Path) -> None:
    from mcp import Client, StdioServerParameters, stdio_client

    async def use() -> None:
        arguments = ["-m", "rankrag", "mcp", "--index", str(index), "--model", "fake"]
        async with Client(
            stdio_client(StdioServerParameters(command=sys.executable, args=arguments))
        ) as client:
            await use_tools(client)

    asyncio.run(use())
