"""The text of PDF files, page by page, with tables, comments, form values and the files in them.

The outline gives the sections.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, MissingExtraError, needs
from .pdf_tables import headed, with_tables
from .texts import Attached, Block, Extract, Grid, Heading, NewPage, Paragraph, own_title

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader
    from pypdf.generic import DictionaryObject

_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a parser raises in whatever code a broken file led it to."""

_MOST_OUTLINE = 2000

_LETTERS = 20
"""Lines of a page from which one letter a line is no list."""

_NUMBER = r"^[^\S\n]*(?:[\dA-Z][\d.]*[^\S\n]+)?"
"""What may stand before a heading on its line."""


def read_pdf(data: bytes, _name: str = "") -> Extract:
    """Read a PDF; its title is that of its metadata, unless a program put it there.

    Raises InvalidInputError for a file that is encrypted with a password, or broken.
    """
    with needs("pypdf", "docs"):
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, PyPdfError
    with _quiet("pypdf"):
        try:
            reader = PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise InvalidInputError("it is encrypted: save a copy without password")
            pages = headed([_parts(page) for page in reader.pages])
            title = own_title(reader.metadata.title if reader.metadata else None)
            outline, values = _outline(reader), _values(reader)
            comments = [_comments(page) for page in reader.pages]
            files = _files(reader)
            scanned = tuple(n for n, page in enumerate(reader.pages) if _is_scan(page, pages[n]))
            notes = (_XFA,) if "/XFA" in _form(reader) and not values else ()
        except DependencyError as error:
            raise MissingExtraError("cryptography", "docs") from error
        except (PyPdfError, OSError, *_MISTAKES) as error:
            raise InvalidInputError(f"it is a broken PDF ({error or type(error).__name__})") from error
    blocks: list[Block] = []
    for number, page in enumerate(pages):
        blocks += [NewPage(), *_divided(page, outline.get(number, [])), *comments[number]]
    blocks += [Paragraph(values)] if values else []
    return Extract(title, [*blocks, *files], notes, scanned=scanned)


_XFA = "a form of XFA, of which a PDF shows no more than a notice: fill it in, print it into a PDF"


def _form(reader: PdfReader) -> DictionaryObject:
    from pypdf.generic import DictionaryObject

    form = reader.root_object.get("/AcroForm", DictionaryObject()).get_object()
    return form if isinstance(form, DictionaryObject) else DictionaryObject()


def _is_scan(page: PageObject, parts: list[str | Grid]) -> bool:
    """Say whether a page holds no text, or a picture as large as a page and no more than its number."""
    if any(isinstance(part, Grid) for part in parts):
        return False
    n_words = len(" ".join(map(str, parts)).split())
    return n_words == 0 or (n_words <= _PAGE_NUMBER and _has_picture_of_a_page(page))


_PAGE_NUMBER = 3
"""Words of a page that say where it stands: `Page 17`."""

_DOTS = 500_000
"""Dots of a picture that can be a page: A4 has as many at 72 to the inch."""


def _has_picture_of_a_page(page: PageObject) -> bool:
    with contextlib.suppress(Exception):  # as for the outline
        objects = page["/Resources"]["/XObject"].values()  # type: ignore[index]
        pictures = [item.get_object() for item in objects]
        return any(
            item.get("/Subtype") == "/Image" and item["/Width"] * item["/Height"] >= _DOTS
            for item in pictures
        )
    return False


def _outline(reader: PdfReader) -> dict[int, list[tuple[int, str]]]:
    """Return the headings of the outline by the page (from 0) that they point at, with their levels."""
    entries: dict[int, list[tuple[int, str]]] = {}
    left: list[tuple[int, object]] = []
    with contextlib.suppress(Exception):  # an outline that is broken gives no sections, the text is there
        left = [(1, item) for item in reversed(reader.outline)]
    count = 0
    while left and count < _MOST_OUTLINE:
        level, item = left.pop()
        if isinstance(item, list):
            left += [(level + 1, inner) for inner in reversed(item)]
            continue
        with contextlib.suppress(Exception):
            page = reader.get_destination_page_number(item)  # type: ignore[arg-type]
            title = " ".join(str(getattr(item, "title", "") or "").split())
            if page is not None and page >= 0 and title:
                entries.setdefault(page, []).append((level, title))
                count += 1
    return entries


def _parts(page: PageObject) -> list[str | Grid]:
    """Return the text of a page and its tables; an empty text for a page that holds none."""
    text, laid_out = page.extract_text(), cache(lambda: _laid_out(page))
    if not _has_letters(text):
        return [""]
    text = _LETTER_BY_LETTER.sub(lambda word: _BETWEEN.sub("", word[0]), text)
    if _is_scattered(text):
        lines = (" ".join(line.split()) for line in laid_out().splitlines())
        text = "\n".join(lines).strip() or text
    return with_tables(text, laid_out)


_LETTER_BY_LETTER = re.compile(r"^[^\W\d_](?:(?: {1,3}|\n)[^\W\d_]){5,}$", re.MULTILINE)
_BETWEEN = re.compile(r"(?<! )[ \n](?! )")
"""Words that were drawn letter by letter, and what stands between the letters of one."""


def _has_letters(text: str) -> bool:
    """Say whether a text is one: of fonts that do not say which letters they have come signs of nothing."""
    signs = Counter(_GLYPHS.sub("\ufffd", text))
    total = sum(count for sign, count in signs.items() if not sign.isspace())
    nothing = sum(count for sign, count in signs.items() if _is_nothing(sign))
    return total > 3 * nothing


_GLYPHS = re.compile(r"(?<=[\d\s])/[A-Za-z]{1,5}\d{1,5}|^/[A-Za-z]{1,5}\d{1,5}")
"""The name that a program gave to a letter of a font, where the library finds no letter: `/g71/g108`."""


def _is_nothing(sign: str) -> bool:
    return sign == "\ufffd" or (unicodedata.category(sign).startswith("C") and not sign.isspace())


def _is_scattered(text: str) -> bool:
    """Say whether a page was drawn letter by letter, each of which then stands on a line of its own."""
    lines = text.splitlines()
    return len(lines) > _LETTERS and sum(len(line.strip()) <= 1 for line in lines) > len(lines) // 2


def _laid_out(page: PageObject) -> str:
    """Return the text of a page by its place; "" where pypdf cannot lay it out, which loses no text."""
    with contextlib.suppress(Exception):
        return page.extract_text(extraction_mode="layout")
    return ""


def _comments(page: PageObject) -> list[Block]:
    """Return what was written on a page or beside it after it was made; links and form fields are none."""
    comments: list[Block] = []
    with contextlib.suppress(Exception):  # as for the outline
        for reference in page.get("/Annots") or ():
            note = reference.get_object()
            text = note.get("/Contents")
            if isinstance(text, str) and note.get("/Subtype") not in ("/Link", "/Widget", "/Popup"):
                comments.append(Paragraph(text.replace("\r", "\n")))
    return comments


def _files(reader: PdfReader) -> list[Block]:
    """Return the files that a PDF carries."""
    files: list[Block] = []
    with contextlib.suppress(Exception):  # as for the outline
        for name, contents in reader.attachments.items():
            files += [Attached(name, content) for content in contents]
    return files


def _divided(page: list[str | Grid], headings: list[tuple[int, str]]) -> Iterator[Block]:
    """Yield a page, its text divided where the outline's headings stand in it as lines of their own."""
    for part in page:
        if isinstance(part, Grid):
            yield part
            continue
        at = 0
        for level, title in headings:
            words = [re.escape(word) for word in title.split()]
            pattern = _NUMBER + r"\s+".join(words) + r"[^\S\n]*$"
            if match := re.compile(pattern, re.MULTILINE).search(part, at):
                yield from _paragraph(part[at : match.start()])
                yield Heading(level, match.group(0).strip())
                at = match.end()
        yield from _paragraph(part[at:])


def _paragraph(text: str) -> Iterator[Block]:
    if text.strip():
        yield Paragraph(text.strip("\n"))


def _values(reader: PdfReader) -> str:
    """Return what was filled into the fields of a form, `name: value` a line."""
    lines: list[str] = []
    with contextlib.suppress(Exception):  # as for the outline
        for name, form_field in (reader.get_fields() or {}).items():
            value = form_field.get("/V")
            label = str(form_field.get("/TU") or name)
            if isinstance(value, str) and value.strip() and value not in ("/Off", "Off"):
                lines.append(f"{label}: {str(value).removeprefix('/')}")
    return "\n".join(lines)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a library's warnings off the terminal: a file that is read in spite of them is fine."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
