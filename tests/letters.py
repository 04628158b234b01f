from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankrag.index.settings import Similarity
from rankrag.types import Passage


class LetterEncoder:
    """Counts letters: a real encoder, if a poor one, so vectors can be tested without weights."""

    dimension = 26
    similarity: Similarity = "cosine"

    def __init__(self, name: str = "letters") -> None:
        self.name = name
        self.fingerprint = f"{name}-1"

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        counts = [[text.lower().count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts]
        return np.asarray(counts, dtype=np.float32)

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        return self.encode_queries([p.text for p in passages])
