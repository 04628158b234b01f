"""Passages as points of Qdrant and back, their words as sparse vectors, and how many go into one request."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeVar

from ...types import Passage, Source
from .conditions import attribute
from .qdrant_server import DENSE, WORDS
from .store import StoredPassage, passage_of

if TYPE_CHECKING:
    import numpy as np
    from qdrant_client import models

Payload = dict[str, object]
"""What a point carries besides its vectors."""

Weights = tuple[list[int], list[float]]
"""A sparse vector: the numbers of words, rising, and what each is worth."""

_T = TypeVar("_T")

POINTS = 256
"""Points in a request that carries vectors: a server takes 32 MB, and 1,024 numbers are 20 kB."""

CHARACTERS = 4 * 2**20
"""Characters of passages in a request."""

NAMED, SCROLLED = 500, 4096
"""Ids or names in a request, and points without vectors in an answer."""

_SPACE = uuid.UUID("3f1d0a0e-5a55-5c2b-9d0c-6a6b2f1f7b11")
"""What names of passages and files are hashed with: a server takes no other texts as ids than UUIDs."""


# ── points ───────────────────────────────────────────────────────────────────────────────────────────


def as_point(
    row: StoredPassage, weights: Weights, n_words: int, vector: list[float] | None
) -> models.PointStruct:
    """Return a passage as it is sent; one without any word or vector is a point all the same."""
    from qdrant_client.models import PointStruct

    passage, source = row.passage, row.passage.source or Source("")
    payload = {
        "id": passage.id,
        "document": row.document,
        "record": row.record,
        "n_words": n_words,
        "title": passage.title,
        "text": passage.text,
        "path": source.path,
        "page": source.page,
        "start": source.start,
        "end": source.end,
        "attributes": [attribute(*pair) for pair in passage.attributes.items()],
    }
    vectors: models.VectorStruct = {
        **({WORDS: sparse(weights)} if weights[0] else {}),
        **({DENSE: vector} if vector else {}),
    }
    return PointStruct(id=point_id(passage.id), vector=vectors, payload=payload)


def point_id(name: str) -> str:
    """Return the id of the point of a passage or a file, by the id or name that it has with us."""
    return str(uuid.uuid5(_SPACE, name))


def sparse(weights: Weights) -> models.SparseVector:
    """Return a sparse vector as it is sent."""
    from qdrant_client.models import SparseVector

    return SparseVector(indices=weights[0], values=weights[1])


def row_vector(vectors: np.ndarray | None, n: int) -> list[float] | None:
    """Return the vector of a row as it is sent, None in an index without vectors."""
    return None if vectors is None else [float(x) for x in vectors[n]]


def as_passage(payload: Payload) -> Passage:
    """Return the passage that a point carries."""
    return passage_of(payload, str(payload["text"]))


def is_in(name: str, values: Iterable[str]) -> models.FieldCondition:
    """Return the condition that a field, or one of its values, is among these; nothing is among none."""
    from qdrant_client.models import FieldCondition, MatchAny

    return FieldCondition(key=name, match=MatchAny(any=list(values)))


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────


def requests(rows: Sequence[StoredPassage]) -> Iterator[list[StoredPassage]]:
    """Yield the rows in parts of bounded size, not dividing a record: a killed build goes on after one."""
    part: list[StoredPassage] = []
    characters = 0
    for _, group in groupby(enumerate(rows), key=_whole):
        record = [row for _, row in group]
        longer = sum(len(row.passage.text) for row in record)
        if part and (len(part) + len(record) > POINTS or characters + longer > CHARACTERS):
            yield part
            part, characters = [], 0
        part += record
        characters += longer
    if part:
        yield part


def _whole(item: tuple[int, StoredPassage]) -> tuple[str, int]:
    """Return what rows that go together share; those of a file that is one document go one by one."""
    at, row = item
    path = row.passage.source.path if row.passage.source else ""
    return (row.document, at) if row.document == path else (row.document, -row.record)


def parts(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


# ── words as weights: BM25 ─────────────────────────────────────────────────────────────────────────────


K1, B = 1.2, 0.75
"""The constants of BM25: how fast further occurrences count less, how much the length of a passage counts."""


def passage_vector(words: Sequence[str], average: float) -> tuple[list[int], list[float]]:
    """Return the numbers of a passage's words, rising, and what each word is worth in it without its IDF.

    weight = tf (k1 + 1) / (tf + k1 (1 - b + b dl / avgdl)), BM25 as Robertson and Zaragoza have it ("The
    Probabilistic Relevance Framework", 2009, https://doi.org/10.1561/1500000019). `average` is avgdl: the
    words of a passage on average.
    """
    length = K1 * (1 - B + B * len(words) / average)
    return _sorted({number: tf * (K1 + 1) / (tf + length) for number, tf in _counts(words).items()})


def query_vector(words: Sequence[str]) -> tuple[list[int], list[float]]:
    """Return the numbers of a query's words, rising, and how often each stands in it."""
    return _sorted({number: float(count) for number, count in _counts(words).items()})


def _counts(words: Iterable[str]) -> Counter[int]:
    return Counter(map(_number, words))


def _sorted(weights: dict[int, float]) -> tuple[list[int], list[float]]:
    numbers = sorted(weights)
    return numbers, [weights[number] for number in numbers]


@lru_cache(maxsize=100_000)
def _number(word: str) -> int:
    """Return the number of a word, the same everywhere; of a million words about 120 pairs share one."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
