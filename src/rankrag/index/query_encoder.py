"""A BERT that encodes one query with numpy alone, and so at once.

sentence-transformers, transformers and PyTorch take six seconds of a processor to import for the tenth of a
second that a query needs; docs/log/73 has the parts. What they compute is computed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from ..errors import needs, told

if TYPE_CHECKING:
    import numpy as np
    from threadpoolctl import ThreadpoolController
    from tokenizers import Tokenizer

_LOCK = Lock()
"""Held while the threads of numpy's products are bounded, which is so for the whole process."""


@dataclass(frozen=True, slots=True)
class QueryEncoder:
    """The weights of a BERT (arXiv 1810.04805) by their names in its checkpoint, and its tokenizer."""

    tokenizer: Tokenizer
    weights: Mapping[str, np.ndarray]
    n_layers: int
    n_heads: int
    epsilon: float
    pooling: Literal["mean", "cls"]
    threads: ThreadpoolController

    def encode(self, query: str) -> np.ndarray:
        """Return the vector of a query: float32, shape (dimension,), of whatever length.

        On one thread: products this small gain little from more, and where other programs want the cores two
        of them spin for seconds (6.4 in place of 0.5 at a load of 20 on two cores).
        """
        with _LOCK, self.threads.limit(limits=1, user_api="blas"):
            return self._encode(query)

    def _encode(self, query: str) -> np.ndarray:
        ids = self.tokenizer.encode(query).ids
        words, positions, kinds = (self.weights[f"embeddings.{part}_embeddings.weight"] for part in _EMBEDDED)
        states = self._norm("embeddings.LayerNorm", words[ids] + positions[: len(ids)] + kinds[0])
        for n in range(self.n_layers):
            states = self._layer(f"encoder.layer.{n}", states)
        vector: np.ndarray = states[0] if self.pooling == "cls" else states.mean(axis=0)
        return vector

    def _layer(self, name: str, states: np.ndarray) -> np.ndarray:
        mixed = self._linear(f"{name}.attention.output.dense", self._attention(name, states))
        states = self._norm(f"{name}.attention.output.LayerNorm", states + mixed)
        wide = _gelu(self._linear(f"{name}.intermediate.dense", states))
        return self._norm(f"{name}.output.LayerNorm", states + self._linear(f"{name}.output.dense", wide))

    def _attention(self, name: str, states: np.ndarray) -> np.ndarray:
        import numpy as np

        n_tokens, size = states.shape
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", states)
            .reshape(n_tokens, self.n_heads, -1)
            .swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.float32((size / self.n_heads) ** 0.5)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.asarray((shares @ value).swapaxes(0, 1).reshape(n_tokens, size))

    def _linear(self, name: str, states: np.ndarray) -> np.ndarray:
        made: np.ndarray = states @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return made

    def _norm(self, name: str, states: np.ndarray) -> np.ndarray:
        import numpy as np

        centred = states - states.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(self.epsilon))
        return np.asarray(centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])


def load_query_encoder(folder: Path, pooling: Literal["mean", "cls"], n_tokens: int) -> QueryEncoder | None:
    """Return the BERT in a folder, reading at most `n_tokens` of a query; None for another model.

    Raises FailureError for files that are broken, MissingExtraError without the packages that read them.
    """
    paths = [folder / name for name in ("config.json", "tokenizer.json", "model.safetensors")]
    if not all(path.is_file() for path in paths):
        return None
    with needs("safetensors", "local"):
        from safetensors import safe_open
        from threadpoolctl import ThreadpoolController
        from tokenizers import Tokenizer
    with told(folder, "the encoder"):
        config = {**_UNSAID, **json.loads(paths[0].read_text(encoding="utf-8"))}
        if not (config.keys() >= {*_COUNTS} and {name: config.get(name) for name in _PLAIN} == _PLAIN):
            return None
        with safe_open(paths[2], framework="np") as file:
            stored = {name.removeprefix("bert."): name for name in file.keys()}  # noqa: SIM118
            wanted = _names(config["num_hidden_layers"])
            if not wanted <= stored.keys() or any(
                file.get_slice(stored[name]).get_dtype() != "F32" for name in wanted
            ):
                return None
            weights = {name: file.get_tensor(stored[name]) for name in wanted}
        tokenizer = Tokenizer.from_file(str(paths[1]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(n_tokens)
    n_layers, n_heads, epsilon = (config[name] for name in _COUNTS)
    return QueryEncoder(tokenizer, weights, n_layers, n_heads, epsilon, pooling, ThreadpoolController())


_PLAIN = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
"""What the settings of a model have to say for the code above to be its architecture."""

_UNSAID = {"position_embedding_type": "absolute"}

_EMBEDDED = ("word", "position", "token_type")

_COUNTS = ("num_hidden_layers", "num_attention_heads", "layer_norm_eps")


def _names(n_layers: int) -> set[str]:
    """Return the names of all weights that decide the states of the last layer."""
    parts = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    parts += ["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
    pairs = [f"encoder.layer.{n}.{part}" for n in range(n_layers) for part in parts]
    names = {f"{pair}.{kind}" for pair in [*pairs, "embeddings.LayerNorm"] for kind in ("weight", "bias")}
    return names | {f"embeddings.{part}_embeddings.weight" for part in _EMBEDDED}


def _gelu(values: np.ndarray) -> np.ndarray:
    """Return x Φ(x), by erf to 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26."""
    import numpy as np

    size = np.abs(values) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    erf = np.copysign(1 - series * np.exp(-size * size), values)
    return np.asarray(values * (1 + erf) / 2)
