"""Documents to text: one function for each kind of file, and where its pages begin.

A parser raises InvalidInputError with the reason if it cannot read a file. The text it returns is what
the offsets of passages count in: for plain text, Markdown and reStructuredText the decoded file as it
is (without a byte order mark, line ends kept), for the others what was extracted.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInputError, MissingExtraError

LARGEST = 256 * 2**20
"""Bytes that a document may have, packed or unpacked; greater ones are refused, not read."""

PAGE_BREAK = "\f"


@dataclass(frozen=True, slots=True)
class Text:
    """A document's title and text, and the offsets at which its pages begin (none: it has no pages)."""

    title: str
    text: str
    pages: tuple[int, ...] = ()


def parse(path: Path, kind: str) -> Text:
    """Return the text of a document of that kind.

    Raises InvalidInputError with the reason if it cannot be read or holds no text, MissingExtraError if
    the package that reads it is not installed.
    """
    if (size := path.stat().st_size) > LARGEST:
        raise InvalidInputError(f"it has {size:,} bytes, the most is {LARGEST:,}: split it")
    found = PARSERS[kind](path)
    text = clean(found.text)
    if not text.strip():
        raise InvalidInputError("it holds no text")
    return Text(clean(" ".join(found.title.split())) or path.stem, text, found.pages)


def clean(text: str) -> str:
    """Return a text that can be stored: half a surrogate pair is replaced, length and offsets stay."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def join_pages(title: str, pages: list[str]) -> Text:
    """Return pages as one text, joined by a form feed; a form feed within a page becomes a line end."""
    starts: list[int] = []
    length = 0
    for page in pages:
        starts.append(length)
        length += len(page) + 1
    return Text(title, PAGE_BREAK.join(page.replace(PAGE_BREAK, "\n") for page in pages), tuple(starts))


# ── plain text, Markdown, reStructuredText ───────────────────────────────────────────────────────────

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks; the four bytes of UTF-32 begin with the two of UTF-16, so they are tried first."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def decode(data: bytes) -> str:
    """Return bytes as text: by byte order mark, else UTF-8, else Latin-1 (Windows-1252 where it holds).

    Raises InvalidInputError for bytes that are no text.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return _strictly(data[len(mark) :], encoding)
    if b"\0" in data:
        raise InvalidInputError("it is binary, not text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _western(data)
    if len(_CONTROL.findall(text)) > len(text) // 100:
        raise InvalidInputError("it is binary, not text")
    return text


def _western(data: bytes) -> str:
    # Windows-1252 is Latin-1 with letters and quotes in place of control codes that no text has.
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if len(re.findall("[\x80-\x9f]", text)) > len(text) // 100:
        raise InvalidInputError("it is binary, not text")
    return text


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"its byte order mark says {encoding}, its bytes do not ({error.reason})"
        ) from error


_RULE = r"([=\-~^\"'`#*+.:_])\2{2,}[^\S\n]*\r?$"
_TITLES = {
    ".md": re.compile(r"^#{1,6}[^\S\n]+(.+?)(?:[^\S\n]+#+)?[^\S\n]*$|^(\S.*)\n=+[^\S\n]*$", re.MULTILINE),
    ".rst": re.compile(rf"^(\S.*)\r?\n{_RULE}", re.MULTILINE),
}
_TITLE_WITHIN = 4000


def _written(path: Path) -> Text:
    """Read plain text; its title is the first heading, if its kind has headings."""
    text = decode(path.read_bytes())
    # Plain text is often reStructuredText without the ending (Python's own topics are).
    heading = _TITLES.get(path.suffix.lower(), _TITLES[".rst"]).search(text[:_TITLE_WITHIN])
    found = next((group for group in heading.groups() if group), "") if heading else ""
    return Text(found.strip(), text)


# ── HTML ─────────────────────────────────────────────────────────────────────────────────────────────


def _html(path: Path) -> Text:
    """Read the main text of a web page; where none is found, all its text."""
    try:
        import trafilatura
        from lxml import etree, html
    except ImportError as error:
        raise MissingExtraError("trafilatura", "docs") from error
    data = path.read_bytes()
    if not data.strip():
        raise InvalidInputError("it is empty")
    source = data if b"charset" in data[:2048].lower() else decode(data)
    try:
        tree = html.fromstring(source)
    except (etree.ParserError, ValueError) as error:
        raise InvalidInputError(f"it is no HTML ({error})") from error
    title = tree.findtext(".//title") or tree.findtext(".//h1") or ""
    main = trafilatura.extract(source, include_comments=False, include_tables=True, favor_recall=True)
    return Text(title, main or _all_text(tree))


def _all_text(tree: object) -> str:
    from lxml import html

    if not isinstance(tree, html.HtmlElement):
        return ""
    hidden = {"script", "style", "head", "template", "noscript"}
    parts = [
        str(part).strip()
        for part in tree.xpath("//text()[not(ancestor::script or ancestor::style or ancestor::head)]")
        if part.getparent() is not None and part.getparent().tag not in hidden
    ]
    return "\n".join(part for part in parts if part)


# ── the others ───────────────────────────────────────────────────────────────────────────────────────


def _pdf(path: Path) -> Text:
    from .pdf import read_pdf

    return read_pdf(path)


def _docx(path: Path) -> Text:
    from .office import read_docx

    return read_docx(path)


def _pptx(path: Path) -> Text:
    from .office import read_pptx

    return read_pptx(path)


PARSERS: dict[str, Callable[[Path], Text]] = {
    ".txt": _written,
    ".md": _written,
    ".rst": _written,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".pptx": _pptx,
}
"""What reads a document, by the ending of its file."""
