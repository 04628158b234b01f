"""The text of Word files, read from their XML part by part so that nothing in them is passed over.

Body text, tables and nested tables, content controls, insertions (not deletions), text boxes, footnotes,
endnotes and comments come where they stand in the text; headers and footers once, at its beginning and end.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, needs
from .packed import Archive
from .texts import Block, Extract, Grid, Heading, Paragraph, own_title

if TYPE_CHECKING:
    from lxml import etree

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
_M_T = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"

_PROPERTIES = "pPr rPr sectPr tblPr tblGrid trPr tcPr sdtPr".split()
_LEFT_OUT = {_FALLBACK} | {_W + name for name in ("del", "moveFrom", "delText", "instrText", *_PROPERTIES)}
_NOTES = {
    _W + "footnoteReference": ("footnotes", "footnote"),
    _W + "endnoteReference": ("endnotes", "endnote"),
    _W + "commentReference": ("comments", "comment"),
}
_DEPTH = 40
"""Tables within tables, controls within controls: what is nested deeper is refused."""


def read_docx(data: bytes, _name: str = "") -> Extract:
    """Read a Word file; its title is that of its properties, else its first title or heading."""
    archive = Archive(data, "Word")
    main = _main_part(archive)
    body = xml_tree(archive, main)
    found = body.find(_W + "body")
    if found is None:
        raise InvalidInputError("it is no Word file (it has no body)")
    reader = _Reader(archive, main)
    blocks = list(reader.blocks(found, 0))
    headers, footers = ([*reader.around(kind)] for kind in ("header", "footer"))
    title = property_title(archive) or next((b.text for b in blocks if isinstance(b, Heading)), "")
    return Extract(title, [*headers, *blocks, *footers])


def property_title(archive: Archive) -> str:
    """Return the title in the properties of an Office file, "" where there is none of its own."""
    tree = xml_tree(archive, "docProps/core.xml", may_miss=True)
    found = None if tree is None else tree.find("{http://purl.org/dc/elements/1.1/}title")
    return "" if found is None else own_title(found.text)


def _main_part(archive: Archive) -> str:
    for kind, target in _related(archive, ""):
        if kind == "officeDocument":
            return target
    if "word/document.xml" in archive.names:
        return "word/document.xml"
    raise InvalidInputError("it is no Word file (it has no document in it)")


def _related(archive: Archive, part: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of each part that a part refers to."""
    folder, name = posixpath.split(part)
    tree = xml_tree(archive, posixpath.join(folder, "_rels", f"{name}.rels"), may_miss=True)
    for relation in () if tree is None else tree.iter(_RELATION):
        if relation.get("TargetMode") != "External":
            target = relation.get("Target", "")
            joined = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            yield relation.get("Type", "").rpartition("/")[2], posixpath.normpath(joined)


def xml_tree(archive: Archive, part: str, may_miss: bool = False, recover: bool = False) -> etree._Element:
    """Return a part of an archive as a tree; None for one that may be missing and is missing or broken.

    `recover` reads on after mistakes.
    """
    with needs("lxml", "docs"):
        from lxml import etree
    data = archive.read(part)
    if not data and may_miss:
        return None
    # The two flavours of the format differ in the names of their namespaces only.
    data = data.replace(_STRICT.encode(), _W[1:-1].encode())
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        recover=recover,
    )
    try:
        tree = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        if may_miss:
            return None
        raise InvalidInputError(f"it is no {archive.what} file ({part}: {error or 'empty'})") from error
    if tree is None:  # nothing was left to recover
        raise InvalidInputError(f"it is no {archive.what} file ({part} is missing or broken)")
    return tree


@dataclass
class _Reader:
    archive: Archive
    main: str
    styles: dict[str, int] = field(default_factory=dict)
    notes: dict[str, dict[str, etree._Element]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts: dict[str, list[str]] = {}
        for kind, target in _related(self.archive, self.main):
            self.parts.setdefault(kind, []).append(target)
        self.styles = self._levels()

    def _levels(self) -> dict[str, int]:
        """Return the level of each style that is one of headings: by its name, its outline or its parent."""
        levels: dict[str, int] = {}
        parents: dict[str, str] = {}
        for part in self.parts.get("styles", []):
            tree = xml_tree(self.archive, part, may_miss=True)
            for style in () if tree is None else tree.iter(_W + "style"):
                name = _value(style.find(_W + "name")).lower()
                identity = style.get(_W + "styleId", "")
                outline = _value(style.find(f"{_W}pPr/{_W}outlineLvl"))
                parents[identity] = _value(style.find(_W + "basedOn"))
                if name.startswith("heading ") and name[8:9].isdecimal():
                    levels[identity] = int(name[8:9]) + 1
                elif name == "title":
                    levels[identity] = 1
                elif outline.isdecimal() and int(outline) < 9:
                    levels[identity] = int(outline) + 2
        for identity in parents:
            above, seen = identity, {identity}
            while above not in levels and parents.get(above) and parents[above] not in seen:
                above = parents[above]
                seen.add(above)
            if above in levels and not identity.lower().startswith(("toc", "subtitle")):
                levels.setdefault(identity, levels[above])
        return levels

    # ── blocks ───────────────────────────────────────────────────────────────────────────────────────

    def blocks(self, parent: etree._Element, depth: int) -> Iterator[Block]:
        """Yield the paragraphs and tables below an element, whatever wraps them."""
        if depth > _DEPTH:
            raise InvalidInputError(f"it is nested more than {_DEPTH} levels deep")
        for child in parent:
            if child.tag == _W + "p":
                yield from self._paragraph(child, depth)
            elif child.tag == _W + "tbl":
                yield from self._table(child, depth)
            elif child.tag not in _LEFT_OUT:
                yield from self.blocks(child, depth + 1)

    def _paragraph(self, paragraph: etree._Element, depth: int) -> Iterator[Block]:
        boxes: list[etree._Element] = []
        notes: list[tuple[str, str]] = []
        text = "".join(self._text(paragraph, boxes, notes))
        if text.strip():
            level = self._level(paragraph)
            yield Heading(level, text.strip()) if level else Paragraph(text)
        for box in boxes:
            yield from self.blocks(box, depth + 1)
        for kind, identity in notes:
            yield from self._note(kind, identity)

    def _level(self, paragraph: etree._Element) -> int:
        outline = _value(paragraph.find(f"{_W}pPr/{_W}outlineLvl"))
        if outline.isdecimal() and int(outline) < 9:
            return int(outline) + 2
        return self.styles.get(_value(paragraph.find(f"{_W}pPr/{_W}pStyle")), 0)

    def _text(
        self, root: etree._Element, boxes: list[etree._Element], notes: list[tuple[str, str]]
    ) -> Iterator[str]:
        """Yield the text of a paragraph; text boxes and references to notes that stand in it are gathered."""
        left = list(reversed(root))
        while left:
            node = left.pop()
            tag = node.tag
            if tag == _W + "t" or tag == _M_T:
                yield node.text or ""
            elif tag == _W + "tab":
                yield "\t"
            elif tag in (_W + "br", _W + "cr"):
                yield "\n"
            elif tag in (_W + "noBreakHyphen", _W + "softHyphen"):
                yield "-" if tag == _W + "noBreakHyphen" else ""
            elif tag in _NOTES:
                notes.append((_NOTES[tag][0], node.get(_W + "id", "")))
            elif tag == _W + "txbxContent":
                boxes.append(node)
            elif tag not in _LEFT_OUT:
                left.extend(reversed(node))

    def _note(self, kind: str, identity: str) -> Iterator[Block]:
        if kind not in self.notes:
            self.notes[kind] = {}
            for part in self.parts.get(kind, []) or [f"word/{kind}.xml"]:
                tree = xml_tree(self.archive, part, may_miss=True)
                for note in () if tree is None else tree:
                    if note.get(_W + "type") in (None, "normal"):
                        self.notes[kind][note.get(_W + "id", "")] = note
        note = self.notes[kind].pop(identity, None)
        if note is not None:
            yield from self.blocks(note, 1)

    def around(self, kind: str) -> Iterator[Block]:
        """Yield the headers or the footers, each text once."""
        seen: set[str] = set()
        for part in self.parts.get(kind, []):
            tree = xml_tree(self.archive, part, may_miss=True)
            for block in () if tree is None else self.blocks(tree, 1):
                text = block.text if isinstance(block, Paragraph | Heading) else repr(block)
                if text.strip() and text not in seen and not text.strip().isdecimal():
                    seen.add(text)
                    yield Paragraph(text) if isinstance(block, Heading) else block

    # ── tables ───────────────────────────────────────────────────────────────────────────────────────

    def _table(self, table: etree._Element, depth: int) -> Iterator[Block]:
        rows: list[list[str]] = []
        nested: list[Block] = []
        header: bool | None = None
        for row in _within(table, _W + "tr"):
            if not rows and row.find(f"{_W}trPr/{_W}tblHeader") is not None:
                header = True
            rows.append([self._cell(cell, depth, nested) for cell in _within(row, _W + "tc")])
        yield Grid(rows, header)
        yield from nested

    def _cell(self, cell: etree._Element, depth: int, nested: list[Block]) -> str:
        texts: list[str] = []
        for block in self.blocks(cell, depth + 1):
            if isinstance(block, Paragraph | Heading):
                texts.append(block.text)
            else:
                nested.append(block)
        return " ".join(texts)


def _within(parent: etree._Element, tag: str) -> Iterator[etree._Element]:
    """Yield the rows of a table or the cells of a row, also those inside content controls and insertions."""
    left = list(reversed(parent))
    while left:
        node = left.pop()
        if node.tag == tag:
            yield node
        elif node.tag not in _LEFT_OUT and node.tag not in (_W + "tr", _W + "tc", _W + "p"):
            left.extend(reversed(node))


def _value(node: etree._Element | None) -> str:
    return "" if node is None else node.get(_W + "val", "")
