"""What comes out of a collection, a file that holds many documents, and what of a record is kept.

A line that cannot be read is named and passed over. What is kept of a record is bounded: its line, its
title, its id and its attributes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import FormatError
from ...formats import passage
from ...types import Passage
from .compressed import opened
from .encodings import encoding_of
from .texts import LONGEST_TITLE, clean, shortened

LONGEST_LINE = 16 * 2**20
"""Bytes that one record may have: a compressed file can hold a line that no memory could."""

LONGEST_ID = 1000
"""Characters of an id: each passage has it."""

LONGEST_ATTRIBUTE = 1000
"""Characters of an attribute: what a filter compares, each passage of the record holds."""

ATTRIBUTES = 16_000
"""Characters of all attributes of a record, names and values."""


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A document of a collection: its line or row (from 1), its content, the bytes read so far.

    `cut` names the attributes that were too long, or too many, to be kept whole.
    """

    number: int
    passage: Passage
    read: int
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line or row (from 1) that cannot be read, and why; `problem` names the line itself."""

    number: int
    problem: str
    read: int


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell of the file as a whole."""

    note: str


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A document within a collection, to be read as a file of that kind is (a mail in a mailbox)."""

    number: int
    kind: str
    data: bytes
    read: int


FromCollection = CollectionRecord | Unreadable | Told | Enclosed
"""What comes out of a collection, in the order of the file."""

_READ = {"_id", "id", "text", "contents", "page_content", "title", "metadata", "attributes"}


def record_of(name: str, number: int, line: int, fields: dict[str, object], read: int) -> CollectionRecord:
    """Return a record as `formats.passage` reads it, with its other plain fields as attributes.

    `name` is what messages and made-up ids call the file, `line` where messages say that the record stands.
    Raises FormatError.
    """
    if isinstance(inner := fields.get("kwargs"), dict) and "page_content" in inner:
        fields = inner  # a document as LangChain serialises it
    if fields.get("_id", fields.get("id")) in (None, ""):
        fields = {**fields, "_id": f"{name}#{number}"}
    if not fields.get("text") and fields.get("page_content"):
        fields = {**fields, "text": fields["page_content"]}
    if _is_title_alone(fields):
        fields = {**fields, "text": fields["title"]}  # BEIR has documents that are but a title
    record = passage(name, line, fields)
    if not record.text.strip():
        raise FormatError(name, line, "found a text of nothing but white space")
    if len(record.id) > LONGEST_ID:
        raise FormatError(
            name, line, f"found an id of {len(record.id):,} characters, wanted at most {LONGEST_ID:,}"
        )
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in fields.items()
        if key not in _READ and isinstance(value, str | int | float | bool)
    }
    kept, cut = _kept(attributes | dict(record.attributes))
    title = record.title if len(record.title) <= LONGEST_TITLE else shortened(record.title)
    item = _storable(replace(record, source=None, title=title, attributes=kept))
    return CollectionRecord(number, item, read, cut)


def _is_title_alone(fields: dict[str, object]) -> bool:
    given = [fields.get(key) for key in ("text", "contents")]
    return not any(given) and isinstance(fields.get("title"), str) and bool(str(fields["title"]).strip())


def _kept(attributes: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the attributes within their limits, and the names of those that were cut or left out."""
    if sum(map(len, attributes.values())) <= LONGEST_ATTRIBUTE and len(attributes) <= 16:
        return dict(attributes), ()
    kept: dict[str, str] = {}
    cut: list[str] = []
    left = ATTRIBUTES
    for key, value in attributes.items():
        whole = value if len(value) <= LONGEST_ATTRIBUTE else value[: LONGEST_ATTRIBUTE - 1] + "…"
        left -= len(key) + len(whole)
        if left >= 0:
            kept[key] = whole
        if left < 0 or whole is not value:
            cut.append(key)
    return kept, tuple(cut)


def _storable(item: Passage) -> Passage:
    """Return a passage that UTF-8 can hold (JSON may escape half a surrogate pair)."""
    attributes = {clean(key): clean(value) for key, value in item.attributes.items()}
    return replace(
        item, id=clean(item.id), text=clean(item.text), title=clean(item.title), attributes=attributes
    )


def encoding_of_file(path: Path) -> tuple[str, str]:
    """Return the encoding of a file by the whole of it, and what to tell of it."""
    with opened(path) as (stream, _):
        encoding, note = encoding_of(iter(lambda: stream.read(2**20), b""))
        return ("utf-8-sig" if encoding == "utf-8" else encoding), note
