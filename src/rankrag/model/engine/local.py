"""The language model on this machine: transformers weights, run without padding, prefixes remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidInputError, told
from ...types import ASKED, Prompt
from .disk_cache import DiskCache
from .memory import bound_kernels, give_back
from .network import Network
from .packed import Growing
from .precision import EnginePrecision
from .prefix_cache import Entry, PrefixCache, key
from .scorer import PromptTokens, Scorer
from .stream import Pieces
from .tokenizer import Tokenizer
from .weights import WeightPrecision, load_weights

if TYPE_CHECKING:
    import torch

    from .network import Continuation

CACHE_BYTES = 1 << 28
"""Limit of the prefix cache: 168 passages of 130 tokens, each of which takes 12 kB in rankrag-0.5b.

With it that model stays at 1.8 GB in int8: 0.77 are weights, 0.80 programs and what they keep.
"""

_CHUNK_TOKENS = {"cpu": 1024, "int8": 512, "cuda": 16384}
"""Tokens in one pass: on a CPU as many as keep the activations near the caches, on a GPU to fill it.

Products of integers give 4 bytes for each of theirs: from 1,024 tokens on, fresh memory costs what they gain.
"""

_STATES_FORMAT = 2
"""To be raised when the same weights give other states."""


class LocalLanguageModel:
    """Runs a model folder: config, tokenizer and safetensors, as transformers writes them.

    Scores do not depend on what is remembered or on which prompts come together, but for rounding (about
    1e-6 in float32). One caller at a time is served; others wait between two passes.
    """

    def __init__(
        self,
        folder: str | Path,
        adapter: str | Path | None = None,
        device: str | None = None,
        precision: EnginePrecision | None = None,
        context_length: int | None = None,
    ) -> None:
        """Load the model, with an adapter of peft merged into it if one is given.

        `context_length` is the most tokens of a prompt with its answer (None: what the model takes). Device
        None takes a GPU if there is one; precision None means 16 bits there and float32 elsewhere. `int8` is
        for CPUs and the architectures of the Llama family. Raises NotFoundError, InvalidInputError (not
        safetensors, or no int8), MissingExtraError, FailureError (weights that do not load).
        """
        bound_kernels()
        with told(Path(folder), "the model"):
            self._tokenizer = Tokenizer(Path(folder))
            # Rounding to 16 bits adds a hundredth to what rounding to 8 does, in half the memory.
            weights: WeightPrecision | None = "bfloat16" if precision == "int8" else precision
            model = load_weights(Path(folder), Path(adapter) if adapter else None, device, weights)
            self._network = Network(model)
            if precision == "int8":
                self._network.quantise()
            self.cache = PrefixCache(CACHE_BYTES)
            self.disk: DiskCache | None = None
            self.precision = "int8" if precision == "int8" else str(model.dtype).removeprefix("torch.")
            kind = "int8" if precision == "int8" else model.device.type
            chunk_tokens = _CHUNK_TOKENS.get(kind, _CHUNK_TOKENS["cpu"])
            self._scorer = Scorer(self._network, self.cache, chunk_tokens)
            self._ends = _end_tokens(model.generation_config.eos_token_id, model.config.eos_token_id)
            longest: int = model.config.get_text_config().max_position_embeddings
            self._max_tokens = min(longest, context_length or longest)
        self._lock = Lock()
        give_back()

    def keep_on_disk(self, folder: Path, limit: int, weights: str) -> None:
        """Keep keys and values of frequent prefixes in a folder, too, at most `limit` bytes of them.

        `weights` stands for the weights: another value means other ones. Raises FailureError.
        """
        import torch

        # The rotation of int8 is drawn by PyTorch; another version may draw another one.
        fingerprint = f"{_STATES_FORMAT} {weights} {self.precision} {torch.__version__}"
        self.disk = DiskCache(folder, limit, fingerprint)
        self._scorer.disk = self.disk

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights."""
        return self._network.n_bytes

    @property
    def device(self) -> str:
        """What computes: `cpu`, `cuda`, ..."""
        return str(self._network.model.device.type)

    @property
    def context_length(self) -> int:
        """The most tokens that prompt and answer may have together, without the model's start token."""
        return self._max_tokens - len(self._tokenizer.start)

    def n_tokens(self, text: str) -> int:
        """Return the number of tokens of a text on its own, without special tokens."""
        return self._tokenizer.n_tokens(text)

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        """Return natural-log probabilities of each choice right after each prompt.

        Shape (prompts, choices), float64. A choice of several tokens has the sum of its tokens', and `ASKED`
        the sum of those at `Prompt.asked`. Raises InvalidInputError for a prompt that is empty or longer than
        the model's context.
        """
        numbers: dict[PromptTokens, int] = {}
        wanted: list[tuple[int, int, int, int]] = []
        asking: list[tuple[int, int, int]] = []
        for p, prompt in enumerate(prompts):
            row = self._row(prompt, ASKED in choices)
            for c, choice in enumerate(choices):
                if choice == ASKED:
                    asking.append((p, c, numbers.setdefault(row, len(numbers))))
                    continue
                written = self._tokenizer.continuation(prompt.prefix + prompt.suffix, choice)
                for n, token in enumerate(written):
                    longer = PromptTokens(row.prefix, row.suffix + tuple(written[:n])) if n else row
                    wanted.append((p, c, numbers.setdefault(longer, len(numbers)), token))
        tokens = sorted({token for *_, token in wanted})
        scores, asked = self._score(list(numbers), tokens)
        table = np.zeros((len(prompts), len(choices)))
        for p, c, number, token in wanted:
            table[p, c] += scores[number, tokens.index(token)]
        for p, c, number in asking:
            table[p, c] = asked[number]
        return table

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        """Yield the greedy continuation piece by piece, ending before any string of `stop`.

        It also ends at the model's own end token and where the context is full. Closing the iterator stops
        the model. Raises InvalidInputError like `logprobs`, on the call.
        """
        return self.generate_mixture([prompt], [1.0], max_tokens, stop)

    def generate_mixture(
        self, prompts: Sequence[Prompt], weights: Sequence[float], max_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yield one greedy continuation of several prompts, piece by piece.

        Each next token is the likeliest by the mean of what the prompts say, weighted: RAG-Token of arXiv
        2005.11401. The weights are positive; only their ratios count. Ends and raises like `generate`.
        """
        rows = [self._row(prompt) for prompt in prompts]
        longest = max(len(row.prefix) + len(row.suffix) for row in rows)
        room = min(max_tokens, self._max_tokens - longest)
        ends = self._ends | {token for token in map(self._tokenizer.control, stop) if token is not None}
        return Pieces(self._written(rows, weights, room, ends), self._tokenizer.decode, stop, room)

    def _score(self, rows: Sequence[PromptTokens], tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        import torch

        if not rows:
            return np.zeros((0, len(tokens))), np.zeros(0)
        with self._lock, torch.inference_mode():
            scores, asked = self._scorer.score(rows, tokens)
        give_back()
        return scores.double().numpy(), asked.double().numpy()

    def _written(
        self, rows: Sequence[PromptTokens], weights: Sequence[float], room: int, ends: frozenset[int]
    ) -> Iterator[int]:
        """Yield the tokens of `_greedy`; give back what they took once no more are wanted."""
        try:
            yield from self._greedy(rows, weights, room, ends)
        finally:
            give_back()

    def _greedy(
        self, rows: Sequence[PromptTokens], weights: Sequence[float], room: int, ends: frozenset[int]
    ) -> Iterator[int]:
        """Yield the tokens for which there is room, and the one after them if the model would go on."""
        import torch

        if room < 1:
            return
        with self._lock, torch.inference_mode():
            growing, logits = self._begin(rows, room)
            token = _likeliest(logits, weights)
        for n in range(room + 1):
            if token in ends:
                return
            yield token
            if n < room:
                with self._lock, torch.inference_mode():
                    token = _likeliest(self._network.feed(growing, [[token]] * len(rows)), weights)

    def _begin(self, rows: Sequence[PromptTokens], room: int) -> tuple[list[Continuation], torch.Tensor]:
        """Return the prompts ready to be continued, and the logits of their first tokens, a row for each."""
        known = self._scorer.begin([row.prefix for row in rows])
        growing = [
            self._network.continuation(match.states(), len(row.prefix) + len(row.suffix) + room)
            for row, match in zip(rows, known, strict=True)
        ]
        new = [
            row.prefix[match.n_tokens if isinstance(prompt, Growing) else 0 :] + row.suffix
            for row, match, prompt in zip(rows, known, growing, strict=True)
        ]
        logits = self._network.feed(growing, new)
        for row, match, prompt in zip(rows, known, growing, strict=True):
            if isinstance(prompt, Growing) and match.n_tokens < len(row.prefix):
                states = prompt.states(match.n_tokens, len(row.prefix))
                self.cache.put(Entry(key(row.prefix), match, states))
        return growing, logits

    def _row(self, prompt: Prompt, asking: bool = False) -> PromptTokens:
        prefix, suffix = self._tokenizer.prompt(prompt)
        if not suffix and prefix:
            prefix, suffix = prefix[:-1], prefix[-1:]
        if not suffix:
            raise InvalidInputError("found an empty prompt, wanted text: give the model something to read")
        if (length := len(prefix) + len(suffix)) > self._max_tokens:
            raise InvalidInputError(
                f"found a prompt of {length} tokens, wanted at most {self._max_tokens}: shorten its passages"
            )
        asked = self._tokenizer.asked(prompt) if asking else range(0)
        return PromptTokens(tuple(prefix), tuple(suffix), asked)


def _likeliest(logits: torch.Tensor, weights: Sequence[float]) -> int:
    """Return the likeliest token by the weighted mean of distributions, given as logits, a row for each."""
    if len(logits) == 1:
        return int(logits[0].argmax())
    shares = logits.new_tensor(weights, dtype=logits.dtype).log().unsqueeze(1)
    return int((logits.log_softmax(-1) + shares).logsumexp(0).argmax())


def _end_tokens(*settings: int | list[int] | None) -> frozenset[int]:
    """Return the tokens that end an answer: transformers allows one, several or none."""
    tokens = [setting if isinstance(setting, list) else [setting] for setting in settings]
    return frozenset(token for several in tokens for token in several if token is not None)
