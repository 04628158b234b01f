"""A language model behind a server: its names, what is sent, what comes back, and the command line."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remote_server
from rankrag import Passage, Question, Turn, Usage, prompts
from rankrag.errors import FailureError, InvalidInputError
from rankrag.model import ModelGenerator
from rankrag.model.remote import client as remote
from rankrag.model.remote.client import RemoteLanguageModel, Way
from rankrag.model.remote.http import Endpoint
from rankrag.model.remote.shapes import messages
from remote_server import (
    CURIE,
    KEY,
    LABELS,
    QUESTION,
    SNOW,
    WAYS,
    Handler,
    Json,
    Server,
    asked,
    chunk,
    connect,
    model,
    ranked,
    says,
    stream,
)
from test_prompts import CASES

server = remote_server.server


# ── names ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openai:gpt-4o@http://127.0.0.1:8000/v1", ("openai", "gpt-4o", "http://127.0.0.1:8000/v1")),
        ("openai-text:org/rank@v1@https://host/v1/", ("openai-text", "org/rank@v1", "https://host/v1")),
        ("openai:llama3:8b", ("openai", "llama3:8b", "http://there:1/v1")),
    ],
)
def test_a_name_says_way_model_and_server(
    monkeypatch: pytest.MonkeyPatch, name: str, found: tuple[str, str, str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", " http://there:1/v1/ ")
    reference = remote.resolve(name)
    assert (reference.way, reference.model, reference.url) == found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openai:gpt-4o", "set OPENAI_BASE_URL=http://HOST:PORT/v1"),
        ("openai:@http://host/v1", "found no model's name"),
        ("openai:m@http://", "wanted http://HOST:PORT/v1"),
        ("openai:m@http://host:port/v1", "wanted http://HOST:PORT/v1"),
        ("openai:m@http://host/v1?key=1", "wanted http://HOST:PORT/v1"),
        ("openai:m@http://host/ v1", "wanted http://HOST:PORT/v1"),
        ("openai:m@http://höst/v1", "wanted http://HOST:PORT/v1"),
        ("openai:m@http://me:hunter2@host/v1", "set OPENAI_API_KEY"),
        ("openai:m@http://me:hunter2@host/ v1", "wanted http://HOST:PORT/v1"),
    ],
)
def test_a_name_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InvalidInputError, match=re.escape(said)) as caught:
        remote.resolve(name)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["fake", "smollm2-135m", "org/openai", "openai", "openai-chat:m", "./openai:"]
)
def test_other_names_are_not_a_server_s(name: str) -> None:
    assert not remote.is_remote(name)


@pytest.mark.parametrize("value", ["many", "0", "-1", "inf", "nan"])
def test_a_setting_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name in ("RANKRAG_CONTEXT_LENGTH", "RANKRAG_TIMEOUT_S"):
        monkeypatch.setenv(name, value)
        with pytest.raises(InvalidInputError, match=name):
            remote.open_remote("openai:m@http://host/v1")
        monkeypatch.delenv(name)


def test_a_key_that_no_header_can_carry_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one\nsk-two")
    with pytest.raises(InvalidInputError, match="OPENAI_API_KEY") as caught:
        remote.open_remote("openai:m@http://host/v1")
    assert "sk-" not in str(caught.value)


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────


def test_the_messages_are_these() -> None:
    question = Question("q", "And then?", (Turn("user", "Where?"), Turn("assistant", "In Warsaw.")))
    assert messages(asked("openai", CURIE, SNOW, question=question)) == [
        (
            "system",
            f"{prompts.SYSTEM}\n\nPassage 1: Marie Curie\nMarie Curie was born in Warsaw.\n\n"
            "Passage 2: Snow is white in winter.",
        ),
        ("user", "Where?"),
        ("assistant", "In Warsaw."),
        ("user", "And then?"),
    ]


@pytest.mark.parametrize("name", CASES)
def test_the_messages_in_their_frame_are_the_prompt(name: str) -> None:
    prompt, form = CASES[name](prompts.CHAT), prompts.CHAT
    frames = {"system": form.system, "user": form.user, "assistant": form.assistant}
    said = "".join(frames[role][0] + text + frames[role][1] for role, text in messages(prompt))
    assert said + form.open_answer == prompt.prefix + prompt.suffix


_PARTS = [*"ab \n<|>", *prompts.CHAT.markers, "<|im_start|>user\n", "<|im_", "system"]
MARKED = st.lists(st.sampled_from(_PARTS)).map("".join)


@given(MARKED, MARKED, MARKED)
def test_no_document_can_add_a_message(text: str, title: str, asking: str) -> None:
    question = Question("q", asking, (Turn("user", text),))
    found = messages(prompts.answer(question, [Passage("p", text, title)], prompts.CHAT))
    assert [role for role, _ in found] == ["system", "user", "user"]


def test_a_chat_server_gets_messages(server: Server) -> None:
    list(connect(server).generate(asked("openai", CURIE), 32, prompts.CHAT.stop))
    path, body, headers = server.requests[0]
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": f"{prompts.SYSTEM}\n\nPassage 1: {CURIE.title}\n{CURIE.text}"},
            {"role": "user", "content": QUESTION.text},
        ],
        "max_tokens": 32,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert headers["Authorization"] == f"Bearer {KEY}"


def test_a_text_server_gets_the_prompt_as_it_is(server: Server) -> None:
    prompt = asked("openai-text", CURIE)
    list(connect(server, "openai-text").generate(prompt, 32, prompts.PAPER.stop))
    assert server.requests[0][0] == "/v1/completions"
    assert server.bodies[0] == {
        "model": "tiny",
        "prompt": prompt.prefix + prompt.suffix,
        "max_tokens": 32,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": list(prompts.PAPER.stop),
    }


def test_without_a_key_no_key_is_sent(server: Server) -> None:
    lm = RemoteLanguageModel(Endpoint(server.url), "tiny")
    list(lm.generate(asked("openai"), 4))
    assert "Authorization" not in server.requests[0][2]


@pytest.mark.parametrize(
    ("way", "fields"),
    [("openai", {"logprobs": True, "top_logprobs": 20}), ("openai-text", {"logprobs": 20})],
)
def test_probabilities_are_asked_for_one_token(server: Server, way: Way, fields: Json) -> None:
    connect(server, way).logprobs([ranked(way)], LABELS)
    words = ("messages", "prompt", "model")
    assert {name: value for name, value in server.bodies[0].items() if name not in words} == {
        "max_tokens": 1,
        "temperature": 0,
        **fields,
    }


def test_a_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    lm = RemoteLanguageModel(Endpoint("http://models.invalid/v1"), "tiny")
    assert "Warsaw" in "".join(lm.generate(asked("openai", CURIE), 32))
    assert server.requests[0][0] == "http://models.invalid/v1/chat/completions"


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────


@WAYS
def test_an_answer_comes_piece_by_piece_with_the_server_s_usage(server: Server, way: Way) -> None:
    generator = ModelGenerator(connect(server, way), remote.FORMS[way])
    reading = generator.read(QUESTION, [CURIE])
    pieces = list(reading.pieces())
    assert "".join(pieces) == "Marie Curie was born in Warsaw."
    assert len(pieces) == 6
    assert reading.usage("".join(pieces)) == Usage(77, 6)


def test_without_the_server_s_usage_it_is_estimated(server: Server) -> None:
    server.acts = [stream("In Warsaw.")]
    generator = ModelGenerator(connect(server), prompts.CHAT)
    reading = generator.read(QUESTION, [CURIE])
    usage = reading.usage("".join(reading.pieces()))
    assert usage.completion_tokens == 4
    assert usage.prompt_tokens > 100


def test_a_piece_is_there_before_the_next_is_written(server: Server) -> None:
    go_on = threading.Event()

    def act(handler: Handler, body: Json) -> None:
        handler.begin()
        handler.event(chunk(body, "In "))
        assert go_on.wait(120)
        handler.event(chunk(body, "Warsaw.", "stop"))
        handler.end()

    server.acts = [act]
    answer = connect(server).generate(asked("openai"), 32)
    assert next(answer) == "In "
    go_on.set()
    assert list(answer) == ["Warsaw."]


def test_closing_the_answer_closes_the_connection(server: Server) -> None:
    def act(handler: Handler, body: Json) -> None:
        handler.begin()
        for _ in range(100_000):
            handler.event(chunk(body, "word "))

    server.acts = [act]
    answer = ModelGenerator(connect(server), prompts.CHAT).read(QUESTION, [CURIE]).pieces()
    assert next(answer) == "word"
    answer.close()  # type: ignore[attr-defined]
    assert server.broken.wait(120)


def test_an_answer_ends_before_a_stop_string_in_whatever_pieces(server: Server) -> None:
    server.acts = [stream("In Warsaw", ".\n", "\nUs", "er: more", " and more")]
    lm = connect(server, "openai-text")
    assert "".join(lm.generate(asked("openai-text"), 32, prompts.PAPER.stop)) == "In Warsaw."


def test_nothing_is_asked_for_no_tokens(server: Server) -> None:
    assert list(connect(server).generate(asked("openai"), 0)) == []
    assert server.requests == []


@WAYS
def test_a_server_that_does_not_stream_is_read_whole(server: Server, way: Way) -> None:
    def act(handler: Handler, body: Json) -> None:
        said = {"text": "In Warsaw."} if way == "openai-text" else {"message": {"content": "In Warsaw."}}
        usage = {"prompt_tokens": 9, "completion_tokens": 3}
        handler.json({"choices": [{**said, "finish_reason": "stop"}], "usage": usage})

    server.acts = [act]
    lm, prompt = connect(server, way), asked(way)
    writing = lm.generate(prompt, 32)
    assert list(writing) == ["In Warsaw."]
    assert writing.usage == Usage(9, 3)


def test_an_end_without_a_mark_is_an_end_if_the_answer_says_so(server: Server) -> None:
    def act(handler: Handler, body: Json) -> None:
        handler.raw(f"data: {json.dumps(chunk(body, 'Yes.', 'stop'))}\n\n".encode(), kind="text/event-stream")

    server.acts = [act]
    assert list(connect(server).generate(asked("openai"), 32)) == ["Yes."]


def test_a_model_that_thinks_its_tokens_away_is_named(server: Server) -> None:
    server.acts = [stream(reason="length")]
    with pytest.raises(FailureError, match="found no word of an answer from tiny in 32 tokens"):
        list(connect(server).generate(asked("openai"), 32))


def test_an_empty_answer_that_ends_by_itself_is_an_answer(server: Server) -> None:
    server.acts = [stream(reason="stop")]
    assert list(connect(server).generate(asked("openai"), 32)) == []


def test_what_a_server_does_not_know_is_said_otherwise_and_remembered(server: Server) -> None:
    server.acts = [
        says(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        says(422, "extra fields not permitted: stream_options"),
    ]
    lm = connect(server)
    for _ in range(2):
        assert "Warsaw" in "".join(_renamed(server, lm))
    first, second, *rest = server.bodies
    assert "max_tokens" in first
    assert second["max_completion_tokens"] == 32
    assert len(rest) == 2
    assert all("stream_options" not in body and "max_tokens" not in body for body in rest)


def _renamed(server: Server, lm: RemoteLanguageModel) -> Iterator[str]:
    # The fake model knows its limit by the old name.
    server.always = lambda handler, body: model(handler, {"max_tokens": 32, **body})
    return lm.generate(asked("openai", CURIE), 32)


# ── the context ──────────────────────────────────────────────────────────────────────────────────────


def test_the_server_is_asked_once_for_its_context(server: Server) -> None:
    server.models = {"data": [{"id": "tiny", "max_model_len": 700}]}
    lm = remote.open_remote(f"openai:tiny@{server.url}")
    assert [lm.context_length for _ in range(3)] == [700] * 3
    assert [path for path, _, _ in server.requests] == ["/v1/models"]


def test_without_a_list_of_models_the_context_is_a_small_one(server: Server) -> None:
    assert remote.open_remote(f"openai:tiny@{server.url}").context_length == remote.CONTEXT_LENGTH


def test_the_context_may_be_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKRAG_CONTEXT_LENGTH", "300")
    lm = remote.open_remote(f"openai:tiny@{server.url}")
    assert lm.context_length == 300
    generator = ModelGenerator(lm, lm.form)
    long = Passage("long", "Marie Curie was born in Warsaw. " * 100)
    reading = generator.read(QUESTION, [long])
    assert reading.cuts
    list(reading.pieces())
    sent = "".join(turn["content"] for turn in server.bodies[0]["messages"])
    assert len(sent) <= 300 * remote.BYTES_PER_TOKEN
    assert [path for path, _, _ in server.requests] == ["/v1/chat/completions"]


def test_tokens_are_estimated_on_the_high_side() -> None:
    lm = RemoteLanguageModel(Endpoint("http://host/v1"), "tiny")
    assert [lm.n_tokens(text) for text in ("", "a", "four", "Zürich")] == [0, 1, 2, 3]
