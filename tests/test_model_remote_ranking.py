"""A server that ranks, as far as it tells probabilities."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import remote_server
from rankrag import Passage, Question, prompts
from rankrag.errors import FailureError
from rankrag.model import FakeLanguageModel, ModelRanker
from rankrag.model.remote import client as remote
from rankrag.model.remote.client import RemoteLanguageModel, Way
from rankrag.model.remote.http import Endpoint
from rankrag.model.remote.shapes import context_length, first_token, piece, spelled
from rankrag.types import Hit
from remote_server import (
    CURIE,
    LABELS,
    QUESTION,
    SNOW,
    WAYS,
    Act,
    Handler,
    Json,
    Server,
    asked,
    connect,
    lists,
    model,
    ranked,
    says,
    without_logprobs,
)

server = remote_server.server


@pytest.mark.slow
@WAYS
def test_a_server_ranks_as_its_model_does(server: Server, way: Way) -> None:
    form = remote.FORMS[way]
    hits = [Hit(Passage(f"p{n}", f"Marie {'Curie ' * (n % 3)}born {n}."), 0.0) for n in range(20)]
    hits += [Hit(CURIE, 0.0), Hit(SNOW, 0.0)]
    here = ModelRanker(FakeLanguageModel(), form).rank(QUESTION, hits)
    there = ModelRanker(connect(server, way), form).rank(QUESTION, hits)
    assert [hit.passage.id for hit in there] == [hit.passage.id for hit in here]
    assert [hit.score for hit in there] == pytest.approx([hit.score for hit in here])
    assert len(server.requests) == len(hits)


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        ({"True": -0.1, "False": -3.0}, [-0.1, -3.0]),
        ({"True": -1.0, " True": -2.0, "▁False": -3.0}, [float(np.logaddexp(-1, -2)), -3.0]),
        ({"ĠFalse": -0.5, "true": -1.5, "True": -9999.0}, [-9999.0, -0.5]),
        # Not listed: no more than the least that is, and no more than what is left.
        ({"True": -0.1, "Yes": -4.0}, [-0.1, -4.0]),
        ({"True": -0.1, "Yes": -2.4}, [-0.1, math.log(1 - math.exp(-0.1) - math.exp(-2.4))]),
        ({"False": -1e-9}, [math.log(1e-6), -1e-9]),
    ],
)
@WAYS
def test_the_labels_are_read_off_the_first_token(
    server: Server, way: Way, tokens: Mapping[str, float], wanted: Sequence[float]
) -> None:
    server.acts = [lists(tokens)]
    found = connect(server, way).logprobs([ranked(way)], remote.FORMS[way].labels())
    assert found.shape == (1, 2)
    assert found[0].tolist() == pytest.approx(wanted)


def test_a_model_that_says_neither_label_is_named(server: Server) -> None:
    server.acts = [lists({"<think>": -0.01, "Sure": -5.0})]
    with pytest.raises(FailureError, match=r"neither True nor False among the 2 .* of tiny .*'<think>'"):
        connect(server).logprobs([ranked("openai")], LABELS)


@pytest.mark.parametrize(
    "act", [without_logprobs, says(400, "logprobs is not supported by this model")], ids=["silent", "refused"]
)
@WAYS
def test_a_server_without_probabilities_cannot_rank_and_is_not_asked_twice(
    server: Server, act: Act, way: Way
) -> None:
    server.always = act
    lm = connect(server, way)
    for _ in range(2):
        with pytest.raises(FailureError, match=r"found no token probabilities from 127.0.0.1.*--no-rank"):
            lm.logprobs([ranked(way)] * 5, LABELS)
        tried = len(server.requests)
        assert tried <= 2
    assert len(server.requests) == tried


@WAYS
def test_a_server_that_lists_fewer_is_asked_for_fewer(server: Server, way: Way) -> None:
    def few(handler: Handler, body: Json) -> None:
        if 20 in (body.get("top_logprobs"), body["logprobs"]):
            handler.error(400, "Requested sample logprobs of 20, which is greater than max allowed: 5")
        else:
            model(handler, body)

    server.always = few
    lm = connect(server, way)
    for _ in range(2):
        assert lm.logprobs([ranked(way)], LABELS)[0, 0] > math.log(0.5)
    assert len(server.requests) == 3


def test_another_refusal_while_ranking_is_told_as_it_is(server: Server) -> None:
    server.always = says(400, "maximum context length is 512 tokens")
    with pytest.raises(FailureError, match="maximum context length"):
        connect(server).logprobs([ranked("openai")], LABELS)


def test_no_prompts_have_no_probabilities(server: Server) -> None:
    assert connect(server).logprobs([], LABELS).shape == (0, 2)
    assert server.requests == []


@pytest.mark.slow
def test_many_threads_may_rank_and_answer_at_once(server: Server) -> None:
    under_way: set[int] = set()
    most: list[int] = [0]

    def slowly(handler: Handler, body: Json) -> None:
        under_way.add(threading.get_ident())
        most.append(len(under_way))
        time.sleep(0.005)
        # Before the answer: a client that has it may ask again while this thread is still closing up.
        under_way.discard(threading.get_ident())
        model(handler, body)

    server.always = slowly
    lm = RemoteLanguageModel(Endpoint(server.url, pause_s=0.001), "tiny", context_length=4096, workers=3)
    local = ModelRanker(FakeLanguageModel(), prompts.CHAT)

    def work(number: int) -> None:
        hits = [Hit((CURIE, SNOW)[number % 2], 0.0)] * 4
        there, here = (ranker.rank(QUESTION, hits) for ranker in (ModelRanker(lm, prompts.CHAT), local))
        assert [hit.score for hit in there] == pytest.approx([hit.score for hit in here])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert 1 < max(most) <= 3
    asks = [asked("openai", CURIE, question=Question("q", f"Where was Curie {n}?")) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda prompt: "".join(lm.generate(prompt, 32)), asks))
    assert answers == ["Marie Curie was born in Warsaw."] * 8


def test_one_failure_among_many_is_the_failure_of_all(server: Server) -> None:
    server.acts = [model, model, says(404, "gone")]
    with pytest.raises(FailureError, match="gone"):
        connect(server).logprobs([ranked("openai")] * 200, LABELS)
    assert len(server.requests) < 200


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"content": []}}]},
        {"choices": [{"logprobs": {"tokens": [], "token_logprobs": [], "top_logprobs": []}}]},
        {"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": [None]}}]},
        {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": math.nan, "top_logprobs": None}]}}]},
    ],
    ids=str,
)
def test_an_answer_without_probabilities_lists_none(answer: Json) -> None:
    assert first_token(answer) == {}


def test_the_token_that_was_written_counts_as_listed() -> None:
    chat = {"content": [{"token": "True", "logprob": -0.1, "top_logprobs": []}]}
    text = {"tokens": ["True"], "token_logprobs": [-0.1], "top_logprobs": [{}]}
    for found in (chat, text):
        assert first_token({"choices": [{"logprobs": found}]}) == {"True": -0.1}


@given(
    st.dictionaries(st.sampled_from(["True", " True", "False", "Yes", "no"]), st.floats(-50, 0), min_size=1)
)
def test_what_is_not_listed_has_at_most_what_is_left(tokens: dict[str, float]) -> None:
    scores = spelled(tokens, LABELS)
    if scores is None:
        assert not {token.strip() for token in tokens} & set(LABELS)
        return
    for label, score in zip(LABELS, scores, strict=True):
        if label not in {token.strip() for token in tokens}:
            assert score <= min(tokens.values())
            assert math.exp(score) <= max(1e-6, 1 - sum(map(math.exp, tokens.values()))) + 1e-9


def test_events_without_text_have_none() -> None:
    assert piece({"choices": [], "usage": {}}) == ("", "")
    assert piece({"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": None}]}) == ("", "")
    assert piece({"choices": [{"delta": {"content": None}, "finish_reason": "stop"}]}) == ("", "stop")


@pytest.mark.parametrize(
    ("cards", "length"),
    [
        ([{"id": "tiny", "max_model_len": 2048}], 2048),
        (
            [{"id": "base", "max_model_len": 512}, {"id": "tiny", "max_model_len": None, "parent": "base"}],
            512,
        ),
        ([{"id": "tiny", "context_window": 131072}], 131072),
        ([{"id": "tiny", "meta": {"n_ctx": 8192, "n_ctx_train": 32768}}], 8192),
        ([{"id": "tiny", "max_model_len": "2048"}], None),
        ([{"id": "other", "max_model_len": 512}], None),
        (None, None),
    ],
)
def test_the_context_length_stands_in_the_list_of_models(
    cards: list[Json] | None, length: int | None
) -> None:
    assert context_length({"object": "list", "data": cards}, "tiny") == length
