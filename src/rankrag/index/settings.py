"""What decides how an index is built, and what an encoder must be able to do for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from .place import StorePlace

if TYPE_CHECKING:
    import numpy as np

    from ..types import Passage

WORDS = 100
"""Words in a passage where nothing else is asked for: the paper's 100-word passages."""

LANGUAGE = "English"
"""The language of the stemmer and of the stop words where nothing else is asked for."""

_STEMMED = (
    "Arabic Danish Dutch English Finnish French German Greek Hungarian Italian Norwegian Portuguese Romanian "
    "Russian Spanish Swedish Tamil Turkish"
).split()
LANGUAGES = (*_STEMMED, "any")
"""Languages with a stemmer; `any` neither stems nor stops, and finds words in scripts without spaces."""

Similarity = Literal["cosine", "dot"]


class PassageEncoder(Protocol):
    """What an index needs of an encoder; `rankrag.index.encoder.Encoder` is one."""

    @property
    def name(self) -> str:
        """The name by which the encoder is loaded again."""

    @property
    def fingerprint(self) -> str:
        """A digest of weights and settings: vectors of two fingerprints do not compare."""

    @property
    def dimension(self) -> int:
        """The numbers in a vector."""

    @property
    def similarity(self) -> Similarity:
        """How vectors compare."""

    def encode_queries(self, texts: Sequence[str], /) -> np.ndarray:
        """Return vectors of shape (texts, dimension), float32."""

    def encode_passages(self, passages: Sequence[Passage], /) -> np.ndarray:
        """Return vectors of shape (passages, dimension), float32."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to build an index. None takes what the index was built with, or the default for a new one.

    `words` bounds a passage (0 does not cut); `language` chooses stemmer and stop words (one of
    `LANGUAGES`); with an `encoder` passages also get vectors. `prune` removes documents whose
    files are gone from the given paths. `store` says where the passages go, by default into LanceDB. `strict`
    refuses a collection for its first line that cannot be read, which is else passed over and named. `ocr`
    reads the scanned pages of PDFs. `more` says that another build follows at once.
    """

    words: int | None = None
    language: str | None = None
    encoder: PassageEncoder | None = None
    prune: bool = False
    store: StorePlace | None = None
    strict: bool = False
    ocr: bool = False
    more: bool = False
