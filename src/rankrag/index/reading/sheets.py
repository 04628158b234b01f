"""The cells of spreadsheets: a sheet is a section and a table, its header row repeated in each passage."""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.parsers import expat

from ...errors import InvalidInputError, amount, needs
from .compressed import Archive
from .office import RELATED, paragraphs, part_blocks, related, xml_tree
from .texts import MOST_CHARACTERS, Block, Extract, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

_ZIPPED = (b"PK\x03\x04",)


def read_sheets(data: bytes, _name: str = "") -> Extract:
    """Read a workbook of Excel or LibreOffice; what its formulas gave when it was saved stands for them."""
    archive = Archive(data, "spreadsheet") if data.startswith(_ZIPPED) else None
    if archive:
        _check_content(archive.read("content.xml"))
    with needs("python-calamine", "docs"):
        from python_calamine import CalamineError, CalamineWorkbook
    try:
        return _workbook(CalamineWorkbook.from_filelike(io.BytesIO(data)), archive)
    except CalamineError as error:
        if "password" in str(error).lower():
            raise InvalidInputError("it is encrypted: save a copy without password") from error
        raise InvalidInputError(f"it is no spreadsheet that can be read ({error})") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, which Python takes for as grave as an exit
            raise
        raise InvalidInputError("it is no spreadsheet that can be read (its parts do not fit)") from error


def _workbook(book: CalamineWorkbook, archive: Archive | None) -> Extract:
    blocks: list[Block] = []
    hidden: list[str] = []
    size = n_empty = 0
    parts = _sheet_parts(archive) if archive else {}
    comments = _comments(archive) if archive else {}
    for info in book.sheets_metadata:
        beside = [*comments.get(info.name, ())]
        if archive and (part := parts.get(info.name)):
            beside += _beside(archive, part)
            n_empty += len(_NO_VALUE.findall(archive.read(part)))
        is_table = "WorkSheet" in str(info.typ)
        rows = _rows(book.get_sheet_by_name(info.name)) if is_table else []
        size += sum(len(cell) for row in rows for cell in row)
        if size > MOST_CHARACTERS:
            raise InvalidInputError(f"it holds more than {MOST_CHARACTERS:,} characters: split it")
        if rows or beside:
            blocks += [Heading(1, info.name), *([Grid(rows)] if is_table else ()), *beside]
        elif not is_table:
            hidden.append(info.name)
    notes = [f"no table of cells, not read: {', '.join(hidden)}"] if hidden else []
    if n_empty:
        formulas = amount(n_empty, "formula")
        notes.append(f"{formulas} without a value: open it in a spreadsheet program and save it")
    return Extract("", blocks, tuple(notes))


_NO_VALUE = re.compile(
    rb"""<c\b(?![^>]*\bt="str")[^>]*>\s*<f\b[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>"""
)
"""A cell with a formula that nobody has worked out yet, as programs other than Excel write them."""


def _sheet_parts(archive: Archive) -> dict[str, str]:
    """Return the part of each sheet of an Excel file, by its name."""
    book = xml_tree(archive, "xl/workbook.xml", may_miss=True)
    parts = {identity: part for _, part, identity in related(archive, "xl/workbook.xml")}
    sheets = () if book is None else book.iter("{*}sheet")
    return {sheet.get("name", ""): parts.get(sheet.get(RELATED + "id", ""), "") for sheet in sheets}


def _beside(archive: Archive, part: str) -> Iterator[Block]:
    """Yield what lies on a sheet or a drawing of Excel: comments, text boxes, charts, embedded files."""
    parts = [*related(archive, part)]
    kinds = {kind for kind, _, _ in parts}
    for kind, target, _ in parts:
        yield from part_blocks(archive, kind, target)
        if kind == "threadedComment" or (kind == "comments" and "threadedComment" not in kinds):
            tree = xml_tree(archive, target, may_miss=True)
            for comment in () if tree is None else tree.iter("{*}comment", "{*}threadedComment"):
                text = "".join(node.text or "" for node in comment.iter("{*}t", "{*}text"))
                yield Paragraph(f"{comment.get('ref', '')}: {text}" if text.strip() else "")
        elif kind == "drawing" and (tree := xml_tree(archive, target, may_miss=True)) is not None:
            yield from paragraphs(tree)
            yield from _beside(archive, target)


def _comments(archive: Archive) -> dict[str, list[Block]]:
    """Return the comments on each sheet of a file of LibreOffice, by its name."""
    comments: dict[str, list[Block]] = {}
    if b"annotation" in archive.read("content.xml"):
        for comment in xml_tree(archive, "content.xml").iter("{*}annotation"):
            sheet = next(comment.iterancestors(_TABLE + "table"), None)
            text = "\n".join("".join(node.itertext()) for node in comment.iter("{*}p"))
            name = "" if sheet is None else sheet.get(_TABLE + "name", "")
            comments.setdefault(name, []).append(Paragraph(text))
    return comments


_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def _check_content(data: bytes) -> None:
    """Refuse broken XML of LibreOffice: calamine waits for the end of an element that has none for ever."""
    parser = expat.ParserCreate()
    try:
        if data:
            parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InvalidInputError(f"it is no spreadsheet that can be read ({error})") from error


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    return str(value)


def _rows(sheet: CalamineSheet) -> list[list[str]]:
    """Return the rows of a sheet without empty ones, and without columns that are empty in all of them."""
    rows = [[_cell(value) for value in row] for row in sheet.iter_rows()]
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    width = max(map(len, rows), default=0)
    full = [n for n in range(width) if any(n < len(row) and row[n].strip() for row in rows)]
    return [[row[n] if n < len(row) else "" for n in full] for row in rows]
