"""The text of EPUB books, chapter by chapter in reading order."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ...errors import InvalidInputError, MissingExtraError
from .html import blocks, decoded, parsed
from .packed import Archive
from .texts import Block, Extract, own_title

if TYPE_CHECKING:
    from lxml import etree


def read_epub(data: bytes, _name: str = "") -> Extract:
    """Read a book; its title is that of its package, and its author goes with every passage."""
    archive = Archive(data, "EPUB")
    if "META-INF/encryption.xml" in archive.names and b"EncryptedData" in archive.read(
        "META-INF/encryption.xml"
    ):
        fonts_only = b"obfuscation" in archive.read("META-INF/encryption.xml")
        if not fonts_only:
            raise InvalidInputError("it is protected (DRM): its text cannot be read")
    place = next(
        (node.get("full-path", "") for node in _xml(archive, "META-INF/container.xml").iter("{*}rootfile")),
        "",
    )
    package = _xml(archive, place)
    title, author = (_named(package, name) for name in ("title", "creator"))
    missing: list[str] = []
    found = [block for chapter in _spine(package, place) for block in _chapter(archive, chapter, missing)]
    notes = (f"chapters that are not there: {', '.join(missing[:5])}",) if missing else ()
    return Extract(own_title(title), found, notes, {"author": author} if author else {})


def _xml(archive: Archive, part: str) -> etree._Element:
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingExtraError("lxml", "docs") from error
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
        tree = etree.fromstring(archive.read(part), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InvalidInputError(f"it is no EPUB book ({part}: {error})") from error
    if tree is None:
        raise InvalidInputError(f"it is no EPUB book ({part} is missing or broken)")
    return tree


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
