"""How much one request may ask of a store; what is more is refused before the store sees it.

LanceDB parses a condition by calling itself for each part: 60,000 filters overflow its stack, which ends the
process, and 30,000 take 12 s.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidInputError
from ..types import Filters

FILTERS = 64
"""Filters in one search."""

FILTER_CHARACTERS = 4096
"""Characters of the name or the value of a filter: a path may have as many."""

WILDCARDS = 64
"""Wildcards in the glob of a path: each makes matching slower, and 4,096 took 6 s for 52,311 passages."""

IDS = 10_000
"""Ids that may be looked up or deleted at once."""

ID_CHARACTERS = 8192
"""Characters of an id: a path, and what is behind it."""

QUERY_CHARACTERS = 200_000
"""Characters of a query."""

QUERY_WORDS = 4096
"""Different words of a query."""

HITS = 1_000_000
"""Hits that may be asked for at once."""


def check_search(query: str, k: int, filters: Filters | None) -> None:
    """Raise InvalidInputError for a search that asks more than a store can bear."""
    _at_most(len(query), QUERY_CHARACTERS, "characters in a query", "ask more shortly")
    _at_most(k, HITS, "hits", "ask for fewer")
    _at_most(len(filters or {}), FILTERS, "filters", "give fewer")
    for name, value in (filters or {}).items():
        longest = max(len(name), len(value))
        _at_most(longest, FILTER_CHARACTERS, "characters in a filter", "give a shorter one")
        if name == "path":
            _at_most(sum(map(value.count, "*?[")), WILDCARDS, "wildcards in a path", "give a simpler one")


def check_words(words: Sequence[str]) -> None:
    """Raise InvalidInputError for a query with more words than a store can bear."""
    _at_most(len(set(words)), QUERY_WORDS, "different words in a query", "ask more shortly")


def check_ids(ids: Sequence[str]) -> None:
    """Raise InvalidInputError for more ids, or longer ones, than can be asked for at once."""
    _at_most(len(ids), IDS, "ids", "give them in parts")
    _at_most(max(map(len, ids), default=0), ID_CHARACTERS, "characters in an id", "give the id of a document")


def _at_most(number: int, most: int, what: str, remedy: str) -> None:
    if number > most:
        raise InvalidInputError(f"found {number:,} {what}, wanted at most {most:,}: {remedy}")
