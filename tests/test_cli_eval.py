"""`rankrag eval`: from questions to a report, with a model without weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli_call import call
from eval_place import make, predict
from rankrag.cli import console
from rankrag.eval.answers import read_answers
from rankrag.eval.folders import score_folder
from rankrag.eval.results import read_results
from rankrag.eval.score import read_scores
from rankrag.formats import read_run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("eval"))


def test_from_questions_to_a_report(capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path) -> None:
    run = ("--run", str(place / "x.run"))
    call(capsys, *predict(place, tmp_path, "plain", "--no-rank", *run))
    call(capsys, *predict(place, tmp_path, "ranked", *run))
    out, _ = call(capsys, "eval", "score", str(tmp_path), "--output", "json")
    cells = {cell["system"]: cell["measures"] for cell in json.loads(out)["cells"]}
    # The run has the wrong passage first; word overlap puts the right one there.
    assert cells["plain"]["answer-R@1"]["value"] == 0.0
    assert cells["ranked"]["answer-R@1"]["value"] == 1.0
    assert cells["ranked"]["retrieved answer-R@1"]["value"] == 0.0
    assert cells["plain"]["Acc"]["value"] == 0.0
    assert cells["ranked"]["Acc"]["value"] == 1.0
    assert cells["plain"]["Acc"]["high"] > 0.0, "six failures do not prove that it never succeeds"
    out, _ = call(capsys, "eval", "score", str(tmp_path), "--data-root", str(place))
    assert "answer-R@1" in out
    report = tmp_path / "report"
    out, _ = call(capsys, "eval", "report", str(tmp_path), "--to", str(report), "--compare", "plain:ranked")
    assert "report.html" in out
    results = read_results(report / "results.json")
    found = {(one.benchmark, one.measure): one for one in results.comparisons}
    assert found["capitals", "answer-R@5"].difference.value == 0.0
    headline = found["capitals", results.benchmarks[0].measures[0]]
    assert (headline.a, headline.b) == ("plain", "ranked")
    assert len(results.questions) == 6
    assert {*results.questions[0].given} == {"plain", "ranked"}


def test_a_question_without_an_answer_is_not_left_out_unsaid(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"question": "Who?", "answers": ["Ann"]}\n{"id": "b", "question": "Where?"}\n')
    command = [
        str(own) if part.endswith("capitals.jsonl") else part for part in predict(place, tmp_path, "s")
    ]
    out, err = call(capsys, *command)
    assert out == f"answers in {tmp_path / 's'}: score them with `rankrag eval score {tmp_path}`\n"
    assert f"{own}: 1 question left out (1 with no gold answer): give each its answers" in err


@pytest.mark.slow
def test_questions_that_were_looked_at_can_be_left_out(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "s"))
    folder = tmp_path / "s" / "capitals"
    data = ("--data-root", str(place))
    call(capsys, "eval", "score", str(tmp_path), *data)
    every = read_scores(folder)
    call(capsys, "eval", "score", str(tmp_path), *data, "--skip", "2")
    left = read_scores(folder)
    assert left.rows == every.rows[2:]
    assert left.made_of == {**every.made_of, "questions": "3 to 6 of the order of seed 0"}
    _, err = call(capsys, "eval", "score", str(tmp_path), *data, "--skip", "6", code=5)
    assert "found no question after the first 6, wanted a smaller --skip" in err


def test_a_larger_sample_asks_only_what_is_missing(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "s", "-n", "2"))
    folder = tmp_path / "s" / "capitals"
    two = (folder / "answers.jsonl").read_text()
    assert len(two.splitlines()) == 2
    call(capsys, *predict(place, tmp_path, "s", "-n", "5"))
    five = (folder / "answers.jsonl").read_text()
    assert five.startswith(two)
    assert len(five.splitlines()) == 5
    _, err = call(capsys, *predict(place, tmp_path, "s", "--retrieve-k", "3"), code=5)
    assert "answers of another system" in err


def test_questions_that_were_looked_at_can_be_skipped(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "seen", "-n", "2"))
    call(capsys, *predict(place, tmp_path, "rest", "-n", "3", "--skip", "2"))
    seen, rest = (read_answers(tmp_path / name / "capitals") for name in ("seen", "rest"))
    assert len(rest.answers) == 3
    assert not seen.answers.keys() & rest.answers.keys()
    scores = score_folder(tmp_path / "rest" / "capitals", None)
    assert [row.id for row in scores.rows] == list(rest.answers)
    assert scores.made_of["questions"] == "3 to 5 of the order of seed 0"
    _, err = call(capsys, *predict(place, tmp_path, "rest", "-n", "3"), code=5)
    assert "found skip 2, wanted 0" in err
    _, err = call(capsys, *predict(place, tmp_path, "none", "--skip", "6"), code=5)
    assert "found 6 questions in capitals, wanted some after --skip 6" in err


def test_a_ranking_that_was_on_file_has_no_seconds(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "first", "-n", "2"))
    call(capsys, *predict(place, tmp_path, "second", "-n", "3"))
    first = read_answers(tmp_path / "first" / "capitals").answers
    second = read_answers(tmp_path / "second" / "capitals").answers
    assert all("rank" in answer.timings_s for answer in first.values())
    assert sorted("rank" in answer.timings_s for answer in second.values()) == [False, False, True]
    name = next(iter(first))
    assert second[name].ranked == first[name].ranked


@pytest.mark.slow
def test_a_budget_is_a_fact_of_the_system(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "s", "-n", "2", "--rank-k", "3"))
    given = read_answers(tmp_path / "s" / "capitals")
    assert given.facts.system.facts["budget"] == "3 passages, batches of 8"
    assert [answer.n_scored for answer in given.answers.values()] == [3, 3]
    assert '"scored": false' in (tmp_path / "s" / "capitals" / "answers.jsonl").read_text()
    for other in ((), ("--rank-k", "4"), ("--rank-k", "3", "--rank-patience", "1")):
        _, err = call(capsys, *predict(place, tmp_path, "s", "-n", "3", *other), code=5)
        assert "answers of another system" in err
    call(capsys, *predict(place, tmp_path, "s", "-n", "3", "--rank-k", "3"))
    call(capsys, "eval", "score", str(tmp_path))
    assert {row.ranked for row in read_scores(tmp_path / "s" / "capitals").rows} == {3}
    call(capsys, "eval", "score", str(tmp_path), "--data-root", str(place))


@pytest.mark.slow
def test_full_rankings_are_replayed_within_budgets(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "full", "--no-generate"))
    folder = tmp_path / "full" / "capitals"
    script = Path(__file__).parents[1] / "benchmarks" / "quality" / "anytime.py"
    command = [
        sys.executable,
        str(script),
        str(folder),
        *("--data-root", str(place), "--rank-k", "1", "--patience", "1", "--output", "json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = {line["budget"]: line for line in json.loads(done.stdout)}
    assert [*lines] == ["retrieved", "rank_k 1", "patience 1", "full"]
    assert lines["rank_k 1"]["means"]["read"] == pytest.approx(1 / 5)
    assert lines["full"]["means"] == {"read": 1, "best kept": 1, "answer-R@1": 1, "R@1": 1}
    assert lines["full"]["lost"]["R@1"]["value"] == 0
    lost = lines["retrieved"]["lost"]["answer-R@1"]
    assert lost["low"] <= lost["value"] <= lost["high"]


def test_what_is_on_file_does_not_fill_a_time_budget(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "first", "-n", "2"))
    call(capsys, *predict(place, tmp_path, "second", "-n", "2", "--time-budget", "600"))
    second = read_answers(tmp_path / "second" / "capitals")
    assert all("rank" in answer.timings_s for answer in second.answers.values())
    assert second.facts.system.facts["budget"] == "600 s (differs from run to run), batches of 8"


def test_an_index_without_gold_is_told(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    questions = (place / "capitals.jsonl").read_text()
    (tmp_path / "others.jsonl").write_text(questions.replace('"id": "p', '"id": "other'))
    arguments = list(predict(place, tmp_path / "out", "a", "--no-rank", "--no-generate"))
    _, said = call(capsys, *arguments)
    assert "gold" not in said
    arguments[2] = str(tmp_path / "others.jsonl")
    _, said = call(capsys, *arguments)
    assert "others: none of its 6 gold passages is in" in said
    measured = {}
    for name in ("capitals", "others"):
        folder = tmp_path / "out" / "a" / name
        call(capsys, "eval", "score", str(folder))
        measured[name] = set(read_scores(folder).rows[0].values)
    # By gold every one would be zero, and look as if the retriever were to blame.
    assert {"R@1", "RR@10", "nDCG@10", "retrieved R@1"} <= measured["capitals"]
    assert measured["others"] == {key for key in measured["capitals"] if "answer-R" in key}


def test_texts_in_files_tell_how_much_gold_they_hold(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    lines = (place / "corpus.jsonl").read_text().splitlines()
    found = []
    for n in (len(lines), 2):
        (tmp_path / "texts.jsonl").write_text("\n".join(lines[-n:] if n > 2 else lines[:2] + lines[6:]))
        (tmp_path / "x.run").write_text(
            "".join(f"q{q} Q0 {name} 1 1 x\n" for q in (0, 1) for name in ("p1",))
        )
        arguments = [
            *(
                "eval",
                "predict",
                str(place / "capitals.jsonl"),
                "--out",
                str(tmp_path / str(n)),
                "--name",
                "a",
            ),
            *("--no-rank", "--no-generate", "--run", str(tmp_path / "x.run")),
            *("--corpus", str(tmp_path / "texts.jsonl")),
        ]
        call(capsys, *arguments)
        found.append(read_answers(tmp_path / str(n) / "a" / "capitals").facts.gold_found)
    assert found == [6, 2]


def test_rankings_leave_as_runs_and_come_back(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path / "out", "ranked", "--run", str(place / "x.run"), "--no-generate"))
    out, _ = call(capsys, "eval", "runs", str(tmp_path / "out"), "--to", str(tmp_path / "runs"))
    run = tmp_path / "runs" / "ranked" / "capitals.run"
    assert f"{run}: 12 lines" in out
    first = {question: name for question, name, _ in reversed([*read_run(str(run))])}
    assert first == {f"q{n}": f"p{n}" for n in range(6)}
    call(capsys, *predict(place, tmp_path / "again", "from-run", "--run", str(run), "--no-rank"))
    again = read_answers(tmp_path / "again" / "from-run" / "capitals").answers
    assert {question: one.retrieved[0].passage.id for question, one in again.items()} == first


def test_retrieval_alone_needs_no_model(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    command = predict(place, tmp_path, "bm25", "--no-rank", "--no-generate", "--model", "not-there")
    call(capsys, *command)
    out, _ = call(capsys, "eval", "score", str(tmp_path), "--data-root", str(place), "--output", "json")
    (cell,) = json.loads(out)["cells"]
    assert cell["measures"]["R@5"]["value"] == 1.0
    assert "EM" not in cell["measures"]
    assert "ece" not in cell["measures"]


def test_unanswered_questions_count_zero(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    given = tmp_path / "gpt.jsonl"
    given.write_text('{"id": "q0", "answer": "Paris"}\n{"id": "q1", "answer": "Milan"}\n')
    data = ("--benchmark", str(place / "capitals.jsonl"), "--data-root", str(place))
    call(capsys, "eval", "add", str(given), *data, "--out", str(tmp_path / "o"), "--name", "gpt")
    out, err = call(capsys, "eval", "score", str(tmp_path / "o"), *data[2:], "--output", "json")
    assert "4 of 6 questions have no answer and count zero" in " ".join(err.split())
    (cell,) = json.loads(out)["cells"]
    assert cell["measures"]["EM"]["value"] == pytest.approx(1 / 6)
    assert cell["unanswered"] == 4
    given.write_text('{"id": "z", "answer": "Paris"}')
    _, err = call(
        capsys, "eval", "add", str(given), *data, "--out", str(tmp_path / "o"), "--name", "two", code=5
    )
    assert "found no answer to a question" in err


def test_what_is_wrong_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    _, err = call(capsys, "eval", "predict", "nqq", "--out", str(tmp_path), "--name", "x", code=5)
    assert "nqq" in err
    _, err = call(capsys, *predict(place, tmp_path, "r", "--run", str(tmp_path)), code=4)
    assert "found no capitals.run" in err
    (tmp_path / "odd.run").write_text("q0 Q0 gone 1 1.0 x")
    _, err = call(capsys, *predict(place, tmp_path, "r", "--run", str(tmp_path / "odd.run")), code=5)
    assert "found 1 passage (first 'gone')" in err
    _, err = call(capsys, "eval", "score", str(tmp_path / "none"), code=4)
    assert "found no answers below" in err
    call(capsys, *predict(place, tmp_path, "ok", "-n", "2"))
    _, err = call(capsys, "eval", "report", str(tmp_path), "--to", str(tmp_path / "rep"), code=4)
    assert "rankrag eval score" in err


def test_two_runs_are_fused(capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path) -> None:
    other = tmp_path / "y.run"
    other.write_text("\n".join(f"q{n} Q0 p{n} 1 5 y" for n in range(6)))
    command = predict(place, tmp_path, "fused", "--run", str(place / "x.run"), "--run", str(other))
    call(capsys, *command, "--no-rank", "--no-generate")
    answers = read_answers(tmp_path / "fused" / "capitals").answers
    assert [hit.passage.id for hit in answers["q3"].retrieved] == ["p3", "x3"]


@pytest.mark.slow
def test_steps_that_were_not_done_have_no_seconds(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "plain", "--no-rank", "--no-cite", "--run", str(place / "x.run")))
    call(capsys, *predict(place, tmp_path, "whole"))
    out, _ = call(capsys, "eval", "score", str(tmp_path), "--output", "json")
    seconds = {cell["system"]: [*cell["seconds"]] for cell in json.loads(out)["cells"]}
    assert seconds == {"plain": ["generate"], "whole": ["retrieve", "rank", "generate", "cite"]}


@pytest.mark.slow
def test_cases_are_questions_that_one_of_two_has_right(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    call(capsys, *predict(place, tmp_path, "plain", "--no-rank", "--run", str(place / "x.run")))
    call(capsys, *predict(place, tmp_path, "ranked", "--run", str(place / "x.run")))
    call(capsys, "eval", "score", str(tmp_path), "--data-root", str(place))
    by = ("--compare", "plain:ranked", "--measure", "Acc")
    out, _ = call(capsys, "eval", "cases", str(tmp_path), *by, "--output", "json")
    (kind,) = json.loads(out)["cases"]
    right = {row["id"] for row in kind["won"]}
    for system, wanted in (("ranked", True), ("plain", False)):
        rows = {row.id: row.values["Acc"] for row in read_scores(tmp_path / system / "capitals").rows}
        assert {name for name in right if (rows[name] >= 0.5) is not wanted} == set()
    assert (len(right), len(kind["lost"]), kind["asked"]) == (6, 0, 6)
    out, _ = call(capsys, "eval", "cases", str(tmp_path), *by, "-n", "1")
    assert f"capitals: ranked right, plain not (Acc): {len(right)} of 6 questions" in out
    assert "1.+ Switzerland: Bern is the capital of Switzerland." in out
    assert "1.  -: The weather of Switzerland is fine." in out
    _, err = call(capsys, "eval", "cases", str(tmp_path), "--measure", "BLEU", code=5)
    assert "found no question with BLEU of both" in err
    _, err = call(capsys, "eval", "cases", str(tmp_path / "plain"), code=5)
    assert "found the answers of one system, wanted two to compare: ask another system" in err


def test_the_papers_tables_are_printed_in_its_digits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = call(capsys, "eval", "paper", "9")
    assert [line.split() for line in out.splitlines() if "ChatQA-1.5 8B" in line] == [
        ["ChatQA-1.5", "8B", "44.1", "65.4/75.8"]
    ]
    monkeypatch.setattr(console, "PIPED_WIDTH", 60)
    out, _ = call(capsys, "eval", "paper", "2")
    assert not out.endswith("\n\n"), "nothing stands after the last row"
    told = " ".join(out.split())
    assert "RankRAG 8B NQ 50.6, TriviaQA 82.9/89.5, PopQA 57.6/64.1, HotpotQA 35.3/46.7" in told
    out, _ = call(capsys, "eval", "paper", "--output", "json")
    assert [table["number"] for table in json.loads(out)["tables"]] == [2, 3, 4, 5, 6, 8, 9]
    _, err = call(capsys, "eval", "paper", "7", code=5)
    assert "found table 7, wanted one of 2, 3, 4, 5, 6, 8, 9" in err
