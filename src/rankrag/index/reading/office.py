"""The XML of Office files: parts and how they refer to each other, charts, diagrams and what is embedded."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, needs
from .compressed import Archive
from .texts import Attached, Block, Grid, Paragraph, own_title

if TYPE_CHECKING:
    from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
M_T = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
RELATED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"


def xml_tree(archive: Archive, part: str, may_miss: bool = False, recover: bool = False) -> etree._Element:
    """Return a part of an archive as a tree; None for one that may be missing and is missing or broken.

    `recover` reads on after mistakes.
    """
    data = archive.read(part)
    if not data and may_miss:
        return None
    try:
        # The two flavours of the format differ in the names of their namespaces only.
        tree = parsed_xml(data.replace(_STRICT.encode(), W[1:-1].encode()), recover)
    except ValueError as error:
        if may_miss:
            return None
        raise InvalidInputError(f"it is no {archive.what} file ({part}: {error or 'empty'})") from error
    if tree is None:  # nothing was left to recover
        raise InvalidInputError(f"it is no {archive.what} file ({part} is missing or broken)")
    return tree


def parsed_xml(data: bytes, recover: bool = False) -> etree._Element:
    """Return the tree of some XML, nothing fetched for it; raises ValueError, MissingExtraError."""
    with needs("lxml", "docs"):
        from lxml import etree
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        recover=recover,
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error


def related(archive: Archive, part: str) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the name and the id of each part that a part refers to."""
    folder, name = posixpath.split(part)
    tree = xml_tree(archive, posixpath.join(folder, "_rels", f"{name}.rels"), may_miss=True)
    for relation in () if tree is None else tree.iter(_RELATION):
        if relation.get("TargetMode") != "External":
            target = relation.get("Target", "")
            joined = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            kind = relation.get("Type", "").rpartition("/")[2]
            yield kind, posixpath.normpath(joined), relation.get("Id", "")


def property_title(archive: Archive) -> str:
    """Return the title in the properties of an Office file, "" where there is none of its own."""
    tree = xml_tree(archive, "docProps/core.xml", may_miss=True)
    element = None if tree is None else tree.find("{http://purl.org/dc/elements/1.1/}title")
    return "" if element is None else own_title(element.text)


def part_blocks(archive: Archive, kind: str, part: str) -> Iterator[Block]:
    """Yield what a part beside the text holds: a chart, a diagram (SmartArt) or a file."""
    if kind in ("package", "oleObject", "aFChunk"):
        yield Attached(posixpath.basename(part), archive.read(part))
    elif kind in ("chart", "diagramData") and (tree := xml_tree(archive, part, may_miss=True)) is not None:
        yield from chart(tree) if kind == "chart" else paragraphs(tree)


def paragraphs(root: etree._Element) -> Iterator[Block]:
    """Yield the paragraphs of a drawing or diagram."""
    for paragraph in root.iter(A + "p"):
        yield Paragraph("".join(node.text or "" for node in paragraph.iter(A + "t", M_T)))


# ── charts ───────────────────────────────────────────────────────────────────────────────────────────


def chart(space: etree._Element) -> Iterator[Block]:
    """Yield a chart's title, and its numbers as a table: a row a category, a column a series."""
    title = space.find(f"{C}chart/{C}title")
    if title is not None:
        yield Paragraph("".join(node.text or "" for node in title.iter(A + "t", C + "v")))
    names: list[str] = []
    columns: list[dict[int, str]] = []
    categories: dict[int, str] = {}
    for series in space.iter(C + "ser"):
        name = series.find(C + "tx")
        names.append("" if name is None else " ".join(node.text or "" for node in name.iter(C + "v")))
        columns.append(_points(series, "val", "yVal"))
        categories = categories or _points(series, "cat", "xVal")
    rows = sorted({*categories, *(n for column in columns for n in column)})
    table = [[categories.get(n, str(n + 1)), *(column.get(n, "") for column in columns)] for n in rows]
    yield Grid([["", *names], *table], header=True)


def _points(series: etree._Element, *kinds: str) -> dict[int, str]:
    """Return the values of a series, or its categories, by their place; of levels the finest."""
    points: dict[int, str] = {}
    for kind in kinds:
        for point in series.iterfind(f"{C}{kind}//{C}pt"):
            value = point.find(C + "v")
            index = point.get("idx", "")
            if value is not None and index.isdecimal():
                points.setdefault(int(index), _number(value.text or ""))
    return points


def _number(text: str) -> str:
    """Return a number without the digits that come from its binary form; any other text as it is."""
    try:
        return f"{float(text):.15g}"
    except ValueError:
        return text
