"""Score many prompts in few passes: what they begin with is computed once and remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from .disk_cache import DiskCache
from .network import Network
from .packed import Segment
from .prefix_cache import NOTHING, Entry, Match, PrefixCache, key, n_common

if TYPE_CHECKING:
    import torch

_WORTH_AN_ENTRY = 16
"""Tokens that prompts must share beyond what is stored before their common beginning is stored apart."""

_WORTH_A_CHUNK = 128
"""Tokens from which a chunk is run apart: fewer read the weights too often for what they compute."""


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt in tokens: a beginning worth remembering, and at least one token after it.

    `asked` says which tokens of the suffix are those of the question, where their likelihood is wanted.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    asked: range = range(0)

    def read(self) -> list[int]:
        """Return where the tokens before those of the question stand, counted from the end of the suffix."""
        return [n - 1 - len(self.suffix) for n in self.asked]


@dataclass(slots=True)
class _Row:
    number: int
    segment: Segment
    name: bytes
    base: Match


class Scorer:
    """Runs rows in chunks of at most `chunk_tokens` tokens, reusing the states of their prefixes."""

    def __init__(self, network: Network, cache: PrefixCache, chunk_tokens: int) -> None:
        self.network = network
        self.cache = cache
        self.chunk_tokens = chunk_tokens
        self.disk: DiskCache | None = None

    def score(self, rows: Sequence[PromptTokens], tokens: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return natural-log probabilities of each token right after each row, and of what the rows ask.

        Of shape (rows, tokens) and (rows,); the second is 0 where a row asks nothing.
        """
        import torch

        self.cache.tick()
        scores, asked = torch.empty(len(rows), len(tokens)), torch.zeros(len(rows))
        short = [n for n, row in enumerate(rows) if len(row.prefix) + len(row.suffix) <= self.network.window]
        long = sorted(set(range(len(rows))) - set(short))
        for numbers, ends in self._packed(rows, short):
            each = torch.split(ends, [len(rows[n].asked) + 1 for n in numbers])
            scores[numbers] = self.network.logprobs(torch.stack([part[-1] for part in each]), tokens).cpu()
            asked[numbers] = self._asked([rows[n] for n in numbers], each)
        if long:
            whole = [rows[n].prefix + rows[n].suffix for n in long]
            logits = self.network.plain(whole, self.chunk_tokens)
            scores[long] = logits.log_softmax(-1)[:, list(tokens)].cpu()
        for n in long:
            asked[n] = self._asked_plain(rows[n])
        return scores, asked

    def _asked(self, rows: Sequence[PromptTokens], ends: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the log-probability of what each row asks, from the states that its segment had read."""
        import torch

        sizes = [len(row.asked) for row in rows]
        if not any(sizes):
            return torch.zeros(len(rows))
        tokens = [row.suffix[n] for row in rows for n in row.asked]
        found = self.network.likelihoods(torch.cat([part[:-1] for part in ends]), tokens).cpu()
        return torch.stack([part.sum() for part in torch.split(found, sizes)])

    def _asked_plain(self, row: PromptTokens) -> float:
        """Return the same of a row that cannot be packed, token by token the way of the model's own code."""
        total = 0.0
        for n in row.asked:
            logits = self.network.plain([row.prefix + row.suffix[:n]], self.chunk_tokens)
            total += float(logits[0].log_softmax(-1)[row.suffix[n]])
        return total

    def begin(self, prefixes: Sequence[Sequence[int]]) -> list[Match]:
        """Return the longest known beginning of each prefix; what all unknown ones share is computed once."""
        if max(map(len, prefixes)) > self.network.window:
            return [NOTHING] * len(prefixes)
        self.cache.tick()
        names = [key(prefix) for prefix in prefixes]
        base = self._base(sorted(set(names)))
        entries = map(self.cache.get, names)
        return [Match(entry, entry.n_tokens) if entry else base for entry in entries]

    def _packed(
        self, rows: Sequence[PromptTokens], numbers: Sequence[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        import torch

        names = {number: key(rows[number].prefix) for number in numbers}
        each = sorted(set(names.values()))
        self.cache.count(each)
        frequent = self._recall(each)
        base = self._base(each)
        for wave in _waves(names):
            jobs = [self._job(number, rows[number], names[number], base) for number in wave]
            chunks = _chunks(jobs, self.chunk_tokens, self.network.n_workers())
            passed = self.network.packed_apart([[job.segment for job in chunk] for chunk in chunks])
            ends = []
            for chunk, states in zip(chunks, passed, strict=True):
                ends.append(states)
                for job in chunk:
                    if job.segment.keep:
                        self.cache.put(Entry(job.name, job.base, job.segment.kept))
            # The vocabulary's weights, of 0.5B models a quarter of all, are read once for all chunks.
            yield [job.number for chunk in chunks for job in chunk], torch.cat(ends)
        if self.disk is not None:
            for name in frequent:
                if entry := self.cache.get(name):
                    self.disk.put(self.disk.name(name), Match(entry, entry.n_tokens).states())

    def _recall(self, names: Sequence[bytes]) -> list[bytes]:
        """Take into the cache what is kept on disk; return the prefixes that are used often."""
        if self.disk is None:
            return []
        kept = {name: self.disk.name(name) for name in names if name}
        frequent = self.disk.use(list(kept.values()))
        for name, stored_as in kept.items():
            if self.cache.get(name) is None:
                states = self.disk.get(stored_as, self.network.model.device)
                if states is not None and not self.cache.put(Entry(name, NOTHING, states)):
                    break
        return [name for name, often in zip(kept, frequent, strict=True) if often]

    def _job(self, number: int, row: PromptTokens, name: bytes, base: Match) -> _Row:
        entry = self.cache.get(name)
        if entry is not None:
            known = Match(entry, entry.n_tokens)
            return _Row(number, Segment(row.suffix, known.states(), read=row.read()), name, known)
        own = row.prefix[base.n_tokens :]
        segment = Segment(own + row.suffix, base.states(), keep=len(own), read=row.read())
        return _Row(number, segment, name, base)

    def _base(self, names: Sequence[bytes]) -> Match:
        """Return what all prefixes that are not known yet begin with, computing it if it is worth it."""
        unknown = [name for name in names if self.cache.get(name) is None]
        if len(unknown) < 2:
            return self._known(unknown[0]) if unknown else NOTHING
        width = len(key([0]))
        common = unknown[0][: n_common(unknown) * width]
        known = self._known(common)
        rest = list(memoryview(common).cast("i"))[known.n_tokens :]
        if len(rest) < _WORTH_AN_ENTRY:
            return known
        segment = Segment(rest, known.states(), keep=len(rest))
        self.network.packed([segment])
        entry = Entry(common, known, segment.kept)
        self.cache.put(entry)
        return Match(entry, entry.n_tokens)

    def _known(self, name: bytes) -> Match:
        known = self.cache.longest(name)
        return known if known.n_tokens >= _WORTH_AN_ENTRY else NOTHING


def _waves(names: dict[int, bytes]) -> list[list[int]]:
    """Return the numbers in lists that hold each name once: the second time its states are known."""
    waves: list[list[int]] = []
    times: dict[bytes, int] = {}
    for number, name in names.items():
        wave = times[name] = times.get(name, -1) + 1
        if wave == len(waves):
            waves.append([])
        waves[wave].append(number)
    return waves


def _chunks(jobs: Sequence[_Row], n_tokens: int, n_workers: int) -> list[list[_Row]]:
    """Return the jobs in chunks of about equal work and about `n_tokens` tokens at most.

    There is a chunk for every worker, unless that leaves a worker too little to be worth its while.
    """
    lengths = [len(job.segment.tokens) for job in jobs]
    total = sum(lengths)
    rounds = -(-total // (n_tokens * n_workers))
    wanted = min(rounds * n_workers, max(1, total // _WORTH_A_CHUNK, -(-total // n_tokens)))
    middles = [end - length / 2 for end, length in zip(accumulate(lengths), lengths, strict=True)]
    placed = zip((int(middle * wanted / total) for middle in middles), jobs, strict=True)
    return [[job for _, job in group] for _, group in groupby(placed, key=itemgetter(0))]
