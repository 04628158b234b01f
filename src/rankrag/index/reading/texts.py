"""What parsers make of a document: blocks, and the one text that passages are cut from.

A parser of a kind whose file is its own text (plain text, Markdown, code) returns a `Text`: offsets count in
the file. Any other returns an `Extract`, a list of blocks; `composed` lays them out, in one way for all
kinds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import InvalidInputError
from .cut import n_words

LARGEST = 256 * 2**20
"""Bytes that a document may have, packed or unpacked; greater ones are refused, not read."""

MOST_CHARACTERS = 64 * 2**20
"""Characters that may come out of a document: a small file can hold a text that no memory could."""

LONGEST_TITLE = 300
"""Characters of a title or a heading; the rest of a longer one is left out of the title, not of the text."""

PAGE_BREAK = "\f"

_BEFORE = 30
"""Words before the first heading that are no passage of their own."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the highest."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text that stands on its own, with its line ends."""

    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: rows of cells. `header`: the first row names the columns; None: that shows in its cells."""

    rows: Sequence[Sequence[str]]
    header: bool | None = None


@dataclass(frozen=True, slots=True)
class NewPage:
    """What follows stands on the next page (or slide)."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A file within the document, to be read by its own kind."""

    name: str
    data: bytes


Block = Heading | Paragraph | Grid | NewPage | Attached


@dataclass(frozen=True, slots=True)
class Extract:
    """What a parser found: the title, the blocks in reading order, and what to tell about them.

    `notes` name what was guessed or not read, a line each; `attributes` go with every passage. `scanned` are
    the pages (from 0) that hold no text.
    """

    title: str
    blocks: Sequence[Block]
    notes: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    scanned: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section begins, and the headings that lead to it, the highest first."""

    start: int
    trail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A document's title and text.

    `pages` are the offsets at which its pages begin (none: it has no pages), `sections` where its sections
    do, `borders` where else no passage may cross (rows of a table, pairs of question and answer).
    """

    title: str
    text: str
    pages: tuple[int, ...] = ()
    sections: tuple[Section, ...] = ()
    borders: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """A heading as it stands in a text: its offsets, its level (1 is the highest), its words."""

    start: int
    end: int
    level: int
    words: str


# ── pieces that every parser needs ───────────────────────────────────────────────────────────────────


def clean(text: str) -> str:
    """Return a text that can be stored: half a surrogate pair is replaced, length and offsets stay."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def shortened(text: str, most: int = LONGEST_TITLE) -> str:
    """Return a text on one line of at most so many characters, the last one an ellipsis if it was cut."""
    line = " ".join(text[: 8 * most].split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


_DATA_URI = re.compile(
    r"""data:(?:[a-z]+/[a-z0-9.+-]+(?:;[a-z0-9=_.+-]+)*|;base64),[^\s"'`)>\]}]*(?:\s*[A-Za-z0-9+/=]{60,})*""",
    re.IGNORECASE,
)


def without_data(text: str) -> tuple[str, int]:
    """Return a text without the pictures that `data:` URIs hold, and how many there were."""
    if "data:" not in text and "DATA:" not in text:
        return text, 0
    return _DATA_URI.subn("", text)


_PLACEHOLDER = re.compile(
    r"(?:untitled|unnamed|no title|title|documento?|dokument|presentation|slide|layout|book|workbook|template"
    r"|microsoft (?:word|powerpoint|excel)|new|none|null|\(?anonymous\)?|ohne titel|unbenannt|sans titre"
    r"|sin título|senza titolo|без названия|無題|제목 없음|无标题|슬라이드|幻灯片|문서|文档|文書"
    r"|(?:powerpoint)?[- ]?(?:pr[eéä]sentati?[oó]n|프레젠테이션|プレゼンテーション|演示文稿)(?: powerpoint)?)"
    r"[\s_.-]*\d*(?:\.\w{2,4})?|microsoft (?:word|powerpoint|excel) - .*"
    r"|.*\.(?:docx?|pptx?|xlsx?|indd|dvi|tex|qxd|pmd|rtf|od[tsp]|html?|e?ps|pdf|tmp)",
    re.IGNORECASE,
)


def own_title(title: str | None) -> str:
    """Return a title from a document's properties, or "" if it is one that a program put there."""
    line = shortened(str(title or ""))
    return "" if _PLACEHOLDER.fullmatch(line) or not re.search(r"\w", line) else line


def sections(text: str, marks: Sequence[Mark]) -> tuple[Section, ...]:
    """Return the sections that headings begin.

    A heading directly above another shares its section, and a few words before the first heading belong to
    the first.
    """
    if not marks:
        return ()
    parts: list[Section] = []
    trail: list[Mark] = []
    begun: int | None = None
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        trail = [above for above in trail if above.level < mark.level] + [mark]
        begun = mark.start if begun is None else begun
        body = text[mark.end : following.start if following else len(text)]
        if following is None or body.strip():
            parts.append(Section(begun, tuple(shortened(above.words, 120) for above in trail[-3:])))
            begun = None
    before = text[: parts[0].start] if parts[0].start <= 16 * _BEFORE else ""
    if before.strip() and n_words(before) <= _BEFORE:
        parts[0] = Section(0, parts[0].trail)
    return tuple(parts)


# ── layout ───────────────────────────────────────────────────────────────────────────────────────────


def composed(extract: Extract, words: int) -> Text:
    """Return blocks as one text: parted by blank lines, pages by a form feed, a row of a table a line.

    A table too long for a passage of `words` words (0: no limit) is divided, and its header row repeated,
    so that every passage knows its columns.
    """
    layout = _Layout()
    for block in extract.blocks:
        if isinstance(block, Heading):
            start = layout.add(block.text)
            if start is not None:
                layout.marks.append(Mark(start, layout.length, block.level, block.text))
        elif isinstance(block, Paragraph):
            layout.add(block.text)
        elif isinstance(block, Grid):
            layout.add_table(block, words)
        elif isinstance(block, NewPage):
            layout.turn()
    text = "".join(layout.parts)
    return Text(
        extract.title,
        text,
        pages=tuple(layout.pages),
        sections=sections(text, layout.marks),
        borders=tuple(layout.borders),
        notes=extract.notes,
        attributes=extract.attributes,
    )


class _Layout:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.on_page = False
        self.pages: list[int] = []
        self.marks: list[Mark] = []
        self.borders: list[int] = []

    def turn(self) -> None:
        """Begin a page."""
        if self.pages:
            self._put(PAGE_BREAK)
        self.pages.append(self.length)
        self.on_page = False

    def add(self, text: str) -> int | None:
        """Add a paragraph and return where it begins; None for one without text."""
        text, _ = without_data(unicodedata.normalize("NFC", clean(text)).replace(PAGE_BREAK, "\n"))
        if not text.strip():
            return None
        if self.on_page:
            self._put("\n\n")
        start = self.length
        self._put(text)
        self.on_page = True
        return start

    def add_table(self, table: Grid, words: int) -> None:
        """Add a table; each of several parts of a long one is a passage of its own."""
        parts = list(_table(table, words))
        for part in parts:
            start = self.add(part)
            if start is not None and len(parts) > 1:
                self.borders.append(start)
        if len(parts) > 1:
            self.borders.append(self.length)

    def _put(self, text: str) -> None:
        self.length += len(text)
        if self.length > MOST_CHARACTERS:
            raise InvalidInputError(f"it holds more than {MOST_CHARACTERS:,} characters: split it")
        self.parts.append(text)


def _table(table: Grid, words: int) -> Iterator[str]:
    """Yield a table as text, in parts of at most about `words` words, each under the header row."""
    rows = [[" ".join(cell.split()) for cell in row] for row in table.rows]
    rows = [row for row in rows if any(row)]
    if not rows:
        return
    header = _header(rows, table.header)
    if header and words and n_words(" ".join(header)) > words // 2:
        yield from (_named(header, row) for row in rows[1:])
        return
    lines = [" | ".join(row).strip() for row in rows]
    head, body = (lines[:1], lines[1:]) if header else ([], lines)
    room = max(1, words - n_words(" ".join(head))) if words else 0
    part: list[str] = []
    held = 0
    for line in body:
        size = n_words(line)
        if part and room and held + size > room:
            yield "\n".join(head + part)
            part, held = [], 0
        part.append(line)
        held += size
    yield "\n".join(head + part)


def _header(rows: list[list[str]], told: bool | None) -> list[str]:
    """Return the row that names the columns: as told, else the first if each of its cells is words."""
    first = rows[0]
    if told is False or len(rows) < 2:
        return []
    if told or (len(first) > 1 and all(re.search(r"[^\W\d_]", cell) for cell in first)):
        return first
    return []


def _named(header: list[str], row: list[str]) -> str:
    names = [*header, *[""] * (len(row) - len(header))]
    return "\n".join(
        f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell
    )
