"""The text of Word and PowerPoint files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, MissingExtraError
from .parse import LARGEST, Text, join_pages

if TYPE_CHECKING:
    from docx.document import Document as WordFile
    from docx.table import Table
    from pptx.shapes.base import BaseShape
    from pptx.slide import Slide


def read_docx(path: Path) -> Text:
    """Return the text of a Word file, paragraphs and tables in their order, a row of a table a line."""
    _check_archive(path)
    try:
        import docx
        from docx.opc.exceptions import PackageNotFoundError
        from lxml import etree
    except ImportError as error:
        raise MissingExtraError("python-docx", "docs") from error
    try:
        document = docx.Document(str(path))
        parts = list(_word_parts(document))
        title = document.core_properties.title or _heading(document)
    except (PackageNotFoundError, KeyError, ValueError, etree.XMLSyntaxError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"it is no Word file ({error})") from error
    return Text(title, "\n\n".join(part for part in parts if part.strip()))


def _word_parts(document: WordFile) -> Iterator[str]:
    from docx.table import Table

    for block in document.iter_inner_content():
        yield "\n".join(_rows(block)) if isinstance(block, Table) else block.text


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        # A merged cell is met once for each column that it spans.
        cells = dict.fromkeys(cell._tc for cell in row.cells)
        texts = [next(c.text for c in row.cells if c._tc is cell) for cell in cells]
        yield " | ".join(" ".join(text.split()) for text in texts)


def _heading(document: WordFile) -> str:
    names = ("Title", "Heading")
    return next((p.text for p in document.paragraphs if p.style and p.text.strip() and
                 (p.style.name or "").startswith(names)), "")  # fmt: skip


def read_pptx(path: Path) -> Text:
    """Return the text of a presentation: a slide is a page, its notes follow its text."""
    _check_archive(path)
    try:
        import pptx
        from lxml import etree
        from pptx.exc import PackageNotFoundError
    except ImportError as error:
        raise MissingExtraError("python-pptx", "docs") from error
    try:
        show = pptx.Presentation(str(path))
        pages = [_slide(slide) for slide in show.slides]
        first = next((slide.shapes.title for slide in show.slides if slide.shapes.title), None)
        title = show.core_properties.title or (first.text_frame.text if first is not None else "")
    except (PackageNotFoundError, KeyError, ValueError, etree.XMLSyntaxError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"it is no PowerPoint file ({error})") from error
    # A new presentation of python-pptx and of PowerPoint itself is called so.
    return join_pages("" if title == "PowerPoint Presentation" else title, pages)


def _slide(slide: Slide) -> str:
    parts = [text for shape in slide.shapes for text in _shape(shape)]
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        parts.append(frame.text)
    return "\n\n".join(part for part in parts if part.strip())


def _shape(shape: BaseShape) -> Iterator[str]:
    from pptx.shapes.autoshape import Shape
    from pptx.shapes.graphfrm import GraphicFrame
    from pptx.shapes.group import GroupShape

    if isinstance(shape, GroupShape):
        for inner in shape.shapes:
            yield from _shape(inner)
    elif isinstance(shape, GraphicFrame) and shape.has_table:
        yield "\n".join(
            " | ".join(" ".join(cell.text.split()) for cell in row.cells) for row in shape.table.rows
        )
    elif isinstance(shape, Shape):
        yield shape.text_frame.text


def _check_archive(path: Path) -> None:
    """Refuse what is no archive, and an archive that unpacks to more than memory should hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidInputError(f"it is broken or no Office file ({error})") from error
    if size > LARGEST:
        raise InvalidInputError(f"it unpacks to {size:,} bytes, the most is {LARGEST:,}: split it")
