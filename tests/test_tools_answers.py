"""`tools/answers.py`: answers without the data's text, and the text put back."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from cli_call import call, run_tool
from eval_place import FACTS, make, predict
from rankrag.eval.answers import StoredAnswers, read_answers
from rankrag.eval.score import read_scores

TOOL = Path(__file__).parents[1] / "tools" / "answers.py"


def rankings(answers: StoredAnswers) -> list[list[tuple[str, str, str, float]]]:
    """Return what was ranked, without where it came from: packed answers name no file of a machine."""
    return [
        [(hit.passage.id, hit.passage.title, hit.passage.text, hit.score) for hit in answer.ranked]
        for answer in answers.answers.values()
    ]


@pytest.mark.slow
def test_answers_without_text_and_the_text_put_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place, out, back, file = make(tmp_path), tmp_path / "out", tmp_path / "back", tmp_path / "a.jsonl.xz"
    call(capsys, *predict(place, out, "ranked"))
    run_tool(TOOL, "pack", out, file)
    text = lzma.decompress(file.read_bytes()).decode()
    assert "What is the" not in text
    assert "The weather of" not in text, "a passage that was found, and that no answer repeats"
    assert str(tmp_path) not in text
    given = ("--data-root", place, "--index", place / "index")
    run_tool(TOOL, "unpack", file, back, *given)
    before, after = (read_answers(folder / "ranked" / "capitals") for folder in (out, back))
    assert rankings(before) == rankings(after)
    for folder in (out, back):
        call(capsys, "eval", "score", str(folder), "--data-root", str(place))
    rows = [read_scores(folder / "ranked" / "capitals").rows for folder in (out, back)]
    assert rows[0] == rows[1]
    call(capsys, *predict(place, back, "ranked"))  # nothing is missing, nothing is asked again
    assert len(read_answers(back / "ranked" / "capitals").answers) == len(FACTS)


def test_a_corpus_that_lacks_a_passage_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place, out, file = make(tmp_path), tmp_path / "out", tmp_path / "a.jsonl.xz"
    call(capsys, *predict(place, out, "ranked"))
    run_tool(TOOL, "pack", out, file)
    (tmp_path / "less.jsonl").write_text('{"_id": "p0", "text": "Paris is the capital of France."}\n')
    call(
        capsys, "index", str(tmp_path / "less.jsonl"), "--index", str(tmp_path / "less"), "--encoder", "none"
    )
    with pytest.raises(SystemExit, match="found no passage"):
        run_tool(TOOL, "unpack", file, tmp_path / "back", "--data-root", place, "--index", tmp_path / "less")
