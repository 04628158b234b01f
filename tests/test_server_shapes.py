"""The shapes of more clients: Voyage's and TEI's rerank, OpenAI's embeddings, chat without retrieval."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from rankrag.cli.served import _bounded, app_of
from rankrag.errors import amount
from rankrag.model import Budget, BudgetedRanker, FakeLanguageModel
from rankrag.server import Access, Limits, ServerSettings, Vectors
from rankrag.system import SystemSpec
from rankrag.types import Hit, Prompt, Question, Ranker
from serving import PATIENCE_S, QUESTION, client, make_app, make_index

DOCUMENTS = ["Tea is green.", "A cat has eighteen toes.", "Many cats have a house."]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


def numbers(texts: Sequence[str]) -> np.ndarray:
    return np.array([[len(text), 1.5] for text in texts], dtype=np.float32)


@pytest.fixture(scope="module")
def http(index: Path) -> Iterator[TestClient]:
    encoder = Vectors("small", 2, lambda texts: -numbers(texts), numbers)
    with client(make_app(index, settings=ServerSettings(encoder=encoder))) as found:
        yield found


# ── rerank ───────────────────────────────────────────────────────────────────────────────────────────


def test_voyage_s_rerank(http: TestClient) -> None:
    body = {"query": QUESTION, "documents": DOCUMENTS, "model": "rerank-2.5", "top_k": 2, "truncation": True}
    found = http.post("/v1/rerank", json=body).json()
    assert set(found) == {"object", "data", "model", "usage"}
    assert found["object"] == "list"
    assert [one["index"] for one in found["data"]] == [1, 2]
    assert all(set(one) == {"index", "relevance_score"} for one in found["data"])
    assert set(found["usage"]) == {"total_tokens"}
    whole = http.post("/v1/rerank", json=body | {"top_k": None, "return_documents": True}).json()
    assert [one["document"] for one in whole["data"]] == [DOCUMENTS[1], DOCUMENTS[2], DOCUMENTS[0]]


def test_the_rerank_of_text_embeddings_inference(http: TestClient) -> None:
    body = {"query": QUESTION, "texts": DOCUMENTS, "return_text": True, "truncate": True}
    found = http.post("/rerank", json=body).json()
    assert [one["index"] for one in found] == [1, 2, 0]
    assert [one["text"] for one in found] == [DOCUMENTS[1], DOCUMENTS[2], DOCUMENTS[0]]
    assert found[0]["score"] >= found[1]["score"]


@pytest.mark.parametrize(
    ("route", "more"),
    [
        ("/v1/rerank", {"return_documents": True, "score_threshold": 0.8}),  # Dify's plugin
        ("/rerank", {}),  # RAGFlow, which left out the path of its base URL once
        ("/v1/rerank", {"return_documents": "true", "return_len": "true"}),  # RAGFlow, as to Xinference
    ],
)
def test_rerank_as_dify_and_ragflow_ask_for_it(http: TestClient, route: str, more: dict[str, object]) -> None:
    body = {"model": "fake", "query": QUESTION, "documents": DOCUMENTS, "top_n": len(DOCUMENTS)}
    results = http.post(route, json=body | more).json()["results"]
    assert [hit["index"] for hit in results] == [1, 2, 0]
    assert all(0 <= hit["relevance_score"] <= 1 for hit in results)
    assert all(hit.get("document", {"text": ""})["text"] in ("", DOCUMENTS[hit["index"]]) for hit in results)


@dataclass
class Slow:
    """A ranker that ranks so many batches, and then none until it is let go."""

    ranker: Ranker
    most: int
    go: threading.Event = field(default_factory=threading.Event)
    n: int = 0

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        self.n += 1
        if self.n > self.most:
            assert self.go.wait(PATIENCE_S)
        return self.ranker.rank(question, hits)


def by_deadline(index: Path, seconds: float, slow: Callable[[Ranker], Ranker]) -> TestClient:
    app = make_app(index)
    state = app.state.rankrag
    ranker = slow(state.pipeline.ranker)

    def bounded(seconds: float, tell: Callable[[Sequence[Hit]], None]) -> Ranker:
        return _bounded(ranker, seconds, tell)

    object.__setattr__(state, "settings", replace(state.settings, rerank_s=seconds, bounded=bounded))
    return client(app)


@pytest.mark.slow
def test_rerank_answers_by_the_deadline_with_what_it_has(index: Path) -> None:
    texts = [*DOCUMENTS, *(f"Tea number {n}." for n in range(37))]
    go = threading.Event()
    with by_deadline(index, 2, lambda ranker: Slow(ranker, 2, go)) as http:  # the third batch hangs
        found = http.post("/v1/rerank", json={"query": QUESTION, "documents": texts}).json()
        go.set()
    assert len(found["results"]) == 40
    assert found["results"][0]["index"] == 1
    n_left = sum(one.get("scored") is False for one in found["results"])
    assert 0 < n_left < 40
    unscored = [one["index"] for one in found["results"][-n_left:]]
    assert unscored == sorted(unscored)  # as they came
    assert {one["relevance_score"] for one in found["results"][-n_left:]} == {-1}
    said = f"{amount(n_left, 'document')} left unscored by the server's deadline: last, in the order given"
    assert found["meta"]["warnings"] == [said]


def test_rerank_within_the_deadline_is_whole(index: Path) -> None:
    with by_deadline(index, PATIENCE_S, lambda ranker: ranker) as http:
        found = http.post("/v1/rerank", json={"query": QUESTION, "documents": DOCUMENTS}).json()
    assert found["meta"]["warnings"] == []
    assert [one["index"] for one in found["results"]] == [1, 2, 0]


def test_a_deadline_keeps_to_a_server_s_own_budget(index: Path) -> None:
    inner = BudgetedRanker(make_app(index).state.rankrag.pipeline.ranker, Budget(3, rank_k=1), 4, 0.5)
    seen: list[Hit] = []
    found = _bounded(inner, 9, seen.extend)
    assert isinstance(found, BudgetedRanker)
    assert (found.budget, found.read_k, found.least) == (Budget(3, rank_k=1), 4, 0.5)
    hits = [Hit(passage, 0.0) for passage in _passages()]
    assert [hit.scored for hit in found.rank(Question("1", QUESTION), hits)] == [True, False, False]
    assert len(seen) == 1


def _passages() -> list:  # type: ignore[type-arg]
    from rankrag.types import Passage

    return [Passage(str(n), text) for n, text in enumerate(DOCUMENTS)]


def test_serve_brings_the_deadline(index: Path) -> None:
    spec = SystemSpec(index, "bm25", "fake", read_k=4)
    state = app_of(spec, ServerSettings(rerank_s=4.5), read_only=True).state.rankrag
    assert state.settings.rerank_s == 4.5
    assert isinstance(state.settings.bounded(3.0, lambda _: None), BudgetedRanker)
    assert state.settings.encoder is None  # an index without vectors


# ── embeddings ───────────────────────────────────────────────────────────────────────────────────────


def test_embeddings(http: TestClient) -> None:
    found = http.post("/v1/embeddings", json={"input": ["cats", "teas!"], "model": "any"}).json()
    assert found["model"] == "small"
    assert found["data"] == [
        {"object": "embedding", "index": 0, "embedding": [4.0, 1.5]},
        {"object": "embedding", "index": 1, "embedding": [5.0, 1.5]},
    ]
    assert found["usage"]["total_tokens"] > 0
    (one,) = http.post("/v1/embeddings", json={"input": "cats", "encoding_format": "base64"}).json()["data"]
    assert np.frombuffer(base64.b64decode(one["embedding"]), "<f4").tolist() == [4.0, 1.5]
    (query,) = http.post("/v1/embeddings", json={"input": "cats", "input_type": "query"}).json()["data"]
    assert query["embedding"] == [-4.0, -1.5]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"input": []}, "input"),
        ({"input": " "}, "input: found a text without words"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": "x", "dimensions": 3}, "dimensions: found 3, wanted 2"),
        ({"input": ["x"] * 1001}, "input: found 1,001"),
        ({"input": "x" * 100_001}, "found 100,001 characters"),
    ],
)
def test_embeddings_that_cannot_be(http: TestClient, body: dict[str, object], said: str) -> None:
    found = http.post("/v1/embeddings", json=body)
    assert found.status_code == 400
    assert said in found.json()["error"]["message"]


def test_an_index_without_vectors_says_so(index: Path) -> None:
    with client(make_app(index)) as http:
        found = http.post("/v1/embeddings", json={"input": "cats"})
    assert found.status_code == 400
    assert "found no encoder in this server's index" in found.json()["error"]["message"]


# ── chat without retrieval ───────────────────────────────────────────────────────────────────────────

TITLE = "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_no_question_looks_nothing_up(index: Path, stream: bool) -> None:
    class Nothing:
        def search(self, query: str, k: int, filters: object = None) -> list[Hit]:
            raise AssertionError("looked something up")

    app = make_app(index)
    object.__setattr__(app.state.rankrag.pipeline, "retriever", Nothing())
    messages = [{"role": "user", "content": TITLE}]
    with client(app) as http:
        body = {"model": "rankrag-chat", "messages": messages, "stream": stream, "max_tokens": 9}
        found = http.post("/v1/chat/completions", json=body)
    assert found.status_code == 200
    if stream:
        assert '"model":"rankrag-chat"' in found.text
        assert "error" not in found.text
        assert found.text.rstrip().endswith("data: [DONE]")
    else:
        answer = found.json()
        assert answer["model"] == "rankrag-chat"
        assert answer["choices"][0]["message"]["content"]
        assert answer["retrieval"]["hits"] == []
        assert answer["citations"] == []
        assert answer["usage"]["prompt_tokens"] > 0


def test_plain_chat_reads_the_passages_that_a_program_puts_into_its_system_text(index: Path) -> None:
    seen: list[str] = []

    class Seeing(FakeLanguageModel):
        def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
            seen.append(prompt.prefix + prompt.suffix)
            return super().generate(prompt, max_tokens, stop)

    knowledge = "Here is the knowledge base:\nA dog has eighteen toes."
    messages = [{"role": "system", "content": knowledge}, {"role": "user", "content": QUESTION}]
    with client(make_app(index, Seeing())) as http:
        plain = http.post("/v1/chat/completions", json={"model": "rankrag-chat", "messages": messages})
        http.post("/v1/chat/completions", json={"model": "fake", "messages": messages})
        long = [{"role": "system", "content": "x" * 99_999}, *messages[1:]]
        refused = http.post("/v1/chat/completions", json={"model": "rankrag-chat", "messages": long})
    assert f"{knowledge}\n{QUESTION}" in seen[0]
    assert plain.json()["retrieval"]["warnings"] == []
    assert knowledge not in seen[1]
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("messages: found 100,0")


def test_a_chat_with_all_that_dify_and_ragflow_set(http: TestClient) -> None:
    of_sampling = {"temperature": 0.1, "top_p": 0.3, "frequency_penalty": 0.7, "presence_penalty": 0.4}
    messages = [{"role": "system", "content": "You are kind."}, {"role": "user", "content": QUESTION}]
    body = {"messages": messages, "max_tokens": 512, "user": "u-1", **of_sampling}
    plain = http.post("/v1/chat/completions", json=body | {"model": "rankrag-chat"}).json()
    assert plain["choices"][0]["finish_reason"] == "stop"
    first = http.post("/v1/chat/completions", json=body | {"model": "fake"}).json()
    assert "eighteen toes" in first["choices"][0]["message"]["content"]


def test_plain_chat_refuses_what_it_would_ignore(http: TestClient) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    for wish in ({"documents": ["x"]}, {"filters": {"a": "b"}}):
        body = {"model": "rankrag-chat", "messages": messages, **wish}
        found = http.post("/v1/chat/completions", json=body)
        assert found.status_code == 400
        assert "it looks nothing up" in found.json()["error"]["message"]


# ── names of containers ──────────────────────────────────────────────────────────────────────────────


def test_containers_reach_the_server_by_names_that_are_allowed(index: Path) -> None:
    from rankrag.cli.serve import hosts

    names = hosts("127.0.0.1", ("host.docker.internal", "rankrag"))
    with client(make_app(index, settings=ServerSettings(Limits(), Access(hosts=names)))) as http:
        for name in ("host.docker.internal:8000", "rankrag:8000", "Rankrag", "localhost"):
            assert http.get("/v1/models", headers={"host": name}).status_code == 200
        refused = http.get("/v1/models", headers={"host": "other:8000"})
        assert refused.status_code == 421
        assert "--allow-host" in refused.json()["error"]["message"]
    assert hosts("127.0.0.1", ("*",)) is None
