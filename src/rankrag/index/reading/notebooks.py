"""Jupyter notebooks: their Markdown, code and the text that the code printed."""

from __future__ import annotations

import json
from typing import Literal

from ...errors import InvalidInputError, amount
from .encodings import decode
from .plain import markdown_marks
from .texts import Mark, Text, clean, own_title, sections, shortened, without_data

_PRINTED = 4000
"""Characters of what a cell printed; the rest is left out."""

CellText = tuple[Literal["markdown", "code", "printed"], str]


def read_ipynb(data: bytes, _name: str = "") -> Text:
    """Read a notebook; its title is its first heading. A cell is a paragraph, headings begin sections."""
    try:
        book = json.loads(decode(data).text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"it is no notebook ({error})") from error
    cells = book.get("cells") if isinstance(book, dict) else None
    if isinstance(book, dict) and cells is None and "worksheets" in book:  # format 3
        cells = [cell for sheet in book.get("worksheets") or [] for cell in sheet.get("cells") or []]
    if not isinstance(cells, list):
        raise InvalidInputError("it is no notebook (it has no cells)")
    parts: list[str] = []
    marks: list[Mark] = []
    at = cut = 0
    for cell in cells:
        for kind, text in _texts(cell if isinstance(cell, dict) else {}):
            kept, _ = without_data(clean(text))
            if kind == "printed" and len(kept) > _PRINTED:
                kept, cut = kept[:_PRINTED], cut + 1
            if not kept.strip():
                continue
            if kind == "markdown":
                marks += [Mark(at + m.start, at + m.end, m.level, m.words) for m in markdown_marks(kept)]
            parts.append(kept)
            at += len(kept) + 2
    text = "\n\n".join(parts)
    notes = (f"what {amount(cut, 'cell')} printed was cut after {_PRINTED:,} characters",) if cut else ()
    title = own_title(marks[0].words) if marks else ""
    return Text(shortened(title), text, sections=sections(text, marks), notes=notes)


def _texts(cell: dict[str, object]) -> list[CellText]:
    kind = cell.get("cell_type")
    if kind in ("markdown", "heading"):
        level = cell.get("level")
        hashes = "#" * level + " " if kind == "heading" and isinstance(level, int) else ""
        return [("markdown", hashes + _joined(cell.get("source")))]
    texts: list[CellText] = [("code", _joined(cell.get("source", cell.get("input"))))]
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, dict):
            shown = output.get("data")
            text = output.get("text")
            if isinstance(shown, dict):
                text = shown.get("text/plain", shown.get("text/markdown"))
            elif output.get("output_type") in ("error", "pyerr"):
                text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
            texts.append(("printed", _joined(text)))
    return texts


def _joined(source: object) -> str:
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""
