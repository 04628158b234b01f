"""The text of PowerPoint files: a slide is a page, with its tables, charts, groups and notes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, needs
from .packed import Archive
from .texts import Block, Extract, Grid, Heading, NewPage, Paragraph, own_title

if TYPE_CHECKING:
    from pptx.chart.chart import Chart
    from pptx.oxml.xmlchemy import BaseOxmlElement
    from pptx.shapes.base import BaseShape
    from pptx.slide import Slide

_DEPTH = 20
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


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
        yield from _chart(shape.chart)
    elif isinstance(shape, GraphicFrame):
        yield from _diagram(shape)
    elif shape.has_text_frame:
        yield Paragraph(shape.text_frame.text)  # type: ignore[attr-defined]


def _chart(chart: Chart) -> Iterator[Block]:
    """Yield a chart's title, and its numbers as a table: a row a category, a column a series.

    They are taken from the XML: the library refuses kinds of charts that it does not draw.
    """
    space = chart._chartSpace
    title = space.find(f"{_C}chart/{_C}title")
    if title is not None:
        yield Paragraph("".join(node.text or "" for node in title.iter(_A + "t", _C + "v")))
    names: list[str] = []
    columns: list[dict[int, str]] = []
    categories: dict[int, str] = {}
    for series in space.iter(_C + "ser"):
        name = series.find(_C + "tx")
        names.append("" if name is None else " ".join(node.text or "" for node in name.iter(_C + "v")))
        columns.append(_points_of(series, "val", "yVal"))
        categories = categories or _points_of(series, "cat", "xVal")
    rows = sorted({*categories, *(n for column in columns for n in column)})
    table = [[categories.get(n, str(n + 1)), *(column.get(n, "") for column in columns)] for n in rows]
    yield Grid([["", *names], *table], header=True)


def _points_of(series: BaseOxmlElement, *kinds: str) -> dict[int, str]:
    """Return the values of a series, or its categories, by their place; of levels the finest."""
    found: dict[int, str] = {}
    for kind in kinds:
        for point in series.iterfind(f"{_C}{kind}//{_C}pt"):
            value = point.find(_C + "v")
            index = point.get("idx", "")
            if value is not None and index.isdecimal():
                found.setdefault(int(index), _number(value.text or ""))
    return found


def _number(text: str) -> str:
    """Return a number without the digits that come from its binary form; any other text as it is."""
    try:
        return f"{float(text):.15g}"
    except ValueError:
        return text


def _diagram(shape: BaseShape) -> Iterator[Block]:
    """Yield the text of a diagram (SmartArt), which lies in a part of its own."""
    from lxml import etree

    attributes = [pair for node in shape._element.iter() for pair in node.attrib.items()]
    for relation in (value for name, value in attributes if name.endswith("}dm")):
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        tree = etree.fromstring(shape.part.related_part(relation).blob, parser)
        for paragraph in tree.iter(_A + "p"):
            yield Paragraph("".join(node.text or "" for node in paragraph.iter(_A + "t")))
