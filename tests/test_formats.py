"""Files in and out: what is written is read back, and every fault names its file and line."""

from __future__ import annotations

import gzip
import io
import json
import lzma
from pathlib import Path

import pytest

from rankrag import files, formats
from rankrag.errors import FormatError, NotFoundError
from rankrag.index.reading.csv_rows import csv_rows
from rankrag.index.reading.records import CollectionRecord
from rankrag.types import Answer, Citation, Cut, Example, Hit, Passage, Question, Source, Turn


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("pack", [None, gzip.compress, lzma.compress])
def test_lines_are_read_through_every_compression(tmp_path: Path, pack: object) -> None:
    data = '\ufeff{"a": 1}\n\n{"a": "é"}\n'.encode()
    ending = {None: "", gzip.compress: ".gz", lzma.compress: ".xz"}[pack]  # type: ignore[index]
    path = tmp_path / f"x.jsonl{ending}"
    path.write_bytes(pack(data) if callable(pack) else data)
    assert list(files.read_records(str(path))) == [(1, {"a": 1}), (3, {"a": "é"})]


def test_faults_name_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", '{"text": "a"}\n{"text": \n')
    with pytest.raises(FormatError, match=r"x\.jsonl:2: found broken JSON"):
        list(formats.read_passages(path))
    path = write(tmp_path, "y.jsonl", "[1]\n")
    with pytest.raises(FormatError, match=r"y\.jsonl:1: found list, wanted a JSON object"):
        list(files.read_records(path))
    path = write(tmp_path, "h.jsonl", '{"text": "\\ud83d\\ude00"}\n{"text": "\\ud83d"}\n')
    with pytest.raises(FormatError, match=r"h\.jsonl:2: found half of a surrogate pair"):
        list(formats.read_passages(path))
    path = write(tmp_path, "z.jsonl", '{"url": "no text"}\n')
    with pytest.raises(FormatError, match=r"z\.jsonl:1: found no text in 'text' or 'contents'"):
        [formats.passage(path, n, r) for n, r in files.read_records(path)]


@pytest.mark.parametrize("pack", [None, gzip.compress])
def test_a_corpus_in_tsv_has_the_passages_of_its_index(tmp_path: Path, pack: object) -> None:
    text = 'id\ttext\ttitle\n1\t"""Ulm"" is a city"\tUlm\n2\tIt lies on the Danube.\t"The ""Ulm"""\n'
    path = tmp_path / ("psgs_w100.tsv.gz" if pack else "psgs_w100.tsv")
    path.write_bytes(pack(text.encode()) if callable(pack) else text.encode())
    read = list(formats.read_passages(str(path)))
    assert [(one.id, one.text, one.title) for one in read] == [
        ("1", '"Ulm" is a city', "Ulm"),
        ("2", "It lies on the Danube.", 'The "Ulm"'),
    ]
    indexed = [found.passage for found in csv_rows(path, path.name) if isinstance(found, CollectionRecord)]
    assert indexed == read
    collection = write(tmp_path, "collection.tsv", '7\tThis "is" it.\n')
    assert list(formats.read_passages(collection)) == [Passage("7", 'This "is" it.')]
    with pytest.raises(FormatError, match=r"one\.tsv:1: found 1 column, wanted 2 or 3 \(id, text, title\)"):
        list(formats.read_passages(write(tmp_path, "one.tsv", "alone\n")))


def test_broken_bytes_and_compression_are_format_errors(tmp_path: Path) -> None:
    for name, data in [
        ("a.txt", b"\xff\xfe\xfa"),
        ("b.xz", b"no"),
        ("c.gz", b"no"),
        ("d.gz", gzip.compress(b"x" * 99)[:-9]),
        ("e.gz", gzip.compress(b"x" * 99)[:10] + b"\xff" * 20),  # neither stored nor packed
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match=name):
            list(files.read_lines(str(tmp_path / name)))
    with pytest.raises(NotFoundError, match="check the path"):
        list(files.read_lines(str(tmp_path / "absent")))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", "old\n")

    def records() -> object:
        yield {"a": 1}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        files.write_records(path, records())  # type: ignore[arg-type]
    assert Path(path).read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x.jsonl"]


def test_passages_of_three_shapes_and_of_plain_lines(tmp_path: Path) -> None:
    lines = [
        '{"_id": "b", "title": "T", "text": "one", "metadata": {"year": 1999, "url": "u"}}',
        '{"id": 7, "contents": "two"}',
        "three",
    ]
    one, two, three = formats.read_passages(write(tmp_path, "x", "\n".join(lines)))
    assert one == Passage("b", "one", "T", attributes={"year": "1999", "url": "u"})
    assert (two.id, two.text) == ("7", "two")
    assert (three.id, three.text) == ("3", "three")


def test_bytes_on_standard_input_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"owl\n\xff\xfe\n"), encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr("sys.stdin", stream)
    with pytest.raises(FormatError, match="found bytes that are not UTF-8"):
        list(formats.read_passages("-"))


def test_a_title_is_a_passage(tmp_path: Path) -> None:
    (passage,) = formats.read_passages(write(tmp_path, "x.jsonl", '{"id": "a", "title": "Owls"}'))
    assert (passage.title, passage.text) == ("Owls", "")


@pytest.mark.parametrize("name", ["my notes.txt#1", "a\tb", "a\u00a0b", "50%", "a%20b c", "100 % sure"])
def test_an_id_comes_back_out_of_a_run(name: str) -> None:
    assert len(formats.run_name(name).split()) == 1
    assert formats.id_in_run(formats.run_name(name)) == name


def test_a_name_of_a_foreign_run_stands_for_itself() -> None:
    assert formats.id_in_run("http://x/%C3%A9") == "http://x/%C3%A9"


@pytest.mark.parametrize("relevance", ["nan", "inf", "0.5", "much"])
def test_a_relevance_is_a_whole_number(tmp_path: Path, relevance: str) -> None:
    with pytest.raises(FormatError, match=rf"q:1: found '{relevance}', wanted a"):
        list(formats.read_qrels(write(tmp_path, "q", f"q1 0 d {relevance}\n")))


def test_questions_of_every_shape(tmp_path: Path) -> None:
    lines = [
        '{"_id": "b", "text": "one?"}',
        '{"id": "n", "question": "two?", "answers": ["gold"], "style": "phrase", "options": {"A": "x"},'
        ' "history": [{"role": "user", "text": "hi"}]}',
        "t\tthree?",
        "four?",
    ]
    beir, own, tsv, plain = formats.read_questions(write(tmp_path, "x", "\n".join(lines)))
    assert beir == Question("b", "one?")
    assert own == Question("n", "two?", (Turn("user", "hi"),), "phrase", {"A": "x"})
    assert tsv == Question("t", "three?")
    assert plain == Question("4", "four?")
    with pytest.raises(FormatError, match="wanted one of plain, phrase"):
        list(formats.read_questions(write(tmp_path, "y", '{"text": "?", "style": "rhyme"}')))
    with pytest.raises(FormatError, match=r"z.jsonl:2: found broken JSON"):
        list(formats.read_questions(write(tmp_path, "z.jsonl", '{"text": "?"}\nno JSON')))


@pytest.mark.parametrize("dump", [json.dumps, lambda turns: "\n".join(map(json.dumps, turns))])
def test_a_history_is_a_list_or_lines(tmp_path: Path, dump: object) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "text": "b"}]
    path = write(tmp_path, "h.json", dump(turns))  # type: ignore[operator]
    assert formats.read_history(path) == (Turn("user", "a"), Turn("assistant", "b"))
    with pytest.raises(FormatError, match="without a role"):
        formats.read_history(write(tmp_path, "i.json", '[{"role": "system", "content": "a"}]'))


def test_a_run_keeps_our_order_through_ties_and_unscored_hits(tmp_path: Path) -> None:
    hits = [Hit(Passage(n, ""), s) for n, s in [("a", 0.9), ("c", 0.5), ("b", 0.5), ("d", 8.0)]]
    path = str(tmp_path / "run.txt")
    assert formats.write_run(path, [("q 1", hits)], "ours") == 4
    rows = list(formats.read_run(path))
    assert [(q, p) for q, p, _ in rows] == [("q%201", p) for p in "acbd"]
    assert formats.read_rankings(path) == {"q%201": [*"acbd"]}
    scores = [score for _, _, score in rows]
    assert scores == sorted(set(scores), reverse=True)
    assert scores[1] == 0.5
    assert formats.write_run(path, [("q", [hits[0], Hit(Passage("d", ""), 8.0, scored=False)])], "ours") == 2
    tags = [line.split()[-1] for _, line in files.read_lines(path)]
    assert tags == ["ours", "ours-unscored"]


def test_qrels_of_trec_and_beir(tmp_path: Path) -> None:
    trec = write(tmp_path, "a", "q 0 d 2\n")
    beir = write(tmp_path, "b", "query-id\tcorpus-id\tscore\r\nq\td\t1\r\n")
    assert list(formats.read_qrels(trec)) == [("q", "d", 2)]
    assert list(formats.read_qrels(beir)) == [("q", "d", 1)]
    with pytest.raises(FormatError, match=r"c:1: found 2 columns"):
        list(formats.read_qrels(write(tmp_path, "c", "q d\n")))
    with pytest.raises(FormatError, match=r"d:1: found 'x', wanted a number"):
        list(formats.read_run(write(tmp_path, "d", "q Q0 d 1 x tag\n")))


def test_examples_come_back_as_they_were(tmp_path: Path) -> None:
    item = Example(
        "e",
        "squad",
        "rank",
        Question("q", "Who?", (Turn("user", "a"),), "phrase"),
        (Passage("p", "text", "title", Source("f.pdf", 2, 3, 9), {"k": "v"}),),
        "True",
    )
    path = str(tmp_path / "x.jsonl")
    assert formats.write_examples(path, [item]) == 1
    assert list(formats.read_examples(path)) == [item]
    with pytest.raises(FormatError, match="wanted one of instruct"):
        list(formats.read_examples(write(tmp_path, "y", '{"task": "sing"}')))


def test_an_answer_as_json_has_what_was_promised() -> None:
    hit = Hit(Passage("p", "text", "T", Source("f.pdf", 2, 3, 9)), 0.5, cut=4)
    answer = Answer(
        Question("q", "Who?"),
        "who",
        (hit,),
        (hit,),
        1,
        "He.",
        (Citation(0, 3, "p", 0.5, "f.pdf", 3, 9),),
        cuts=(Cut("p", 1, 5),),
        timings_s={"rank": 0.12345},
    )
    record = json.loads(json.dumps(formats.answer_record(answer)))
    assert record["citations"][0] == {
        "start": 0,
        "end": 3,
        "passage_id": "p",
        "relevance": 0.5,
        "source": "f.pdf",
        "source_start": 3,
        "source_end": 9,
    }
    assert record["ranked"][0]["source"] == "f.pdf"
    assert record["ranked"][0]["cut"] == 4
    assert "scored" not in record["ranked"][0]
    assert {"question", "text", "abstained", "retrieved", "read_k", "timings_s"} <= set(record)
