"""`tools/labelled.py`: retrieved passages, labelled by the answers that they hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rankrag.cli.calibrate import read_judged
from test_tools_answerable import CORPUS, QUESTIONS, lines

TOOL = Path(__file__).parents[1] / "tools" / "labelled.py"


def label(place: Path, *options: object) -> dict[str, dict[str, bool]]:
    """Return the labels of passages by question, as `rankrag calibrate` reads them."""
    corpus = lines(place / "corpus.jsonl", [{"_id": name, "text": text} for name, text in CORPUS.items()])
    asked = [
        {"id": name, "question": text, "answers": answers} for name, (text, answers) in QUESTIONS.items()
    ]
    questions, out = lines(place / "questions.jsonl", asked), place / "out.jsonl"
    run = place / "a.run"
    hits = [f"{name} Q0 {hit} {rank} {-rank} x" for name in "abd" for rank, hit in enumerate(CORPUS)]
    run.write_text("\n".join(hits) + "\n", encoding="utf-8")
    command = [sys.executable, TOOL, questions, "--run", run, "--corpus", corpus, "-n", 9, "--out", out]
    done = subprocess.run([*map(str, command), *map(str, options)], check=True, capture_output=True)
    found = {
        one.question.id: {passage.id: relevant for passage, relevant in one.passages}
        for one in read_judged(str(out))
    }
    assert json.loads(done.stdout)["relevant"] == sum(sum(of.values()) for of in found.values())
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
