"""The Qdrant server of an index: reaching it, and its two collections.

`NAME` has one point a passage, with the vectors `words` (sparse, weighed by `bm25.passage_vector`; the
server multiplies by IDF) and `dense` (in an index with vectors). `NAME-files` has one point a file, and one
about the index itself: whose it is, and the average length by which its passages were weighed.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FailureError, InvalidInputError, NotFoundError, in_a_line, needs
from ..manifest import IndexManifest
from ..place import MEMORY, StorePlace

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.http.exceptions import UnexpectedResponse

WORDS, DENSE = "words", "dense"
"""The names of the vectors of a passage."""

TIMEOUT_S = 60
"""Seconds to wait for one answer: a write is answered when it is applied."""

ABOUT = str(uuid.UUID(int=0))
"""The id of the point about the index."""

_KEYWORDS = ("path", "document", "attributes")

_REMEDIES = {
    401: "set QDRANT_API_KEY to a key of this server",
    403: "set QDRANT_API_KEY to a key that may write there",
    404: "look whether somebody deleted the collection",
    413: "let the server take larger requests (service.max_request_size_mb), or cut passages shorter",
}


@dataclass(frozen=True, slots=True)
class CollectionAbout:
    """What the server keeps about an index.

    `created` is that of the manifest and says whose collection it is. `average` is the number of words of
    a passage by which the passages there were weighed, and `weighed` how many those were.
    """

    created: str
    average: float | None = None
    weighed: int = 0


def files_of(place: StorePlace) -> str:
    """Return the name of the collection of files."""
    return f"{place.collection}-files"


def client_of(place: StorePlace) -> QdrantClient:
    """Return the client of a server, one for a process and address; it is safe to use from several threads.

    Raises MissingExtraError, or InvalidInputError for a key that cannot be sent. Nothing is sent yet.
    """
    key = os.environ.get("QDRANT_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable():
        raise InvalidInputError(
            "found characters in QDRANT_API_KEY that no header can carry, wanted one line of ASCII: set it "
            "again"
        )
    with needs("qdrant-client", "qdrant"):
        return _client(place.url, key)


@cache
def _client(url: str, key: str) -> QdrantClient:
    from qdrant_client import QdrantClient

    if url == MEMORY:
        return QdrantClient(MEMORY)
    # The client's own look at the server's version warns from a thread of its own, into any output.
    headers = {"api-key": key} if key else None
    return QdrantClient(url=url, headers=headers, timeout=TIMEOUT_S, check_compatibility=False)


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def asking(place: StorePlace) -> Iterator[None]:
    """Raise FailureError, in one line, where the server does not answer or refuses."""
    from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

    try:
        yield
    except UnexpectedResponse as error:
        raise _refused(place, error) from error
    except ResponseHandlingException as error:
        reason = in_a_line(str(error.source) or type(error.source).__name__)
        raise FailureError(
            f"found no answer from the Qdrant server at {place.url} ({reason}), wanted one: start it, or "
            "mend the network, and run the same command again, what was committed stays"
        ) from error
    except (ApiException, ValueError) as error:  # the second is how the imitation in memory refuses
        raise FailureError(
            f"found that the Qdrant server at {place.url} refuses ({in_a_line(error)}), wanted an answer: "
            "mend that and run the same command again, what was committed stays"
        ) from error


def _refused(place: StorePlace, error: UnexpectedResponse) -> FailureError:
    try:
        said = str(json.loads(error.content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        said = error.reason_phrase or "no reason given"
    remedy = _REMEDIES.get(error.status_code or 0, "look at the server's log")
    return FailureError(
        f"found status {error.status_code} from the Qdrant server at {place.url} ({in_a_line(said)}), wanted "
        f"an answer: {remedy}"
    )


# ── the point about the index ────────────────────────────────────────────────────────────────────────


def read_about(place: StorePlace) -> CollectionAbout | None:
    """Return what the server keeps about the index of a place, None if it holds none."""
    client = client_of(place)
    with asking(place):
        if not client.collection_exists(files_of(place)):
            return None
        points = client.retrieve(files_of(place), [ABOUT])
    payload = points[0].payload if points else None
    if not payload:
        return None
    return CollectionAbout(payload["created"], payload["average"], payload["weighed"])


def write_about(place: StorePlace, about: CollectionAbout) -> None:
    """Replace what the server keeps about the index of a place."""
    from qdrant_client.models import PointStruct

    payload = {"created": about.created, "average": about.average, "weighed": about.weighed}
    with asking(place):
        client_of(place).upsert(files_of(place), [PointStruct(id=ABOUT, vector={}, payload=payload)])


# ── collections ──────────────────────────────────────────────────────────────────────────────────────


def make_collections(folder: Path, manifest: IndexManifest) -> None:
    """Make the collections that are not there yet; a kill at any moment leaves what the next call completes.

    Raises InvalidInputError if collections of these names belong to something else.
    """
    place, client = manifest.store, client_of(manifest.store)
    about = read_about(place)
    if about is None:
        _refuse_foreign(place)
        with asking(place):
            if not client.collection_exists(files_of(place)):
                client.create_collection(files_of(place), vectors_config={})
        write_about(place, CollectionAbout(manifest.created))
    else:
        check_owner(folder, manifest, about)
    with asking(place):
        if not client.collection_exists(place.collection):
            _make_passages(client, manifest)
        _make_payload_indexes(client, place)


def _refuse_foreign(place: StorePlace) -> None:
    client = client_of(place)
    with asking(place):
        # The point about the index is written before the collection of passages is made. So passages
        # without it are not ours; a collection of files without it may be, but only if it is empty.
        passages, files = map(client.collection_exists, (place.collection, files_of(place)))
        foreign = passages or (files and client.count(files_of(place)).count > 0)
    if foreign:
        raise InvalidInputError(
            f"found a collection {place.collection} at {place.url} that no index of rankrag made, wanted a "
            "new one: give another --collection"
        )


def check_owner(folder: Path, manifest: IndexManifest, about: CollectionAbout) -> None:
    """Raise InvalidInputError if the collections belong to another index."""
    if about.created != manifest.created:
        place = manifest.store
        raise InvalidInputError(
            f"found a collection {place.collection} at {place.url} that belongs to an index made "
            f"{about.created}, wanted that of {folder}, made {manifest.created}: give another --collection, "
            f"or delete {place.collection} and {files_of(place)} there if nobody needs them"
        )


def _make_passages(client: QdrantClient, manifest: IndexManifest) -> None:
    from qdrant_client import models

    dense = {}
    if encoder := manifest.encoder:
        distance = {"cosine": models.Distance.COSINE, "dot": models.Distance.DOT}[encoder.similarity]
        dense = {DENSE: models.VectorParams(size=encoder.dimension, distance=distance)}
    client.create_collection(
        manifest.store.collection,
        vectors_config=dense,
        sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )


def _make_payload_indexes(client: QdrantClient, place: StorePlace) -> None:
    from qdrant_client.models import PayloadSchemaType

    if place.url == MEMORY:  # it has none, and warns
        return
    for name in _KEYWORDS:
        client.create_payload_index(place.collection, name, PayloadSchemaType.KEYWORD)
    client.create_payload_index(place.collection, "record", PayloadSchemaType.INTEGER)


def check_collections(folder: Path, manifest: IndexManifest) -> CollectionAbout:
    """Return what the server keeps about an index that is there, whole and of the right dimension.

    Raises NotFoundError for a collection that is gone, InvalidInputError for another's or one of vectors that
    do not fit.
    """
    place, client = manifest.store, client_of(manifest.store)
    about = read_about(place)
    with asking(place):
        there = about is not None and client.collection_exists(place.collection)
    if about is None or not there:
        raise NotFoundError(
            f"found no collection {place.collection} at {place.url}, wanted the passages of the index at "
            f"{folder}: run `rankrag index PATH --index {folder}` again, or restore it there"
        )
    check_owner(folder, manifest, about)
    with asking(place):
        vectors = client.get_collection(place.collection).config.params.vectors
    params = vectors.get(DENSE) if isinstance(vectors, dict) else None
    found, wanted = params.size if params else 0, manifest.encoder.dimension if manifest.encoder else 0
    if found != wanted:
        raise InvalidInputError(
            f"found vectors of {found} numbers in collection {place.collection} at {place.url}, wanted "
            f"{wanted} as the manifest in {folder} says: build another index"
        )
    return about


def drop_collections(_folder: Path, manifest: IndexManifest) -> None:
    """Delete the collections of this very index; those of another stay."""
    place, client = manifest.store, client_of(manifest.store)
    about = read_about(place)
    if about is None or about.created != manifest.created:
        return
    with asking(place):
        # The files go last: with them goes what says that the collections are ours.
        client.delete_collection(place.collection)
        client.delete_collection(files_of(place))
