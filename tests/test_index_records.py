from __future__ import annotations

import csv
import gzip
import json
import lzma
from pathlib import Path

import pytest

from rankrag.errors import FormatError
from rankrag.index import records as records_module
from rankrag.index.records import records
from rankrag.types import Passage


def read(path: Path, after: int = 0) -> list[tuple[int, Passage]]:
    kind = path.with_suffix("").suffix if path.suffix in (".gz", ".xz") else path.suffix
    return [(r.number, r.passage) for r in records(path, path.name, kind, after)]


SHAPES = [
    {"_id": "a", "title": "T", "text": "one", "metadata": {"url": "u=1", "year": 1994}},
    {"id": "b", "title": "", "text": "two", "source": "nq"},
    {"id": 3, "contents": "three"},
    {"_id": "d", "title": "Only a title", "text": ""},
]


def test_json_lines_in_every_shape(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("\n".join(map(json.dumps, SHAPES)) + "\n\n")
    assert read(path) == [
        (1, Passage("a", "one", "T", None, {"url": "u=1", "year": "1994"})),
        (2, Passage("b", "two", "", None, {"source": "nq"})),
        (3, Passage("3", "three")),
        (4, Passage("d", "Only a title", "Only a title")),
    ]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_collections_and_going_on_within_one(tmp_path: Path, suffix: str, pack: object) -> None:
    assert callable(pack)
    path = tmp_path / f"c.jsonl{suffix}"
    path.write_bytes(pack("".join(f'{{"id": "{n}", "text": "t {n}"}}\n' for n in range(1, 6)).encode()))
    assert [number for number, _ in read(path, after=3)] == [4, 5]
    assert list(records(path, "c", ".jsonl"))[-1].read == path.stat().st_size
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(FormatError, match=rf"c.jsonl{suffix}: found broken compression"):
        read(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", r"c.jsonl:2: found broken JSON"),
        ("[1]", r"c.jsonl:2: found JSON that is no object"),
        ('{"id": "x"}', r"c.jsonl:2: found no text"),
        ('{"id": "x", "text": 5}', r"c.jsonl:2: found text of type number"),
        ('{"id": "x", "text": "\\ud800"}\udc80', r"c.jsonl:2: found JSON that cannot be read"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"id": "a", "text": "fine"}\n' + line.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=problem):
        read(path)


def test_half_a_surrogate_pair_becomes_storable(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a", "text": "x\\ud800y"}')
    assert read(path)[0][1].text == "x\ufffdy"


def test_a_line_that_memory_could_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "LONGEST_LINE", 1000)
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(FormatError, match=r"bomb.jsonl.gz:1: found more than 1,000 bytes on one line"):
        read(path)


@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_csv_with_a_column_of_text(tmp_path: Path, comma: str) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream, delimiter=comma)
        writer.writerows([["id", "title", "text", "lang"], ["1", "T", 'two\nlines, "quoted"', "en"]])
    assert read(path) == [(1, Passage("1", 'two\nlines, "quoted"', "T", None, {"lang": "en"}))]


def test_csv_without_one_gives_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "rivers.csv"
    path.write_bytes("river,length\nElbe,1094\n,\nSpree,\nMoldau,430 – or so\n".encode("cp1252"))
    found = read(path)
    assert found[0] == (
        1,
        Passage("rivers.csv#1", "river: Elbe\nlength: 1094", "", None, {"river": "Elbe", "length": "1094"}),
    )
    assert [(n, p.text) for n, p in found[1:]] == [
        (3, "river: Spree"),
        (4, "river: Moldau\nlength: 430 – or so"),
    ]
    assert read(path, after=3) == found[2:]


def test_csv_with_too_many_cells_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2,3\n")
    with pytest.raises(FormatError, match="row 1: found 3 cells, wanted 2 as in the header"):
        read(path)
