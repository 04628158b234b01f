"""How texts are compared: answers in passages, n-grams in chunks, questions with benchmarks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

_ARTICLES = frozenset(("a", "an", "the"))
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Return the runs of letters and digits, NFKC and in lower case."""
    return _WORD.findall((text if text.isascii() else unicodedata.normalize("NFKC", text)).lower())


@lru_cache(maxsize=1 << 15)
def squash(text: str) -> str:
    """Return letters and digits only, NFKC and in lower case: two questions are the same if this is."""
    return "".join(words(text))


def contains_answer(text: str, answers: Iterable[str]) -> bool:
    """Say whether a text contains one of the answers, whole words only, accents and punctuation aside.

    The rule of "relevant" in the paper (arXiv 2407.02485, section 4.2) and of DPR's `has_answer`
    (arXiv 2004.04906); an article before the answer does not count. Of an answer without a letter or
    digit nothing can be said, so it is in no text.
    """
    searched = _searched(text)
    return any(phrase and f" {phrase} " in searched for phrase in map(_phrase, answers))


def ngram_recall(answer: str, chunk: str) -> float:
    """Return the share of the answer's n-grams that occur in a chunk, in 0..1.

    Section 4.2 of arXiv 2407.02485 (after arXiv 2401.10225) with n = 4. The paper does not say what
    happens to answers of fewer words: here they are one n-gram of their own length.
    """
    said = _plain_words(answer)
    size = min(4, len(said))
    wanted = _ngrams(said, size)
    return len(wanted & _ngrams(_plain_words(chunk), size)) / len(wanted) if wanted else 0.0


def tidy(text: str) -> str:
    """Return tokenised text as it is printed: `( 1981 ) , 10 : 05` becomes `(1981), 10:05`.

    Natural Questions gives its passages as tokens. Left so, a ranker learns that spaces before commas
    mean "relevant", as the mined passages have none.
    """
    text = text.replace("``", '"').replace("''", '"')
    text = re.sub(r"\s+([,.;:?!%)\]}’]|n't\b|'(?:s|re|ve|ll|d|m)\b)", r"\1", text)
    text = re.sub(r"([(\[{$£€])\s+", r"\1", text)
    text = re.sub(r"(\d):\s+(?=\d\d\b)", r"\1:", text)
    text = re.sub(r"(\d),\s+(?=\d{3}\b)", r"\1,", text)
    text = re.sub(r"(\w) ([-/]) (?=\w)", r"\1\2", text)
    return re.sub(r'" ([^"]*?) "', r'"\1"', text)


def _ngrams(tokens: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)} if n else set()


@lru_cache(maxsize=1 << 15)  # the same passage is a hit of many questions
def _searched(text: str) -> str:
    return f" {' '.join(_plain_words(text))} "


def _plain_words(text: str) -> list[str]:
    if text.isascii():
        return words(text)
    return words("".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)))


def _phrase(answer: str) -> str:
    tokens = _plain_words(answer)
    while len(tokens) > 1 and tokens[0] in _ARTICLES:
        tokens = tokens[1:]
    return " ".join(tokens)
