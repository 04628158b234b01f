"""Turns queries and passages into vectors.

A named encoder is built by its row of `ENCODERS`. A folder in the layout of sentence-transformers brings its
own modules and prompts and needs no row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast
from unicodedata import normalize

from ..errors import InvalidInputError
from ..files import sha256
from ..types import Passage
from .encoder_loading import load, load_layout
from .named_encoders import ENCODERS, EncoderSettings
from .query_encoder import QueryEncoder, load_query_encoder
from .settings import Similarity

if TYPE_CHECKING:
    import numpy as np
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer
    from transformers import PreTrainedTokenizerBase

Text = str | tuple[str, str]
"""What goes into the tokenizer: one text, or two that it joins as a pair."""

_BATCH = {"cpu": 8, "cuda": 128}
"""Texts in a batch. On two cores minilm-l6 encodes 128 passages (145 tokens on average) 1.28 times as fast in
batches of 8 as in batches of 32, whose activations fall out of the caches."""


@dataclass(frozen=True)
class Encoder:
    """An encoder in a local folder; its weights are read at first use.

    `name` picks the settings from `ENCODERS` unless `settings` are given; with neither, the folder
    has to be in the layout of sentence-transformers and its own settings apply. The same texts give the
    same vectors on the same machine, whatever the order, to about 1e-6. `batch_size` None suits the device.
    """

    folder: Path
    name: str
    settings: EncoderSettings | None = None
    device: str | None = None
    batch_size: int | None = None

    def encode_queries(self, queries: Sequence[str]) -> np.ndarray:
        """Return one row a query: float32, shape (queries, dimension), of length 1 if cosine.

        One query by itself is encoded without PyTorch where the encoder is a plain BERT.
        """
        prefix = self._settings.query_prefix if self._settings else ""
        texts = [prefix + normalize("NFC", text) for text in queries]
        if len(texts) == 1 and self._query_encoder is not None:
            vectors = self._query_encoder.encode(texts[0])[None]
            return _unit(vectors) if self.similarity == "cosine" else vectors
        return self._encode(self._query_model, texts, "query")

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        """Return one row a passage: float32, shape (passages, dimension), of length 1 if cosine.

        The row of a passage longer than the encoder reads is the mean of its windows, each under the title.
        """
        model = self._passage_model
        parts = self._in_windows([_composed(passage) for passage in passages], model)
        texts = [self._passage_text(part, model) for each in parts for part in each]
        vectors = self._encode(model, texts, "document")
        if len(texts) == len(passages):
            return vectors
        return _means(vectors, [len(each) for each in parts], self.similarity)

    @cached_property
    def dimension(self) -> int:
        """Length of a vector."""
        size = self._passage_model.get_embedding_dimension()
        # DPR without a projection says 0 here: its output is as wide as its hidden layer.
        return int(size or _words(self._passage_model).config.hidden_size)

    @cached_property
    def similarity(self) -> Similarity:
        """How vectors are compared; vectors are of length 1 if `cosine`, so a dot product serves both."""
        if self._settings:
            return self._settings.similarity
        measure = self._passage_model.similarity_fn_name
        if measure not in ("cosine", "dot"):
            raise InvalidInputError(f"{self.folder}: found similarity {measure!r}, wanted 'cosine' or 'dot'")
        return "cosine" if measure == "cosine" else "dot"

    @property
    def speakers(self) -> bool:
        """Whether a conversation is to be searched for with its speakers named in front of each line."""
        return self._settings is not None and self._settings.speakers

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that differ when weights, tokenizer or settings do: vectors of two do not mix."""
        digest = hashlib.sha256(json.dumps(asdict(self._settings) if self._settings else {}).encode())
        for path in sorted(self.folder.rglob("*")):
            if path.suffix in _IDENTITY and not path.name.startswith("rankrag"):
                digest.update(f"\n{path.relative_to(self.folder).as_posix()} {sha256(path)}".encode())
        return digest.hexdigest()[:16]

    def __reduce__(self) -> tuple[type[Encoder], tuple[object, ...]]:
        """Travel to another process without the weights, which are read there."""
        folder = self.folder.absolute()
        return Encoder, (folder, self.name, self.settings, self.device, self.batch_size)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _settings(self) -> EncoderSettings | None:
        return self.settings or ENCODERS.get(self.name)

    @property
    def _query_folder(self) -> Path:
        return self.folder / "query" if self._settings and self._settings.two_sided else self.folder

    @cached_property
    def _query_encoder(self) -> QueryEncoder | None:
        settings = self._settings
        if settings is None or settings.pooling == "pooler" or self.device is not None:
            return None
        return load_query_encoder(self._query_folder, settings.pooling, settings.query_tokens)

    @cached_property
    def _query_model(self) -> SentenceTransformer:
        if self._settings is None:
            return load_layout(self.folder, self.device)
        return load(self._query_folder, self._settings, self._settings.query_tokens, self.device)

    @cached_property
    def _passage_model(self) -> SentenceTransformer:
        settings = self._settings
        if settings is None:
            return self._query_model
        if not settings.two_sided and settings.query_tokens == settings.passage_tokens:
            return self._query_model
        side = self.folder / "context" if settings.two_sided else self.folder
        return load(side, settings, settings.passage_tokens, self.device)

    def _in_windows(self, passages: Sequence[Passage], model: SentenceTransformer) -> list[list[Passage]]:
        """Return each passage, in as many parts as the encoder needs to read all of it."""
        tokenizer, most = _words(model).tokenizer, model.max_seq_length
        if tokenizer is None or most is None or not tokenizer.is_fast:
            return [[passage] for passage in passages]
        prompt = "" if self._settings else (model.prompts or {}).get("document") or ""

        def n_pieces(group: Sequence[Passage]) -> list[int]:
            texts = [self._passage_text(passage, model) for passage in group]
            sides = zip(
                *(text if isinstance(text, tuple) else (prompt + text,) for text in texts), strict=True
            )
            return [len(ids) for ids in tokenizer(*map(list, sides), verbose=False)["input_ids"]]

        found: list[list[Passage]] = []
        for passage, pieces in zip(passages, n_pieces(passages) if passages else (), strict=True):
            if pieces <= most:
                found.append([passage])
                continue
            if n_pieces([replace(passage, text="")])[0] > most // 2:
                passage = replace(passage, title=windows(passage.title, most // 4, tokenizer)[0])
            room = most - n_pieces([replace(passage, text="")])[0]
            parts = windows(passage.text, room, tokenizer)
            found.append([replace(passage, text=part) for part in parts] or [passage])
        return found

    def _passage_text(self, passage: Passage, model: SentenceTransformer) -> Text:
        title = self._settings.title if self._settings else "line"
        prefix = self._settings.passage_prefix if self._settings else ""
        if title == "pair":
            return (prefix + passage.title, passage.text)
        if not passage.title:
            return prefix + passage.text
        join = f" {_separator(model)} " if title == "separator" else "\n"
        return f"{prefix}{passage.title}{join}{passage.text}"

    def _encode(self, model: SentenceTransformer, texts: Sequence[Text], task: str) -> np.ndarray:
        import numpy as np

        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for rows in _batches(texts, self.batch_size or _BATCH.get(model.device.type, _BATCH["cpu"])):
            vectors[rows] = self._encode_batch(model, [texts[row] for row in rows], task)
        return vectors

    def _encode_batch(self, model: SentenceTransformer, texts: list[Text], task: str) -> np.ndarray:
        # Named encoders have had their prefix; a folder's own prompts are put on by these two methods.
        call = {"query": model.encode_query, "document": model.encode_document}[task]
        encode = call if self._settings is None else model.encode
        return encode(
            texts,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=self.similarity == "cosine",
        )


_IDENTITY = (".safetensors", ".json", ".txt", ".model")


def _batches(texts: Sequence[Text], size: int) -> Iterator[list[int]]:
    """Yield row numbers, the longest texts first: batches waste little padding, and memory peaks at once."""
    order = sorted(range(len(texts)), key=lambda row: (-_length(texts[row]), row))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _composed(passage: Passage) -> Passage:
    """Return a passage with its accents and syllables composed, as in what encoders were trained on."""
    title, text = normalize("NFC", passage.title), normalize("NFC", passage.text)
    return replace(passage, title=title, text=text)


def _means(vectors: np.ndarray, counts: Sequence[int], similarity: Similarity) -> np.ndarray:
    """Return the mean of the next `counts[n]` rows as row n, of length 1 if cosine."""
    import numpy as np

    firsts = np.cumsum([0, *counts[:-1]])
    means: np.ndarray = np.add.reduceat(vectors, firsts, axis=0) / np.asarray(counts, np.float32)[:, None]
    return _unit(means) if similarity == "cosine" else means


def _unit(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1; one of zeros stays."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny))


def _length(text: Text) -> int:
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])


def _words(model: SentenceTransformer) -> Transformer:
    """Return the first module of an encoder built by `load`: the transformer with its tokenizer."""
    return cast("Transformer", model[0])


def _separator(model: SentenceTransformer) -> str:
    tokenizer = _words(model).tokenizer
    return str(tokenizer.sep_token) if tokenizer is not None else ""


# ── long texts ─────────────────────────────────────────────────────────────────────────────────────────


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
