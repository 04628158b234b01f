"""What would make a number wrong is refused: mixed systems, stale scores, ids that mean something else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import model_tiny
from cli_call import call
from eval_place import make, predict
from rankrag.eval.answers import read_facts
from rankrag.eval.results import POOLED, read_results
from rankrag.files import summed
from rankrag.model.store.checkpoint import Checkpoint, write_checkpoint

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return make(tmp_path / "place")


def refused(capsys: Capture, *arguments: str, code: int = 5) -> str:
    return call(capsys, *arguments, code=code)[1]


def test_one_name_is_one_system(capsys: Capture, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copy(place / "capitals.jsonl", place / "towns.jsonl")
    call(capsys, *predict(place, out, "s", "-n", "2"))
    towns = [*predict(place, out, "s", "-n", "2", "--no-rank")]
    towns[2] = str(place / "towns.jsonl")
    call(capsys, *towns)
    call(capsys, "eval", "score", str(out))
    err = refused(capsys, "eval", "report", str(out), "--to", str(tmp_path / "r"))
    assert "found two systems called 's'" in err


@pytest.mark.slow
def test_a_system_counts_once_on_a_benchmark(capsys: Capture, place: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        call(capsys, *predict(place, tmp_path / name, "s", "-n", "2"))
    call(capsys, "eval", "score", str(tmp_path / "a"), str(tmp_path / "b"))
    both = ("eval", "report", str(tmp_path / "a"), str(tmp_path / "b"), "--to", str(tmp_path / "r"))
    assert "found 's' on capitals twice" in refused(capsys, *both)


def test_scores_of_other_answers_are_not_reported(capsys: Capture, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call(capsys, *predict(place, out, "s", "-n", "2"))
    call(capsys, "eval", "score", str(out))
    call(capsys, *predict(place, out, "s", "-n", "4"))
    err = refused(capsys, "eval", "report", str(out), "--to", str(tmp_path / "r"))
    assert "found other answers than those that were scored" in err


def test_answers_over_another_index_are_not_mixed_in(capsys: Capture, place: Path, tmp_path: Path) -> None:
    call(capsys, *predict(place, tmp_path / "out", "s", "-n", "2"))
    (place / "corpus.jsonl").write_text((place / "corpus.jsonl").read_text().replace("Paris", "Lyon"))
    shutil.rmtree(place / "index")
    index = ("--index", str(place / "index"), "--encoder", "none", "--passage-words", "0")
    call(capsys, "index", str(place / "corpus.jsonl"), *index)
    # An index says to the second when it was made, and this one was made within the same.
    manifest = place / "index" / "manifest.json"
    made = json.loads(manifest.read_text()) | {"updated": "2001-01-01T00:00:00+00:00"}
    manifest.write_text(json.dumps(summed(made)))
    assert "answers of another system" in refused(capsys, *predict(place, tmp_path / "out", "s", "-n", "4"))


def test_added_answers_that_changed_are_another_system(capsys: Capture, place: Path, tmp_path: Path) -> None:
    given, out = tmp_path / "gpt.jsonl", str(tmp_path / "out")
    add = (
        "eval",
        "add",
        str(given),
        "--benchmark",
        str(place / "capitals.jsonl"),
        "--out",
        out,
        "--name",
        "g",
    )
    given.write_text('{"id": "q0", "answer": "Rome"}')
    call(capsys, *add)
    given.write_text('{"id": "q0", "answer": "Paris"}')
    assert "answers of another system" in refused(capsys, *add)
    found, _ = call(capsys, "eval", "score", out, "--output", "json")
    (cell,) = json.loads(found)["cells"]
    # Nothing was retrieved: no measure of a ranking applies, gold passages or not.
    assert not [name for name in cell["measures"] if "@" in name]


def test_ids_are_those_of_a_benchmark(capsys: Capture, place: Path, tmp_path: Path) -> None:
    questions = [json.loads(line) for line in (place / "capitals.jsonl").read_text().splitlines()]
    for place_n, record in enumerate(questions):
        other = questions[5 - place_n]
        record |= {name: other[name] for name in ("question", "answers", "passages")} | {"id": f"q{place_n}"}
    (place / "turned.jsonl").write_text("\n".join(map(json.dumps, [dict(r) for r in questions])))
    runs = tmp_path / "runs"
    runs.mkdir()
    gold = [record["passages"][0]["id"] for record in questions]
    (runs / "capitals.run").write_text("\n".join(f"q{n} Q0 p{n} 1 5 x" for n in range(6)))
    (runs / "turned.run").write_text("\n".join(f"q{n} Q0 {name} 1 5 x" for n, name in enumerate(gold)))
    command = [*predict(place, tmp_path / "out", "s", "--run", str(runs), "--no-rank", "--no-generate")]
    command.insert(3, str(place / "turned.jsonl"))
    call(capsys, *command)
    found, _ = call(capsys, "eval", "score", str(tmp_path / "out"), "--output", "json")
    assert [one["measures"]["R@1"]["value"] for one in json.loads(found)["cells"]] == [1.0, 1.0]


@pytest.mark.slow
def test_a_file_of_one_s_own_is_not_the_paper_s(capsys: Capture, place: Path, tmp_path: Path) -> None:
    shutil.move(place / "capitals.jsonl", place / "nq.jsonl")
    command = [*predict(place, tmp_path / "out", "s", "-n", "2")]
    command[2] = str(place / "nq.jsonl")
    call(capsys, *command)
    assert (tmp_path / "out" / "s" / "own-nq").is_dir()
    call(capsys, "eval", "score", str(tmp_path / "out"))
    call(capsys, "eval", "report", str(tmp_path / "out"), "--to", str(tmp_path / "r"))
    results = read_results(tmp_path / "r" / "results.json")
    assert results.benchmarks[0].measures == ("EM", "F1", "Acc")
    assert POOLED not in {one.benchmark for one in results.comparisons}


def test_names_that_would_mislead_are_refused(capsys: Capture, place: Path, tmp_path: Path) -> None:
    for name in ("../s", "", "a:b", ".s"):
        assert "found the system name" in refused(capsys, *predict(place, tmp_path / "out", name))
    (tmp_path / "other").mkdir()
    shutil.copy(place / "capitals.jsonl", tmp_path / "other" / "capitals.jsonl")
    command = [*predict(place, tmp_path / "out", "s")]
    command.insert(3, str(tmp_path / "other" / "capitals.jsonl"))
    assert "found capitals twice" in refused(capsys, *command)


def test_questions_are_spread_in_one_way(capsys: Capture, place: Path, tmp_path: Path) -> None:
    command = predict(place, tmp_path / "out", "s", "--ray", "local", "--parallel", "2")
    assert "leave --parallel out" in refused(capsys, *command, code=2)


def test_runs_that_cannot_be_meant_are_refused(capsys: Capture, place: Path, tmp_path: Path) -> None:
    run = tmp_path / "x.run"
    run.write_text("other Q0 p1 1 5 x")
    command = predict(place, tmp_path / "out", "s", "--run", str(run), "--no-rank", "--no-generate")
    assert "found no question of capitals" in refused(capsys, *command)
    run.write_text("q1 Q0 p1 1 5 x\nq1 Q0 p1 2 4 x")
    assert "found passage 'p1' twice for question 'q1'" in refused(capsys, *command)


def test_broken_files_are_no_bugs_of_ours(capsys: Capture, place: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "relevance.sqlite").write_bytes(b"no database" * 200)
    assert "found no relevances in" in refused(capsys, *predict(place, tmp_path / "out", "s"))
    (tmp_path / "study.yaml").write_bytes(b"title: \xff")
    study = ("eval", "study", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "o"))
    assert "found bytes that are not UTF-8" in refused(capsys, *study)
    name = ("eval", "study", "k-sweep", "--out", str(tmp_path / "o"), "--set", "n=[1")
    assert "whose value is broken YAML" in refused(capsys, *name)
    assert "found no folder" in refused(capsys, "eval", "list", "--data-root", str(tmp_path / "gone"), code=4)


def test_work_that_goes_on_does_not_rewrite_what_was_done(
    capsys: Capture, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s" / "capitals"
    call(capsys, *predict(place, tmp_path, "s", "-n", "4"))
    before = (folder / "facts.json").read_text()
    monkeypatch.setattr("rankrag.cli.asking.device", lambda: "another machine")
    for n in ("4", "2"):  # nothing is left to ask
        call(capsys, *predict(place, tmp_path, "s", "-n", n))
        assert (folder / "facts.json").read_text() == before
    call(capsys, *predict(place, tmp_path, "s", "-n", "5"))
    facts = read_facts(folder)
    assert facts.n == 5
    assert facts.device == f"{json.loads(before)['device']} / another machine"
    call(capsys, *predict(place, tmp_path, "s", "-n", "6"))
    assert read_facts(folder).device == facts.device, "each machine once"


def test_a_report_says_what_its_numbers_are_over(capsys: Capture, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = ("--run", str(place / "x.run"))
    call(capsys, *predict(place, out, "s", "-n", "2", "--no-rank", *run))
    towns = [*predict(place, out, "s", "-n", "3", "--no-rank", *run)]
    shutil.copy(place / "capitals.jsonl", place / "towns.jsonl")
    towns[2] = str(place / "towns.jsonl")
    call(capsys, *towns)
    call(capsys, "eval", "score", str(out))
    call(capsys, "eval", "report", str(out), "--to", str(tmp_path / "r"))
    cells = {one.benchmark: one for one in read_results(tmp_path / "r" / "results.json").cells}
    assert cells["towns"].made_of["file"] == "towns.jsonl"
    assert cells["towns"].made_of["gold passages held"] == "3 of 3"
    assert cells["capitals"].made_of["index"].startswith("12 passages, of ")
    assert len(cells["capitals"].made_of["run x"]) == 16
    page = (tmp_path / "r" / "report.md").read_text()
    assert "towns.jsonl" in page
    assert cells["towns"].made_of["run x"] in page


def test_a_file_of_one_s_own_is_scored_where_it_lies(capsys: Capture, place: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    call(capsys, *predict(place, tmp_path / "out", "s", "-n", "2", "--no-rank"))
    call(capsys, "eval", "score", str(tmp_path / "out"), "--data-root", str(tmp_path / "data"))


def test_a_broken_benchmark_hides_no_other(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "pubmedqa").mkdir()
    (tmp_path / "ori_pqal.json").write_text("{}")
    (tmp_path / "pubmedqa" / "ori_pqal.json").write_text("{}")
    (tmp_path / "nq.jsonl").write_text('{"id": "1", "question": "Who?", "answers": ["I"]}\n')
    out, _ = call(capsys, "eval", "list", "--data-root", str(tmp_path), "--output", "json")
    found = {one["benchmark"]["name"]: one for one in json.loads(out)["benchmarks"]}
    assert found["nq"]["questions"] == 1
    assert "found" in found["pubmedqa"]["path"]


@pytest.mark.slow
def test_the_numbers_that_a_model_computes_with_and_how_it_reads_are_facts(
    capsys: Capture, place: Path, tmp_path: Path
) -> None:
    """On a GPU they are others than here, unless somebody says which: folder and relevances must not mix."""
    model = str(model_tiny.write(tmp_path / "tiny", model_tiny.config("llama")))
    same = [*predict(place, tmp_path / "out", "s", "-n", "1", "--no-cite")]
    same[same.index("fake")] = model
    call(capsys, *same)
    folder = tmp_path / "out" / "s" / "capitals"
    assert read_facts(folder).system.facts["precision"] == "float32"
    call(capsys, *same, "--precision", "float32")
    assert "answers of another system" in refused(capsys, *same, "--precision", "bfloat16")
    assert "answers of another system" in refused(capsys, *same, "--reading", "mixture")
    assert "answers of another system" in refused(capsys, *same, "--query-likelihood", "0.2")
    card = Checkpoint(Path(model), "paper", threshold=0.4)
    write_checkpoint(card)
    assert "answers of another system" in refused(capsys, *same)
    write_checkpoint(replace(card, threshold=None))
    facts = json.loads((folder / "facts.json").read_text())
    del facts["system"]["facts"]["precision"]  # as it was written before
    (folder / "facts.json").write_text(json.dumps(facts))
    call(capsys, *same)
