"""Which pieces a system is made of: one model or two, a cross-encoder, a least relevance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import model_tiny
import rankrag
import remote_server
from cli_call import call
from rankrag.cli.app import run
from rankrag.errors import InvalidInputError
from rankrag.model import Budget, BudgetedRanker, FakeLanguageModel, ModelCiter, ModelRanker
from rankrag.model.remote.client import RemoteLanguageModel
from rankrag.model.skills.calibrated import Calibration
from rankrag.model.skills.cross_encoder import CrossEncoderRanker
from rankrag.model.store.checkpoint import Checkpoint, write_checkpoint
from rankrag.prompts import UNANSWERABLE
from rankrag.system import Engine, Loading, SystemSpec, open_system
from rankrag.system.open import CITED_FROM, CITED_FROM_UNTRAINED, open_models, ranker_of
from remote_server import QUESTION, Server, without_logprobs
from test_model_cross_encoder import write as write_cross_encoder

server = remote_server.server


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("system")
    (folder / "page.txt").write_text("Marie Curie was born in Warsaw. She moved to Paris in 1891.")
    (folder / "snow.txt").write_text("Snow is white in winter.")
    pages = [str(folder / name) for name in ("page.txt", "snow.txt")]
    assert run(["index", *pages, "-i", str(folder / "index"), "--encoder", "none"]) == 0
    return folder / "index"


def test_what_is_said_once_holds_for_both_skills() -> None:
    assert (SystemSpec(model="a").ranks_with, SystemSpec(model="a").answers_with) == ("a", "a")
    apart = SystemSpec(model="a", ranker="b", generator="c")
    assert (apart.ranks_with, apart.answers_with, apart.names()) == ("b", "c", "b and c")
    assert replace(apart, ranking=False).names() == "c"


def test_a_checkpoint_says_training_and_threshold() -> None:
    def trained(engine: Engine) -> Engine:
        return replace(engine, trained=True, threshold=0.3)

    rag = open_system(SystemSpec(model="fake", retrieve_k=4, read_k=2), shared=trained)
    assert rag.trained
    assert rag.pipeline.min_relevance == 0.3
    assert isinstance(rag.pipeline.citer, ModelCiter)
    assert rag.pipeline.citer.threshold == CITED_FROM
    untrained = open_system(SystemSpec(model="fake", retrieve_k=4, read_k=2))
    assert not untrained.trained
    assert isinstance(untrained.pipeline.citer, ModelCiter)
    assert untrained.pipeline.citer.threshold == CITED_FROM_UNTRAINED
    least = open_system(SystemSpec(model="fake", min_relevance=0.7), shared=trained)
    assert least.pipeline.min_relevance == 0.7
    unranked = open_system(SystemSpec(model="fake", ranking=False), shared=trained)
    assert unranked.pipeline.min_relevance is None


def test_a_calibration_holds_for_its_own_share_of_query_likelihood(tmp_path: Path) -> None:
    folder = model_tiny.write(tmp_path, model_tiny.config("llama"))
    write_checkpoint(Checkpoint(folder, "paper", trained=True, threshold=0.4, query_likelihood=0.2))
    own = open_models(SystemSpec(model=str(folder))).judging
    assert own is not None
    assert ranker_of(own).query_likelihood == 0.2
    assert own.ranking_by(None) is own.ranking_by(0.2) is own
    calibrated = replace(own, calibration=Calibration("temperature", ((0.5, -1.0),)))
    paper = calibrated.ranking_by(0.0)
    assert (paper.calibration, paper.threshold, ranker_of(paper).query_likelihood) == (None, None, 0.0)
    told = open_models(SystemSpec(model=str(folder), query_likelihood=0.0)).judging
    assert told is not None
    assert ranker_of(told).query_likelihood == 0.0


def test_a_model_behind_a_server_answers_from_what_is_ranked_here(server: Server, index: Path) -> None:
    """A server without probabilities is enough: it is asked once, for the answer."""
    server.always = without_logprobs
    rag = rankrag.load(index, model="fake", generator=f"openai:tiny@{server.url}")
    assert isinstance(rag.pipeline.ranker, ModelRanker)
    assert isinstance(rag.pipeline.ranker.lm, FakeLanguageModel)
    assert isinstance(rag.answering.lm, RemoteLanguageModel)
    answer = rag.ask(QUESTION)
    assert "Warsaw" in answer.text
    assert answer.ranked[0].passage.text.startswith("Marie Curie")
    assert answer.citations
    asked = [body for body in server.bodies if body]  # what is looked up about the server has no body
    assert len(asked) == 1
    assert "logprobs" not in asked[0]


def test_the_command_line_ranks_here_and_answers_there(
    server: Server, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.always = without_logprobs
    generator = f"openai:tiny@{server.url}"
    out, err = call(
        capsys,
        "ask",
        QUESTION.text,
        "-i",
        str(index),
        "-m",
        "fake",
        "--generator",
        generator,
        "--output",
        "json",
    )
    assert "Warsaw" in json.loads(out)["text"]
    assert "fake has no weights" in err


def test_a_folder_with_a_score_in_place_of_words_is_a_cross_encoder(tmp_path: Path, index: Path) -> None:
    folder = write_cross_encoder(tmp_path / "specialist", 1)
    with pytest.raises(InvalidInputError, match="wanted it for a language model here that ranks"):
        SystemSpec(model="fake", ranker=str(folder), query_likelihood=0.2).check()
    rag = rankrag.load(index, model="fake", ranker=str(folder), budget=Budget(rank_k=1), read_k=1)
    assert isinstance(rag.pipeline.ranker, BudgetedRanker)
    assert isinstance(rag.pipeline.ranker.ranker, CrossEncoderRanker)
    assert (rag.judging, rag.trained) == (None, True)
    answer = rag.ask("Where was Marie Curie born?")
    assert [hit.scored for hit in answer.ranked].count(True) == 1
    assert 0 <= answer.ranked[0].score <= 1


def test_nothing_relevant_enough_is_an_abstention(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = rankrag.load(index, model="fake", min_relevance=0.99).ask("How do I reset a router of Curie?")
    assert answer.abstained
    assert answer.text == UNANSWERABLE
    asked = ("ask", QUESTION.text, "-i", str(index), "-m", "fake", "--output", "json")
    assert json.loads(call(capsys, *asked, "--min-relevance", "0")[0])["abstained"] is False
    assert json.loads(call(capsys, *asked, "--min-relevance", "1")[0])["abstained"] is True


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SystemSpec(model="fake", min_relevance=1.5), "wanted a probability, 0 to 1"),
        (SystemSpec(model="fake", reading="mixture"), "found the reading mixture for fake"),
        (
            SystemSpec(model="fake", query_likelihood=-0.2),
            "found query_likelihood = -0.2, wanted a number from",
        ),
        (SystemSpec(model="fake", query_likelihood=0.2), "found a query likelihood of 0.2, wanted it for"),
        (SystemSpec(model="fake", min_relevance=0.5, ranking=False), "without ranking"),
        (SystemSpec(model="fake", ranker="fake", ranking=False), "leave out --no-rank"),
        (SystemSpec(model="fake", ranker="no such thing"), "found model 'no such thing'"),
        (SystemSpec(model="fake", generator="no such thing"), "found model 'no such thing'"),
        (SystemSpec(model="fake", retrieve_k=2, read_k=3), "read_k <= retrieve_k"),
        (SystemSpec(model="fake", loading=Loading("int8")), "wanted it for a model on this machine"),
    ],
)
def test_what_makes_no_system_is_refused(spec: SystemSpec, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        spec.check()


def test_a_precision_is_for_the_model_of_this_machine(tmp_path: Path) -> None:
    folder = model_tiny.write(tmp_path, model_tiny.config("llama"))
    spec = SystemSpec(
        model=str(folder), generator="openai:tiny@http://127.0.0.1:9/v1", loading=Loading("int8")
    )
    spec.check()
    with pytest.raises(InvalidInputError, match="wanted it for a model on this machine"):
        replace(spec, ranking=False).check()
