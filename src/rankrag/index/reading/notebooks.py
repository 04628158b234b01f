"""Jupyter notebooks: their Markdown, code and the text that the code printed."""

from __future__ import annotations

import json

from ...errors import InvalidInputError, amount
from .encodings import decode
from .plain import markdown_marks
from .texts import Mark, Text, clean, own_title, sections, shortened, without_data

_PRINTED = 4000
"""Characters of what a cell printed; the rest is left out."""


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
        for text, is_markdown in _texts(cell if isinstance(cell, dict) else {}):
            kept, _ = without_data(clean(text))
            if not is_markdown and len(kept) > _PRINTED and text is not None and kept.startswith(_OUTPUT):
                kept, cut = kept[:_PRINTED], cut + 1
            kept = kept.removeprefix(_OUTPUT)
            if not kept.strip():
                continue
            if is_markdown:
                marks += [Mark(at + m.start, at + m.end, m.level, m.words) for m in markdown_marks(kept)]
            parts.append(kept)
            at += len(kept) + 2
    text = "\n\n".join(parts)
    notes = (f"what {amount(cut, 'cell')} printed was cut after {_PRINTED:,} characters",) if cut else ()
    title = own_title(marks[0].words) if marks else ""
    return Text(shortened(title), text, sections=sections(text, marks), notes=notes)


_OUTPUT = "\0"
"""Stands before what a cell printed."""


def _texts(cell: dict[str, object]) -> list[tuple[str, bool]]:
    """Return the texts of a cell, and whether each is Markdown."""
    kind = cell.get("cell_type")
    if kind in ("markdown", "heading"):
        level = cell.get("level")
        hashes = "#" * level + " " if kind == "heading" and isinstance(level, int) else ""
        return [(hashes + _joined(cell.get("source")), True)]
    found = [(_joined(cell.get("source", cell.get("input"))), False)]
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, dict):
            shown = output.get("data")
            text = output.get("text")
            if isinstance(shown, dict):
                text = shown.get("text/plain", shown.get("text/markdown"))
            elif output.get("output_type") in ("error", "pyerr"):
                text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
            found.append((_OUTPUT + _joined(text), False))
    return found


def _joined(source: object) -> str:
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""
