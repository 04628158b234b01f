"""What is read of each kind of document, and what is told of the rest."""

from __future__ import annotations

import base64
import email.message
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pytest

from rankrag.errors import InvalidInputError
from rankrag.index.reading import File, ReadSettings
from rankrag.index.reading.parse import parse_bytes
from rankrag.index.reading.passages import passages_of_text, read_portions
from rankrag.index.reading.texts import Text
from rankrag.index.reading.walk import find_kind


def read(name: str, data: str | bytes) -> Text:
    ending = "." + name.rpartition(".")[2]
    return parse_bytes(data if isinstance(data, bytes) else data.encode(), name, ending)


def titles(text: Text, words: int = 100) -> list[tuple[str, str]]:
    return [(p.title, p.text) for p in passages_of_text(text, "name", words)]


# ── Word ─────────────────────────────────────────────────────────────────────────────────────────────

W = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:v="urn:schemas-microsoft-com:vml"'
)


def paragraph(text: str, style: str = "") -> str:
    style = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{style}<w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(body: str, **parts: str | bytes) -> bytes:
    """Return a Word file with that body; `parts` are further parts by kind (`footnotes`, `header`, ...).

    Bytes are parts that are not of Word's own XML. The ids of parts are r0, r1, ... in their order.
    """
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relation = '<Relationship Id="r{}" Type="{}/{}" Target="{}"/>'
    package = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    names = {kind: kind + ENDINGS.get(kind, ".xml") for kind in parts}
    related = "".join(relation.format(n, kinds, kind, name) for n, (kind, name) in enumerate(names.items()))
    main = relation.format(0, kinds, "officeDocument", "word/document.xml")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("_rels/.rels", f"<Relationships {package}>{main}</Relationships>")
        archive.writestr(
            "word/_rels/document.xml.rels", f"<Relationships {package}>{related}</Relationships>"
        )
        archive.writestr("word/document.xml", f"<w:document {W}><w:body>{body}</w:body></w:document>")
        for kind, content in parts.items():
            part = f"<w:{kind} {W}>{content}</w:{kind}>" if isinstance(content, str) else content
            archive.writestr(f"word/{names[kind]}", part)
    return out.getvalue()


ENDINGS = {"package": ".docx", "aFChunk": ".htm", "oleObject": ".bin"}


def test_word_files_are_read_whole_and_in_order() -> None:
    cell = "<w:tc>{}</w:tc>".format
    control = "<w:sdt><w:sdtPr/><w:sdtContent>{}</w:sdtContent></w:sdt>".format
    run = "<w:r><w:t>{}</w:t></w:r>".format
    nested = f"<w:tbl><w:tr>{cell(paragraph('inner'))}{cell(paragraph('value'))}</w:tr></w:tbl>"
    body = (
        paragraph("Lease", "T")
        + f'<w:p>{run("Deposit.")}<w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
        + control(paragraph("In a block control"))
        + f"<w:p>{run('Rent: ')}{control(run('1,250 euros'))}</w:p>"
        + f"<w:p>{run('Notice: ')}<w:del><w:r><w:delText>six weeks</w:delText></w:r></w:del>"
        + f"<w:ins>{run('three months')}</w:ins></w:p>"
        + f"<w:p>{run('Call ')}<w:hyperlink>{run('us')}</w:hyperlink></w:p>"
        + f"<w:p>{run('Box:')}<w:r><w:pict><v:shape><v:textbox><w:txbxContent>{paragraph('in the box')}"
        + "</w:txbxContent></v:textbox></v:shape></w:pict></w:r></w:p>"
        + f"<w:tbl><w:tr>{cell(paragraph('Room'))}{cell(paragraph('Area'))}</w:tr>"
        + f"<w:tr>{cell(paragraph('Kitchen') + nested)}{control(cell(paragraph('14 sqm')))}</w:tr></w:tbl>"
        + '<w:p><w:r><w:commentReference w:id="0"/></w:r></w:p>'
    )
    found = read(
        "a.docx",
        docx(
            body,
            styles='<w:style w:styleId="T"><w:name w:val="Title"/></w:style>',
            header=paragraph("Contract 4711"),
            footer=paragraph("Page of the lease"),
            footnotes='<w:footnote w:id="0" w:type="separator"/>'
            f'<w:footnote w:id="2">{paragraph("At 2 %")}</w:footnote>',
            comments=f'<w:comment w:id="0">{paragraph("Ask the owner")}</w:comment>',
        ),
    )
    assert found.title == "Lease"
    assert found.text.split("\n\n") == [
        "Contract 4711", "Lease", "Deposit.", "At 2 %", "In a block control", "Rent: 1,250 euros",
        "Notice: three months", "Call us", "Box:", "in the box", "Room | Area\nKitchen | 14 sqm",
        "inner | value",
        "Ask the owner", "Page of the lease",
    ]  # fmt: skip


def test_headings_of_word_are_sections_in_any_language() -> None:
    styles = (
        '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:styleId="Own"><w:basedOn w:val="berschrift1"/></w:style>'
    )
    body = (
        paragraph("Rent", "berschrift1")
        + paragraph("It is due.")
        + paragraph("Keys", "Own")
        + paragraph("Two.")
    )
    found = read("lease.docx", docx(body, styles=styles))
    assert titles(found) == [("Rent", "Rent\n\nIt is due."), ("Rent › Keys", "Keys\n\nTwo.")]


def test_a_long_table_repeats_its_header_row() -> None:
    import docx as python_docx

    document = python_docx.Document()
    table = document.add_table(60, 2)
    for n, row in enumerate(table.rows):
        row.cells[0].text, row.cells[1].text = (
            ("river", "its length") if n == 0 else (f"river {n}", f"{n} km long")
        )
    out = io.BytesIO()
    document.save(out)
    passages = titles(parse_bytes(out.getvalue(), "rivers.docx", ".docx", 50), 50)
    assert len(passages) > 5
    assert all(text.startswith("river | its length\n") for _, text in passages)
    rows = [line for _, text in passages for line in text.splitlines()[1:]]
    assert rows == [f"river {n} | {n} km long" for n in range(1, 60)]


# ── slides, sheets ───────────────────────────────────────────────────────────────────────────────────


def test_slides_give_charts_tables_groups_and_notes() -> None:
    import pptx
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "Sales"
    data = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["North", "South"]
    data.add_series("2024", (1.5, 2))  # type: ignore[no-untyped-call]
    data.add_series("2025", (3, None))  # type: ignore[no-untyped-call]
    frame = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 10**6, 10**6, data)
    frame.chart.has_title = True
    frame.chart.chart_title.text_frame.text = "Units sold"
    group = slide.shapes.add_group_shape()
    group.shapes.add_group_shape().shapes.add_textbox(0, 0, 9, 9).text_frame.text = "deep in groups"
    slide.notes_slide.notes_text_frame.text = "Say hello."
    show.slides.add_slide(show.slide_layouts[6])
    out = io.BytesIO()
    show.save(out)
    found = read("a.pptx", out.getvalue())
    assert found.title == "Sales"
    assert found.text.split("\f")[0].split("\n\n") == [
        "Sales", "Units sold", "| 2024 | 2025\nNorth | 1.5 | 3\nSouth | 2 |", "deep in groups", "Say hello.",
    ]  # fmt: skip
    assert found.notes == ("slide 2 holds no text: pictures?",)


def test_sheets_are_sections_with_their_header_row() -> None:
    import datetime

    import openpyxl

    book = openpyxl.Workbook()
    first = book.active
    assert first is not None
    first.title = "Stock"
    for row in [
        ["part", "price", "since"],
        ["bolt", 1.5, datetime.date(2024, 2, 1)],
        [None, None, None],
        ["nut", 2, None],
    ]:
        first.append(row)
    book.create_sheet("Notes")["B2"] = "only a note"
    out = io.BytesIO()
    book.save(out)
    found = read("parts.xlsx", out.getvalue())
    assert titles(found) == [
        ("parts › Stock", "Stock\n\npart | price | since\nbolt | 1.5 | 2024-02-01\nnut | 2 |"),
        ("parts › Notes", "Notes\n\nonly a note"),
    ]
    with pytest.raises(InvalidInputError, match=r"no spreadsheet|no Excel"):
        read("a.xlsx", b"PK\x03\x04 rubbish")


# ── HTML, books ──────────────────────────────────────────────────────────────────────────────────────

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<html><head><title>Pump manual</title><style>p { color: red }</style></head><body>
<nav><a href="/">Home</a></nav>
<h1>Pump manual</h1><p>Bleed the
pump<br>first; the <b>valve</b> sits low.</p>
<aside>Never run it dry.</aside>
<figure><img src="data:image/png;base64,AAAA" alt="cross-section">
<figcaption>Figure 1: the lid</figcaption></figure>
<table><caption>Sizes</caption><tr><th>type</th><th>flow</th></tr><tr><td>A</td><td>3 l</td></tr></table>
<h2>Care<a class="headerlink" href="#care">¶</a></h2><ul><li>Oil it.</li><li>Clean <p>it</p></li></ul>
<pre>start
  stop</pre>
<div><a href=1>One</a> <a href=2>Two</a> <a href=3>Three</a> <a href=4>Four</a></div>
<script>never()</script></body></html>"""


def test_html_keeps_asides_captions_tables_and_sections() -> None:
    found = read("a.html", PAGE)
    assert titles(found, 0) == [
        (
            "Pump manual",
            "Pump manual\n\nBleed the pump\nfirst; the valve sits low.\n\nNever run it dry.\n\n"
            "cross-section\n\n"
            "Figure 1: the lid\n\nSizes\n\ntype | flow\nA | 3 l",
        ),
        ("Pump manual › Care", "Care\n\n- Oil it.\n\n- Clean\n\nit\n\nstart\n  stop"),
    ]


def test_html_keeps_what_stands_beside_its_main_part() -> None:
    words = "words of the main part " * 5
    page = f"<nav>menu</nav><main>{words}<aside>inner</aside></main><aside>Mind the step.</aside>"
    assert read("a.html", page).text == f"{words.strip()}\n\ninner\n\nMind the step."
    page = f"<article>{words}</article><p>More of it.</p>"
    assert read("a.html", page).text.endswith("More of it.")


def test_html_keeps_what_it_unfolds_draws_and_explains_above_a_word() -> None:
    ruby = "<ruby>東京<rt>とうきょう</rt></ruby>で"
    ruby += "<ruby>漢<rp>(</rp><rt>かん</rt></ruby><ruby>字<rt>じ</rt></ruby>を"
    page = f"""<h1><ruby>本<rt>ほん</rt></ruby></h1><p>{ruby}</p><button>Send</button>
<button aria-expanded=false>Costs</button><div hidden>Ten</div><button>How long does it take?</button>
<div style="display:none">A day</div><svg><title>icon</title><text>lid</text></svg>
<p><math><mi>E</mi><mo>=</mo><mi>m</mi><annotation>E=m</annotation></math></p>"""
    assert read("a.html", page).text.split("\n\n") == [
        "本 (ほん)",
        "東京(とうきょう)で漢字(かんじ)を",
        *("Costs", "Ten", "How long does it take?", "A day", "lid", "E=m"),
    ]


def test_a_page_of_links_keeps_them() -> None:
    links = "".join(f"<li><a href={n}>Manual {n}</a></li>" for n in range(5))
    assert read("a.html", f"<h1>All</h1><ul>{links}</ul>").text.count("Manual") == 5
    assert "Manual" not in read("a.html", f"<ul>{links}</ul>" + "<p>Far more text than links.</p>" * 5).text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp949", "shift_jis"])
def test_html_in_any_encoding(encoding: str) -> None:
    title = "펌프 설명서" if encoding != "shift_jis" else "ポンプの説明書"
    declared = "" if encoding == "cp949" else f'<meta charset="{encoding}">'
    page = f"<html><head>{declared}<title>{title}</title></head><body><p>{title}, {title}.</p></body></html>"
    found = read("a.html", page.encode(encoding))
    assert (found.title, found.text) == (title, f"{title}, {title}.")
    assert found.notes == (("read as cp949",) if encoding == "cp949" else ())


def test_libreoffice_s_files_are_read_with_all_that_stands_in_a_paragraph() -> None:
    names = {"o": "office", "t": "text", "d": "drawing", "b": "table", "p": "presentation"}
    spaces = (f'xmlns:{a}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for a, name in names.items())
    note = (
        "<t:note><t:note-citation>1</t:note-citation><t:note-body><t:p>Monthly.</t:p></t:note-body></t:note>"
    )
    cell = '<b:table-cell b:number-columns-repeated="2"><t:p>a</t:p></b:table-cell>'
    inner = f"<b:table><b:table-row>{cell}<b:covered-table-cell/></b:table-row></b:table>"
    body = f"""<d:page><d:frame p:class="title"><d:text-box><t:p>Pump</t:p></d:text-box></d:frame>
      <t:tracked-changes><t:p>deleted</t:p></t:tracked-changes><t:h t:outline-level="2">Care</t:h>
      <t:p>Oil<t:s t:c="2"/>the <t:span>pump{note}</t:span><o:annotation><t:p>Really?</t:p></o:annotation>,
      <t:line-break/>then rest.</t:p><t:p><t:ruby><t:ruby-base>本</t:ruby-base><t:ruby-text>ほん</t:ruby-text>
      </t:ruby></t:p><b:table><b:table-header-rows><b:table-row>{cell}
      <b:table-cell><t:p>x</t:p>{inner}</b:table-cell></b:table-row></b:table-header-rows></b:table></d:page>"""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("content.xml", f"<o:body {' '.join(spaces)}>{body}</o:body>")
    found = read("a.odp", out.getvalue())
    assert found.text.split("\n\n") == [
        "Pump", "Care", "Oil  the pump, \nthen rest.", "Monthly.", "Really?", "本 (ほん)", "a | a | x",
        "a | a |",
    ]  # fmt: skip
    assert (found.title, found.pages) == ("Pump", (0,))


def test_books_are_read_in_their_order() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="OPS/book.opf"/></c>')
        items = "".join(
            f'<item id="{n}" href="{n}.xhtml" media-type="application/xhtml+xml"/>' for n in "abc"
        )
        order = "".join(f'<itemref idref="{n}"/>' for n in "bac")
        meta = "<metadata><title>The Boat</title><creator>A. Writer</creator></metadata>"
        archive.writestr(
            "OPS/book.opf", f"<package>{meta}<manifest>{items}</manifest><spine>{order}</spine></package>"
        )
        archive.writestr("OPS/a.xhtml", "<html><body><h1>Two</h1><p>It sails.</p></body></html>")
        archive.writestr("OPS/b.xhtml", "<html><body><h1>One</h1><p>It is built.</p></body></html>")
    found = read("boat.epub", out.getvalue())
    assert titles(found) == [
        ("The Boat › One", "One\n\nIt is built."),
        ("The Boat › Two", "Two\n\nIt sails."),
    ]
    assert found.attributes == {"author": "A. Writer"}
    assert found.notes == ("chapters that are not there: OPS/c.xhtml",)


# ── PDF ──────────────────────────────────────────────────────────────────────────────────────────────


def pdf_pages(*texts: str) -> list[object]:
    from pypdf import PdfReader

    from test_index_parse import pdf

    return list(PdfReader(io.BytesIO(pdf(*texts))).pages)


def written(writer: object) -> bytes:
    out = io.BytesIO()
    writer.write(out)  # type: ignore[attr-defined]
    return out.getvalue()


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_pdfs_that_only_their_owner_may_change_are_read(algorithm: str) -> None:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_page(pdf_pages("secret words")[0])  # type: ignore[arg-type]
    writer.encrypt("", "owner", algorithm=algorithm)
    assert read("a.pdf", written(writer)).text == "secret words"


def test_pages_without_text_are_named_and_the_outline_gives_sections() -> None:
    from pypdf import PdfWriter

    writer = PdfWriter()
    for page in pdf_pages("Setup", "", "Care", ""):
        writer.add_page(page)  # type: ignore[arg-type]
    top = writer.add_outline_item(title="Setup", page_number=0)
    writer.add_outline_item(title="Care", page_number=2, parent=top)
    writer.add_metadata({"/Title": "untitled"})
    found = read("pump.pdf", written(writer))
    assert (found.title, found.text) == ("pump", "Setup\f\fCare\f")
    assert found.notes == ("pages 2, 4 without text (2 of 4): scanned? --ocr reads them",)
    assert [section.trail for section in found.sections] == [("Setup", "Care")]


def test_what_was_filled_into_a_form_is_read() -> None:
    from pypdf import PdfWriter
    from pypdf.generic import ArrayObject, DictionaryObject, NameObject, TextStringObject

    writer = PdfWriter()
    writer.add_page(pdf_pages("A form")[0])  # type: ignore[arg-type]
    named = {"/FT": NameObject("/Tx"), "/T": TextStringObject("Name"), "/V": TextStringObject("Ada Lovelace")}
    form_field = writer._add_object(
        DictionaryObject({NameObject(key): value for key, value in named.items()})
    )
    form = DictionaryObject({NameObject("/Fields"): ArrayObject([form_field])})
    writer._root_object[NameObject("/AcroForm")] = form
    assert read("a.pdf", written(writer)).text == "A form\n\nName: Ada Lovelace"


# ── mail, notebooks, code ────────────────────────────────────────────────────────────────────────────


def mail() -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = (
        "ada@example.org",
        "bob@example.org",
        "Größe der Pumpe",
    )
    message.set_content("Bob,\n\nthe pump has size 3.\n")
    message.add_alternative("<p>other words</p>", subtype="html")
    message.add_attachment(b"part,price\nbolt,2\n", maintype="text", subtype="csv", filename="parts.csv")
    message.add_attachment(
        docx(paragraph("Attached words")), maintype="application", subtype="x", filename="a.docx"
    )
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="photo.png")
    return message


def test_mails_have_headers_as_attributes_and_their_attachments() -> None:
    found = read("a.eml", mail().as_bytes())
    assert found.title == "Größe der Pumpe"
    assert found.attributes["from"] == "ada@example.org"
    for words in (
        "Subject: Größe der Pumpe",
        "the pump has size 3.",
        "part | price\nbolt | 2",
        "Attached words",
    ):
        assert words in found.text
    assert "other words" not in found.text
    assert found.notes == ("attached photo.png: not read, it is of no kind that is read here",)
    assert ("Größe der Pumpe › a.docx", "a.docx\n\nAttached words") in titles(found)


PARTS = """From: a@example.org\nSubject: {subject}\nMIME-Version: 1.0
Content-Type: multipart/mixed; boundary=B

--B\nContent-Type: text/plain\n\nBefore the picture.
--B\nContent-Type: image/png\n\nx
--B\nContent-Type: multipart/alternative; boundary=C

--C\nContent-Type: text/plain\n\nAfter it.
--C\nContent-Type: text/html\n\n<p>The same in HTML.</p>
--C--
--B\nContent-Type: application/pdf\n\nno PDF
--B\nContent-Type: text/html\n\n<p>At the end.</p>
--B--
"""


def test_every_text_within_a_mail_is_read() -> None:
    data = PARTS.format(subject="환불 규정 안내").encode("cp949")
    found = read("a.eml", data)
    assert found.title == "환불 규정 안내"
    assert found.text.split("\n\n")[1:] == ["Before the picture.", "After it.", "At the end."]
    assert [note.partition(":")[0] for note in found.notes] == ["attached part-3.pdf"]
    whole = b"Subject: s\nContent-Type: multipart/mixed\n\nNo parts.\n"
    assert read("a.eml", whole).text.endswith("No parts.\n")


@pytest.mark.parametrize("plain", ["", "This mail needs a program that shows HTML."])
def test_a_mail_whose_plain_form_is_no_text_is_read_in_html(plain: str) -> None:
    message = email.message.EmailMessage()
    message.set_content(plain)
    message.add_alternative(f"<p>{'The lease ends in May. ' * 9}</p>", subtype="html")
    message.add_alternative("BEGIN:VCALENDAR\nLOCATION:Room 7\nEND:VCALENDAR", subtype="calendar")
    text = read("a.eml", message.as_bytes()).text
    assert "The lease ends in May." in text
    assert "Room 7" in text


@pytest.mark.parametrize(
    ("said", "encoding", "subject"),
    [
        ("gb2312", "gbk", "朱镕基总理"),
        ("KS_C_5601-1987", "cp949", "똠방각하"),
        ("shift_jis", "cp932", "①㈱日立"),
    ],
)
def test_headers_in_more_than_the_encoding_that_they_name(said: str, encoding: str, subject: str) -> None:
    encoded = base64.b64encode(subject.encode(encoding)).decode()
    assert read("a.eml", f"Subject: =?{said}?B?{encoded}?=\n\nHello\n").title == subject


def test_mailboxes_with_a_mark_and_lines_that_begin_like_a_mail(tmp_path: Path) -> None:
    path = tmp_path / "box.mbox"
    first = "\ufeffFrom a\nSubject: s\n\nHello,\n\nFrom here on it is hard.\n"
    path.write_text(f"{first}\nFrom b 10:30\nSubject: t\n\nBye.\n")
    portions = read_portions(File(path, "box.mbox", ".mbox"), ReadSettings())
    texts = [row.passage.text for portion in portions for row in portion.rows]
    assert [text.split("\n\n")[1:] for text in texts] == [["Hello,", "From here on it is hard."], ["Bye."]]


def test_mailboxes_are_collections_of_mails(tmp_path: Path) -> None:
    path = tmp_path / "box.mbox"
    second = b"From: x@example.org\nSubject: Second\n\n>From here on it is quoted.\n"
    path.write_bytes(b"From ada\n" + mail().as_bytes() + b"\n\nFrom x\n" + second + b"\nFrom y\n\n")
    portions = list(read_portions(File(path, "box.mbox", ".mbox"), ReadSettings()))
    passages = [row.passage for portion in portions for row in portion.rows]
    assert passages[-1].id == "box.mbox#2"
    assert (passages[-1].title, passages[-1].attributes["subject"]) == ("Second", "Second")
    assert passages[-1].text.endswith("\n\nFrom here on it is quoted.")
    assert [portion.skipped for portion in portions][-2:] == [1, 0] or sum(p.skipped for p in portions) == 1
    assert any("attached photo.png" in note for portion in portions for note in portion.notes)


def test_notebooks_give_markdown_code_and_what_it_printed() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Rivers\n", "\n", "How long?"]},
        {
            "cell_type": "code",
            "source": "print(km)",
            "outputs": [{"output_type": "stream", "text": ["1094\n"]}],
        },
        {"cell_type": "markdown", "source": "## Sources ![x](data:image/png;base64,AAAA)"},
        {
            "cell_type": "code",
            "source": "x",
            "outputs": [
                {"data": {"text/plain": "42", "image/png": "AAAA"}},
                {"output_type": "error", "ename": "KeyError", "evalue": "km"},
            ],
        },
    ]
    found = read("a.ipynb", json.dumps({"cells": cells, "nbformat": 4}))
    assert found.title == "Rivers"
    assert (
        found.text
        == "# Rivers\n\nHow long?\n\nprint(km)\n\n1094\n\n\n## Sources ![x]()\n\nx\n\n42\n\nKeyError: km"
    )
    assert [section.trail[-1] for section in found.sections] == ["Rivers", "Sources x"]
    with pytest.raises(InvalidInputError, match="no notebook"):
        read("a.ipynb", "{}")


CODE = (
    '''"""Módulo."""

import os

LIMIT = 3


# Opens the valve.
@cached
def open_valve(flow: int) -> None:
    """Open it ÄÖÜ."""
'''
    + "    turn()\n" * 40
    + '''

class Pump:
    """Lifts water."""

    def start(self) -> None:
'''
    + "        run()\n" * 40
)


def test_code_is_cut_at_functions_and_classes() -> None:
    found = read("pump.py", CODE)
    assert found.text == CODE
    assert [section.trail for section in found.sections] == [("open_valve",), ("Pump", "start")]
    assert CODE[found.sections[1].start :].startswith("class Pump")
    passages = titles(found)
    assert passages[0][1].startswith('"""Módulo."""')
    assert {title for title, _ in passages} == {"pump.py › open_valve", "pump.py › Pump › start"}


def test_code_that_a_program_made_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="code that a program made"):
        read("a.js", "var x=1;" * 1000)


# ── packed, without an ending ────────────────────────────────────────────────────────────────────────


def test_packed_text_and_text_without_an_ending(tmp_path: Path) -> None:
    names = {
        "FAQ.gz": gzip.compress(b"Some questions."),
        "guide.md.xz": lzma.compress(b"# Guide\n\nWords."),
        "changelog.Debian.gz": gzip.compress(b"pump (1.0) stable"),
        "README": b"Read me.",
        "a.html.gz": gzip.compress(b"<p>page"),
        "binary": b"\0\1\2",
        "a.docx.gz": b"",
        "photo.png": b"",
    }
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    found = {name: find_kind(tmp_path / name) for name in names}
    assert found == {
        "FAQ.gz": ".txt", "guide.md.xz": ".md", "changelog.Debian.gz": ".debian", "README": ".txt",
        "a.html.gz": ".html", "binary": None, "a.docx.gz": None, "photo.png": None,
    }  # fmt: skip
    for name, ending in found.items():
        if ending:
            (portion,) = read_portions(File(tmp_path / name, name, ending), ReadSettings())
            assert portion.rows[0].passage.title in ("FAQ", "Guide", "changelog", "README", "a")
