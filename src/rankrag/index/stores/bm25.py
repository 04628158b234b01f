"""BM25 as sparse vectors, for stores that are not told words but weights."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

K1, B = 1.2, 0.75
"""The constants of BM25: how fast further occurrences count less, how much the length of a passage counts."""


def passage_vector(found: Sequence[str], average: float) -> tuple[list[int], list[float]]:
    """Return the numbers of a passage's words, rising, and what each word is worth in it without its IDF.

    weight = tf (k1 + 1) / (tf + k1 (1 - b + b dl / avgdl)), BM25 as Robertson and Zaragoza have it ("The
    Probabilistic Relevance Framework", 2009, https://doi.org/10.1561/1500000019). `average` is avgdl: the
    words of a passage on average.
    """
    length = K1 * (1 - B + B * len(found) / average)
    return _sorted({number: tf * (K1 + 1) / (tf + length) for number, tf in _counts(found).items()})


def query_vector(found: Sequence[str]) -> tuple[list[int], list[float]]:
    """Return the numbers of a query's words, rising, and how often each stands in it."""
    return _sorted({number: float(count) for number, count in _counts(found).items()})


def _counts(found: Iterable[str]) -> Counter[int]:
    return Counter(map(_number, found))


def _sorted(weights: dict[int, float]) -> tuple[list[int], list[float]]:
    numbers = sorted(weights)
    return numbers, [weights[number] for number in numbers]


@lru_cache(maxsize=100_000)
def _number(word: str) -> int:
    """Return the number of a word, the same everywhere; of a million words about 120 pairs share one."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
