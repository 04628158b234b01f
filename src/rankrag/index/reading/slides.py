"""The text of PowerPoint files: a slide is a page, with its tables, charts, groups, comments and notes."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, needs
from .compressed import Archive
from .office import RELATED, chart, paragraphs, parsed_xml
from .texts import Attached, Block, Extract, Grid, Heading, NewPage, Paragraph, own_title

if TYPE_CHECKING:
    from pptx.shapes.base import BaseShape
    from pptx.slide import Slide

_DEPTH = 20


def read_pptx(data: bytes, _name: str = "") -> Extract:
    """Read a presentation; its title is that of its properties, else of its first slide that has one."""
    Archive(data, "Office")
    with needs("python-pptx", "docs"):
        import pptx
        from lxml import etree
        from pptx.exc import PackageNotFoundError
    try:
        show = pptx.Presentation(io.BytesIO(data))
        slides = [list(_slide(slide)) for slide in show.slides]
        title = own_title(show.core_properties.title)
    except (PackageNotFoundError, KeyError, ValueError, etree.XMLSyntaxError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"it is no PowerPoint file ({error})") from error
    blocks = [block for slide in slides for block in (NewPage(), *slide)]
    title = title or next((block.text for block in blocks if isinstance(block, Heading)), "")
    return Extract(title, blocks, _notes(slides))


def _notes(slides: list[list[Block]]) -> tuple[str, ...]:
    bare = [n for n, slide in enumerate(slides, 1) if not any(map(_has_text, slide))]
    if not bare:
        return ()
    numbers = ", ".join(map(str, bare[:20]))
    which = f"slide {numbers} holds" if len(bare) == 1 else f"slides {numbers} hold"
    return (f"{which} no text: pictures?",)


def _has_text(block: Block) -> bool:
    return isinstance(block, Grid) or (isinstance(block, Heading | Paragraph) and bool(block.text.strip()))


def _slide(slide: Slide) -> Iterator[Block]:
    title = slide.shapes.title
    for shape in slide.shapes:
        if title is not None and shape.shape_id == title.shape_id:
            yield Heading(1, title.text_frame.text)
        else:
            yield from _shape(shape, 0)
    yield from _beside(slide)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        yield Paragraph(frame.text)


def _shape(shape: BaseShape, depth: int) -> Iterator[Block]:
    from pptx.shapes.graphfrm import GraphicFrame
    from pptx.shapes.group import GroupShape

    if isinstance(shape, GroupShape):
        if depth > _DEPTH:
            raise InvalidInputError(f"its shapes are grouped more than {_DEPTH} levels deep")
        for inner in shape.shapes:
            yield from _shape(inner, depth + 1)
    elif isinstance(shape, GraphicFrame) and shape.has_table:
        yield Grid(
            [[cell.text for cell in row.cells] for row in shape.table.rows], shape.table.first_row or None
        )
    elif isinstance(shape, GraphicFrame) and shape.has_chart:
        yield from chart(shape.chart._chartSpace)  # the library refuses kinds of charts that it does not draw
    elif isinstance(shape, GraphicFrame):
        yield from _diagram(shape)
    elif shape.has_text_frame:
        yield Paragraph(shape.text_frame.text)  # type: ignore[attr-defined]


def _diagram(shape: BaseShape) -> Iterator[Block]:
    """Yield the text of a diagram (SmartArt), which lies in a part of its own."""
    relations = (node.get(RELATED + "dm") for node in shape._element.iter())
    for relation in filter(None, relations):
        yield from paragraphs(parsed_xml(shape.part.related_part(relation).blob))


_ALTERNATIVE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"


def _beside(slide: Slide) -> Iterator[Block]:
    """Yield what the library passes over: shapes with formulas in them, comments, embedded files."""
    for shape in slide.shapes._spTree.iter(_ALTERNATIVE):
        forms = ([*paragraphs(form)] for form in shape)
        yield from next((form for form in forms if any(map(_has_text, form))), ())
    for relation in slide.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if relation.is_external:
            continue
        if kind == "comments":
            with contextlib.suppress(ValueError):  # slides are read without a comment that is broken
                tree = parsed_xml(relation.target_part.blob)
                yield from paragraphs(tree)
                yield from (Paragraph(node.text or "") for node in tree.iter("{*}text"))
        elif kind in ("package", "oleObject"):
            part = relation.target_part
            yield Attached(part.partname.rpartition("/")[2], part.blob)
