"""Text to tokens: only the frame of a prompt makes control tokens, whatever a document says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ...types import LanguageModel


def split(text: str, markers: Sequence[str]) -> list[str]:
    """Return the text cut around the markers, which stand at the odd places; joined it is the text."""
    if not markers:
        return [text]
    # Longest first, so that a marker that begins with another is found whole.
    pattern = "|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True))
    return re.split(f"({pattern})", text)


def counter(lm: LanguageModel, markers: Sequence[str]) -> Callable[[str], int]:
    """Return the function that counts the tokens of a part of a prompt, each marker as one token."""

    def n_tokens(text: str) -> int:
        parts = split(text, markers)
        return len(parts) // 2 + sum(lm.n_tokens(part) for part in parts[::2] if part)

    return n_tokens
