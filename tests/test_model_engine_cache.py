"""The prefix cache: what it finds is right, and it never holds more than its limit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankrag.model.engine.packed import Layer
from rankrag.model.engine.prefix_cache import NOTHING, Entry, Match, PrefixCache, key, n_common

torch = pytest.importorskip("torch")


def states(tokens: Sequence[int]) -> list[Layer]:
    """Return states of one layer that show which token they belong to."""
    values = torch.tensor(tokens, dtype=torch.float32).reshape(-1, 1, 1)
    return [(values.clone(), -values)]


def entry(tokens: Sequence[int], base: Match = NOTHING) -> Entry:
    return Entry(key(tokens), base, states(tokens[base.n_tokens :]))


def tokens_of(match: Match) -> list[int]:
    return [int(token) for part in match.states() for token in part[0][0].flatten()]


def test_a_prefix_is_found_by_all_of_its_tokens() -> None:
    cache = PrefixCache(10_000)
    stored = entry([1, 2, 3])
    assert cache.put(stored)
    assert cache.get(key([1, 2, 3])) is stored
    assert cache.get(key([1, 2])) is None
    assert cache.n_bytes == stored.n_bytes == 3 * 4 + 2 * 3 * 4


def test_the_longest_common_beginning_is_found_through_bases() -> None:
    cache = PrefixCache(10_000)
    root = entry([1, 2, 3])
    child = entry([1, 2, 3, 4, 5], Match(root, 3))
    assert cache.put(root)
    assert cache.put(child)
    for name, known in (([1, 2, 3, 4, 9], 4), ([1, 2, 9], 2), ([1, 2, 3, 4, 5, 6], 5), ([9], 0)):
        match = cache.longest(key(name))
        assert match.n_tokens == known
        assert tokens_of(match) == name[:known]


def test_what_was_not_used_for_longest_is_forgotten_first() -> None:
    one, two, three = entry([1, 1]), entry([2, 2]), entry([3, 3])
    cache = PrefixCache(2 * one.n_bytes)
    for stored in (one, two):
        cache.tick()
        assert cache.put(stored)
    cache.tick()
    assert cache.get(one.key) is one
    assert cache.put(three)
    assert cache.get(two.key) is None
    assert cache.get(one.key) is one


def test_what_this_call_uses_is_not_forgotten_for_more_of_it() -> None:
    stored = [entry([n, n]) for n in range(5)]
    cache = PrefixCache(3 * stored[0].n_bytes)
    cache.tick()
    assert [cache.put(each) for each in stored] == [True, True, True, False, False]
    assert len(cache) == 3


def test_a_base_stays_as_long_as_what_builds_on_it() -> None:
    root = entry([1, 2])
    child = entry([1, 2, 3], Match(root, 2))
    cache = PrefixCache(root.n_bytes + child.n_bytes)
    assert cache.put(root)
    assert cache.put(child)
    cache.tick()
    assert cache.put(entry([7]))  # takes the place of the child
    assert cache.get(root.key) is root
    cache.tick()
    assert cache.put(entry([8, 8]))
    assert cache.get(root.key) is None


def test_nothing_is_stored_on_a_base_that_is_not() -> None:
    cache = PrefixCache(10_000)
    assert not cache.put(entry([1, 2, 3], Match(entry([1, 2]), 2)))
    assert cache.n_bytes == 0


@given(
    calls=st.lists(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=5), max_size=12),
    limit=st.integers(0, 400),
)
def test_the_limit_holds_and_what_is_found_is_right(calls: list[list[list[int]]], limit: int) -> None:
    cache = PrefixCache(limit)
    for call in calls:
        cache.tick()
        for tokens in call:
            known = cache.longest(key(tokens))
            assert tokens_of(known) == tokens[: known.n_tokens]
            if known.n_tokens < len(tokens):
                cache.put(entry(tokens, known))
            assert cache.n_bytes == sum(each.n_bytes for each in cache._entries.values()) <= limit


@given(st.lists(st.lists(st.integers(0, 1), max_size=5), min_size=1, max_size=5))
def test_common_beginnings(names: list[list[int]]) -> None:
    shortest = min(map(len, names))
    wanted = next((n for n in range(shortest) if len({name[n] for name in names}) > 1), shortest)
    assert n_common([key(name) for name in names]) == wanted
