"""The kinds of files that are read: one table, by the ending of the file's name.

To add a kind, write a parser in a module of its own (bytes and a name in, a `Text` or an `Extract` out) and
give it a row in `DOCUMENTS`; a collection, which holds many documents, has its row in `COLLECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .books import read_epub
from .code import LANGUAGES, read_code
from .csv_rows import csv_rows
from .html import read_html
from .json_lines import json_lines
from .mail import mailbox, read_eml
from .notebooks import read_ipynb
from .open_document import read_open_document
from .pdf import read_pdf
from .plain import read_markdown, read_rst, read_text
from .records import FromCollection
from .sheets import read_sheets
from .slides import read_pptx
from .texts import Extract, Text
from .word import read_docx


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """How a kind of document is read: its parser, given the bytes and the name of a file.

    `apart` says that it is read in a process of its own, which is ended if it takes too much time or
    memory: so for every parser whose work is not bounded by the size of the file. `packs` says that `.gz`
    and `.xz` of it are read too.
    """

    read: Callable[[bytes, str], Text | Extract]
    apart: bool = True
    packs: bool = False


@dataclass(frozen=True, slots=True)
class CollectionKind:
    """How a kind of collection is read: given a file, its name, and how many of its records to leave out."""

    read: Callable[[Path, str, int], Iterator[FromCollection]]
    apart: bool = False


_TEXT = DocumentKind(read_text, apart=False, packs=True)
_MARKDOWN = DocumentKind(read_markdown, apart=False, packs=True)
_RST = DocumentKind(read_rst, apart=False, packs=True)
_HTML = DocumentKind(read_html, packs=True)
_SHEETS = DocumentKind(read_sheets)
_CODE = DocumentKind(read_code, packs=True)

DOCUMENTS: Mapping[str, DocumentKind] = {
    ".txt": _TEXT,
    ".md": _MARKDOWN,
    ".rst": _RST,
    ".html": _HTML,
    ".htm": _HTML,
    ".pdf": DocumentKind(read_pdf, packs=True),
    ".docx": DocumentKind(read_docx),
    ".pptx": DocumentKind(read_pptx),
    ".xlsx": _SHEETS,
    ".odt": DocumentKind(read_open_document),
    ".odp": DocumentKind(read_open_document),
    ".epub": DocumentKind(read_epub),
    ".eml": DocumentKind(read_eml, packs=True),
    ".ipynb": DocumentKind(read_ipynb, packs=True),
    ".xhtml": _HTML,
    ".markdown": _MARKDOWN,
    ".mdx": _MARKDOWN,
    ".text": _TEXT,
    ".log": _TEXT,
    ".adoc": _TEXT,
    ".org": _TEXT,
    ".tex": _TEXT,
    ".srt": _TEXT,
    ".vtt": _TEXT,
    ".debian": _TEXT,
    ".docm": DocumentKind(read_docx),
    ".pptm": DocumentKind(read_pptx),
    ".xlsm": _SHEETS,
    ".xls": _SHEETS,
    ".xlsb": _SHEETS,
    ".ods": _SHEETS,
    **dict.fromkeys(LANGUAGES, _CODE),
}
"""What reads a document, by the ending of its file."""

COLLECTIONS: Mapping[str, CollectionKind] = {
    ".jsonl": CollectionKind(json_lines),
    ".csv": CollectionKind(csv_rows),
    ".tsv": CollectionKind(csv_rows),
    ".ndjson": CollectionKind(json_lines),
    ".mbox": CollectionKind(mailbox, apart=True),
}
"""What reads a collection, by the ending of its file (before that of its compression)."""

TEXT = ".txt"
"""The kind of a file whose name has no ending, if it holds text."""

PACKS = (*(ending for ending, kind in DOCUMENTS.items() if kind.packs), *COLLECTIONS)
"""Endings of files that are read compressed too."""
