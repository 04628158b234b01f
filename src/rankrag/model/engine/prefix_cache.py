"""Keys and values of prefixes seen before, within a limit of bytes."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .packed import Layer, States

_WIDTH = array("i").itemsize


def key(tokens: Sequence[int]) -> bytes:
    """Return tokens as the cache names them: equal keys mean equal tokens."""
    return array("i", tokens).tobytes()


def n_common(keys: Sequence[bytes]) -> int:
    """Return the number of tokens that all keys begin with."""
    # Between the least and the greatest in order, all others share what these two share.
    first, last = (memoryview(name).cast("i") for name in (min(keys), max(keys)))
    pairs = enumerate(zip(first, last, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(first), len(last)))


class Match(NamedTuple):
    """The first `n_tokens` tokens of an entry (None: of nothing)."""

    entry: Entry | None
    n_tokens: int

    def states(self) -> list[States]:
        """Return the states of those tokens, oldest first; views, nothing is copied."""
        if self.entry is None or self.n_tokens == 0:
            return []
        before = self.entry.base.n_tokens
        if self.n_tokens <= before:
            return Match(self.entry.base.entry, self.n_tokens).states()
        own = self.n_tokens - before
        if own == self.entry.states[0][0].shape[0]:
            return [*self.entry.base.states(), self.entry.states]
        return [*self.entry.base.states(), [(k[:own], v[:own]) for k, v in self.entry.states]]


NOTHING = Match(None, 0)


@dataclass(slots=True, eq=False)
class Entry:
    """The states of a prefix: those of `base`, then its own."""

    key: bytes
    base: Match
    states: Sequence[Layer]
    used: int = 0
    n_children: int = 0

    @property
    def n_tokens(self) -> int:
        """Tokens of the whole prefix."""
        return len(self.key) // _WIDTH

    @property
    def n_bytes(self) -> int:
        """Bytes of its own states; those of its base are counted where they are stored."""
        return len(self.key) + sum(part.nbytes for layer in self.states for part in layer)


class PrefixCache:
    """Forgets the prefixes that were not used for longest; never holds more than `limit` bytes.

    What was used since the last `tick` is not forgotten: a ranking of more passages than fit keeps those
    that it stored first, rather than each time forgetting what comes next. An entry that others build on
    stays as long as they do. `hits` and `misses` are of the prefixes given to `count`.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.n_bytes = 0
        self.hits = 0
        self.misses = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._now = 0

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.n_bytes = 0

    def tick(self) -> None:
        """Begin a new call: what was used before may be forgotten from now on."""
        self._now += 1

    def count(self, names: Sequence[bytes]) -> None:
        """Count how many of these prefixes are known, for whoever watches."""
        known = sum(name in self._entries for name in names)
        self.hits += known
        self.misses += len(names) - known

    def get(self, name: bytes) -> Entry | None:
        """Return the entry of exactly these tokens, and remember that it was used."""
        entry = self._entries.get(name)
        if entry is not None:
            self._touch(entry)
        return entry

    def longest(self, name: bytes) -> Match:
        """Return the entry that shares most first tokens with these, and how many it shares."""
        best = NOTHING
        for entry in self._entries.values():
            shared = n_common([entry.key, name])
            if shared > best.n_tokens:
                best = Match(entry, shared)
        if best.entry is not None:
            self._touch(best.entry)
        return best

    def put(self, entry: Entry) -> bool:
        """Store an entry if it fits, forgetting older ones; return whether it is stored."""
        base = entry.base.entry
        if entry.key in self._entries or (base is not None and base.key not in self._entries):
            return False
        if not self._make_room(entry.n_bytes):
            return False
        if base is not None:
            base.n_children += 1
        self._entries[entry.key] = entry
        self.n_bytes += entry.n_bytes
        self._touch(entry)
        return True

    def _touch(self, entry: Entry) -> None:
        chain: Entry | None = entry
        while chain is not None:
            chain.used = self._now
            self._entries.move_to_end(chain.key)
            chain = chain.base.entry

    def _make_room(self, n_bytes: int) -> bool:
        while self.n_bytes + n_bytes > self.limit:
            old = next((e for e in self._entries.values() if not e.n_children and e.used != self._now), None)
            if old is None:
                return False
            self._forget(old)
        return True

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self.n_bytes -= entry.n_bytes
        if entry.base.entry is not None:
            entry.base.entry.n_children -= 1
