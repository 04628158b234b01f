"""The words on scanned pages of PDFs, by recognisers of this machine.

A page goes to the first that is sure of what it read: RapidOCR, whose weights are in its wheel (Latin
letters, Chinese, Japanese; of Korean it makes rubbish and is unsure of it), then the program Tesseract where
it is installed, in all languages that it has data for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, MissingExtraError, needs
from .texts import Block, Extract, NewPage, Paragraph

if TYPE_CHECKING:
    from PIL.Image import Image

_DPI = 150
_SURE = 0.8
"""Mean confidence from which a page counts as read: of English and Chinese pages it is 0.97 and more, of a
Korean one that RapidOCR guesses at 0.5."""

_PAGE_S = 120
"""Seconds that Tesseract may take for a page."""

Recognised = tuple[str, float]
"""The text of a page and the mean confidence in it, 0..1."""

REMEDY = "--ocr reads"
"""In every note and reason about pages that were left for want of `--ocr`."""

_NAMED = 20
"""Pages that are named one by one; further ones are counted."""


def scans_read(extract: Extract, data: bytes, ocr: bool) -> Extract:
    """Return a PDF's extract with the text of its scanned pages, if it is asked for, and a note about them.

    Raises InvalidInputError where it then holds no text at all, MissingExtraError as `recognised` does.
    """
    texts = recognised(data, extract.scanned) if ocr else {}
    blocks: list[Block] = []
    page = -1
    for block in extract.blocks:
        blocks.append(block)
        if isinstance(block, NewPage):
            page += 1
            blocks += [Paragraph(texts[page])] if page in texts else []
    left = [page for page in extract.scanned if page not in texts]
    if all(isinstance(block, NewPage) for block in blocks):
        raise InvalidInputError(
            "it holds no text, and no recogniser is sure of its pages: install tesseract with their language"
            if ocr
            else f"it holds no text, as a scan does: {REMEDY} it"
        )
    notes = [f"{_pages([*texts])} read by OCR"] if texts else []
    if left:
        why = "no recogniser is sure of them" if ocr else f"scanned? {REMEDY} them"
        notes.append(f"{_pages(left)} without text ({len(left)} of {page + 1}): {why}")
    return replace(extract, blocks=blocks, notes=(*extract.notes, *notes), scanned=())


def _pages(pages: Sequence[int]) -> str:
    numbers = ", ".join(str(page + 1) for page in pages[:_NAMED])
    more = f" and {len(pages) - _NAMED:,} more" if len(pages) > _NAMED else ""
    return f"page{'' if len(pages) == 1 else 's'} {numbers}{more}"


def recognised(data: bytes, pages: Sequence[int]) -> dict[int, str]:
    """Return the texts of those pages of a PDF (from 0) that a recogniser is sure of.

    Raises MissingExtraError if there is nothing to draw pages with, or nothing to read them.
    """
    recognisers = _recognisers()
    texts: dict[int, str] = {}
    for page, image in _drawn(data, pages):
        for recognise in recognisers:
            text, confidence = recognise(image)
            if text.strip() and confidence >= _SURE:
                texts[page] = text
                break
    return texts


def _drawn(data: bytes, pages: Sequence[int]) -> Iterator[tuple[int, Image]]:
    with needs("pypdfium2", "ocr"):
        import pypdfium2
    document = pypdfium2.PdfDocument(data)
    document.init_forms()
    for page in pages:
        yield page, document[page].render(scale=_DPI / 72, grayscale=True).to_pil()


@cache
def _recognisers() -> tuple[Callable[[Image], Recognised], ...]:
    engines = tuple(filter(None, (_rapidocr(), _tesseract())))
    if not engines:
        raise MissingExtraError("rapidocr", "ocr")
    return engines


def _rapidocr() -> Callable[[Image], Recognised] | None:
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    threads = {f"EngineConfig.onnxruntime.{which}_op_num_threads": 1 for which in ("intra", "inter")}
    engine = RapidOCR(params={"Global.log_level": "error", **threads})

    def recognise(image: Image) -> Recognised:
        result = engine(image.convert("RGB"))
        lines: Sequence[str] = getattr(result, "txts", None) or ()
        scores: Sequence[float] = getattr(result, "scores", None) or ()
        return "\n".join(lines), sum(scores) / max(1, len(scores))

    return recognise


def _tesseract() -> Callable[[Image], Recognised] | None:
    program = shutil.which("tesseract")
    if program is None:
        return None
    listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=_PAGE_S)
    languages = "+".join(name for name in listed.stdout.split("\n")[1:] if name and name != "osd")
    # Without the last setting it puts a space between any two syllables of Korean.
    options = ["-l", languages, "--dpi", str(_DPI), "-c", "preserve_interword_spaces=1", "txt", "tsv"]

    def recognise(image: Image) -> Recognised:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "page")
            image.save(page.with_suffix(".png"))
            subprocess.run(
                [program, str(page.with_suffix(".png")), str(page), *options],
                capture_output=True,
                timeout=_PAGE_S,
                check=True,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            )
            text, table = (page.with_suffix(ending).read_text("utf-8") for ending in (".txt", ".tsv"))
        rows = (row.split("\t") for row in table.splitlines()[1:])
        confidences = [float(row[10]) / 100 for row in rows if len(row) == 12 and row[11].strip()]
        return text.replace("\f", "\n").strip(), sum(confidences) / max(1, len(confidences))

    return recognise
