"""One sound document of every kind that is read, and what becomes of it when it is damaged or ill meant."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from test_index_parse import pdf
from test_reading_kinds import CODE, PAGE, docx, mail, paragraph

LARGEST = 400_000
"""Bytes of a document that is made here: a small file must not cost much."""


# ── sound ones ───────────────────────────────────────────────────────────────────────────────────────


def word() -> bytes:
    """Return a Word file with headings, a table, a note, a header and a comment."""
    cell = "<w:tc><w:tcPr><w:gridSpan w:val='2'/><w:vMerge w:val='restart'/></w:tcPr>{}</w:tc>".format
    row = f"<w:tr>{cell(paragraph('Room'))}{cell(paragraph('Area'))}</w:tr>"
    body = paragraph("Lease", "T") + f"<w:tbl>{row * 3}</w:tbl>"
    body += '<w:p><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="2"/></w:numPr></w:pPr>'
    body += '<w:r><w:t>Deposit.</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    return docx(
        body,
        styles='<w:style w:styleId="T"><w:name w:val="heading 1"/><w:basedOn w:val="T"/></w:style>',
        header=paragraph("Contract 4711"),
        footnotes=f'<w:footnote w:id="2">{paragraph("At 2 %")}</w:footnote>',
        comments=f'<w:comment w:id="0">{paragraph("Ask")}</w:comment>',
    )


def slides() -> bytes:
    """Return slides with a table, groups in groups and notes."""
    import pptx

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "Sales"
    slide.shapes.add_table(2, 2, 0, 0, 10**6, 10**6).table.cell(0, 0).text = "North"
    slide.shapes.add_group_shape().shapes.add_group_shape().shapes.add_textbox(
        0, 0, 9, 9
    ).text_frame.text = "in"
    slide.notes_slide.notes_text_frame.text = "Say hello."
    return saved(show.save)


def sheet() -> bytes:
    """Return a spreadsheet of two sheets."""
    import openpyxl

    book = openpyxl.Workbook()
    for n in range(20):
        book.worksheets[0].append(["bolt", n, 1.5, None, n % 2 == 0])
    book.create_sheet("Notes")["B2"] = "only a note"
    return saved(book.save)


def old_sheet() -> bytes:
    """Return a spreadsheet of Excel 97: a stream of records in a container of sectors."""

    def record(kind: int, data: bytes) -> bytes:
        return struct.pack("<HH", kind, len(data)) + data

    start = record(0x809, struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0))
    named = struct.pack("<BB", 5, 0) + b"Parts"
    place = len(start) + 4 + 6 + len(named) + 4
    book = start + record(0x85, struct.pack("<IBB", place, 0, 0) + named) + record(0x0A, b"")
    book += record(0x809, struct.pack("<HHHHII", 0x600, 16, 0, 0, 0, 0))
    for row in range(5):
        text = f"bolt {row}".encode()
        book += record(0x204, struct.pack("<HHHHB", row, 0, 0, len(text), 0) + text)
        book += record(0x203, struct.pack("<HHHd", row, 1, 0, row * 1.5))
    book = (book + record(0x0A, b"")).ljust(4096, b"\0")
    free, end, table = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    head = (
        bytes.fromhex("d0cf11e0a1b11ae1")
        + bytes(16)
        + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
        + bytes(6)
    )
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end, 0, end, 0) + struct.pack("<I", 0) + b"\xff" * 432
    fat = struct.pack("<II", table, end) + b"".join(struct.pack("<I", n) for n in range(3, 10))
    fat += struct.pack("<I", end)

    def entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
        letters = name.encode("utf-16-le") + b"\0\0"
        links = struct.pack("<HBBIII", len(letters), kind, 1, free, free, child)
        return letters.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", first, size)

    listed = entry("Root Entry", 5, 1, end, 0) + entry("Workbook", 2, free, 2, 4096) + bytes(256)
    return head + fat.ljust(512, b"\xff") + listed + book


def binary_sheet() -> bytes:
    """Return a spreadsheet whose parts are binary records."""

    def record(kind: int, data: bytes = b"") -> bytes:
        return bytes([kind] if kind < 128 else [kind & 127 | 128, kind >> 7]) + bytes([len(data)]) + data

    def wide(text: str) -> bytes:
        return struct.pack("<I", len(text)) + text.encode("utf-16-le")

    book = record(131) + record(143) + record(156, struct.pack("<II", 0, 1) + wide("rId1") + wide("Parts"))
    rows = b"".join(
        record(0, struct.pack("<I", n) + bytes(21)) + record(6, struct.pack("<II", 0, 0) + wide(f"bolt {n}"))
        for n in range(5)
    )
    extent = record(148, struct.pack("<IIII", 0, 4, 0, 0))
    first = record(129) + extent + record(145) + rows + record(146) + record(130)
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    return zipped(
        {
            "xl/workbook.bin": book + record(144) + record(132),
            "xl/worksheets/sheet1.bin": first,
            "xl/_rels/workbook.bin.rels": "<Relationships "
            'xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="rId1" Type="{kinds}/worksheet" Target="worksheets/sheet1.bin"/>'
            "</Relationships>",
        }
    )


def open_sheet() -> bytes:
    """Return a spreadsheet in the open format."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    cell = (
        '<table:table-cell table:number-columns-repeated="2" office:value-type="string"><text:p>bolt</text:p>'
    )
    row = f'<table:table-row table:number-rows-repeated="3">{cell}</table:table-cell></table:table-row>'
    body = f'<office:spreadsheet><table:table table:name="Parts">{row}</table:table></office:spreadsheet>'
    content = f"<office:document-content {spaces}><office:body>{body}</office:body></office:document-content>"
    what = "application/vnd.oasis.opendocument.spreadsheet"
    listed = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    return zipped({"mimetype": what, "META-INF/manifest.xml": listed, "content.xml": content})


def book() -> bytes:
    """Return a book of two chapters."""
    items = "".join(f'<item id="{n}" href="{n}.xhtml" media-type="application/xhtml+xml"/>' for n in "ab")
    order = "".join(f'<itemref idref="{n}"/>' for n in "ba")
    meta = "<metadata><title>The Boat</title><creator>A. Writer</creator></metadata>"
    chapter = "<html><body><h1>{}</h1><p>It sails.</p></body></html>".format
    return zipped(
        {
            "META-INF/container.xml": '<c><rootfile full-path="OPS/book.opf"/></c>',
            "OPS/book.opf": f"<package>{meta}<manifest>{items}</manifest><spine>{order}</spine></package>",
            "OPS/a.xhtml": chapter("Two"),
            "OPS/b.xhtml": chapter("One"),
        }
    )


def notebook() -> bytes:
    """Return a notebook with text, code and outputs."""
    output = {"output_type": "stream", "text": ["1094\n"], "data": {"text/plain": "42", "image/png": "AAAA"}}
    cells = [
        {"cell_type": "markdown", "source": ["# Rivers\n", "\n", "How long?"]},
        {"cell_type": "code", "source": "print(km)", "execution_count": 3, "outputs": [output]},
    ]
    return json.dumps({"cells": cells * 3, "nbformat": 4, "metadata": {"language": "python"}}).encode()


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """Return an archive of parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    """Return what something writes."""
    out = io.BytesIO()
    save(out)
    return out.getvalue()


MARKDOWN = (
    b"---\ntitle: Pump\n---\n# Pump\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```py\nx\n```\n\n- [a](b) **c**\n"
)
RST = b"=====\nTopic\n=====\n\n.. note:: Keep\n   dry.\n\n+---+---+\n| a | b |\n+---+---+\n\ntext::\n\n  x\n"
ROWS = [
    {"_id": f"r{n}", "title": f"T{n}", "text": f"word {n} " * 30, "kind": n, "more": {"a": [1]}}
    for n in range(9)
]
JSON_LINES = "\n".join(map(json.dumps, ROWS)).encode()
CSV = b'id,title,text,lang\n1,"A, b","two\nlines",en\n2,,more words,de\n' * 5


@cache
def sound() -> Mapping[str, bytes]:
    """Return a sound document of every kind by its ending, compressed ones among them."""
    box = b"".join(b"From ada\n" + mail().as_bytes() + b"\n\n" for _ in range(3))
    documents = {
        ".docx": word(),
        ".pptx": slides(),
        ".xlsx": sheet(),
        ".xls": old_sheet(),
        ".xlsb": binary_sheet(),
        ".ods": open_sheet(),
        ".odt": open_sheet(),  # a document is the same archive
        ".epub": book(),
        ".pdf": pdf("Setup", "Care \\(of\\) it", title="Pump"),
        ".html": PAGE.encode(),
        ".eml": mail().as_bytes(),
        ".mbox": box,
        ".ipynb": notebook(),
        ".md": MARKDOWN,
        ".rst": RST,
        ".txt": "Größe: plain text.\n\nMore of it.\n".encode("cp1252") * 20,
        ".py": CODE.encode(),
        ".js": b"// Opens.\nfunction open(flow) {\n  return flow * 2\n}\nclass Pump { start() { run() } }\n"
        * 9,
        ".jsonl": JSON_LINES,
        ".csv": CSV,
        ".tsv": CSV.replace(b",", b"\t"),
    }
    packed = {".jsonl.gz": gzip.compress(JSON_LINES), ".html.xz": lzma.compress(PAGE.encode())}
    return documents | packed


# ── damaged and ill meant ────────────────────────────────────────────────────────────────────────────

NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"65536",
    b"300000000",
    b"4294967296",
    b"-9223372036854775809",
    b"1e999",
    b"NaN",
    b"9" * 5000,
)
ODD = (
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"&#0;",
    b"&lt;",
    b"\r",
    b"\x1b[2J",
    b"\xe2\x80\xae",
    b"]]>",
    b"<!--",
)
BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
)


def damaged(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many endings and documents of theirs, each damaged in another way."""
    chance, kinds = random.Random(seed), list(sound().items())
    for number in range(count):
        ending, data = kinds[number % len(kinds)]
        for _ in range(chance.choice((1, 1, 2, 4))):
            data = change(data, chance)[:LARGEST]
        yield ending, data


def change(data: bytes, chance: random.Random) -> bytes:
    """Return a document changed in one way; of an archive or a compressed file mostly what is inside."""
    if chance.random() < 0.75:
        if data[:2] == b"PK":
            return inside(data, chance)
        for pack, mark in ((gzip, b"\x1f\x8b"), (lzma, b"\xfd7zXZ")):
            if data.startswith(mark):
                with contextlib.suppress(OSError, EOFError, zlib.error, lzma.LZMAError):  # broken earlier
                    changed: bytes = pack.compress(
                        chance.choice(TEXTS)(pack.decompress(data), chance)[: 2**22]
                    )
                    return changed
        if b"<" in data or b"{" in data or b" obj" in data or chance.random() < 0.5:
            return chance.choice(TEXTS)(data, chance)
    return chance.choice(BYTES)(data, chance)


def inside(data: bytes, chance: random.Random) -> bytes:
    """Return an archive with one of its parts changed, missing, twice, or under another's name."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # an earlier change broke it
        parts = {}
    if not parts:
        return chance.choice(BYTES)(data, chance)
    # Parts with words in them are read; pictures and themes mostly are not.
    names = [
        name for name in parts if re.search(r"document|slide\d|sheet|content|workbook|\.opf|html|rels", name)
    ]
    name, other = chance.choice(names or [*parts]), chance.choice([*parts])
    way = chance.randrange(10)
    if way == 0:
        del parts[name]
    elif way == 1:
        parts[name] = parts[other]
    else:
        change_part = chance.choice((*TEXTS, *TEXTS, *BYTES))
        parts[name] = change_part(parts[name], chance)[: 2**22]
    return zipped(parts)


def flip(data: bytes, chance: random.Random) -> bytes:
    """Change some bytes."""
    out = bytearray(data)
    for _ in range(min(len(out), chance.choice((1, 3, 20)))):
        out[chance.randrange(len(out))] = chance.choice((0, 255, 127, chance.randrange(256)))
    return bytes(out)


def cut(data: bytes, chance: random.Random) -> bytes:
    """End in the middle."""
    return data[: chance.randrange(len(data) + 1)]


def drop(data: bytes, chance: random.Random) -> bytes:
    """Leave a piece out."""
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.choice((1, 8, 100, 1000)) :]


def repeat(data: bytes, chance: random.Random) -> bytes:
    """Say a piece over and over."""
    start = chance.randrange(len(data) + 1)
    end = start + chance.choice((1, 10, 100))
    return data[:end] + data[start:end] * chance.choice((1, 10, 1000)) + data[end:]


def whole_numbers(data: bytes, chance: random.Random) -> bytes:
    """Write an extreme number over four bytes."""
    start = chance.randrange(len(data) + 1)
    return (
        data[:start]
        + chance.choice((b"\xff" * 4, b"\0" * 4, b"\0\0\0\x80", b"\xff\xff\xff\x7f"))
        + data[start + 4 :]
    )


def odd(data: bytes, chance: random.Random) -> bytes:
    """Put something that no text has somewhere."""
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.choice(ODD) * chance.choice((1, 1, 500)) + data[start:]


WINDOW = 5000
"""Bytes in which a place to change is looked for."""


def place_of(pattern: bytes, data: bytes, chance: random.Random) -> re.Match[bytes] | None:
    """Return one of the places where a pattern is found, None where it is not."""
    start = chance.randrange(max(1, len(data) - WINDOW))
    found = list(re.compile(pattern, re.DOTALL).finditer(data, start, start + WINDOW))
    return chance.choice(found) if found else None


def number(data: bytes, chance: random.Random) -> bytes:
    """Write another number over one that is there."""
    if (place := place_of(rb"\d+", data, chance)) is None:
        return odd(data, chance)
    return data[: place.start()] + chance.choice(NUMBERS) + data[place.end() :]


def tags(data: bytes, chance: random.Random) -> bytes:
    """Leave a tag or a bracket out, say it many times, or give it the place of another."""
    tag = rb"<[^<>]*>|[{}\[\]]"
    if (place := place_of(tag, data, chance)) is None or (other := place_of(tag, data, chance)) is None:
        return drop(data, chance)
    new = (b"", place.group() * chance.choice((2, 50, 3000)), other.group(), place.group()[:-1])
    return data[: place.start()] + chance.choice(new) + data[place.end() :]


def elements(data: bytes, chance: random.Random) -> bytes:
    """Say an element or an object many times, or put it into itself."""
    if (place := place_of(rb"<([\w:]+)[^<>]*>.*?</\1>|\{[^{}]*\}", data, chance)) is None:
        return repeat(data, chance)
    opening = re.match(rb"<[^<>]*>", place.group())
    new = place.group() * chance.choice((2, 100, 2000))
    if opening and chance.random() < 0.4:
        closing = place.group()[place.group().rindex(b"</") :]
        depth = chance.choice((10, 300, 5000))
        new = opening.group() * depth + place.group() + closing * depth
    return data[: place.start()] + new + data[place.end() :]


def attributes(data: bytes, chance: random.Random) -> bytes:
    """Give a tag very many attributes, or a very long one."""
    if (place := place_of(rb"<[\w:]+", data, chance)) is None:
        return odd(data, chance)
    many = b" ".join(b"a%d='x'" % n for n in range(chance.choice((5, 3000))))
    new = chance.choice((many, b"id='" + b"y" * 50_000 + b"'", b"style='color:red' class=\"a b\""))
    return data[: place.end()] + b" " + new + data[place.end() :]


def deep(data: bytes, chance: random.Random) -> bytes:
    """Nest something deeply, or bring entities that grow."""
    start = chance.randrange(len(data) + 1)
    new = chance.choice(
        (b"[", b'{"a":', b"<div>", b"<table><tr><td>", b"> ", b"- ", b"<<", b"(", b"<ul><li>")
    )
    if chance.random() < 0.2:
        return BOMB + data.replace(b"<", b"&c;<")
    return data[:start] + new * chance.choice((50, 2000, 20_000)) + data[start:]


BYTES = (flip, flip, cut, drop, repeat, whole_numbers, odd)
TEXTS = (number, number, tags, elements, elements, attributes, deep, odd, drop, repeat)
