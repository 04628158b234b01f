from __future__ import annotations

import csv
import gzip
import json
import lzma
import re
from pathlib import Path

import pytest

from rankrag.errors import InvalidInputError
from rankrag.index.reading import json_lines as json_lines_module
from rankrag.index.reading.kinds import COLLECTIONS
from rankrag.index.reading.records import CollectionRecord, FromCollection, Told, Unreadable
from rankrag.types import Passage


def found_in(path: Path, after: int = 0) -> list[FromCollection]:
    kind = path.with_suffix("").suffix if path.suffix in (".gz", ".xz") else path.suffix
    return list(COLLECTIONS[kind].read(path, path.name, after))


def read(path: Path, after: int = 0) -> list[tuple[int, Passage]]:
    return [
        (item.number, item.passage) for item in found_in(path, after) if isinstance(item, CollectionRecord)
    ]


def problems(path: Path) -> list[str]:
    return [item.problem for item in found_in(path) if isinstance(item, Unreadable)]


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
    last = found_in(path)[-1]
    assert isinstance(last, CollectionRecord)
    assert last.read == path.stat().st_size
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InvalidInputError, match="found broken compression"):
        read(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", r"c.jsonl:2: found broken JSON"),
        ("[1]", r"c.jsonl:2: found JSON that is no object"),
        ('{"id": "x"}', r"c.jsonl:2: found no text"),
        ('{"id": "x", "text": 5}', r"c.jsonl:2: found text of type number"),
        ('{"id": "x", "text": null}', r"c.jsonl:2: found no text"),
        ('{"id": "x", "text": "a", "n": ' + "9" * 5000 + "}", r"c.jsonl:2: found JSON that cannot be read"),
        ('{"id": "x", "text": "a", "n": ' + "[" * 100_000, r"c.jsonl:2: found JSON that cannot be read"),
        ('{"id": "' + "x" * 1001 + '", "text": "a"}', r"c.jsonl:2: found an id of 1,001 characters"),
        ('{"id": "x", "text": "\\ud800"}\udc80', r"c.jsonl:2: found (broken JSON|JSON that cannot be read)"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "c.jsonl"
    after = b'\n{"id": "z", "text": "fine too"}\n'
    path.write_bytes(b'{"id": "a", "text": "fine"}\n' + line.encode("utf-8", "surrogateescape") + after)
    assert [number for number, _ in read(path)] == [1, 3]
    (found,) = problems(path)
    assert re.match(problem, found)


def test_half_a_surrogate_pair_becomes_storable(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a", "text": "x\\ud800y"}')
    assert read(path)[0][1].text == "x\ufffdy"


def test_a_line_that_memory_could_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines_module, "LONGEST_LINE", 1000)
    path = tmp_path / "long.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 100_000 + b'\n{"id": "a", "text": "fine"}'))
    assert problems(path) == ["long.jsonl.gz:1: found more than 1,000 bytes on one line"]
    assert read(path) == [(2, Passage("a", "fine"))]


def test_a_small_file_that_unpacks_to_millions_of_records_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.xz"
    path.write_bytes(lzma.compress(b'{"text": "a b"}\n' * 400_000, preset=0))
    with pytest.raises(InvalidInputError, match=r"unpacks to more than 4,194,304: unpack it yourself"):
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


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_every_row_of_a_long_table_goes_in(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    comma = "\t" if name == "t.tsv" else ","
    rows = [f"PN-{n}{comma}{n}" for n in range(200)]
    path.write_text("\n".join([f"part{comma}price", *rows, comma.join("abc")]))
    assert [p.attributes["part"] for _, p in read(path)] == [f"PN-{n}" for n in range(200)]
    assert problems(path) == [f"{name}:202: found 3 cells, wanted 2 as in the header"]


def test_csv_with_too_many_cells_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2,3\n\n4,5\n6,7,,\n")
    assert problems(path) == ["t.csv:2: found 3 cells, wanted 2 as in the header"]
    assert [(number, p.text) for number, p in read(path)] == [(3, "a: 4\nb: 5"), (4, "a: 6\nb: 7")]


def test_csv_whose_quote_is_never_closed_keeps_the_rows_after_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,text\n1,"one\nand"\n2,"5 inches, wide\n3,three\n4,four\n')
    assert [p.text for _, p in read(path)] == ["one\nand", "three", "four"]
    assert problems(path) == ["t.csv:4: found 3 cells, wanted 2 as in the header"]
    path.write_text('id,text\n2,"5 inches wide\n3,three\n')
    assert [p.text for _, p in read(path)] == ['"5 inches wide', "three"]
    assert found_in(path)[-1] == Told("line 2: a quote that is never closed, read as a sign")


def test_csv_says_its_separator_in_a_first_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nname;note\nAda;one, two, three\n")
    assert [p.text for _, p in read(path)] == ["name: Ada\nnote: one, two, three"]


@pytest.mark.parametrize(
    "content",
    [
        "sep=\t\r\nname\tnote\r\nAda\tone, two\r\n",
        '"name";note\nAda;one, two\n',
        'name;"note"\n"Ada";"one, two"\n',
        "\n\nname|note\nAda|one, two\n",
        "name\tnote\nAda\tone, two\n",
    ],
)
def test_csv_in_other_dialects(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode())
    assert [p.text for _, p in read(path)] == ["name: Ada\nnote: one, two"]


def test_csv_whose_header_goes_over_lines_or_has_signs_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('"name, title, degree";note\nAda;x\n')
    assert [p.text for _, p in read(path)] == ["name, title, degree: Ada\nnote: x"]
    path.write_text('"name\nin full",note\nAda,x\nBo,1,2\n')
    assert [p.text for _, p in read(path)] == ["name\nin full: Ada\nnote: x"]
    assert problems(path) == ["t.csv:4: found 3 cells, wanted 2 as in the header"]


def test_what_stands_above_the_header_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("# Stock of 2024\n\npart,price\nbolt,2\nnut,3\n")
    assert [p.text for _, p in read(path)] == ["part: bolt\nprice: 2", "part: nut\nprice: 3"]
    assert found_in(path)[-1] == Told("above the header, not read: # Stock of 2024")
    path.write_text("text\nHello, world\n")  # one column, whose cells are not quoted
    assert problems(path) == ["t.csv:2: found 2 cells, wanted 1 as in the header"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_records_in_wide_characters(tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / name
    lines = (
        ["id,text", "1,Größe", "2,서울"]
        if name == "t.csv"
        else ['{"id": 1, "text": "Größe"}', '{"text": "서울"}']
    )
    path.write_bytes("\r\n".join(lines).encode(encoding))
    assert [p.text for _, p in read(path)] == ["Größe", "서울"]


def test_columns_without_a_name_or_with_the_same_one_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,,name\nAda,x,Lovelace\n")
    assert [p.text for _, p in read(path)] == ["name: Ada\ncolumn 2: x\nname (2): Lovelace"]


@pytest.mark.parametrize("far", [0, 70_000])
def test_csv_in_a_legacy_encoding_wherever_it_shows(tmp_path: Path, far: int) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"city\n" + b"Berlin\n" * (far // 7) + "Besançon\n".encode("cp1252") * 2)
    assert read(path)[-1][1].text == "city: Besançon"
    assert found_in(path)[0] == Told("read as cp1252")


def test_json_lines_in_a_legacy_encoding(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(
        '{"id": "a", "text": "서울은 대한민국의 수도이다."}\n{"id": "b", "text": "x"}'.encode("cp949")
    )
    assert [p.text for _, p in read(path)] == ["서울은 대한민국의 수도이다.", "x"]
    assert found_in(path)[-1] == Told("read as cp949")


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (
            {"page_content": "body", "metadata": {"source": "s"}},
            Passage("c.jsonl#1", "body", "", None, {"source": "s"}),
        ),
        (
            {
                "lc": 1,
                "id": ["langchain", "Document"],
                "kwargs": {"page_content": "body", "metadata": {"a": 1}},
            },
            Passage("c.jsonl#1", "body", "", None, {"a": "1"}),
        ),
        ({"id": "t", "title": "Only a title"}, Passage("t", "Only a title", "Only a title")),
        ({"id": "", "text": "x"}, Passage("c.jsonl#1", "x")),
    ],
)
def test_records_of_other_tools(tmp_path: Path, record: object, wanted: Passage) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(record))
    assert read(path) == [(1, wanted)]


def test_attributes_are_bounded_and_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,note\nAda," + "word " * 40_000 + "\n")
    (item,) = found_in(path)
    assert isinstance(item, CollectionRecord)
    assert item.cut == ("note",)
    assert len(item.passage.attributes["note"]) == 1000
    assert item.passage.attributes["name"] == "Ada"
    assert len(item.passage.text) > 200_000
    wide = [f"c{n}" for n in range(20_000)]
    path.write_text(f"{','.join(wide)}\n{','.join(wide)}\n")
    (item,) = found_in(path)
    assert isinstance(item, CollectionRecord)
    assert sum(len(key) + len(value) for key, value in item.passage.attributes.items()) <= 16_000
    assert item.passage.text.endswith("c19999: c19999")


DPR = 'id\ttext\ttitle\n1\t"Aaron is ""a"" prophet."\tAaron\n2\tplain "quoted" words\tAaron\n'


@pytest.mark.parametrize("header", [True, False])
def test_tsv_as_dpr_has_it(tmp_path: Path, header: bool) -> None:
    path = tmp_path / "psgs.tsv"
    path.write_text(DPR if header else DPR.partition("\n")[2])
    assert read(path) == [
        (1, Passage("1", 'Aaron is "a" prophet.', "Aaron")),
        (2, Passage("2", 'plain "quoted" words', "Aaron")),
    ]


def test_tsv_with_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    path = tmp_path / "collection.tsv"
    path.write_text('0\t5" disks\n1\tsecond "line\n2\tlast\n')
    assert [(p.id, p.text) for _, p in read(path)] == [
        ("0", '5" disks'),
        ("1", 'second "line'),
        ("2", "last"),
    ]
