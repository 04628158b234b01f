"""Texts longer than an encoder reads, in windows that each fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARGIN, _NARROW = 8, 32
"""Pieces of a window that stay free, since a word cut in two may give more pieces than whole; not in a narrow
window."""

_BACK = 4
"""A window may end by this part of its length earlier than it could, to end at white space."""


def windows(text: str, room: int, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the parts of a text, each of at most `room` pieces of the tokenizer, about equally long.

    They end at white space where there is any nearby. All pieces of the text are in one of them.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    pieces: list[tuple[int, int]] = encoded["offset_mapping"]
    room = max(1, room - _MARGIN if room > _NARROW else room)
    starts = [pieces[first][0] for first in _firsts(pieces, room)]
    return [text[a:b].strip() for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


def _firsts(pieces: list[tuple[int, int]], room: int) -> Iterator[int]:
    first = 0
    while first < len(pieces):
        yield first
        rest = len(pieces) - first
        n_windows = -(-rest // room)
        size = -(-rest // n_windows)
        latest = first + size
        # Going back must leave no more than the windows that follow can hold.
        earliest = max(latest - size // _BACK, len(pieces) - (n_windows - 1) * room, first + 1)
        after_space = (n for n in range(latest, earliest - 1, -1) if _follows_space(pieces, n))
        first = next(after_space, latest)


def _follows_space(pieces: list[tuple[int, int]], n: int) -> bool:
    return n >= len(pieces) or pieces[n][0] > pieces[n - 1][1]
