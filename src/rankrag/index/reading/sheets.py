"""The cells of spreadsheets: a sheet is a section and a table, its header row repeated in each passage."""

from __future__ import annotations

import datetime
import io
from xml.parsers import expat

from ...errors import InvalidInputError, needs
from .packed import Archive
from .texts import MOST_CHARACTERS, Block, Extract, Grid, Heading

_ZIPPED = (b"PK\x03\x04",)


def read_sheets(data: bytes, _name: str = "") -> Extract:
    """Read a workbook of Excel or LibreOffice; what its formulas gave when it was saved stands for them."""
    if data.startswith(_ZIPPED):
        _check_content(Archive(data, "spreadsheet").read("content.xml"))
    with needs("python-calamine", "docs"):
        from python_calamine import CalamineError, CalamineWorkbook
    blocks: list[Block] = []
    hidden: list[str] = []
    size = 0
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        for info in book.sheets_metadata:
            if "WorkSheet" not in str(info.typ):
                hidden.append(info.name)
                continue
            rows = [[_cell(value) for value in row] for row in book.get_sheet_by_name(info.name).iter_rows()]
            rows = _trimmed(rows)
            size += sum(len(cell) for row in rows for cell in row)
            if size > MOST_CHARACTERS:
                raise InvalidInputError(f"it holds more than {MOST_CHARACTERS:,} characters: split it")
            if rows:
                blocks += [Heading(1, info.name), Grid(rows)]
    except CalamineError as error:
        if "password" in str(error).lower():
            raise InvalidInputError("it is encrypted: save a copy without password") from error
        raise InvalidInputError(f"it is no spreadsheet that can be read ({error})") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, which Python takes for as grave as an exit
            raise
        raise InvalidInputError("it is no spreadsheet that can be read (its parts do not fit)") from error
    notes = (f"no table of cells, not read: {', '.join(hidden)}",) if hidden else ()
    return Extract("", blocks, notes)


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


def _trimmed(rows: list[list[str]]) -> list[list[str]]:
    """Return rows without empty ones, and without the columns that are empty in all of them."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    width = max(map(len, rows), default=0)
    full = [n for n in range(width) if any(n < len(row) and row[n].strip() for row in rows)]
    return [[row[n] if n < len(row) else "" for n in full] for row in rows]
