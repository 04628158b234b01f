"""`rankrag eval predict` with a model behind a server as the one that answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import remote_server
from cli_call import call
from eval_place import FACTS, make, predict
from rankrag.eval.answers import read_answers
from rankrag.eval.results import read_results
from rankrag.prompts import CHAT, template_hash
from remote_server import Handler, Json, Server, listed, model, read, stream, without_logprobs

server = remote_server.server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("eval"))


def answering(place: Path, out: Path, server: Server, *more: str) -> tuple[str, ...]:
    return predict(place, out, "s", "-n", "3", "--generator", f"openai:tiny@{server.url}", *more)


def test_one_question_that_a_server_refuses_costs_no_other(
    capsys: pytest.CaptureFixture[str], server: Server, place: Path, tmp_path: Path
) -> None:
    call(capsys, *answering(place, tmp_path / "all", server, "--no-rank", "--no-cite"))
    first, *others = read_answers(tmp_path / "all" / "s" / "capitals").answers.values()

    def refuses_one(handler: Handler, body: Json) -> None:
        if first.question.text in json.dumps(body):
            handler.error(400, "against our rules")
        else:
            model(handler, body)

    server.always = refuses_one
    _, err = call(capsys, *answering(place, tmp_path / "one", server, "--no-rank", "--no-cite"))
    assert "1 question could not be asked" in err
    given = read_answers(tmp_path / "one" / "s" / "capitals")
    assert "against our rules" in given.failed[first.question.id]
    assert [one.text for one in given.answers.values()] == [one.text for one in others]


def test_a_key_that_is_refused_stops_the_work(
    capsys: pytest.CaptureFixture[str], server: Server, place: Path, tmp_path: Path
) -> None:
    server.always = remote_server.says(401, "no such key")
    _, err = call(capsys, *answering(place, tmp_path, server, "--no-rank", "--no-cite"), code=6)
    assert "no such key" in err
    assert not read_answers(tmp_path / "s" / "capitals").failed


def test_a_server_without_probabilities_answers_what_a_cross_encoder_ranked(
    capsys: pytest.CaptureFixture[str],
    server: Server,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looking for sources is ranking, too: it is left out, not asked of a server that cannot do it."""
    (tmp_path / "ranker").mkdir()
    (tmp_path / "ranker" / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    monkeypatch.setattr("rankrag.model.skills.cross_encoder.CrossEncoderRanker.load", lambda _: None)
    monkeypatch.setattr(
        "rankrag.model.skills.cross_encoder.CrossEncoderRanker.rank", lambda _, __, hits: list(hits)
    )
    server.always = without_logprobs
    call(capsys, *answering(place, tmp_path, server, "--ranker", str(tmp_path / "ranker")))
    given = read_answers(tmp_path / "s" / "capitals")
    assert len(given.answers) == 3
    assert not given.facts.system.cites
    assert given.facts.system.facts["generator_template_hash"] == template_hash(CHAT)


RECORDED = {
    "What is the capital of France?": "Paris",
    "What is the capital of Italy?": "Rome",
    "What is the capital of Switzerland?": "Bern",
    "What is the capital of Norway?": "Oslo",
    "What is the capital of Greece?": "It is not in the context.",
    "What is the capital of Austria?": "Vienna",
}
"""What a generalist wrote; below, its first tokens for a passage that holds the answer, and for another."""
SURE = {True: {"True": -0.0002, "False": -8.7}, False: {"False": -0.0006, "True": -7.5}}


def recorded(handler: Handler, body: Json) -> None:
    prompt = read(body)
    asked = next(question for question in RECORDED if question.rstrip("?") in prompt.suffix)
    if body.get("stream"):
        stream(RECORDED[asked])(handler, body)
    else:
        city = next(city for city, _, country in FACTS if country in asked)
        listed(handler, body, SURE[city in prompt.prefix])


@pytest.mark.slow
def test_one_command_fills_the_generalist_s_row(
    capsys: pytest.CaptureFixture[str],
    server: Server,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Claim 6 as it is shipped; the other system is the fake model, so that no weights are needed."""
    monkeypatch.setenv("OPENAI_API_KEY", remote_server.KEY)
    server.always = recorded
    settings = (
        *(f"variants.generalist.model=openai:gpt-4o@{server.url}", f"base.index={place / 'index'}"),
        *(f"benchmarks=[{place / 'capitals.jsonl'}]", "variants.rankrag.model=fake"),
        *("base.retrieve_k=4", "base.read_k=1", "skip=0"),
    )
    sets = [part for setting in settings for part in ("--set", setting)]
    out, _ = call(capsys, "eval", "study", "claim-6", "--out", str(tmp_path / "out"), *sets)
    found = read_results(tmp_path / "out" / "report" / "results.json")
    got = {cell.system: cell.measures for cell in found.cells}
    assert got["generalist"]["EM"].value == pytest.approx(5 / 6)
    assert got["generalist"]["answer-R@1"].value == 1, "it ranked by the probabilities that were recorded"
    assert found.claim[0].startswith("The model ranks and answers better than a strong generalist.")
    assert out.startswith(found.claim[0])
    assert all(headers["Authorization"] == f"Bearer {remote_server.KEY}" for *_, headers in server.requests)
    assert remote_server.KEY not in (tmp_path / "out" / "report" / "report.html").read_text()
