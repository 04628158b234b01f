"""Every route in its own words: what comes back, and what a wrong request is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from rankrag import prompts
from rankrag.server import Limits, ServerSettings
from serving import QUESTION, client, make_app, make_index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def http(index: Path) -> Iterator[TestClient]:
    with client(make_app(index)) as found:
        yield found


def events(text: str) -> list[tuple[str, Any]]:
    """Return (name, data) of server-sent events."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        data = lines.get("data", "null")
        found.append((lines.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return found


def error(response: Any) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


# ── ask and search ───────────────────────────────────────────────────────────────────────────────────


def test_info(http: TestClient) -> None:
    found = http.get("/v1/info").json()
    assert found["index"] == {"n_documents": 3, "n_passages": 3}
    assert (found["model"], found["trained"], found["retrieve_k"], found["read_k"]) == ("fake", False, 30, 5)
    assert ".pdf" in found["upload"]["suffixes"]


def test_ask_streams_what_it_also_returns_at_once(http: TestClient) -> None:
    whole = http.post("/v1/ask", json={"question": QUESTION}).json()
    assert "eighteen toes" in whole["text"]
    assert whole["done"]
    assert whole["citations"][0]["source"].endswith("cats.md")
    response = http.post("/v1/ask", json={"question": QUESTION, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    told = events(response.text)
    assert {name for name, _ in told} == {"answer"}
    first, second = told[0][1], told[1][1]
    assert first["retrieved"]
    assert not first["done"]
    assert "ranked" in second
    assert "retrieved" not in second
    merged: dict[str, Any] = {}
    for _, changed in told:
        merged |= changed
    assert merged.pop("n_ranked") == len(whole["ranked"])
    del merged["timings_s"], whole["timings_s"]
    assert merged == whole


def test_ask_takes_a_conversation_and_wishes(http: TestClient) -> None:
    body = {
        "question": "and how many toes?",
        "history": [{"role": "user", "content": "Tell me of the cat"}, {"role": "assistant", "content": " "}],
        "retrieve_k": 2,
        "read_k": 9,
        "rank": False,
        "filters": {"path": "*cats.md"},
    }
    found = http.post("/v1/ask", json=body).json()
    assert [hit["source"].rsplit("/", 1)[-1] for hit in found["ranked"]] == ["cats.md"]
    assert found["read_k"] == 2
    assert found["ranked"] == found["retrieved"]
    assert "Tell me of the cat" in found["query"]


def test_ask_abstains(http: TestClient) -> None:
    found = http.post("/v1/ask", json={"question": QUESTION, "min_relevance": 1.0}).json()
    assert found["abstained"]
    assert found["text"] == prompts.UNANSWERABLE
    assert not http.post("/v1/ask", json={"question": QUESTION, "min_relevance": 0.0}).json()["abstained"]
    assert http.post("/v1/ask", json={"question": "zzz"}).json()["abstained"]


def test_search(http: TestClient) -> None:
    found = http.post("/v1/search", json={"question": QUESTION, "k": 2}).json()["data"]
    assert found[0]["source"].endswith("cats.md")
    assert len(found) <= 2
    ranked = http.post("/v1/search", json={"question": QUESTION, "rank": True}).json()
    assert 0 <= ranked["data"][0]["score"] <= 1
    assert {*ranked["retrieved"]} == {hit["id"] for hit in ranked["data"]}
    assert (ranked["query"], ranked["retriever"]) == (QUESTION, "bm25")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"question": "  "}, "no words"),
        ({}, "question: Field required"),
        ({"question": "x", "read": 3}, "read: Extra inputs"),
        ({"question": "x", "read_k": 0}, "read_k: "),
        ({"question": "x", "retrieve_k": 2000}, "found 2,000 passages, wanted at most 1,000"),
        ({"question": "x" * 100_001}, "question: found 100,001 characters"),
        ({"question": "\ud800"}, "surrogate"),
        ({"question": "x", "history": [{"role": "system", "content": "y"}]}, "history.0.role"),
        ({"question": "x", "min_relevance": 2}, "min_relevance"),
        ({"question": "x", "filters": {"nope": "y"}}, ""),
    ],
)
def test_a_wrong_question_is_told_what_was_wanted(http: TestClient, body: dict[str, Any], said: str) -> None:
    response = http.post("/v1/ask", content=json.dumps(body), headers={"content-type": "application/json"})
    if body.get("filters"):  # an attribute that no passage has is no fault: nothing is found
        assert response.json()["abstained"]
        return
    assert response.status_code == 400
    assert said in error(response)["message"]
    assert error(response)["type"] == "invalid_request_error"
    streamed = {**body, "stream": True}
    again = http.post("/v1/ask", content=json.dumps(streamed), headers={"content-type": "application/json"})
    assert (again.status_code, again.json()) == (400, response.json())


def test_what_is_no_json_is_said(http: TestClient) -> None:
    bad = http.post("/v1/ask", content=b"{", headers={"content-type": "application/json"})
    assert "no JSON" in error(bad)["message"]
    plain = http.post("/v1/ask", content=b'{"question": "x"}', headers={"content-type": "text/plain"})
    assert "application/json" in error(plain)["message"]
    deep = http.post("/v1/ask", content=b"[" * 100_000, headers={"content-type": "application/json"})
    assert deep.status_code == 400
    assert error(http.get("/nowhere"))["message"] == "Not Found"
    assert http.get("/v1/ask").status_code == 405
    assert error(http.get("/v1/ask"))["type"] == "invalid_request_error"


# ── rerank ───────────────────────────────────────────────────────────────────────────────────────────

DOCUMENTS = ["Tea is green.", "A cat has eighteen toes.", "Many cats have a house."]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank_in_every_dialect(http: TestClient, path: str) -> None:
    body = {"model": "any", "query": QUESTION, "documents": DOCUMENTS, "top_n": 2, "max_tokens_per_doc": 4096}
    found = http.post(path, json=body).json()
    assert [one["index"] for one in found["results"]] == [1, 2]
    scores = [one["relevance_score"] for one in found["results"]]
    assert 1 >= scores[0] >= scores[1] >= 0
    with_text = [one.get("document") for one in found["results"]]
    assert with_text == (
        [None, None] if path == "/v2/rerank" else [{"text": DOCUMENTS[1]}, {"text": DOCUMENTS[2]}]
    )
    assert found["model"] == "fake"
    assert found["usage"]["total_tokens"] == found["usage"]["prompt_tokens"] > 0
    assert found["meta"]["warnings"] == []


def test_rerank_of_objects(http: TestClient) -> None:
    documents = [{"text": one, "id": "same", "n": 1} for one in DOCUMENTS]
    body = {"query": QUESTION, "documents": documents, "return_documents": True}
    found = http.post("/v2/rerank", json=body).json()["results"]
    assert [one["index"] for one in found] == [1, 2, 0]
    assert found[0]["document"] == documents[1]
    fields = [{"head": "Tea"}, {"head": "cat", "body": "eighteen toes does have many how"}]
    by_field = http.post(
        "/v1/rerank", json={"query": QUESTION, "documents": fields, "rank_fields": ["head", "body"]}
    )
    assert by_field.json()["results"][0]["index"] == 1


def test_rerank_says_what_it_cut_or_left_unused(http: TestClient) -> None:
    body = {
        "query": "toes",
        "documents": ["a b c d toes", "toes"],
        "max_tokens_per_doc": 2,
        "instruction": "x",
    }
    found = http.post("/rerank", json=body).json()
    assert found["results"][0]["index"] == 1  # the word was cut off the first
    assert found["meta"]["warnings"] == [
        "1 document cut at the end, too long to fit",
        "instruction was not used",
    ]
    assert found["results"][1]["document"] == {"text": "a b c d toes"}


def test_rerank_as_text_embeddings_inference(http: TestClient) -> None:
    found = http.post("/rerank", json={"query": QUESTION, "texts": DOCUMENTS, "return_text": True}).json()
    assert [one["index"] for one in found] == [1, 2, 0]
    assert set(found[0]) == {"index", "score", "text"}


def test_score(http: TestClient) -> None:
    one = http.post("/v1/score", json={"queries": QUESTION, "documents": DOCUMENTS}).json()
    pairs = http.post("/score", json={"text_1": [QUESTION] * 3, "text_2": DOCUMENTS}).json()
    assert [d["score"] for d in one["data"]] == [d["score"] for d in pairs["data"]]
    assert [d["index"] for d in one["data"]] == [0, 1, 2]
    ranked = http.post("/rerank", json={"query": QUESTION, "documents": DOCUMENTS}).json()["results"]
    assert {d["index"]: d["score"] for d in one["data"]} == {r["index"]: r["relevance_score"] for r in ranked}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/rerank", {"query": "x", "documents": []}, "found none"),
        ("/rerank", {"query": " ", "documents": ["a"]}, "query: found no words"),
        ("/rerank", {"query": "x", "documents": [{"body": "a"}]}, "documents.0: found no text"),
        ("/rerank", {"query": "x", "documents": [3]}, "documents.0: wanted a text"),
        ("/rerank", {"query": "x", "documents": ["a"], "top_n": 0}, "top_n"),
        ("/rerank", {"query": "x", "documents": ["a"] * 1001}, "1,001 passages"),
        ("/score", {"queries": ["a", "b"], "documents": ["c"]}, "2 queries and 1 document,"),
        ("/score", {"queries": "a"}, "no queries or no documents"),
    ],
)
def test_a_wrong_rerank_is_told_what_was_wanted(
    http: TestClient, path: str, body: dict[str, Any], said: str
) -> None:
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert said in error(response)["message"]


@pytest.mark.parametrize(
    "document",
    [
        '{"text": "a", "score": NaN}',
        '{"text": "a", "more": "\\ud800"}',
        '"\\ud800 cat"',
        '{"text": "a", "x": 1e999}',
    ],
)
def test_what_json_cannot_hold_is_refused(http: TestClient, document: str) -> None:
    for path, head in (
        ("/rerank", '"query": "x"'),
        ("/v1/chat/completions", '"messages": [{"role": "user", "content": "x"}]'),
    ):
        body = f'{{{head}, "documents": [{document}]}}'
        found = http.post(path, content=body, headers={"content-type": "application/json"})
        assert found.status_code == 400, path
        assert "documents" in error(found)["message"]


def test_empty_passages_are_ranked_like_others(http: TestClient) -> None:
    body = {"query": "cats", "documents": ["", {"text": ""}, "Cats sleep."]}
    results = http.post("/rerank", json=body).json()["results"]
    assert results[0]["index"] == 2
    assert len(results) == 3


def test_without_an_index_passages_that_are_sent_are_ranked() -> None:
    with client(make_app(None)) as http:
        assert http.get("/v1/info").json()["index"] is None
        assert http.post("/rerank", json={"query": "cats", "documents": DOCUMENTS}).status_code == 200
        assert http.get("/v1/documents").status_code == 404


# ── chat ─────────────────────────────────────────────────────────────────────────────────────────────


def chat(http: TestClient, **body: Any) -> Any:
    return http.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": QUESTION}], **body}
    )


def test_chat_has_the_same_sources_in_a_stream(http: TestClient) -> None:
    whole = chat(http).json()
    assert whole["object"] == "chat.completion"
    message = whole["choices"][0]["message"]
    assert "eighteen toes" in message["content"]
    (cited,) = message["annotations"]
    span = cited["url_citation"]
    assert span["url"].endswith("cats.md")
    assert message["content"][span["start_index"] : span["end_index"]] == whole["citations"][0]["text"]
    assert whole["usage"]["total_tokens"] > 0

    *chunks, counted, done = events(chat(http, stream=True, stream_options={"include_usage": True}).text)
    assert done[1] == "[DONE]"
    assert counted[1]["choices"] == []
    assert counted[1]["usage"] == whole["usage"]
    assert chunks[0][1]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    deltas = [chunk["choices"][0]["delta"] for _, chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == message["content"]
    last = chunks[-1][1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["annotations"] == message["annotations"]
    assert last["citations"] == whole["citations"]
    del last["retrieval"]["timings_s"], whole["retrieval"]["timings_s"]
    assert last["retrieval"] == whole["retrieval"]
    assert len({chunk["id"] for _, chunk in chunks}) == 1


def test_chat_reads_the_conversation(http: TestClient) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Tell me of the cat"}]},
        {"role": "assistant", "content": "It sleeps."},
        {"role": "user", "content": "How many toes?"},
    ]
    found = chat(http, messages=messages).json()
    assert "Tell me of the cat" in found["retrieval"]["query"]
    assert found["retrieval"]["warnings"] == ["messages of the role 'system' were left out"]


def test_chat_answers_from_passages_that_are_sent(http: TestClient) -> None:
    documents = [{"id": "d1", "data": {"title": "Dogs", "text": "A dog has eighteen toes. It does."}}, "Tea."]
    found = chat(
        http, documents=documents, messages=[{"role": "user", "content": "How many toes has a dog?"}]
    )
    (citation,) = found.json()["citations"]
    assert citation["sources"][0]["id"] == "d1"
    assert found.json()["choices"][0]["message"]["annotations"][0]["url_citation"]["title"] == "Dogs"
    twice = chat(http, documents=[{"id": "a", "text": "x"}, {"id": "a", "text": "y"}])
    assert "an id twice" in error(twice)["message"]


def test_chat_takes_limits_and_says_why_it_ended(http: TestClient) -> None:
    found = chat(http, max_completion_tokens=2, temperature=0.7, seed=1, user="me").json()
    assert len(found["choices"][0]["message"]["content"].split()) == 2
    assert found["choices"][0]["finish_reason"] == "length"
    whole = chat(http, max_tokens=5000).json()
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert error(chat(http, documents=[]))["message"].startswith("documents: found none")
    abstained = chat(http, min_relevance=1.0).json()
    assert abstained["retrieval"]["abstained"]
    assert abstained["choices"][0]["message"]["content"] == prompts.UNANSWERABLE
    assert not any(hit["read"] for hit in abstained["retrieval"]["hits"])
    assert [c for _, c in events(chat(http, min_relevance=1.0, stream=True).text)][-1] == "[DONE]"


TOOL = {"type": "function", "function": {"name": "x", "parameters": {}}}


def test_tools_that_a_chat_offers_are_left_unused(http: TestClient) -> None:
    plain, offered = chat(http).json(), chat(http, tools=[TOOL], tool_choice="auto").json()
    assert offered["choices"] == plain["choices"]
    assert offered["retrieval"]["warnings"] == ["tools were left unused"]
    assert chat(http, tools=[]).json()["retrieval"]["warnings"] == []


@pytest.mark.parametrize(
    "off",
    [
        {"top_k": 1},
        {"top_k": 0},
        {"top_k": -1},
        {"max_tokens": -1},
        {"stop": []},
        {"stop": ""},
        {"logprobs": False},
    ],
)
def test_settings_of_a_sampler_and_what_is_off_change_nothing(
    http: TestClient, off: dict[str, object]
) -> None:
    plain, told = chat(http).json(), chat(http, **off).json()
    assert told["choices"] == plain["choices"]
    assert len(told["retrieval"]["hits"]) == len(plain["retrieval"]["hits"]) > 0


@pytest.mark.parametrize("stop", ["eigh", ["nothing like it", "n toes", "eigh"]])
def test_an_answer_ends_before_a_stop(http: TestClient, stop: object) -> None:
    plain, ended = chat(http).json()["choices"][0], chat(http, stop=stop).json()["choices"][0]
    assert ended["message"]["content"] == plain["message"]["content"].partition("eigh")[0]
    assert ended["finish_reason"] == "stop"
    streamed = [data for _, data in events(chat(http, stop=stop, stream=True).text)]
    pieces = [each["choices"][0]["delta"].get("content", "") for each in streamed[:-1] if each["choices"]]
    assert "".join(pieces) == ended["message"]["content"]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"n": 2}, "n: found 2, wanted 1"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice: "),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice: "),
        ({"response_format": {"type": "json_object"}}, "response_format: "),
        ({"stop": ["x"] * 17}, "stop"),
        ({"messages": []}, "messages: "),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "no question at the end"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "'image_url', wanted text",
        ),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"filters": {"path": "x"}, "documents": ["a"]}, "filters beside documents"),
    ],
)
def test_chat_refuses_what_it_cannot_grant(http: TestClient, wish: dict[str, Any], said: str) -> None:
    response = chat(http, **wish)
    assert response.status_code == 400
    assert said in error(response)["message"]


def test_models(http: TestClient) -> None:
    listed = http.get("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["fake", "rankrag-chat"]
    assert [http.get(f"/v1/models/{model['id']}").json() for model in listed] == listed
    missing = http.get("/v1/models/owner/nothing")
    assert (missing.status_code, error(missing)["message"][:36]) == (
        404,
        "found no model 'owner/nothing', want",
    )


def test_fewer_passages_may_be_allowed(index: Path) -> None:
    with client(make_app(index, settings=ServerSettings(Limits(passages=30)))) as http:
        assert "at most 30" in error(chat(http, retrieve_k=31))["message"]
        assert "at most 30" in error(http.post("/v1/search", json={"question": "x", "k": 31}))["message"]


def test_documents_suggest_questions_and_an_answer_says_where_it_looked(http: TestClient) -> None:
    found = http.get("/v1/examples").json()
    assert found["object"] == "list"
    assert all(isinstance(question, str) for question in found["data"])
    told = http.post("/v1/ask", json={"question": QUESTION}).json()
    (name, line), *_ = told["lines"].items()
    assert line == 1
    matters = told["excerpts"][name]
    text = next(hit["text"] for hit in told["ranked"] if hit["id"] == name)
    assert text[matters["start"] : matters["end"]] == "A cat has eighteen toes."
