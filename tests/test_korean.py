"""Questions in Korean to a Korean manual, which is fetched by the name of its Debian package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import debian
from cli_call import call

PACKAGE = "debian-faq-ko"

QUESTIONS = {
    "Debian이라는 이름은 어떻게 발음하고 무슨 뜻인가요?": "Debra",
    "데비안 프로젝트는 언제 누가 설립했나요?": "1993",
}
"""A question and what stands in the passage that answers it."""


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the index of the manual."""
    folder = tmp_path_factory.mktemp("manual")
    if not debian.unpacked(PACKAGE, folder):
        pytest.skip(f"{PACKAGE} cannot be fetched")
    return next(folder.rglob("debian-faq.ko.txt.gz"))


@pytest.mark.slow
def test_words_find_the_passage_that_answers(
    manual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = str(tmp_path / "idx")
    out, _ = call(capsys, "index", str(manual), "--index", index, "--encoder", "none")
    assert "Hangul" in out
    for question, wanted in QUESTIONS.items():
        out, _ = call(capsys, "search", question, "--index", index, "-k", "10", "--output", "json")
        assert any(wanted in hit["text"] for hit in json.loads(out)["hits"]), question


@pytest.mark.slow
@pytest.mark.model
def test_a_question_is_answered_from_the_manual(
    manual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rankrag.model.store import registry

    if registry.installed("qwen2.5-coder-0.5b") is None:
        pytest.skip("needs qwen2.5-coder-0.5b: rankrag model pull qwen2.5-coder-0.5b")
    index = str(tmp_path / "idx")
    call(capsys, "index", str(manual), "--index", index, "--encoder", "none")
    question, wanted = next(iter(QUESTIONS.items()))
    arguments = ["--index", index, "--model", "rankrag-0.5b", "--retrieve-k", "8", "--output", "json"]
    out, _ = call(capsys, "ask", question, *arguments)
    answer = json.loads(out)
    assert wanted in answer["ranked"][0]["text"]
    assert answer["text"].strip()
