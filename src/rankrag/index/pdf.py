"""The text of PDF files, page by page."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from ..errors import InvalidInputError, MissingExtraError
from .parse import Text, join_pages


def read_pdf(path: Path) -> Text:
    """Return the text of a PDF, its pages joined by form feeds; the title is that of its metadata.

    Raises InvalidInputError for a file that is encrypted, broken or holds no text (a scan).
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, PyPdfError
    except ImportError as error:
        raise MissingExtraError("pypdf", "docs") from error
    with _quiet("pypdf"):
        try:
            reader = PdfReader(path)
            if reader.is_encrypted and not reader.decrypt(""):
                raise InvalidInputError("it is encrypted: save a copy without password")
            pages = [page.extract_text() for page in reader.pages]
            title = reader.metadata.title if reader.metadata else None
        except DependencyError as error:
            raise InvalidInputError("it is encrypted with AES: save a copy without password") from error
        # A broken PDF makes the parser fail in whatever code it had reached, so no list of errors is whole.
        except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError,
                OSError, AssertionError, NotImplementedError, ArithmeticError) as error:  # fmt: skip
            raise InvalidInputError(f"it is a broken PDF ({error or type(error).__name__})") from error
    if not any(page.strip() for page in pages):
        raise InvalidInputError("it holds no text; a scan has to go through OCR first")
    return join_pages(str(title or ""), pages)


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
