"""Benchmarks from files: what official files do that a few tidy lines do not show."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from rankrag.errors import FormatError
from rankrag.eval.benchmarks import PAPER
from rankrag.eval.load import at_hand, load_benchmark

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data beside the project")


def lines(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def test_the_cases_made_of_one_claim_are_one_unit(tmp_path: Path) -> None:
    ids = ["54253", "542530000002", "542530000003", "542530000004", "2043610000002"]
    path = lines(
        tmp_path / "fever_symmetric.jsonl",
        *(
            {"id": str(n), "question": "It is.", "label": "REFUTES", "fever_id": name}
            for n, name in enumerate(ids)
        ),
    )
    units = [item.unit for item in load_benchmark("fever_symmetric", path=path).questions]
    assert units == ["54253"] * 4 + ["204361"]


def test_an_id_of_a_conversation_is_never_cut(tmp_path: Path) -> None:
    record = {"id": "a", "question": "Why?", "answers": ["x"], "conversation": "70000002"}
    assert load_benchmark(str(lines(tmp_path / "mine.jsonl", record))).questions[0].unit == "70000002"


def test_questions_with_quotes_as_csv_writes_them(tmp_path: Path) -> None:
    asked = [('Who said "Hasta la vista"?', ["Arnold 'Arnie' S", 'The "T-800"']), ("Who is it?", ["it's me"])]
    path = tmp_path / "trivia-test.qa.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream, delimiter="\t").writerows((text, repr(answers)) for text, answers in asked)
    items = load_benchmark("triviaqa", tmp_path).questions
    assert [(one.question.text, list(one.gold.answers)) for one in items] == asked


def test_a_question_that_is_asked_twice_does_not_cost_the_file(tmp_path: Path) -> None:
    twice = [{"question": "Who?", "answer": [name]} for name in ("Ann", "Bo")]
    first, second = load_benchmark("nq", path=lines(tmp_path / "NQ-open.dev.jsonl", *twice)).questions
    assert second.question.id == f"{first.question.id}-2"
    alone = load_benchmark("nq", path=lines(tmp_path / "one.jsonl", twice[1])).questions[0]
    assert alone.question.id == first.question.id, "the first keeps the id that it has in every file"


def test_musique_s_twins_share_a_unit_and_aliases_are_right_too(tmp_path: Path) -> None:
    common = {
        "id": "2hop__1_2",
        "question": "Whose?",
        "paragraphs": [],
        "answer": "Ann",
        "answer_aliases": ["A."],
    }
    path = lines(tmp_path / "full.jsonl", common | {"answerable": True}, common | {"answerable": False})
    can, cannot = load_benchmark(str(path)).questions
    assert (can.gold.answers, can.gold.answerable, can.unit) == (("Ann", "A."), True, "2hop__1_2")
    assert (cannot.gold.answers, cannot.gold.answerable, cannot.unit) == ((), False, "2hop__1_2")
    assert can.question.id != cannot.question.id


def test_kilt_without_answers_labels_or_questions(tmp_path: Path) -> None:
    empty = {"id": "1", "input": "Who?", "output": [{"answer": None}, {"answer": ""}, {"answer": "Ann"}]}
    path = lines(tmp_path / "nq-dev-kilt.jsonl", empty)
    assert load_benchmark("nq", tmp_path).questions[0].gold.answers == ("Ann",)
    lines(path, {"id": "1", "input": "It is.", "output": [{"answer": "SUPPORTED"}]})
    with pytest.raises(FormatError, match=r"kilt\.jsonl:1: found label 'SUPPORTED', wanted one of SUPPORTS"):
        load_benchmark("fever", path=path)
    lines(path, {"id": "tc_3", "input": "", "output": [{"answer": "Ann"}]})
    with pytest.raises(FormatError, match=r"kilt\.jsonl:1: found no question in 'input'"):
        load_benchmark("triviaqa", path=path)


def test_options_make_a_user_s_question_a_choice(tmp_path: Path) -> None:
    record = {"id": "a", "question": "Which?", "options": {"A": "x", "B": "y"}, "answer": "B"}
    loaded = load_benchmark(str(lines(tmp_path / "mine.jsonl", record)))
    assert (loaded.benchmark.style, loaded.benchmark.measures) == ("choice", ("Choice",))
    assert loaded.questions[0].gold.answers == ("B",)


def test_inscit_s_own_file_under_the_name_that_chatrag_bench_gives_it(tmp_path: Path) -> None:
    turn = {"context": ["Who?"], "labels": [{"response": "Ann.", "evidence": []}]}
    lines(tmp_path / "inscit" / "dev.json", {"dial1": {"turns": [turn]}})
    assert load_benchmark("inscit", tmp_path).questions[0].gold.answers == ("Ann.",)


def test_every_official_set_stands_before_a_neutral_file() -> None:
    for one in PAPER.values():
        kinds = [kind.startswith("neutral") for _, kind in one.files]
        assert kinds == sorted(kinds), one.name


COUNTS = {
    **{"nq": (1825, 1804), "triviaqa": (5684, 5684), "popqa": (520, 520), "hotpotqa": (500, 499)},
    **{"2wiki": (101, 101), "fever": (6666, 6666), "doc2dial": (1937, 319), "topiocqa": (2514, 205)},
    **{"inscit": (239, 40), "mmlu_med": (1089, 1089), "pubmedqa": (500, 500), "bioasq": (618, 607)},
    **{"medqa": (1273, 1273), "medmcqa": (4183, 4183), "musique": (200, 173)},
    **{"fever_symmetric": (1420, 355), "feverous_s": (2962, 2583)},
}
"""Questions and independent units of the data at hand; docs/benchmarks.md has the first."""


@needs_data
@pytest.mark.slow
def test_questions_and_units_at_hand() -> None:
    rows = {row.benchmark.name: row for row in at_hand(DATA)}
    assert {name: row.questions for name, row in rows.items()} == {name: n for name, (n, _) in COUNTS.items()}
    assert Counter({name: row.dropped for name, row in rows.items() if row.dropped}) == {
        "fever": 3333,
        "pubmedqa": 500,
    }
    for name in ("doc2dial", "topiocqa", "inscit", "nq", "musique", "fever_symmetric"):
        items = load_benchmark(name, DATA).questions
        assert len({item.unit for item in items}) == COUNTS[name][1], name
