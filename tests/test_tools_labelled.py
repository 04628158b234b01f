"""`tools/labelled.py`: retrieved passages, labelled by the answers that they hold."""

from __future__ import annotations

import json
from pathlib import Path

from rankrag.cli.calibrate import read_judged
from test_tools_answerable import ask, lines

TOOL = Path(__file__).parents[1] / "tools" / "labelled.py"


def label(place: Path, *options: object) -> dict[str, dict[str, bool]]:
    """Return the labels of passages by question, as `rankrag calibrate` reads them."""
    out, printed = ask(TOOL, place, "abd", *options)
    found = {
        one.question.id: {passage.id: relevant for passage, relevant in one.passages}
        for one in read_judged(str(out))
    }
    assert json.loads(printed)["relevant"] == sum(sum(of.values()) for of in found.values())
    return found


def test_a_passage_with_an_answer_is_relevant_and_what_was_not_found_is_left_out(tmp_path: Path) -> None:
    assert label(tmp_path) == {
        "a": {"p1": True, "p2": False, "p3": False},
        "b": {"p1": False, "p2": True, "p3": False},
    }


def test_a_question_without_relevant_passages_stays(tmp_path: Path) -> None:
    assert label(tmp_path, "-k", 1)["b"] == {"p1": False}


def test_questions_of_another_file_are_left_out(tmp_path: Path) -> None:
    drawn = lines(tmp_path / "dev.jsonl", [{"question": "Where does it rain?"}])
    assert set(label(tmp_path, "--without", drawn)) == {"a"}
