"""The text of OpenDocument files, documents and slides of LibreOffice, from their XML.

Text boxes, footnotes and comments come after the paragraph that they stand in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...errors import InvalidInputError
from .compressed import Archive
from .office import xml_tree
from .texts import Block, Extract, Grid, Heading, NewPage, Paragraph, own_title

if TYPE_CHECKING:
    from lxml import etree

_LEFT_OUT = {"text:tracked-changes", "text:table-of-content", "text:ruby-text"}
_DEPTH = 100
_REPEATED = 64  # cells or spaces that a number in a file may stand for


def read_open_document(data: bytes, _name: str = "") -> Extract:
    """Read a document or slides; the title is that of its properties, else its first heading."""
    archive = Archive(data, "OpenDocument")
    if b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise InvalidInputError("it is encrypted: save a copy without password")
    blocks = list(_blocks(xml_tree(archive, "content.xml"), 0))
    meta = xml_tree(archive, "meta.xml", may_miss=True)
    title = "" if meta is None else own_title(meta.findtext(".//{http://purl.org/dc/elements/1.1/}title"))
    return Extract(title or next((b.text for b in blocks if isinstance(b, Heading)), ""), blocks)


def _called(name: object) -> str:
    """Return a name as the format's specification writes it: `text:p`; "" for what is no element."""
    if not isinstance(name, str):
        return ""
    space, _, local = name[1:].partition("}")
    return f"{space.split(':')[-2]}:{local}" if space.startswith("urn:oasis:names:tc:") else name


def _number(node: etree._Element, name: str) -> int:
    text = next((value for key, value in node.attrib.items() if _called(key) == name), "")
    return min(int(text), _REPEATED) if text.isdecimal() and len(text) < 10 else 1


def _blocks(parent: Iterable[etree._Element], depth: int) -> Iterator[Block]:
    """Yield the paragraphs, tables and pages below an element, whatever wraps them."""
    if depth > _DEPTH:
        raise InvalidInputError(f"it is nested more than {_DEPTH} levels deep")
    for child in parent:
        name = _called(child.tag)
        if name in ("text:p", "text:h"):
            inner: list[etree._Element] = []
            text = "".join(_words(child, inner)).strip()
            if reading := "".join(text for ruby in child.iter("{*}ruby-text") for text in ruby.itertext()):
                text += f" ({reading})"  # how its words are read, which stands above each of their characters
            level = _number(child, "text:outline-level")
            yield Heading(level, text) if name == "text:h" else Paragraph(text)
            yield from _blocks(inner, depth + 1)
        elif name == "table:table":
            yield from _table(child, depth)
        elif name not in _LEFT_OUT:
            if name == "drawing:page":
                yield NewPage()
            is_title = "title" in (value for key, value in child.items() if _called(key).endswith(":class"))
            for block in _blocks(child, depth + 1):
                yield Heading(1, block.text) if is_title and isinstance(block, Paragraph) else block


def _words(node: etree._Element, inner: list[etree._Element]) -> Iterator[str]:
    """Yield the words of a paragraph; what stands in it as text of its own goes into `inner`."""
    yield re.sub(r"\s+", " ", node.text or "")
    for child in node:
        name = _called(child.tag)
        if name == "text:s":
            yield " " * _number(child, "text:c")
        elif name in ("text:tab", "text:line-break"):
            yield "\t" if name == "text:tab" else "\n"
        elif name == "text:note" or not name.startswith("text:"):
            inner.append(child)
        elif name not in _LEFT_OUT:
            yield from _words(child, inner)
        yield re.sub(r"\s+", " ", child.tail or "")


def _table(table: etree._Element, depth: int) -> Iterator[Block]:
    rows: list[list[str]] = []
    nested: list[Block] = []
    for row in table.iter("{*}table-row"):
        if next(row.iterancestors("{*}table")) is table:
            rows.append([])
            for cell in row:
                blocks = list(_blocks(cell, depth + 1))
                text = " ".join(block.text for block in blocks if isinstance(block, Heading | Paragraph))
                rows[-1] += [text] * _number(cell, "table:number-columns-repeated")
                nested += [block for block in blocks if isinstance(block, Grid)]
    return iter([Grid(rows), *nested])
