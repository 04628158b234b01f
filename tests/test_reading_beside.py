"""What stands beside the text of Office files, books and PDFs: it is read, or told."""

from __future__ import annotations

import io
import zipfile

import pypdf
import pytest
from pypdf.generic import DictionaryObject, NameObject, StreamObject

from test_index_parse import pdf
from test_reading_kinds import docx, paragraph, read, titles, written

SPACES = (
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:d="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:o="urn:schemas-microsoft-com:office:office" xmlns:v="urn:schemas-microsoft-com:vml"'
)
POINT = '<c:{0}><c:lit><c:pt idx="0"><c:v>{1}</c:v></c:pt></c:lit></c:{0}>'.format
CHART = (
    f"<c:chartSpace {SPACES}><c:chart><c:title><a:t>Sales</a:t></c:title><c:ser>"
    f"<c:tx><c:v>2024</c:v></c:tx>{POINT('cat', 'North')}{POINT('val', 1.5)}</c:ser></c:chart></c:chartSpace>"
)
DIAGRAM = f"<d:dataModel {SPACES}><a:p><a:r><a:t>Plan, do, check</a:t></a:r></a:p></d:dataModel>"


def run(inner: str) -> str:
    return f"<w:r {SPACES}>{inner}</w:r>"


def words(text: str) -> str:
    return run(f"<w:t>{text}</w:t>")


def test_charts_diagrams_and_embedded_files_of_word_stand_where_they_are_drawn() -> None:
    parts = {
        "chart": CHART.encode(),
        "diagramData": DIAGRAM.encode(),
        "package": docx(paragraph("In a file.")),
        "aFChunk": b"<p>From a page.</p>",
        "oleObject": b"\x00\x01",
    }
    ids = {name: f"r{n}" for n, name in enumerate(parts)}
    drawings = [
        f'<c:chart r:id="{ids["chart"]}"/>',
        f'<d:relIds r:dm="{ids["diagramData"]}"/>',
        *(f'<o:OLEObject r:id="{ids[name]}"/>' for name in ("package", "oleObject")),
    ]
    body = "".join(f"<w:p>{run(drawing)}</w:p>" for drawing in drawings)
    body += f'<w:altChunk {SPACES} r:id="{ids["aFChunk"]}"/>' + paragraph("End.")
    found = read("a.docx", docx(body, **parts))
    assert found.text.split("\n\n") == [
        *("Sales", "| 2024\nNorth | 1.5", "Plan, do, check"),
        *("package.docx", "In a file.", "aFChunk.htm", "From a page.", "End."),
    ]
    assert found.notes == ("attached oleObject.bin: not read, it is of no kind that is read here",)


def test_word_reads_what_stands_above_a_word_in_formulas_lists_and_answers() -> None:
    ruby = "<w:ruby><w:rt>{}</w:rt><w:rubyBase>{}</w:rubyBase></w:ruby>".format
    read_as = "".join(
        run(ruby(words("かん" if n else "じ"), words(sign))) for n, sign in ((1, "漢"), (0, "字"))
    )
    choice = '<w:ddList><w:result w:val="1"/><w:listEntry w:val="no"/><w:listEntry w:val="yes"/></w:ddList>'
    lines = [
        read_as + words("を学ぶ"),
        run(f"<w:fldChar><w:ffData>{choice}</w:ffData></w:fldChar>"),
        run('<w:pict><v:textpath string="DRAFT"/></w:pict>'),
        words("Text.") + run('<w:commentReference w:id="0"/>'),
    ]
    body = f"<m:oMathPara {SPACES}><m:r><m:t>E=m</m:t></m:r></m:oMathPara>"
    body += "".join(f"<w:p>{line}</w:p>" for line in lines)
    comments = "".join(
        f'<w:comment w:id="{n}">{paragraph(text)}</w:comment>' for n, text in enumerate(["Why?", "Because."])
    )
    found = read("a.docx", docx(body, comments=comments))
    assert found.text.split("\n\n") == [
        *("E=m", "漢字(かんじ)を学ぶ", "yes", "DRAFT", "Text.", "Why?", "Because."),
    ]


def test_sheets_have_their_comments_text_boxes_and_charts() -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")  # which comes with python-pptx

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    sheet = book.add_worksheet("Stock")
    sheet.write_row(0, 0, ["part", "price"])
    sheet.write_row(1, 0, ["bolt", 2])
    sheet.write_comment("A2", "Out of stock.")
    sheet.insert_textbox("D2", "Ask Ada.")
    for place in (sheet, book.add_chartsheet("Curve")):
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": "=Stock!$B$2:$B$2", "name": "Prices"})
        place.insert_chart("D9", chart) if place is sheet else place.set_chart(chart)
    book.add_chartsheet("Bare")
    book.close()
    found = read("a.xlsx", out.getvalue())
    stock = "Stock\n\npart | price\nbolt | 2\n\nAsk Ada.\n\n| Prices\n1 | 2\n\nA2: Out of stock."
    assert titles(found)[0] == ("a › Stock", stock)
    assert titles(found)[1] == ("a › Curve", "Curve\n\n| Prices\n1 | 2")


def test_formulas_that_nobody_worked_out_are_told() -> None:
    import openpyxl

    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["part", "=1+1", '="bolt"&"s"'])
    out = io.BytesIO()
    book.save(out)
    (note,) = read("a.xlsx", out.getvalue()).notes
    assert note == "2 formulas without a value: open it in a spreadsheet program and save it"


def test_comments_on_the_cells_of_libreoffice() -> None:
    names = ("office", "table", "text")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    cell = '<table:table-cell office:value-type="string">{}<text:p>bolt</text:p></table:table-cell>'
    note = "<office:annotation><text:p>Out of stock.</text:p></office:annotation>"
    row = f"<table:table-row>{cell.format(note)}</table:table-row>"
    table = f'<table:table table:name="Stock">{row}</table:table>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        content = f"<office:body><office:spreadsheet>{table}</office:spreadsheet></office:body>"
        archive.writestr(
            "content.xml", f"<office:document-content {spaces}>{content}</office:document-content>"
        )
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    assert read("a.ods", out.getvalue()).text == "Stock\n\nbolt\n\nOut of stock."


def test_slides_have_comments_embedded_files_and_shapes_with_formulas() -> None:
    import pptx
    from lxml import etree
    from pptx.enum.shapes import PROG_ID
    from pptx.opc.package import Part
    from pptx.opc.packuri import PackURI

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[6])
    slide.shapes.add_ole_object(io.BytesIO(docx(paragraph("In a file."))), PROG_ID.DOCX, 0, 0, 9, 9)
    markup = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    shape = "<mc:{0}><a:p><a:r><a:t>{1}</a:t></a:r>{2}</a:p></mc:{0}>".format
    forms = shape("Choice", "Energy: ", "<m:oMath><m:t>E=m</m:t></m:oMath>") + shape("Fallback", "never", "")
    alternative = f'<mc:AlternateContent xmlns:mc="{markup}" {SPACES}>{forms}</mc:AlternateContent>'
    slide.shapes._spTree.append(etree.fromstring(alternative))
    comments = Part(
        PackURI("/ppt/comments/comment1.xml"),
        "application/vnd.openxmlformats-officedocument.presentationml.comments+xml",
        show.part.package,
        b'<p:cmLst xmlns:p="p"><p:cm><p:text>Too long?</p:text></p:cm></p:cmLst>',
    )
    slide.part.relate_to(
        comments, "http://schemas.openxmlformats.org/officeDocument/2006/relationships/comments"
    )
    out = io.BytesIO()
    show.save(out)
    text = read("a.pptx", out.getvalue()).text
    for words in ("In a file.", "Energy: E=m", "Too long?"):
        assert text.count(words) == 1, words
    assert "never" not in text


def test_chapters_of_a_book_that_are_drawn_missing_or_in_another_encoding() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="book.opf"/></c>')
        items = '<item id="a" href="a.xhtml"/><item id="b" href="b.svg" media-type="image/svg+xml"/>'
        spine = "".join(f'<itemref idref="{name}"/>' for name in "abc")
        archive.writestr("book.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        archive.writestr("a.xhtml", "<html><body>倉庫の在庫を毎週数えます。</body></html>".encode("cp932"))
        archive.writestr("b.svg", "<svg xmlns='http://www.w3.org/2000/svg'><text>A map</text></svg>")
    found = read("a.epub", out.getvalue())
    assert found.text == "倉庫の在庫を毎週数えます。\n\nA map"
    assert found.notes == ("read as cp932: a.xhtml", "chapters that are not there: c")


# ── PDF ──────────────────────────────────────────────────────────────────────────────────────────────


def with_picture(page: str, width: int, height: int) -> bytes:
    """Return a PDF of that page and a picture on it."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(page, "A page of text.")))
    picture = StreamObject()
    for name, value in {"/Subtype": NameObject("/Image"), "/Width": width, "/Height": height}.items():
        picture[NameObject(name)] = (
            value if isinstance(value, NameObject) else pypdf.generic.NumberObject(value)
        )
    resources = writer.pages[0]["/Resources"]
    assert isinstance(resources, DictionaryObject)
    resources[NameObject("/XObject")] = DictionaryObject({NameObject("/P"): writer._add_object(picture)})
    return written(writer)


@pytest.mark.parametrize(
    ("page", "size", "told"),
    [("Page 17", 1000, True), ("The lid of the pump", 1000, False), ("Page 17", 100, False)],
)
def test_a_scan_with_no_more_than_its_number_is_named(page: str, size: int, told: bool) -> None:
    found = read("a.pdf", with_picture(page, size, size))
    assert found.text.startswith(page)
    assert bool(found.notes) == told


@pytest.mark.parametrize("page", ["\x01\x02\x03 \x04\x05", "/g71/g108/g121 /g98/g101"])
def test_signs_of_a_font_that_does_not_say_its_letters_are_no_text(page: str) -> None:
    found = read("a.pdf", pdf(page, "A page of text."))
    assert found.text.strip() == "A page of text."
    assert found.notes == ("page 1 without text (1 of 2): scanned? --ocr reads them",)


@pytest.mark.parametrize("step", [(0, 14), (30, 0)])
def test_a_word_that_is_drawn_letter_by_letter_is_a_word(step: tuple[int, int]) -> None:
    x, y = step
    letters = [f"{72 + x * n} {700 - y * n} Tm ({letter}" for n, letter in enumerate("CONTENTS")]
    prose = [f"72 {500 - 14 * n} Tm (a line of prose" for n in range(9)]
    page = "".join(f") Tj 1 0 0 1 {drawn}" for drawn in [*letters, *prose])
    assert read("a.pdf", pdf(page)).text.split("\n")[0] == "CONTENTS"


def test_a_form_that_only_one_program_shows_is_told() -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("Please wait...")))
    writer._root_object[NameObject("/AcroForm")] = DictionaryObject({NameObject("/XFA"): StreamObject()})
    assert "XFA" in read("a.pdf", written(writer)).notes[0]
