from __future__ import annotations

import codecs
import logging
import zipfile
from pathlib import Path

import pytest

from rankrag.errors import InvalidInputError
from rankrag.index.reading import compressed
from rankrag.index.reading.parse import parse
from rankrag.index.reading.texts import Text


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pdf(*pages: str, title: str = "") -> bytes:
    """Return a small PDF with one line of text a page, written by hand as ISO 32000 lays it out."""
    n = len(pages)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(n))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {n} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>"
    tail = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n{trailer}\n"
    return out + f"{tail}startxref\n{len(out)}\n%%EOF".encode()


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("a.md", "Intro line\n\n## The Guide ##\n\ntext", "The Guide"),
        ("a.md", "Underlined\n==========\n\ntext", "Underlined"),
        ("a.rst", "*****\nTopic\n*****\n\ntext", "Topic"),
        ("plain.txt", 'The "assert" statement\n**********************\n\nAssert.', 'The "assert" statement'),
        ("notes.txt", "no heading here", "notes"),
    ],
)
def test_title_is_the_first_heading_or_the_name(tmp_path: Path, name: str, content: str, title: str) -> None:
    found = parse(write(tmp_path, name, content), Path(name).suffix)
    assert (found.title, found.text) == (title, content)


@pytest.mark.parametrize(
    "data",
    [
        "Größe – ok\r\n".encode(),
        codecs.BOM_UTF8 + "Größe – ok\r\n".encode(),
        "Größe – ok\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "Größe – ok\r\n".encode("utf-16-be"),
        "Größe – ok\r\n".encode("utf-32"),
        "Größe – ok\r\n".encode("cp1252"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes) -> None:
    assert parse(write(tmp_path, "a.txt", data), ".txt").text == "Größe – ok\r\n"


@pytest.mark.parametrize(
    "data",
    [b"\x7fELF\x02\x01\0\0\0", bytes(range(1, 256)) * 20, b"\xff\xfe\x00", b"", b" \n\t "],
)
def test_rubbish_and_emptiness_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"binary|no text|byte order mark"):
        parse(write(tmp_path, "a.txt", data), ".txt")


def test_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "LARGEST", 10)
    with pytest.raises(InvalidInputError, match="it has 11 bytes, the most is 10: split it"):
        parse(write(tmp_path, "a.txt", "x" * 11), ".txt")


# ── HTML ─────────────────────────────────────────────────────────────────────────────────────────────


def test_html_gives_the_main_text_and_the_title(tmp_path: Path) -> None:
    body = "".join(f"<p>Paragraph {n} tells of the river Elbe and its many bridges.</p>" for n in range(8))
    page = (
        f"<html><head><title>The  Elbe</title><script>var x = 1;</script></head><body>"
        f"<nav><a href='/'>Home</a></nav><article><h1>Elbe</h1>{body}</article></body></html>"
    )
    found = parse(write(tmp_path, "a.html", page), ".html")
    assert found.title == "The Elbe"
    assert "Paragraph 7 tells of the river" in found.text
    assert "var x" not in found.text


def test_html_without_main_text_gives_all_of_it(tmp_path: Path) -> None:
    found = parse(write(tmp_path, "b.html", "<div>Käse</div><script>no()</script>"), ".html")
    assert (found.title, found.text) == ("b", "Käse")


def test_html_in_its_own_encoding(tmp_path: Path) -> None:
    page = '<html><head><meta charset="iso-8859-1"><title>Größe</title></head><body>Maß</body></html>'
    found = parse(write(tmp_path, "a.html", page.encode("latin-1")), ".html")
    assert (found.title, found.text) == ("Größe", "Maß")


# ── PDF ──────────────────────────────────────────────────────────────────────────────────────────────


def test_pdf_pages_are_joined_by_form_feeds(tmp_path: Path) -> None:
    found = parse(write(tmp_path, "a.pdf", pdf("First page.", "Second page.", title="Two pages")), ".pdf")
    assert found == Text("Two pages", "First page.\fSecond page.", (0, 12))


def test_broken_encrypted_and_empty_pdfs_say_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(tmp_path / "scan.pdf")
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    write(tmp_path, "broken.pdf", pdf("text")[:200])
    write(tmp_path, "rubbish.pdf", b"\x00\x01" * 500)
    reasons = {
        "scan": "--ocr reads it",
        "locked": "encrypted",
        "broken": "broken PDF",
        "rubbish": "broken PDF",
    }
    with caplog.at_level(logging.DEBUG):
        for name, reason in reasons.items():
            with pytest.raises(InvalidInputError, match=reason) as error:
                parse(tmp_path / f"{name}.pdf", ".pdf")
            assert "\n" not in str(error.value)
    assert not [record for record in caplog.records if record.name.startswith("pypdf")]
    assert capsys.readouterr() == ("", "")


# ── Office ───────────────────────────────────────────────────────────────────────────────────────────


def test_docx_paragraphs_and_tables_in_order(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_heading("Bridges", 1)
    document.add_paragraph("Before the table.")
    table = document.add_table(2, 2)
    for n, cell in enumerate(["river", "length", "Elbe", "1,094 km"]):
        table.cell(n // 2, n % 2).text = cell
    document.add_paragraph("After the table.")
    document.save(str(tmp_path / "a.docx"))
    found = parse(tmp_path / "a.docx", ".docx")
    assert found.title == "Bridges"
    expected = "Bridges\n\nBefore the table.\n\nriver | length\nElbe | 1,094 km\n\nAfter the table."
    assert found.text == expected


def test_pptx_slides_are_pages_with_notes(tmp_path: Path) -> None:
    import pptx

    show = pptx.Presentation()
    for n in (1, 2):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = f"Slide {n}"
        slide.placeholders[1].text = f"Body {n}"
        slide.notes_slide.notes_text_frame.text = f"Note {n}"
    show.save(str(tmp_path / "a.pptx"))
    found = parse(tmp_path / "a.pptx", ".pptx")
    assert found.title == "Slide 1"
    assert found.text == "Slide 1\n\nBody 1\n\nNote 1\fSlide 2\n\nBody 2\n\nNote 2"
    assert found.text[found.pages[1] :].startswith("Slide 2")


@pytest.mark.parametrize("kind", [".docx", ".pptx"])
def test_office_rubbish_and_bombs_are_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInputError, match=r"no (Office|Word) file"):
        parse(write(tmp_path, f"a{kind}", b"PK\x03\x04 rubbish"), kind)
    with zipfile.ZipFile(tmp_path / f"other{kind}", "w") as archive:
        archive.writestr("readme", "not an office file")
    with pytest.raises(InvalidInputError, match="it is no"):
        parse(tmp_path / f"other{kind}", kind)
    monkeypatch.setattr(compressed, "LARGEST", 4 * 2**20)
    with zipfile.ZipFile(tmp_path / f"bomb{kind}", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(5):
            archive.writestr(f"word/document{n}.xml", bytes(2**20))
    assert (tmp_path / f"bomb{kind}").stat().st_size < 2**15
    with pytest.raises(InvalidInputError, match="unpacks to"):
        parse(tmp_path / f"bomb{kind}", kind)
