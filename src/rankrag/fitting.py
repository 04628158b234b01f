"""What fits: a prompt whose passages give way until it is short enough, whatever its words are."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace

from .errors import InvalidInputError
from .types import Cut, Passage, Prompt


def fit(
    build: Callable[[Sequence[Passage]], Prompt],
    passages: Sequence[Passage],
    budget: int,
    n_tokens: Callable[[str], int],
) -> tuple[Prompt, tuple[Cut, ...]]:
    """Return the prompt with passages shortened until it has at most `budget` tokens, and what was cut.

    Only passages give way, never the frame, the question or the conversation; the longest give way
    first, down to the length of the others. Raises InvalidInputError if even empty passages do not fit.
    """
    prompt = build(passages)
    if _fits(prompt, budget, n_tokens):
        return prompt, ()
    room = budget - _length(build([replace(p, text="") for p in passages]), n_tokens)
    if room < len(passages):
        raise InvalidInputError(
            f"found a question (with its conversation) of {budget - room} tokens, wanted at most {budget}: "
            "shorten it, or read fewer passages"
        )
    shares = _shares([n_tokens(p.text) for p in passages], room)
    while True:
        short = [
            replace(p, text=_shorten(p.text, s, n_tokens)) for p, s in zip(passages, shares, strict=True)
        ]
        prompt = build(short)
        # Tokens of a text alone and inside a prompt differ by a few; give way until the whole fits.
        if (over := _length(prompt, n_tokens) - budget) <= 0:
            return prompt, _cuts(passages, short)
        shares = [max(0, s - 1 - over // len(shares)) for s in shares]


_LONGEST_WORD = 40
"""Characters; what is longer without a space is no word, and cutting at its end would lose it whole."""


def _shares(lengths: Sequence[int], room: int) -> list[int]:
    """Divide `room` tokens so that the short keep all they have and the long share the rest evenly."""
    shares = [0] * len(lengths)
    for done, index in enumerate(sorted(range(len(lengths)), key=lambda i: lengths[i])):
        shares[index] = min(lengths[index], room // (len(lengths) - done))
        room -= shares[index]
    return shares


def _shorten(text: str, limit: int, n_tokens: Callable[[str], int]) -> str:
    """Return the longest beginning of a text that has at most `limit` tokens, cut at a word border.

    A run without spaces longer than any word (another script, data) may be cut inside.
    """
    if limit < 1 or n_tokens(text) <= limit:
        return text if limit > 0 else ""
    words = [match.end() for match in re.finditer(rf"\S{{1,{_LONGEST_WORD}}}", text)]
    for ends in (words, range(1, words[0] if words else len(text))):
        if fitting := bisect_right(ends, limit, key=lambda end: n_tokens(text[:end])):
            return text[: ends[fitting - 1]]
    return ""


def _cuts(before: Sequence[Passage], after: Sequence[Passage]) -> tuple[Cut, ...]:
    return tuple(
        Cut(old.id, kept=len(new.text), length=len(old.text))
        for old, new in zip(before, after, strict=True)
        if new.text != old.text
    )


def _fits(prompt: Prompt, budget: int, n_tokens: Callable[[str], int]) -> bool:
    # A token covers at least one byte, so a short text needs no tokenising to be known to fit.
    if len((prompt.prefix + prompt.suffix).encode()) <= budget:
        return True
    return _length(prompt, n_tokens) <= budget


def _length(prompt: Prompt, n_tokens: Callable[[str], int]) -> int:
    return n_tokens(prompt.prefix) + n_tokens(prompt.suffix)
