"""How a text becomes the words of a lexical index, and how many points of BM25 a word is worth in a passage.

Every store takes its words from here, so that a corpus is found by the same words wherever it is held.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

K1, B = 1.2, 0.75
"""The constants of BM25: how fast further occurrences count less, how much the length of a passage counts."""

# The store's own list also stops `and as for if in is no not or with`: in technical text those are what
# people ask about. Without them and with question words instead, answers are found as often (hit@20 of
# 1,000 training questions: TriviaQA 55.9 and 55.9, WebQuestions 52.5 and 52.6 percent).
_STOP_WORDS = (
    "a an are at be but by did do does how into it of on such that the their then there these they this to "
    "was what when where which who whom whose why will"
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What LanceDB's tokenizer is told; `stop_words` None takes its list for the language."""

    tokenizer: Literal["simple", "icu"] = "simple"
    language: str = "English"
    stem: bool = True
    stop: bool = True
    stop_words: tuple[str, ...] | None = None


def analysis(language: str) -> Analysis:
    """Return how texts of a language (one of `settings.LANGUAGES`) become words."""
    if language == "any":
        return Analysis("icu", stem=False, stop=False)
    if language == "English":
        return Analysis(stop_words=tuple(_STOP_WORDS.split()))
    return Analysis(language=language)


def words(text: str, language: str) -> list[str]:
    """Return the words of a text in their order, stemmed and folded, without stop words."""
    import lancedb

    how = analysis(language)
    stop_words = None if how.stop_words is None else [*how.stop_words]
    tokens = lancedb.tokenize(
        text,
        base_tokenizer=how.tokenizer,
        language=how.language,
        stem=how.stem,
        remove_stop_words=how.stop,
        custom_stop_words=stop_words,
    )
    return [token.text for token in tokens]


# ── sparse vectors ───────────────────────────────────────────────────────────────────────────────────


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
