"""The text of Word files, read from their XML part by part so that nothing in them is passed over.

Body text, tables and nested tables, content controls, insertions (not deletions), text boxes, charts,
diagrams, embedded files, footnotes, endnotes and comments come where they stand in the text; headers and
footers once, at its beginning and end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import InvalidInputError
from .compressed import Archive
from .office import M_T, RELATED, C, W, part_blocks, property_title, related, xml_tree
from .texts import Block, Extract, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from lxml import etree

_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_TEXT_PATH = "{urn:schemas-microsoft-com:vml}textpath"

_PROPERTIES = "pPr rPr sectPr tblPr tblGrid trPr tcPr sdtPr".split()
_LEFT_OUT = {_FALLBACK} | {W + name for name in ("del", "moveFrom", "delText", "instrText", *_PROPERTIES)}
_NOTES = {
    W + "footnoteReference": ("footnotes", "footnote"),
    W + "endnoteReference": ("endnotes", "endnote"),
    W + "commentReference": ("comments", "comment"),
}
_APART = {
    W + "txbxContent",
    C + "chart",
    "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds",
    "{urn:schemas-microsoft-com:office:office}OLEObject",
}
_DEPTH = 40
"""Tables within tables, controls within controls: what is nested deeper is refused."""


def read_docx(data: bytes, _name: str = "") -> Extract:
    """Read a Word file; its title is that of its properties, else its first title or heading."""
    archive = Archive(data, "Word")
    main = _main_part(archive)
    body = xml_tree(archive, main)
    found = body.find(W + "body")
    if found is None:
        raise InvalidInputError("it is no Word file (it has no body)")
    reader = _Reader(archive, main)
    blocks = list(reader.blocks(found, 0))
    headers, footers = ([*reader.around(kind)] for kind in ("header", "footer"))
    title = property_title(archive) or next((b.text for b in blocks if isinstance(b, Heading)), "")
    return Extract(title, [*headers, *blocks, *reader.unanswered(), *footers])


def _main_part(archive: Archive) -> str:
    for kind, target, _ in related(archive, ""):
        if kind == "officeDocument":
            return target
    if "word/document.xml" in archive.names:
        return "word/document.xml"
    raise InvalidInputError("it is no Word file (it has no document in it)")


@dataclass
class _Reader:
    archive: Archive
    main: str
    styles: dict[str, int] = field(default_factory=dict)
    notes: dict[str, dict[str, etree._Element]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts: dict[str, list[str]] = {}
        self.beside: dict[str, tuple[str, str]] = {}
        for kind, target, identity in related(self.archive, self.main):
            self.parts.setdefault(kind, []).append(target)
            self.beside[identity] = (kind, target)
        self.styles = self._levels()

    def _levels(self) -> dict[str, int]:
        """Return the level of each style that is one of headings: by its name, its outline or its parent."""
        levels: dict[str, int] = {}
        parents: dict[str, str] = {}
        for part in self.parts.get("styles", []):
            tree = xml_tree(self.archive, part, may_miss=True)
            for style in () if tree is None else tree.iter(W + "style"):
                name = _value(style.find(W + "name")).lower()
                identity = style.get(W + "styleId", "")
                outline = _value(style.find(f"{W}pPr/{W}outlineLvl"))
                parents[identity] = _value(style.find(W + "basedOn"))
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
            if child.tag == W + "p":
                yield from self._paragraph(child, depth)
            elif child.tag == W + "tbl":
                yield from self._table(child, depth)
            elif child.tag == W + "altChunk":
                yield from self._part(child)
            elif child.tag == M_T:
                yield Paragraph(child.text or "")
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
            yield from self.blocks(box, depth + 1) if box.tag == W + "txbxContent" else self._part(box)
        for kind, identity in notes:
            yield from self._note(kind, identity)

    def _part(self, node: etree._Element) -> Iterator[Block]:
        """Yield the chart, diagram or file that an element stands for."""
        kind, target = self.beside.get(node.get(RELATED + "id") or node.get(RELATED + "dm") or "", ("", ""))
        yield from part_blocks(self.archive, kind, target)

    def _level(self, paragraph: etree._Element) -> int:
        outline = _value(paragraph.find(f"{W}pPr/{W}outlineLvl"))
        if outline.isdecimal() and int(outline) < 9:
            return int(outline) + 2
        return self.styles.get(_value(paragraph.find(f"{W}pPr/{W}pStyle")), 0)

    def _text(
        self, root: etree._Element, boxes: list[etree._Element], notes: list[tuple[str, str]]
    ) -> Iterator[str]:
        """Yield the text of a paragraph; boxes, charts, files and references to notes in it are gathered.

        How a word is read (ruby) comes behind it, not behind each of its characters.
        """
        left = list(reversed(root))
        reading: list[str] = []
        while left:
            node = left.pop()
            tag = node.tag
            if tag == W + "ruby":
                reading += (text.text or "" for text in node.iterfind(f"{W}rt//{W}t"))
                yield from (text.text or "" for text in node.iterfind(f"{W}rubyBase//{W}t"))
            elif tag == W + "t" or tag == M_T:
                yield from _in_brackets(reading) if (node.text or "").strip() else ()
                yield node.text or ""
            elif tag == W + "tab":
                yield "\t"
            elif tag in (W + "br", W + "cr"):
                yield "\n"
            elif tag in (W + "noBreakHyphen", W + "softHyphen"):
                yield "-" if tag == W + "noBreakHyphen" else ""
            elif tag in _NOTES:
                notes.append((_NOTES[tag][0], node.get(W + "id", "")))
            elif tag in _APART:
                boxes.append(node)
            elif tag == _TEXT_PATH:
                yield node.get("string", "")
            elif tag == W + "ddList":
                yield _chosen(node)
            elif tag not in _LEFT_OUT:
                left.extend(reversed(node))
        yield from _in_brackets(reading)

    def unanswered(self) -> Iterator[Block]:
        """Yield the comments that nothing in the text refers to, as some programs store answers to one."""
        yield from self._note("comments", "")
        for identity in [*self.notes["comments"]]:
            yield from self._note("comments", identity)

    def _note(self, kind: str, identity: str) -> Iterator[Block]:
        if kind not in self.notes:
            self.notes[kind] = {}
            for part in self.parts.get(kind, []) or [f"word/{kind}.xml"]:
                tree = xml_tree(self.archive, part, may_miss=True)
                for note in () if tree is None else tree:
                    if note.get(W + "type") in (None, "normal"):
                        self.notes[kind][note.get(W + "id", "")] = note
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
        for row in _within(table, W + "tr"):
            if not rows and row.find(f"{W}trPr/{W}tblHeader") is not None:
                header = True
            rows.append([self._cell(cell, depth, nested) for cell in _within(row, W + "tc")])
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
        elif node.tag not in _LEFT_OUT and node.tag not in (W + "tr", W + "tc", W + "p"):
            left.extend(reversed(node))


def _in_brackets(reading: list[str]) -> Iterator[str]:
    """Yield how the word before is read, if that was given, and forget it."""
    if reading:
        yield f"({''.join(reading)})"
        reading.clear()


def _chosen(choices: etree._Element) -> str:
    """Return what was chosen from the list of a form."""
    number = _value(choices.find(W + "result"))
    entries = [_value(entry) for entry in choices.iterfind(W + "listEntry")]
    return "".join(entries[int(number or 0) :][:1]) if (number or "0").isdecimal() else ""


def _value(node: etree._Element | None) -> str:
    return "" if node is None else node.get(W + "val", "")
