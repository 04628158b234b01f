"""Tokens to text while they come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Self

from ...types import Usage

_BROKEN = "\ufffd"
"""What stands in decoded text for the bytes of a character that is not complete yet."""


class Pieces(Iterator[str]):
    """The text of tokens piece by piece, ending before the first stop string.

    Text that may turn out to be the beginning of a stop string is held back until that is known. No more
    tokens are taken once a stop string is complete. One token beyond `most` is left out.
    """

    def __init__(
        self,
        tokens: Iterator[int],
        decode: Callable[[Sequence[int]], str],
        stop: Sequence[str],
        most: int | None = None,
    ) -> None:
        self._n_tokens, self._is_cut = 0, False
        self._most = most
        self._texts = self._read(tokens, decode, stop)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        return next(self._texts)

    @property
    def usage(self) -> Usage:
        """The tokens taken so far, of which the text may show fewer, and whether there were more."""
        return Usage(0, self._n_tokens, self._is_cut)

    def close(self) -> None:
        """End here: no more tokens are taken."""
        self._texts.close()

    def _read(
        self, tokens: Iterator[int], decode: Callable[[Sequence[int]], str], stop: Sequence[str]
    ) -> Generator[str]:
        seen: list[int] = []
        done = 0
        text = ""
        for token in tokens:
            if self._n_tokens == self._most:
                self._is_cut = True
                break
            seen.append(token)
            self._n_tokens += 1
            # The whole answer is decoded each time: answers are short, and only so is the text exact.
            text = decode(seen).rstrip(_BROKEN)
            end = _first(text, stop)
            safe = len(text) - _held(text, stop) if end is None else end
            if safe > done:
                yield text[done:safe]
                done = safe
            if end is not None:
                return
        if len(text) > done:
            yield text[done:]


def until(texts: Iterator[str], stop: Sequence[str]) -> Iterator[str]:
    """Yield the texts up to the first stop string, whatever pieces it came in."""
    seen: list[str] = []

    def numbered() -> Iterator[int]:
        for number, text in enumerate(texts):
            seen.append(text)
            yield number

    yield from Pieces(numbered(), lambda numbers: "".join(seen[number] for number in numbers), stop)


def _first(text: str, stop: Sequence[str]) -> int | None:
    """Return where the first stop string begins, None if there is none."""
    return min((text.find(mark) for mark in stop if mark and mark in text), default=None)


def _held(text: str, stop: Sequence[str]) -> int:
    """Return the length of the longest end of the text that a stop string begins with."""
    lengths = (n for mark in stop for n in range(1, len(mark)) if text.endswith(mark[:n]))
    return max(lengths, default=0)
