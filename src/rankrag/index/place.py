"""Which store holds the passages of an index, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from ..errors import InvalidInputError
from ..types import StoreName

MEMORY = ":memory:"
"""In place of a server's URL: the client's own imitation of a server, which ends with the process."""

_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class StorePlace:
    """The store of an index. LanceDB keeps its tables in the folder of the index and needs no more.

    Qdrant keeps them in `collection` (and a second one, `collection-files`) on the server at `url`.
    """

    name: StoreName = "lancedb"
    url: str = ""
    collection: str = ""

    def __str__(self) -> str:
        return f"{self.name}, collection {self.collection} at {self.url}" if self.url else self.name


LANCEDB = StorePlace()


def collection_of(folder: Path) -> str:
    """Return what the collection of an index is called where nothing else is asked for."""
    return "rankrag-" + (re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.") or "index")


def check_place(place: StorePlace) -> None:
    """Raise InvalidInputError for a store that there is not, or a place where it cannot be."""
    if place.name not in get_args(StoreName):
        names = ", ".join(get_args(StoreName))
        raise InvalidInputError(f"found store {place.name!r}, wanted one of {names}: choose one of them")
    if place.name == "lancedb":
        if place != LANCEDB:
            raise InvalidInputError(
                "found a URL or a collection for lancedb, which keeps its tables in the folder of the index: "
                "leave them out, or choose qdrant"
            )
        return
    if place.url != MEMORY:
        _check_url(place.url)
    if not _COLLECTION.fullmatch(place.collection):
        raise InvalidInputError(
            f"found collection {place.collection!r}, wanted letters, digits, '.', '_' and '-', at most 200: "
            "name it otherwise"
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or set(url) & set(" ?#"):
        raise InvalidInputError(
            f"found {url.rpartition('@')[2]!r} as the URL of a Qdrant server, wanted http://HOST:6333 or "
            "https://HOST:6333: mend it"
        )
    if "@" in parts.netloc:
        # The URL goes into manifest.json and into messages.
        raise InvalidInputError(
            f"found a password in the URL of {parts.hostname}, wanted none: set QDRANT_API_KEY"
        )
