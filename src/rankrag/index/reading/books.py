"""The text of EPUB books, chapter by chapter in reading order."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ...errors import InvalidInputError
from .html import blocks, decoded, parsed
from .packed import Archive
from .texts import Block, Extract, own_title
from .word import xml_tree

if TYPE_CHECKING:
    from lxml import etree


def read_epub(data: bytes, _name: str = "") -> Extract:
    """Read a book; its title is that of its package, and its author goes with every passage."""
    archive = Archive(data, "EPUB")
    encryption = archive.read("META-INF/encryption.xml")
    if b"EncryptedData" in encryption and b"obfuscation" not in encryption:  # which is of fonts alone
        raise InvalidInputError("it is protected (DRM): its text cannot be read")
    container = xml_tree(archive, "META-INF/container.xml", recover=True)
    place = next((node.get("full-path", "") for node in container.iter("{*}rootfile")), "")
    package = xml_tree(archive, place, recover=True)
    title, author = (_named(package, name) for name in ("title", "creator"))
    missing: list[str] = []
    found = [block for chapter in _spine(package, place) for block in _chapter(archive, chapter, missing)]
    notes = (f"chapters that are not there: {', '.join(missing[:5])}",) if missing else ()
    return Extract(own_title(title), found, notes, {"author": author} if author else {})


def _named(package: etree._Element, name: str) -> str:
    found = package.find(f".//{{*}}{name}")
    return "" if found is None else " ".join("".join(found.itertext()).split())


def _spine(package: etree._Element, place: str) -> Iterator[str]:
    """Yield the parts of a book that are read one after the other."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if (
            item is not None
            and "html" in item.get("media-type", "html")
            and "nav" not in item.get("properties", "").split()
        ):
            target = unquote(item.get("href", "").split("#")[0])
            yield posixpath.normpath(posixpath.join(posixpath.dirname(place), target))


def _chapter(archive: Archive, name: str, missing: list[str]) -> Iterator[Block]:
    data = archive.read(name)
    if not data.strip():
        missing.append(name)
        return
    tree, _ = parsed(decoded(data)[0])
    yield from blocks(tree)
