"""The text of web pages, with their headings and tables.

A page's main part is read if it says which that is; menus, page headers and footers, forms and scripts are
left out, as are lists and boxes that hold hardly anything but links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, needs
from .encodings import decode
from .texts import Block, Extract, Grid, Heading, Paragraph, own_title

if TYPE_CHECKING:
    from lxml import etree

_HIDDEN = set(
    "script style head template noscript iframe object select nav canvas audio video map datalist "
    "desc defs symbol metadata annotation annotation-xml".split()  # the last six of drawings and formulas
)
_ROLES = {"navigation", "search", "banner", "contentinfo", "menu", "menubar"}
_BLOCKS = set(
    "p div section article aside main header footer blockquote figure figcaption ul ol li dl dt dd table "
    "caption thead tbody tfoot tr td th pre address hr form fieldset legend details summary body html "
    "h1 h2 h3 h4 h5 h6 center button text".split()
)
_LEVELS = {f"h{n}": n for n in range(1, 7)}

_TAG_TOO_LONG = re.compile(rb"<([A-Za-z][A-Za-z0-9:-]*)\s[^<>]{4096,}>")
_ALT = re.compile(rb"""\salt\s*=\s*("[^"]{0,500}"|'[^']{0,500}')""", re.IGNORECASE)
_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)"""
    rb"""|<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_.:-]+)""",
    re.IGNORECASE,
)
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")

_BREAK = "\v"
"""Stands for `<br>` until a paragraph is whole."""

_MOST_LINKS, _LINKED = 4, 0.8
"""A list or box with at least so many links is left out if so great a share of its text is links."""


def read_html(data: bytes, _name: str = "") -> Extract:
    """Read a web page."""
    text, note = decoded(data)
    tree, deep = parsed(text)
    title = own_title(_first(tree, "title")) or own_title(_first(tree, "h1"))
    return Extract(title, list(blocks(tree)), tuple(n for n in (note, deep) if n))


def decoded(data: bytes) -> tuple[str, str]:
    """Return the text of a page by what it says of its encoding, if it says so and that holds; and a note."""
    if not data.strip():
        raise InvalidInputError("it is empty")
    data = _TAG_TOO_LONG.sub(_bare, data)
    said = _DECLARED.search(data[: 2**16])
    content = decode(data, (said.group(1) or said.group(2)).decode("ascii") if said else "")
    return content.text, content.note


def _bare(match: re.Match[bytes]) -> bytes:
    # A parser compares each attribute with all before it, so a tag with 25,000 takes seconds; and a picture
    # in a `data:` URI is an attribute of megabytes. Of such a tag only its name and its `alt` stay.
    alt = _ALT.search(match.group(0))
    return b"<" + match.group(1) + (alt.group(0) if alt else b"") + b">"


def parsed(text: str) -> tuple[etree._Element, str]:
    """Return the tree of a page, and a note if not all of it could be read.

    Raises InvalidInputError for what is no HTML, MissingExtraError without lxml.
    """
    with needs("lxml", "docs"):
        from lxml import etree
    text = _DECLARATION.sub("", text).replace("\0", "")
    parser = etree.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, encoding="utf-8")
    try:
        tree = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise InvalidInputError(f"it is no HTML ({error})") from error
    if tree is None:
        raise InvalidInputError("it is no HTML (nothing in it could be read)")
    deep = any("depth" in entry.message.lower() for entry in parser.error_log)
    return tree, "nested too deep: not all of it was read" if deep else ""


def _first(tree: etree._Element, tag: str) -> str:
    element = tree.find(f".//{tag}")
    return "" if element is None else "".join(element.itertext())


def blocks(tree: etree._Element) -> Iterator[Block]:
    """Yield the blocks of a page: of its main part and the asides beside it, if it says which that is.

    A page that is links for the most part keeps them.
    """
    body = tree.find(".//body")
    roots = _parts(tree if body is None else body)
    walk = _Walk(menus=False)
    content = [block for root in roots for block in walk.of(root)]
    if walk.left_out > sum(map(size_of, content)):
        content = [block for root in roots for block in _Walk(menus=True).of(root)]
    yield from content


def _parts(body: etree._Element) -> list[etree._Element]:
    for path in (".//main", ".//*[@role='main']"):
        parts = body.findall(path)
        if len(parts) == 1 and len("".join(parts[0].itertext()).split()) >= 20:
            around = {*parts[0].iterancestors(), *parts[0].iter()}
            return [parts[0], *(aside for aside in body.iter("aside") if aside not in around)]
    return [body]


def size_of(block: Block) -> int:
    """Return the characters of a block."""
    if isinstance(block, Grid):
        return sum(len(cell) for row in block.rows for cell in row)
    return len(block.text) if isinstance(block, Heading | Paragraph) else 0


class _Walk:
    """Goes through a tree once, without recursion, and gathers running text into paragraphs.

    Lists and boxes of links are left out and their characters counted, unless `menus` keeps them.
    """

    def __init__(self, menus: bool) -> None:
        self.menus = menus
        self.left_out = 0
        self.line: list[str] = []
        self.prefix = ""
        self.in_ruby = False
        self.reading: list[str] = []

    def of(self, root: etree._Element) -> Iterator[Block]:
        """Yield the blocks of a tree."""
        from lxml import etree

        whole: etree._Element | None = None
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, node in walk:
            tag = node.tag if isinstance(node.tag, str) else ""
            if event == "start":
                blocks = self._whole(node, tag, root)
                if blocks is None:
                    yield from self._open(node, tag)
                else:
                    yield from blocks
                    whole = node
                    walk.skip_subtree()
                continue
            if node is not whole:
                if tag in _BLOCKS:
                    yield from self._flush()
                if tag == "ruby":
                    self.in_ruby = False
            self._tail(node, root)
        yield from self._flush()

    def _whole(self, node: etree._Element, tag: str, root: etree._Element) -> list[Block] | None:
        """Return the blocks of an element that is taken or left out as a whole; None for one to go into."""
        if _is_hidden(node, tag):
            return []
        if tag in _LISTS and node is not root and not self.menus and (size := _menu(node)):
            self.left_out += size
            return []
        if tag in ("rt", "rp"):
            self.reading += node.itertext() if tag == "rt" else ()
            return []
        if tag == "table" and not _is_layout(node):
            return [*self._flush(), *_table(node)]
        if tag in _LEVELS:
            words = _words(node)
            return [*self._flush(), *([Heading(_LEVELS[tag], words)] if words else ())]
        if tag == "pre":
            return [*self._flush(), Paragraph("".join(node.itertext()).strip("\n"))]
        return None

    def _open(self, node: etree._Element, tag: str) -> Iterator[Block]:
        if tag in _BLOCKS:
            yield from self._flush()
        if tag == "ruby":
            self.in_ruby = True
        if tag == "li":
            self.prefix = "- "
        if tag == "br":
            self.line.append(_BREAK)
        elif tag == "img" and (alt := node.get("alt", "").strip()):
            self.line.append(f" {alt} ")
        elif (
            tag == "input" and (value := node.get("value", "").strip()) and node.get("type", "text") == "text"
        ):
            self.line.append(f" {value} ")
        self._say(node.text)

    def _tail(self, node: etree._Element, root: etree._Element) -> None:
        if node is not root:
            self._say(node.tail)

    def _say(self, text: str | None) -> None:
        """Add text; how a word is read (ruby) stands behind it, not behind each of its characters."""
        if self.reading and not self.in_ruby and text and text.strip():
            self._end_word()
        self.line.append((text or "").replace(_BREAK, " "))

    def _end_word(self) -> None:
        self.line += [f"({''.join(self.reading)})"] if self.reading else []
        self.reading = []

    def _flush(self) -> Iterator[Block]:
        self._end_word()
        lines = (" ".join(line.split()) for line in "".join(self.line).split(_BREAK))
        text = "\n".join(line for line in lines if line)
        self.line = []
        if text:
            yield Paragraph(self.prefix + text)
            self.prefix = ""


_LISTS = ("ul", "ol", "div", "aside", "table")


def _is_hidden(node: etree._Element, tag: str) -> bool:
    if tag in _HIDDEN or node.get("role") in _ROLES:
        return True
    if tag == "title":  # of a drawing
        return True
    if tag == "button":  # one that unfolds a text is its heading
        return node.get("aria-expanded") is None and len(_words(node)) <= _LABEL
    if tag in ("header", "footer") and node.getparent() is not None and node.getparent().tag == "body":
        return node.find(".//h1") is None
    return False


_LABEL = 20
"""Characters of a button that says what it does; a longer one is a question, or a heading."""


def _menu(node: etree._Element) -> int:
    """Return the characters of a list or box that holds hardly anything but links; 0 for any other."""
    links = node.findall(".//a")
    if not _MOST_LINKS <= len(links) <= 2000 or node.find(".//p") is not None:
        return 0
    text = len("".join("".join(node.itertext()).split()))
    linked = sum(len("".join("".join(link.itertext()).split())) for link in links)
    return text if text > 0 and linked / text >= _LINKED and text / len(links) < 60 else 0


def _is_layout(table: etree._Element) -> bool:
    """Say whether a table arranges a page, and is none of data: tables or headings stand in its cells."""
    return table.find(".//table") is not None or any(
        table.find(f".//{tag}") is not None for tag in ("h1", "h2", "h3")
    )


def _table(table: etree._Element) -> Iterator[Block]:
    caption = table.find("caption")
    if caption is not None and (words := _words(caption)):
        yield Paragraph(words)
    rows: list[list[str]] = []
    header = False
    for row in table.iter("tr"):
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        if not rows:
            header = bool(cells) and all(cell.tag == "th" for cell in cells)
        rows.append([_words(cell) for cell in cells])
    yield Grid(rows, header or None)


def _words(node: etree._Element) -> str:
    """Return the text of an element on one line, without scripts and the sign that links to a heading."""
    from lxml import etree

    parts: list[str] = []
    readings: list[str] = []
    skipped: etree._Element | None = None
    for event, part in etree.iterwalk(node, events=("start", "end")):
        if event == "start" and skipped is None:
            if part.tag in ("script", "style", "rt", "rp") or part.get("class") == "headerlink":
                readings += part.itertext() if part.tag == "rt" else ()
                skipped = part
            else:
                parts.append(" " if part.tag in _BLOCKS or part.tag == "br" else "")
                parts.append(part.text or "")
        elif event == "end":
            skipped = None if part is skipped else skipped
            if skipped is None and part is not node:
                parts.append(" " if part.tag in _BLOCKS else "")
                parts.append(part.tail or "")
    if readings:
        parts.append(f" ({''.join(readings)})")
    return " ".join("".join(parts).split())
