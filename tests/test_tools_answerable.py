"""`tools/answerable.py`: questions of which a retrieved passage holds an answer."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli_call import run_tool

TOOL = Path(__file__).parents[1] / "tools" / "answerable.py"

CORPUS = {"p1": "Oslo lies on a fjord.", "p2": "Bergen has much rain.", "p3": "Nobody lives here."}
QUESTIONS = {
    "a": ("What lies on a fjord?", ["Oslo"]),
    "b": ("Where does it rain?", ["Bergen"]),
    "c": ("Who lives here?", ["The king"]),
    "d": ("And what is nowhere answered?", []),
}


def lines(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


def ask(tool: Path, place: Path, names: str, *options: object) -> tuple[Path, str]:
    """Run a tool on the questions, with a run of those named; return what it wrote and what it printed."""
    corpus = lines(place / "corpus.jsonl", [{"_id": name, "text": text} for name, text in CORPUS.items()])
    asked = [
        {"id": name, "question": text, "answers": answers} for name, (text, answers) in QUESTIONS.items()
    ]
    questions, out = lines(place / "questions.jsonl", asked), place / "out.jsonl"
    run = place / "a.run"
    hits = [f"{name} Q0 {hit} {rank} {-rank} x" for name in names for rank, hit in enumerate(CORPUS)]
    run.write_text("\n".join(hits) + "\n", encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_tool(tool, questions, "--run", run, "--corpus", corpus, "-n", 9, "--out", out, *options)
    return out, printed.getvalue()


def draw(place: Path, *options: object) -> list[str]:
    out, _ = ask(TOOL, place, "abcd", *options)
    return sorted(json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines())


def test_only_questions_whose_passages_hold_an_answer(tmp_path: Path) -> None:
    assert draw(tmp_path) == ["a", "b"]
    assert draw(tmp_path, "-k", 1) == ["a"], "the second's passage was found second"


def test_questions_of_a_blend_and_of_another_draw_are_left_out(tmp_path: Path) -> None:
    blend = lines(tmp_path / "examples.jsonl", [{"question": {"text": "what lies on a FJORD"}}])
    drawn = lines(tmp_path / "dev.jsonl", [{"question": "Where does it rain?"}])
    assert draw(tmp_path, "--without", blend) == ["b"]
    assert draw(tmp_path, "--without", blend, "--without", drawn) == []
