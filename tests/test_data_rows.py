"""Containers: every kind of file gives the same rows, and a broken one says where."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from rankrag.errors import FormatError, InvalidInputError, NotFoundError
from rankrag.files import Row, rows, whole_object
from rankrag.files.rows import CHUNK

RECORDS = [{"id": "a", "n": 1, "list": ["x"]}, {"id": "b", "n": 2, "list": []}]


def test_every_container_gives_the_same_rows(tmp_path: Path) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    contents = {
        "a.jsonl": lines,
        "b.json": json.dumps(RECORDS),
        "c.json": json.dumps({"version": "1", "data": RECORDS}),
        "d.json": json.dumps(RECORDS, indent=2),
        "e.json": lines,
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    with gzip.open(tmp_path / "f.jsonl.gz", "wt") as stream:
        stream.write(lines)
    with lzma.open(tmp_path / "g.json.xz", "wt") as stream:
        stream.write(json.dumps(RECORDS))
    for path in sorted(tmp_path.iterdir()):
        assert [row.values for row in rows(str(path))] == RECORDS, path.name


def test_parquet_and_csv_give_rows_too(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    assert [row.values for row in rows(str(tmp_path / "a.parquet"))] == RECORDS
    (tmp_path / "a.csv").write_text('id,text\n1,"two\nlines"\n2,b\n')
    found = list(rows(str(tmp_path / "a.csv")))
    assert [(row.line, row.text("text")) for row in found] == [(3, "two\nlines"), (4, "b")]


def test_an_array_is_read_across_the_borders_of_chunks(tmp_path: Path) -> None:
    records = [{"text": str(n) + "é\n" * (CHUNK // 7)} for n in range(20)]
    (tmp_path / "a.json").write_text(json.dumps(records, indent=1, ensure_ascii=False))
    found = list(rows(str(tmp_path / "a.json")))
    assert [row.values for row in found] == records
    assert [row.line for row in found] == [2 + 3 * n for n in range(20)]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', 2),
        ("a.json", '[\n{"a": 1},\n{"a": oops},\n{"a": 2}\n]' + " " * 50, 3),
        ("a.json", '[\n{"a": 1},\n{"a": "cut', 3),
        ("a.json", '[\n{"a": 1},\n3\n]', 3),
        ("a.json", '[\n{"a": 1}\n', 3),
        ("a.csv", "a,b\n1,2\n1,2,3\n", 3),
        ("a.parquet", "not parquet", 1),
    ],
)
def test_a_broken_file_names_its_line(tmp_path: Path, name: str, text: str, line: int) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError) as caught:
        list(rows(str(tmp_path / name)))
    assert caught.value.line == line
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_missing_or_unknown_file_is_said_in_one_line(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.json", "a.parquet", "a.csv"):
        with pytest.raises(NotFoundError, match="found no file"):
            list(rows(str(tmp_path / name)))
        (tmp_path / "folder").joinpath(name).mkdir(parents=True)
        with pytest.raises(NotFoundError, match=r"found the folder .*, wanted a file"):
            list(rows(str(tmp_path / "folder" / name)))
    with pytest.raises(InvalidInputError, match=r"wanted one of \.jsonl"):
        list(rows(str(tmp_path / "a.xlsx")))


def test_half_a_character_in_an_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": "\\ud83d\\ude00"},\n{"a": "\\ud83d"}]')
    with pytest.raises(FormatError, match=r"a\.json:2: found half of a surrogate pair"):
        list(rows(str(tmp_path / "a.json")))
    (tmp_path / "b.json").write_text('{"a": {"b": "\\ud83d"}}')
    with pytest.raises(FormatError, match=r"b\.json: found half of a surrogate pair"):
        whole_object(str(tmp_path / "b.json"))


def test_a_row_refuses_what_is_not_there_or_of_another_type() -> None:
    row = Row("f.jsonl", 7, {"text": "a", "number": 3, "flag": True, "list": ["a", 1], "null": None})
    assert (row.text("text"), row.text("number"), row.optional("null")) == ("a", "3", "")
    asks: list[tuple[Callable[[], object], str]] = [
        (lambda: row.text("missing"), "found no 'missing'"),
        (lambda: row.text("flag"), "of type bool"),
        (lambda: row.text("list"), "of type list"),
        (lambda: row.texts("list"), "wanted a list of texts"),
        (lambda: row.items("text"), "wanted a list"),
        (lambda: row.rows("list"), "wanted an object"),
        (lambda: row.row("text"), "wanted an object"),
    ]
    for ask, words in asks:
        with pytest.raises(FormatError, match=words) as caught:
            ask()
        assert str(caught.value).startswith("f.jsonl:7: ")


def test_a_whole_object_is_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": {"b": 1}}')
    assert whole_object(str(tmp_path / "a.json")).row("a").values == {"b": 1}
    (tmp_path / "b.json").write_text("{\n oops")
    with pytest.raises(FormatError, match=r"b\.json:2: "):
        whole_object(str(tmp_path / "b.json"))
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(FormatError, match="found list"):
        whole_object(str(tmp_path / "c.json"))
