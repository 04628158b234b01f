"""What stands in a PDF: tables keep rows and columns, and scanned pages are read where it is asked for."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

import pypdf
import pytest

from rankrag.errors import InvalidInputError
from rankrag.index import Settings, build, open_store
from rankrag.index.reading import ocr, parser_process
from rankrag.index.reading.parse import parse_bytes
from rankrag.index.reading.passages import passages_of_text
from rankrag.index.reading.pdf_tables import with_tables
from rankrag.index.reading.texts import Grid
from test_index_parse import pdf

Placed = tuple[int, int, str]
"""A word with its place in points, from the left and from the bottom."""

HEADER = ["", "Speed", "Weight", "Price"]
MODELS = [[f"Pump model {n}", f"{n * 10} rpm", f"{n}.5 kg", f"{n * 99}"] for n in range(1, 25)]


def drawn(*words: Placed) -> str:
    """Return a page on which the words are drawn in that order."""
    return "".join(f") Tj 1 0 0 1 {x} {y} Tm ({word}" for x, y, word in words)


def table(rows: list[list[str]], down: bool = False) -> str:
    cells = [
        (72 + 120 * column, 700 - 14 * row, cell)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
        if cell
    ]
    return drawn(*sorted(cells, key=lambda cell: (cell[0], -cell[1])) if down else cells)


@pytest.mark.parametrize("down", [False, True])
def test_a_table_keeps_rows_and_columns_and_its_header_in_each_passage(down: bool) -> None:
    found = parse_bytes(pdf(table([HEADER, *MODELS], down)), "pumps.pdf", ".pdf", words=40)
    passages = passages_of_text(found, "pumps.pdf", 40)
    assert len(passages) > 3
    assert all(passage.text.startswith("| Speed | Weight | Price\n") for passage in passages)
    lines = [line for passage in passages for line in passage.text.splitlines()[1:]]
    assert lines == [" | ".join(row) for row in MODELS]


def test_a_table_that_goes_on_has_its_header_on_the_next_page() -> None:
    pages = table([HEADER, *MODELS[:12]]), table(MODELS[12:]), table([row[:3] for row in MODELS[:12]])
    text = parse_bytes(pdf(*pages), "pumps.pdf", ".pdf", words=400).text
    assert [page.startswith("| Speed | Weight | Price\n") for page in text.split("\f")] == [True, True, False]


def test_text_around_a_table_stays_in_its_order() -> None:
    above = [
        (72, 760, "Pumps and what they weigh, as measured"),
        (72, 745, "by the works in the year before."),
    ]
    below = (72, 300, "Weights are without the base plate and oil.")
    page = drawn(*above) + table([HEADER, *MODELS[:5]]) + drawn(below)
    text = parse_bytes(pdf(page), "a.pdf", ".pdf").text
    assert text.index("works") < text.index("| Speed") < text.index("Pump model 5 | 50") < text.index("oil.")


def test_prose_in_two_columns_is_read_down() -> None:
    left = [f"left line {n} goes on to the" for n in range(6)]
    right = [f"right line {n} is another text" for n in range(6)]
    words = [(72, 700 - 14 * n, line) for n, line in enumerate(left)]
    words += [(320, 700 - 14 * n, line) for n, line in enumerate(right)]
    text = parse_bytes(pdf(drawn(*words)), "a.pdf", ".pdf").text
    assert " ".join(text.split()) == " ".join(left + right)
    assert "|" not in text


def test_a_list_in_columns_is_no_table() -> None:
    names = [f"apple{n}" for n in range(6)], [f"mango{n}" for n in range(6)], [f"zebra{n}" for n in range(6)]
    page = table([list(row) for row in zip(*names, strict=True)], down=True)
    text = parse_bytes(pdf(page), "a.pdf", ".pdf").text
    assert text.split() == [name for column in names for name in column]


def test_what_does_not_come_out_to_the_letter_stays_as_it_is_drawn() -> None:
    page = "a 1 2\nb 3 4\nc 5 6\n"
    assert with_tables(page, lambda: "a     1     2\nb     3     4\nc     5     7") == [page]
    found = with_tables(page, lambda: "a     1     2\nb     3     4\nc     5     6")
    assert [part.rows for part in found if isinstance(part, Grid)] == [
        [["a", "1", "2"], ["b", "3", "4"], ["c", "5", "6"]]
    ]


def test_a_page_drawn_letter_by_letter_is_read_in_words() -> None:
    line = "a hand had a good bone and one open bag"  # letters of Helvetica that are 0.556 wide
    widths = [0.278 if letter == " " else 0.556 for letter in line]
    places = [72 + 12 * sum(widths[:n]) for n in range(len(line))]
    letters = [
        f"1 0 0 1 {place:.2f} {y} Tm ({letter}"
        for y in (700, 680)
        for place, letter in zip(places, line, strict=True)
    ]
    page = pdf(") Tj ET BT /F1 12 Tf ".join(["", *letters]))
    assert parse_bytes(page, "a.pdf", ".pdf").text == f"{line}\n{line}"


def test_comments_on_a_page_and_files_in_a_pdf_are_read() -> None:
    from pypdf.annotations import FreeText, Link

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("A lease", "Page two")))
    writer.add_annotation(0, FreeText(text="Rent was paid.", rect=(0, 0, 9, 9)))
    writer.add_annotation(0, Link(url="https://example.org", rect=(0, 0, 9, 9)))
    writer.add_attachment("terms.txt", b"Pets are welcome.")
    writer.add_attachment("logo.png", b"x")
    out = io.BytesIO()
    writer.write(out)
    found = parse_bytes(out.getvalue(), "a.pdf", ".pdf")
    assert found.text == "A lease\n\nRent was paid.\fPage two\n\nterms.txt\n\nPets are welcome."
    assert [note for note in found.notes if "logo" in note] == [
        "attached logo.png: not read, it is of no kind that is read here"
    ]


def test_pages_without_lines_that_may_be_rows_are_not_laid_out() -> None:
    def fail() -> str:
        raise AssertionError

    prose = "\n".join(["a long line of prose that nobody would take for a row of a table"] * 9)
    assert with_tables(prose, fail) == [prose]


# ── scanned pages ────────────────────────────────────────────────────────────────────────────────────

SCAN = ["The tenant pays the rent by the third of each month.", "Heating costs are shared by area."]


def scan(folder: Path, *lines: str) -> None:
    """Write a PDF of one page that is a picture of the lines."""
    images = pytest.importorskip("PIL.Image")
    drawing, fonts = pytest.importorskip("PIL.ImageDraw"), pytest.importorskip("PIL.ImageFont")
    page = images.new("RGB", (1240, 1754), "white")
    for n, line in enumerate(lines):
        drawing.Draw(page).text((100, 120 + 60 * n), line, font=fonts.load_default(size=32), fill="black")
    folder.mkdir(exist_ok=True)
    page.save(folder / "scan.pdf", resolution=150)


@pytest.mark.slow
def test_a_scan_is_named_and_its_remedy_too(tmp_path: Path) -> None:
    scan(tmp_path / "scans", *SCAN)
    ((_, reason),) = build([str(tmp_path / "scans")], tmp_path / "idx").failed
    assert reason == "it holds no text, as a scan does: --ocr reads it"


@pytest.mark.slow
def test_a_scanned_page_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    scan(tmp_path / "scans", *SCAN)
    report = build([str(tmp_path / "scans")], tmp_path / "idx", Settings(ocr=True))
    assert [note for _, note in report.notes] == ["page 1 read by OCR"]
    (hit,) = open_store(tmp_path / "idx").search_words("heating costs", 5)
    assert hit.passage.text.splitlines() == SCAN
    assert hit.passage.source is not None
    assert hit.passage.source.page == 1


def mailed(folder: Path) -> bytes:
    """Return a mail with a scan attached."""
    letter = EmailMessage()
    letter["Subject"], letter["From"] = "The lease", "a@example.org"
    letter.set_content("The lease is attached.")
    scan(folder, *SCAN)
    letter.add_attachment((folder / "scan.pdf").read_bytes(), "application", "pdf", filename="scan.pdf")
    return letter.as_bytes()


@pytest.mark.parametrize("kind", ["pdf", "eml", "mbox"])
def test_scanned_pages_that_were_left_are_read_once_ocr_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def recognised(_data: bytes, pages: Sequence[int]) -> dict[int, str]:
        return dict.fromkeys(pages, " ".join(SCAN))

    monkeypatch.setattr(ocr, "recognised", recognised)
    monkeypatch.setattr(parser_process, "is_apart", lambda _: False)
    files, index = tmp_path / "files", tmp_path / "idx"
    files.mkdir()
    mail = mailed(tmp_path / "attached")
    if kind == "pdf":
        merged = pypdf.PdfWriter()
        merged.append(io.BytesIO(pdf("The lease begins in May.")))
        merged.append(tmp_path / "attached" / "scan.pdf")
        merged.write(files / "a.pdf")
    else:
        head = b"From a@example.org Mon Nov 30 10:00:00 2026\n" if kind == "mbox" else b""
        (files / f"a.{kind}").write_bytes(head + mail)
    for wanted, settings in (
        ("added", Settings()),
        ("unchanged", Settings()),
        ("replaced", Settings(ocr=True)),
    ):
        report = build([str(files)], index, settings)
        assert len(getattr(report, wanted)) == 1, report
    assert not report.failed
    assert any("Heating costs" in hit.passage.text for hit in open_store(index).search_words("heating", 5))
    for settings in (Settings(), Settings(ocr=True)):
        assert len(build([str(files)], index, settings).unchanged) == 1
    assert len(open_store(index).documents()[0].sha256) == 64


@pytest.mark.slow
@pytest.mark.skipif(bool(shutil.which("tesseract")), reason="tesseract may be sure of what is drawn here")
def test_what_no_recogniser_is_sure_of_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    scan(tmp_path, "")
    with pytest.raises(InvalidInputError, match="no recogniser is sure"):
        parse_bytes((tmp_path / "scan.pdf").read_bytes(), "scan.pdf", ".pdf", ocr=True)
