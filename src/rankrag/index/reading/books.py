"""The text of EPUB books, chapter by chapter in reading order."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ...errors import InvalidInputError
from .compressed import Archive
from .html import blocks, decoded, parsed
from .office import xml_tree
from .texts import Block, Extract, own_title, shortened

if TYPE_CHECKING:
    from lxml import etree


def read_epub(data: bytes, _name: str = "") -> Extract:
    """Read a book; its title is that of its package, and its author goes with every passage."""
    archive = Archive(data, "EPUB")
    encryption = archive.read("META-INF/encryption.xml")
    if b"EncryptedData" in encryption and b"obfuscation" not in encryption:  # which is of fonts alone
        raise InvalidInputError("it is protected (DRM): its text cannot be read")
    container = xml_tree(archive, "META-INF/container.xml", recover=True)
    package_path = next((node.get("full-path", "") for node in container.iter("{*}rootfile")), "")
    package = xml_tree(archive, package_path, recover=True)
    title, author = (_named(package, name) for name in ("title", "creator"))
    told: dict[str, list[str]] = {}
    blocks = [
        block for chapter in _spine(package, package_path) for block in _chapter(archive, chapter, told)
    ]
    notes = tuple(f"{about}: {shortened(', '.join(names), 200)}" for about, names in told.items())
    return Extract(own_title(title), blocks, notes, {"author": author} if author else {})


def _named(package: etree._Element, name: str) -> str:
    element = package.find(f".//{{*}}{name}")
    return "" if element is None else " ".join("".join(element.itertext()).split())


def _spine(package: etree._Element, package_path: str) -> Iterator[str]:
    """Yield the parts of a book that are read one after the other."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None:
            yield reference.get("idref", "")
        elif "nav" not in item.get("properties", "").split():
            target = unquote(item.get("href", "").split("#")[0])
            yield posixpath.normpath(posixpath.join(posixpath.dirname(package_path), target))


def _chapter(archive: Archive, name: str, told: dict[str, list[str]]) -> Iterator[Block]:
    """Yield the blocks of a chapter; what is to be told of it goes into `told`, by what that is."""
    data = archive.read(name)
    if not data.strip():
        told.setdefault("chapters that are not there", []).append(name)
        return
    try:
        text, note = decoded(data)
        tree, deep = parsed(text)
    except InvalidInputError as error:
        told.setdefault(str(error), []).append(name)
        return
    for about in filter(None, (note, deep)):
        told.setdefault(about, []).append(name)
    yield from blocks(tree)
