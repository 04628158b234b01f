"""Official benchmarks in the neutral shape: read back as they were, and each fault is one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cli_call import call
from rankrag.data.decontamination import Benchmarks
from rankrag.errors import FormatError
from rankrag.eval.load import export, load_benchmark
from rankrag.eval.readers.detect import detect
from rankrag.formats import read_passages, read_questions, read_run
from rankrag.prompts import UNANSWERABLE, search_query

Record = Mapping[str, object]


def as_lines(*records: Record) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def as_document(value: object) -> str:
    return json.dumps(value)


def said(*texts: str) -> list[Record]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


GOLD = {"title": "Ferries", "text": "The ferry leaves at ten."}
CHATRAG = [
    {
        "messages": said("When does the ferry of Arlo leave?"),
        "answers": ["At ten"],
        "ctxs": [{"title": "Dogs", "text": "Dogs may come."}, GOLD],
        "ground_truth_ctx": {"ctx": GOLD["text"], "index": 1},
    },
    {
        "messages": said("When does the ferry of Arlo leave?", "At ten", "And may dogs come?"),
        "answers": [UNANSWERABLE],
        "ctxs": [GOLD],
    },
]
CONVERSATION = {
    "Conversation_no": 1,
    "Turn_no": 1,
    "Question": "Who?",
    "Answer": "Ann",
    "Topic": "Ann (film)",
}
SAID_BEFORE = ["Who?", "Ann", "Where?", "UNANSWERABLE"]
FOLLOW_UP = {
    **{"Conversation_no": 1, "Turn_no": 3, "Question": "When?", "Answer": "UNANSWERABLE"},
    **{"Context": SAID_BEFORE, "Topic": "Ann (film)"},
}
MIRAGE = {
    "medqa": {"0": {"question": "Which?", "options": {"A": "x", "B": "y"}, "answer": "B"}},
    "pubmedqa": {"7": {"question": "Does it?", "options": {"A": "yes", "B": "no"}, "answer": "A"}},
    "bioasq": {"8": {"question": "Is it?", "options": {"A": "yes", "B": "no"}, "answer": "A"}},
}
CLAIM = {"id": 3, "claim": "Ann sings.", "label": "REFUTES"}
HOTPOT = {"_id": "h", "question": "Whose?", "answer": "Ann's"}
MUSIQUE = {"id": "2hop", "question": "Whose?", "paragraphs": [], "answer": "Ann", "answer_aliases": ["A."]}
POPQA = {
    "id": "42",
    "subj": "Mayne",
    "s_pop": "99",
    "question": "What is Mayne?",
    "possible_answers": '["poet"]',
}


def popqa_file(*rows: Record) -> str:
    import io

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*POPQA], delimiter="\t")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


OFFICIAL = {
    "nq": ("nq-dev-kilt.jsonl", as_lines({"id": "1", "input": "Who?", "output": [{"answer": "Ann"}]})),
    "triviaqa": ("trivia-test.qa.csv", "who is it\t[\"Ann's\", 'Bo']\n"),
    "popqa": ("popQA.tsv", popqa_file(POPQA)),
    "hotpotqa": ("hotpot_dev_fullwiki_v1.json", as_document([HOTPOT])),
    "2wiki": ("2wikimultihopqa-dev.json", as_document([HOTPOT])),
    "fever": ("paper_dev.jsonl", as_lines(CLAIM)),
    "musique": (
        "musique_ans_v1.0_dev.jsonl",
        as_lines({**MUSIQUE, "answerable": True}, {**MUSIQUE, "answerable": False}),
    ),
    "doc2dial": ("doc2dial/test.json", as_document(CHATRAG)),
    "topiocqa": ("topiocqa_dev.json", as_document([CONVERSATION, FOLLOW_UP])),
    "medqa": ("benchmark.json", as_document(MIRAGE)),
    "pubmedqa": ("benchmark.json", as_document(MIRAGE)),
    "bioasq": ("benchmark.json", as_document(MIRAGE)),
}


@pytest.fixture
def official(tmp_path: Path) -> Path:
    for name, content in OFFICIAL.values():
        (tmp_path / "official" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "official" / name).write_text(content)
    return tmp_path / "official"


@pytest.mark.parametrize("name", OFFICIAL)
def test_what_is_exported_is_read_back_as_it_was(name: str, official: Path, tmp_path: Path) -> None:
    written = dict(export(name, official, tmp_path / "neutral"))
    before, after = load_benchmark(name, official), load_benchmark(name, tmp_path / "neutral")
    assert after.questions == tuple(replace(item, candidates=(), topic="") for item in before.questions)
    assert after.path in written
    assert written[after.path] == len(before.questions)


def test_candidates_become_a_corpus_and_a_run(official: Path, tmp_path: Path) -> None:
    written = [*dict(export("doc2dial", official, tmp_path))]
    assert written == [
        str(tmp_path / n) for n in ("doc2dial.jsonl", "corpus/doc2dial.jsonl", "runs/doc2dial.run")
    ]
    corpus = {passage.id: passage.text for passage in read_passages(written[1])}
    assert sorted(corpus.values()) == ["Dogs may come.", GOLD["text"]], (
        "a passage of two questions is there once"
    )
    ranked = [(question, corpus[name]) for question, name, _ in read_run(written[2])]
    assert ranked == [
        ("chatrag-1", "Dogs may come."), ("chatrag-1", GOLD["text"]), ("chatrag-2", GOLD["text"]),
    ]  # fmt: skip
    first, second = load_benchmark("doc2dial", tmp_path).questions
    assert [corpus[name] for name in first.gold.passages] == [GOLD["text"]]
    assert not second.gold.passages
    assert first.unit == second.unit


def test_the_official_candidates_are_ranked_again(
    capsys: pytest.CaptureFixture[str], official: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "neutral", tmp_path / "out"
    call(capsys, "eval", "export", "doc2dial", "--data-root", str(official), "--to", str(data))
    where = ("--run", str(data / "runs"), "--corpus", str(data / "corpus" / "doc2dial.jsonl"))
    asked = (
        "eval",
        "predict",
        "doc2dial",
        "--data-root",
        str(data),
        "--model",
        "fake",
        "--name",
        "s",
        *where,
    )
    call(capsys, *asked, "--paper", "--out", str(out))
    facts = json.loads((out / "s" / "doc2dial" / "facts.json").read_text())
    assert (facts["n"], facts["gold_found"]) == (2, 1)
    assert (facts["system"]["retrieve_k"], facts["system"]["read_k"]) == (100, 5)


def test_a_conversation_is_searched_with_its_topic(official: Path, tmp_path: Path) -> None:
    export_ = dict(export("topiocqa", official, tmp_path))
    assert [*export_] == [str(tmp_path / "topiocqa.jsonl"), str(tmp_path / "queries/topiocqa.jsonl")]
    first, second = read_questions(str(tmp_path / "queries" / "topiocqa.jsonl"))
    assert search_query(first, speakers=True) == "this is a question about Ann (film). Who?"
    assert search_query(second, speakers=True).splitlines() == [
        "user: this is a question about Ann (film). Where?",
        "agent: UNANSWERABLE",
        "user: this is a question about Ann (film). When?",
    ]
    asked = [item.question for item in load_benchmark("topiocqa", tmp_path).questions]
    assert [one.text for one in asked] == ["Who?", "When?"], "the model itself is not told"
    assert [one.id for one in asked] == [first.id, second.id]


def test_decontamination_reads_what_was_exported(official: Path, tmp_path: Path) -> None:
    benchmarks = Benchmarks()
    for name in OFFICIAL:
        for path, _ in export(name, official, tmp_path):
            if Path(path).parent == tmp_path:
                benchmarks.add(path)
    assert benchmarks.questions.same("when does the ferry of Arlo leave")
    assert benchmarks.questions.same("Ann sings")
    assert benchmarks.passages.same(GOLD["text"])


def test_the_long_tail_of_popqa(tmp_path: Path) -> None:
    path = tmp_path / "popQA.tsv"
    path.write_text(popqa_file(POPQA, {**POPQA, "id": "43", "s_pop": "100"}))
    loaded = load_benchmark("popqa", tmp_path)
    (item,) = loaded.questions
    assert (item.question.id, item.gold.answers, item.question.style) == ("popqa-42", ("poet",), "phrase")
    assert loaded.dropped == {"100 views a month or more": 1}
    assert detect(str(path)) == "popqa"
    for name, value, problem in (
        ("s_pop", "many", "found 'many' in 's_pop', wanted the views of a page"),
        ("possible_answers", "[poet]", "found no JSON in 'possible_answers'"),
    ):
        path.write_text(popqa_file({**POPQA, name: value}))
        with pytest.raises(FormatError, match=rf"popQA\.tsv:2: {problem}"):
            load_benchmark("popqa", tmp_path)


Fault = tuple[tuple[str, ...], str, int]
FAULTS: Mapping[str, Callable[[Path], Fault]] = {
    "unknown": lambda d: (("nqq", "--data-root", str(d)), "found 'nqq', wanted one of nq, triviaqa", 5),
    "absent": lambda d: (("inscit", "--data-root", str(d)), "found no file of inscit below", 4),
    "no folder": lambda d: (("nq", "--data-root", str(d / "x")), "found no folder", 4),
    "neutral": lambda d: (
        ("medmcqa", "--data-root", str(d)),
        "in the neutral shape already, wanted medmcqa's",
        5,
    ),
    "broken": lambda d: (("mmlu_med", "--data-root", str(d)), "benchmark.json: found no task 'mmlu'", 5),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_exported_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], official: Path, tmp_path: Path, fault: str
) -> None:
    if fault == "neutral":
        (official / "benchmark.json").unlink()
        (official / "medmcqa.jsonl").write_text(as_lines({"id": "1", "question": "?", "answer": "A"}))
    options, problem, code = FAULTS[fault](official)
    _, err = call(capsys, "eval", "export", *options, "--to", str(tmp_path / "to"), code=code)
    (line,) = err.splitlines()
    assert problem in line
    assert not (tmp_path / "to").exists()


def test_counts_of_the_paper_are_those_of_one_system(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ("--paper", "--data-root", str(tmp_path), "--out", str(tmp_path / "o"), "--name", "s")
    _, err = call(capsys, "eval", "predict", "nq", "inscit", *command, code=5)
    assert "found --paper with other counts of passages read (5 for nq and 20 for inscit)" in err
    _, err = call(capsys, "eval", "predict", "musique", *command, code=5)
    assert "found --paper for 'musique', wanted one of nq" in err
