"""Tools of an assistant: what they say of themselves, sources, how far a call is, one that is cancelled."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
import pytest
from mcp import Client, MCPError
from mcp_types import TextResourceContents
from starlette.testclient import TestClient

from rankrag import prompts
from rankrag.model import Budget, BudgetedRanker, ModelRanker
from rankrag.server import ServerSettings
from rankrag.server.routes.tool_sources import SOURCES
from rankrag.server.routes.tools import tools
from rankrag.types import Hit, Prompt, Question, Ranker
from serving import PATIENCE_S, QUESTION, TEXTS, SlowModel, client, live, make_app, make_index, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("tools"))


@asynccontextmanager
async def assistant(index: Path) -> AsyncIterator[Client]:
    with client(make_app(index)) as http:
        async with Client(tools(http.app.state.rankrag)) as session:  # type: ignore[attr-defined]
            yield session


async def test_tools_say_what_they_are(index: Path) -> None:
    async with assistant(index) as session:
        listed = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert {name: tool.title for name, tool in listed.items()} == {
        "search": "Search documents",
        "rerank": "Rank texts",
        "ask": "Ask documents",
    }
    for tool in listed.values():
        assert tool.description
        assert tool.annotations is not None
        assert (tool.annotations.read_only_hint, tool.annotations.destructive_hint) == (True, False)
        assert tool.annotations.open_world_hint is False
        assert tool.output_schema
    assert "Passages wanted." in json.dumps(listed["search"].input_schema)


async def text_of(session: Client, uri: str) -> str:
    (content,) = (await session.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


async def test_a_passage_leads_to_its_whole_source(index: Path) -> None:
    async with assistant(index) as session:
        found = await session.call_tool("search", {"question": QUESTION, "k": 1})
        uri = found.structured_content["result"][0]["uri"]
        source = await text_of(session, uri)
        listed = json.loads(await text_of(session, SOURCES))
        (template,) = (await session.list_resource_templates()).resource_templates
    assert source == TEXTS["cats.md"]
    assert uri in {one["uri"] for one in listed}
    assert sum(one["passages"] for one in listed) == len(TEXTS)
    assert template.uri_template == f"{SOURCES}/{{+path}}"


@pytest.mark.parametrize("path", ["nowhere.md", "../../etc/passwd", "/etc/passwd"])
async def test_only_sources_of_the_index_are_read(index: Path, path: str) -> None:
    async with assistant(index) as session:
        with pytest.raises(MCPError, match="found no source"):
            await session.read_resource(f"{SOURCES}/{path}")


async def test_a_source_that_is_no_text_or_gone_is_told(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    (tmp_path / "documents" / "cats.md").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "documents" / "tea.md").unlink()
    async with assistant(index) as session:
        listed = json.loads(await text_of(session, SOURCES))
        uris = {Path(one["path"]).name: one["uri"] for one in listed}
        with pytest.raises(MCPError, match="found no text in UTF-8"):
            await session.read_resource(uris["cats.md"])
        with pytest.raises(MCPError, match="found no such file any more"):
            await session.read_resource(uris["tea.md"])


# ── how far a call is ────────────────────────────────────────────────────────────────────────────────


class Paced(SlowModel):
    """Waits for nothing in its first pass."""

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        self.begun += 1
        assert self.begun == 1 or self.go.wait(PATIENCE_S)
        return self.fake.logprobs(prompts, choices)


@dataclass(frozen=True)
class Telling:
    ranker: Ranker
    tell: Callable[[Sequence[Hit]], None]

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        ranked = self.ranker.rank(question, hits)
        self.tell(ranked)
        return ranked


@pytest.mark.slow
async def test_a_client_that_wants_to_know_is_told_how_far_a_call_is(index: Path) -> None:
    told: list[tuple[float, float | None, str | None]] = []
    lm = Paced()

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        lm.go.set()

    def bounded(seconds: float, tell: Callable[[Sequence[Hit]], None]) -> Ranker:
        return BudgetedRanker(Telling(ModelRanker(lm, prompts.PAPER), tell), Budget(seconds), read_k=1)

    texts = [f"Text {n}." for n in range(24)]
    async with AsyncExitStack() as stack:
        url = stack.enter_context(live(make_app(index, settings=ServerSettings(bounded=bounded))))
        async with Client(f"{url}/mcp") as session:
            found = await session.call_tool(
                "rerank", {"question": QUESTION, "texts": texts}, progress_callback=tell
            )
    assert len(found.structured_content["result"]) == len(texts)
    assert list(told[0]) == [8, 24, "ranking"]
    assert [done for done, *_ in told] == sorted({done for done, *_ in told})


@pytest.mark.slow
async def test_a_call_that_is_cancelled_ends_its_work(index: Path) -> None:
    app = make_app(index, SlowModel())
    desk = app.state.rankrag.desk
    with live(app) as url:
        async with Client(f"{url}/mcp") as session:
            async with anyio.create_task_group() as group:
                group.start_soon(session.call_tool, "ask", {"question": QUESTION})
                await anyio.to_thread.run_sync(until, lambda: desk.n_running == 1)
                group.cancel_scope.cancel()
            await anyio.to_thread.run_sync(until, lambda: desk.n_running == 0)


# ── prompts that are no questions ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [False, True])
def test_prompts_of_open_webui_s_own_look_nothing_up(index: Path, stream: bool) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": stream}

    def said(http: TestClient, task: str) -> str:
        headers = {"X-OpenWebUI-Task": task}
        return http.post("/v1/chat/completions", json=body, headers=headers).text

    with client(make_app(index)) as http:
        title, question = said(http, "title_generation"), said(http, "")
    assert '"model":"rankrag-chat"' in title
    assert "cats.md" not in title
    assert "cats.md" in question
