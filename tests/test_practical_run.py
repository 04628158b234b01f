"""Documents, counts and pages of the practical questions: from small files, without a model."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import documents
import run
from documents import (
    DEVELOPMENT_RECORD,
    RECORD,
    Shelved,
    UnavailableError,
    differences,
    digest,
    missing_evidence,
    prepare,
    read_record,
    unfindable,
)
from page import comparisons, page, table
from questions import DEVELOPMENT, read_questions
from rankrag.errors import FormatError
from rankrag.eval.answers import AnswerFile, Facts
from rankrag.eval.results import System
from rankrag.types import Answer, Citation, Hit, Passage, Question, Source
from tally import Share, ruled, systems, tally

QUESTIONS = {one.id: one for one in read_questions()}
CHOSEN = ("debian-founder", "debian-names", "none-egg", "none-holiday")
EVIDENCE = Passage(
    "right",
    "The Debian Project was created by Ian Murdock in 1993. It has grown since.",
    source=Source("right.html", start=100, end=174),
)
OTHER = Passage("other", "Toy trains are sold in many shops.")


def answer(name: str, text: str, ranked: tuple[Passage, ...], cited: str = "") -> Answer:
    hits = tuple(Hit(passage, 0.5) for passage in ranked)
    citations = (Citation(0, len(text), cited, 0.9, f"{cited}.html", 100, 154),) if cited else ()
    question = Question(name, QUESTIONS[name].question)
    return Answer(question, "", hits[::-1], hits, 1, text, citations, timings_s={"generate": 2.0}, done=True)


def write(out: Path, system: str, answers: list[Answer], failed: str = "") -> None:
    made = System(system, "bm25", "small", 2, 1, None, "fake", cites=True)
    with AnswerFile(
        out / "answers" / system / "practical", Facts(made, "practical", "f", "s", 4, 0, 4)
    ) as file:
        for one in answers:
            file.add(one)
        if failed:
            file.fail(Question(failed, "?"), "too long")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two systems: one answers and cites well but guesses, the other refuses and is asked one more."""
    first = [
        answer("debian-founder", "Ian Murdock, in 1993.", (EVIDENCE, OTHER), "right"),
        answer("debian-names", "From *Toy Story*.", (OTHER, EVIDENCE), "other"),
        answer("none-egg", "Five minutes.", (OTHER,)),
    ]
    second = [
        answer("debian-founder", "Ian Murdock.", (OTHER, EVIDENCE)),
        answer("debian-names", "I cannot find this in the documents.", (OTHER,)),
        answer("none-egg", "I don't know.", (OTHER,)),
    ]
    write(tmp_path, "m-ranked", first)
    write(tmp_path, "m-unranked", second, failed="none-holiday")
    return tmp_path


def test_answers_on_disk_are_counted(out: Path) -> None:
    found = {name: ruled(QUESTIONS.values(), folder) for name, folder in systems(out / "answers")}
    first, second = (tally(found[name]) for name in ("m-ranked", "m-unranked"))
    assert (first.right, first.declined) == (Share(2, 2), Share(0, 1))
    assert (first.retrieved, first.read, first.citations) == (Share(1, 2), Share(1, 2), Share(1, 2))
    assert (first.supported, second.supported) == (Share(1, 2), Share(0, 0))
    assert (second.right, second.partial, second.refused) == (Share(0, 2), 1, Share(1, 2))
    assert (second.declined, second.read, second.seconds) == (Share(1, 2), Share(0, 2), 2.0)


def test_the_step_judge_needs_no_model_and_shows_every_answer(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out / "notes.txt").write_text("python: found version 3.99\n", encoding="utf-8")
    run.judge(out, tuple(QUESTIONS.values()))
    printed, shown = capsys.readouterr().out, (out / "report" / "practical.md").read_text(encoding="utf-8")
    assert "| m-ranked | 2 of 2 [34, 100] |" in printed
    assert "right answers of 2: +100.0 points" in printed
    assert "python: found version 3.99" in printed
    for text in ("missing: 1993", "From \\*Toy Story\\*.", "could not be asked", "other.html: does not hold"):
        assert text in shown
    cited = (out / "report" / "citations.md").read_text(encoding="utf-8")
    assert f"**{QUESTIONS['debian-founder'].question}** Supported." in cited
    assert "`right.html`: The Debian Project was created by Ian Murdock in 1993.\n" in cited
    assert "`other.html`: Toy trains are sold in many shops.\n" in cited
    verdicts = [json.loads(line) for line in (out / "report" / "verdicts.jsonl").read_text().splitlines()]
    assert [one["ruling"] for one in verdicts if one["id"] == "debian-founder"] == ["right", "partial"]


def test_judging_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run the step ask first"):
        run.judge(tmp_path, ())


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20 (https://doi.org/10.1002/(SICI)1097-0258).
    wanted = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611)}
    for (k, n), bounds in wanted.items():
        assert Share(k, n).interval() == pytest.approx(bounds, abs=5e-5)
    assert Share(0, 0).interval() == (0.0, 1.0)


def test_a_table_without_systems_has_its_heads_and_nothing_to_compare() -> None:
    assert table({}).count("\n") == 1
    assert comparisons({}) == []
    assert "# Practical questions" in page({}, (), ())


def test_the_record_names_three_packages_and_the_reference() -> None:
    record = read_record()
    assert record[0].name == "python"
    assert len(record) == 4
    assert all(one.version and one.sha256 and one.licence for one in record)
    folders = {one.folder for one in record}
    assert {e.document.split("/")[0] for q in QUESTIONS.values() for e in q.evidence} == folders


def test_the_development_set_has_documents_of_its_own() -> None:
    record = read_record(DEVELOPMENT_RECORD)
    assert all(one.version and one.sha256 and one.licence for one in record)
    folders = {one.folder for one in record}
    assert {e.document.split("/")[0] for q in read_questions(DEVELOPMENT) for e in q.evidence} == folders
    assert not folders & {one.folder for one in read_record()}


def test_another_version_is_said() -> None:
    record = read_record()
    newer = replace(record[1], version="3.99", sha256="0")
    rebuilt = replace(record[2], sha256="0")
    assert differences(record, record) == ()
    first, second = differences(record, (record[0], newer, rebuilt, record[3]))
    assert "found version 3.99" in first
    assert "whose files differ" in second


def test_documents_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    shutil.copy(RECORD, tmp_path / documents.PREPARED)
    assert prepare(tmp_path) == ()
    assert [path.name for path in tmp_path.iterdir()] == [documents.PREPARED]


def test_documents_of_the_other_questions_are_not_taken(tmp_path: Path) -> None:
    shutil.copy(RECORD, tmp_path / documents.PREPARED)
    with pytest.raises(FormatError, match="other questions"):
        prepare(tmp_path, recorded=DEVELOPMENT_RECORD)


def test_the_text_of_a_manual_page_is_without_marks() -> None:
    manual = '.TH "x" "1"\n.\\" a comment\n.SH "USE"\n.P\n.IP "\\fB\\-\\-all\\fP, \\fB\\-a\\fP"\nSee a\\ b.\n'
    assert documents._manual(manual).split("\n") == ["", "USE", "", "", "", "--all, -a", "See a b.", ""]


def test_the_hash_is_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    first = digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest(tmp_path) != first


def test_evidence_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "debian-faq").mkdir()
    (tmp_path / "debian-faq" / "basic-defs.en.html").write_text(f"<html><p>{EVIDENCE.text}</p></html>")
    asked = [QUESTIONS["debian-founder"], QUESTIONS["debian-build"]]
    assert [one.split(":")[0] for one in missing_evidence(asked, tmp_path)] == ["debian-build"]
    assert unfindable([*asked, QUESTIONS["none-egg"]], [EVIDENCE.text]) == ["debian-build"]


def test_without_packages_a_run_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    debs = tmp_path / "debs"
    debs.mkdir()
    command = ["run.py", "--out", str(tmp_path / "out"), "--debs", str(debs)]
    monkeypatch.setattr("sys.argv", command)
    assert run.main() == 0
    assert "skipped: found no sqlite3-doc_*.deb" in capsys.readouterr().out
    assert not (tmp_path / "out" / "documents" / documents.PREPARED).exists()


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_a_package_is_unpacked_as_the_record_says(tmp_path: Path) -> None:
    control = tmp_path / "built" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: small-doc\nVersion: 2.0\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n"
    )
    page_of = tmp_path / "built" / "usr" / "doc" / "sub" / "a.html"
    page_of.parent.mkdir(parents=True)
    page_of.write_text("<p>hello</p>")
    page_of.with_name("a.1.gz").write_bytes(gzip.compress(b".SH NAME\na\n"))
    subprocess.run(
        ["dpkg-deb", "--build", tmp_path / "built", tmp_path / "small-doc_2.0_all.deb"], check=True
    )
    wanted = Shelved("small-doc", "small", "1.0", "0", "any", "1", "2", "usr/doc", ("*.html", "sub/*"))
    made = documents._made(wanted, tmp_path, tmp_path)
    assert (made.version, made.sha256 == digest(tmp_path / "made" / "small")) == ("2.0", True)
    assert (tmp_path / "made" / "small" / "sub" / "a.html").read_text() == "<p>hello</p>"
    assert (tmp_path / "made" / "small" / "sub" / "a.1.txt").read_text() == "\nNAME\na\n"
    with pytest.raises(UnavailableError, match="found none of the files"):
        documents._made(replace(wanted, files=("*.txt",)), tmp_path, tmp_path)


def test_the_reference_of_this_interpreter_is_written(tmp_path: Path) -> None:
    made = documents._made(read_record()[0], tmp_path, None)
    assert made.sha256 == digest(tmp_path / "made" / "python")
    assert (tmp_path / "made" / "python" / "with.rst").is_file()
