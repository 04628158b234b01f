"""Containers: every kind of file gives the same rows, and a broken one says where."""

from __future__ import annotations

import gzip
import importlib.util
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from rankrag.data.rows import CHUNK, Row, rows, whole
from rankrag.errors import FailureError, FormatError, InvalidInputError, MissingExtraError, NotFoundError

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
    with pytest.raises(InvalidInputError, match=r"wanted one of \.jsonl"):
        list(rows(str(tmp_path / "a.xlsx")))


def test_a_hub_name_needs_its_parts() -> None:
    with pytest.raises(InvalidInputError, match="hub:OWNER/NAME:CONFIG:SPLIT"):
        list(rows("hub:rajpurkar/squad"))


@pytest.mark.skipif(
    importlib.util.find_spec("datasets") is not None, reason="the package datasets is installed"
)
def test_a_hub_dataset_needs_the_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"rankrag\[train\]"):
        list(rows("hub:rajpurkar/squad:plain_text:train"))


def test_a_hub_dataset_is_read_row_by_row(tmp_path: Path) -> None:
    """A folder stands for the hub: the same call, without a network."""
    pytest.importorskip("datasets")
    (tmp_path / "train.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    assert [(row.place, row.values) for row in rows(f"hub:{tmp_path}::train")] == [
        (1, {"a": 1}),
        (2, {"a": 2}),
    ]
    for wrong in (f"hub:{tmp_path}::validation", f"hub:{tmp_path}/gone::train"):
        with pytest.raises(FailureError, match="could not be read from the hub"):
            list(rows(wrong))


def test_a_download_that_breaks_off_is_said_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    whole_file = gzip.compress(b'{"a": 1}\n' * 5000)
    (tmp_path / "train.jsonl.gz").write_bytes(whole_file[: len(whole_file) // 2])
    with pytest.raises(FailureError, match="could not be read from the hub"):
        list(rows(f"hub:{tmp_path}::train"))


def test_what_the_hub_itself_refuses_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def refuse(*_: object, **__: object) -> None:
        raise datasets.exceptions.DefunctDatasetError("taken down\nby its authors")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(FailureError, match=r"hub:a/b::train: .*\(taken down by its authors\)"):
        list(rows("hub:a/b::train"))


def test_half_a_character_in_an_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": "\\ud83d\\ude00"},\n{"a": "\\ud83d"}]')
    with pytest.raises(FormatError, match=r"a\.json:2: found half of a surrogate pair"):
        list(rows(str(tmp_path / "a.json")))
    (tmp_path / "b.json").write_text('{"a": {"b": "\\ud83d"}}')
    with pytest.raises(FormatError, match=r"b\.json: found half of a surrogate pair"):
        whole(str(tmp_path / "b.json"))


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
    assert whole(str(tmp_path / "a.json")).row("a").values == {"b": 1}
    (tmp_path / "b.json").write_text("{\n oops")
    with pytest.raises(FormatError, match=r"b\.json:2: "):
        whole(str(tmp_path / "b.json"))
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(FormatError, match="found list"):
        whole(str(tmp_path / "c.json"))
