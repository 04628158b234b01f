"""A transformers model as a function from tokens to next-token log-probabilities, packed where it can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInputError
from . import int8
from .batched import Together
from .blocks import Blocks, is_llama_like
from .packed import ATTENTION, Abreast, Growing, Layout, Packing, Segment, States, Unsupported, register
from .workers import n_workers, run_apart

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

_FIXED_ROPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary embeddings that depend on the position alone; others change with the length of the whole row."""

_TOLERANCE = 1e-3
_TOLERANCE_16_BIT = 0.25
"""Of how far logits are spread: rounding of 16 bits makes a tenth of that in a model of 0.5B weights."""

_HEAD_ROWS = 64
"""Prompts whose logits are computed at a time: those of a vocabulary of 151,936 are 39 MB."""


@dataclass(slots=True)
class PlainContinuation:
    """A prompt that is continued on transformers' own attention, and the cache of its states."""

    cache: object = None


Continuation = Growing | PlainContinuation
"""A prompt that is being continued, on our attention or on transformers'."""


class Network:
    """Runs a causal model over prompts of different lengths without padding.

    `window` is the length in tokens up to which prompts can be packed: 0 where the architecture does
    something that our attention does not (found out by comparing both paths on a few tokens), the sliding
    window where there is one. Longer prompts take the plain path: transformers' own forward pass.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        register()
        self.model = model
        self._original = model.config._attn_implementation
        self._attention = self._original
        self._pool: ThreadPoolExecutor | None = None
        # transformers 5.24 renamed the argument, architecture by architecture.
        named = signature(type(model).forward).parameters
        self._cache_name = "cache" if "cache" in named else "past_key_values"
        self.window = _window(model.config)
        self._integer_bytes = 0
        # The quick way through the blocks where it gives what the model gives, else the model's own code.
        self._quick = Blocks(model) if is_llama_like(model) else None
        if self._quick is not None and not self._agrees():
            self._quick = None
        if self._quick is None:
            _exact_head(model)
            if self.window and not self._agrees():
                self.window = 0

    def quantise(self) -> None:
        """Compute the blocks in 8-bit integers from now on.

        Raises InvalidInputError for an architecture whose blocks are not Llama's or that slides a window, a
        GPU, or a processor whose products of integers are not exact.
        """
        device = self.model.device.type
        if device != "cpu":
            raise InvalidInputError(
                f"found the precision int8 on {device}, wanted it on a CPU, which it is for: "
                "leave the precision out"
            )
        config = self.model.config
        if self._quick is None:
            raise InvalidInputError(
                f"found blocks of {config.model_type} that do not compute as Llama's, wanted blocks that do, "
                "for the precision int8: leave the precision out"
            )
        if self.window < (length := config.get_text_config().max_position_embeddings):
            raise InvalidInputError(
                f"found a window of {self.window} tokens, wanted one as long as the context, {length}, for "
                "the precision int8: leave the precision out"
            )
        int8.check()
        self._integer_bytes = int8.convert(self.model, self._quick)

    @property
    def n_bytes(self) -> int:
        """Bytes of the weights, in whatever numbers they are."""
        return self._integer_bytes + sum(weights.nbytes for weights in self.model.parameters())

    def packed(self, segments: Sequence[Segment]) -> torch.Tensor:
        """Return what `logprobs` reads, rows for each segment in turn, and collect what they keep."""
        ids = [token for segment in segments for token in segment.tokens]
        places = [segment.n_past + n for segment in segments for n in range(len(segment.tokens))]
        last, stop = [], 0
        for segment in segments:
            stop += len(segment.tokens)
            last += [stop + offset for offset in (*segment.read, -1)]
        device = self.model.device
        layout = Packing(segments) if device.type == "cpu" else Together(segments, device)
        return self._through(ids, places, last, layout)

    def logprobs(self, ends: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """Return natural-log probabilities, (rows, tokens), of each token after each row of `packed`."""
        import torch

        wanted = torch.tensor(tokens, dtype=torch.long, device=self.model.device)
        pieces = []
        for rows in torch.split(ends, _HEAD_ROWS):
            logits = self._logits(rows, tokens)
            pieces.append(logits.index_select(1, wanted) - logits.logsumexp(1, keepdim=True))
        return torch.cat(pieces)

    def likelihoods(self, ends: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """Return the natural-log probability, (rows,), of one token after each row of `packed`."""
        import torch

        wanted = torch.tensor(tokens, dtype=torch.long, device=self.model.device)
        pieces = []
        for rows, after in zip(torch.split(ends, _HEAD_ROWS), torch.split(wanted, _HEAD_ROWS), strict=True):
            logits = self._logits(rows, sorted({*after.tolist()}))
            pieces.append(logits.gather(1, after.unsqueeze(1)).squeeze(1) - logits.logsumexp(1))
        return torch.cat(pieces)

    def packed_apart(self, chunks: Sequence[Sequence[Segment]]) -> Iterator[torch.Tensor]:
        """Yield what `packed` returns for each chunk, in order; where it helps, side by side."""
        if len(chunks) < 2 or self.n_workers() < 2:
            yield from map(self.packed, chunks)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.n_workers(), thread_name_prefix="rankrag-chunk")
        yield from run_apart(self._pool, self._packed_in_thread, chunks)

    def n_workers(self) -> int:
        """Return how many chunks can run side by side: one on a GPU or through transformers' own code."""
        return n_workers() if self._quick is not None and self.model.device.type == "cpu" else 1

    def plain(self, rows: Iterable[Sequence[int]], batch_tokens: int) -> torch.Tensor:
        """Return logits, float32, after each row, (rows, vocabulary), the way of the model's own code.

        Only rows of one length share a batch: no architecture then has to know about padding.
        """
        import torch

        self._use(self._original)
        numbered = sorted(enumerate(rows), key=lambda item: len(item[1]))
        order, found = [], []
        for length, group in groupby(numbered, key=lambda item: len(item[1])):
            members = list(group)
            size = max(1, batch_tokens // length)
            for first in range(0, len(members), size):
                ids = self._tensor([list(row) for _, row in members[first : first + size]])
                logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
                found.append(logits.float())
            order += [number for number, _ in members]
        return torch.cat(found)[torch.tensor(order).argsort()]

    def continuation(self, past: Sequence[States], length: int) -> Continuation:
        """Return a prompt of up to `length` tokens to continue, after the states of its first tokens."""
        return Growing(past, length) if length <= self.window else PlainContinuation()

    def feed(self, rows: Sequence[Continuation], tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Append tokens to each prompt and return the logits after them, (rows, vocabulary).

        Prompts that can be packed share one pass, which reads the weights once.
        """
        import torch

        together = [row for row in rows if isinstance(row, Growing)]
        if len(together) < len(rows):
            return torch.stack([self._feed_alone(row, new) for row, new in zip(rows, tokens, strict=True)])
        counts = list(map(len, tokens))
        places = [row.n_tokens + n for row, k in zip(together, counts, strict=True) for n in range(k)]
        last = [end - 1 for end in accumulate(counts)]
        layout = Abreast(together, counts)
        logits = self.pass_through([token for new in tokens for token in new], places, last, layout)
        for row, count in zip(together, counts, strict=True):
            row.n_tokens += count
        return logits

    def _feed_alone(self, row: Continuation, tokens: Sequence[int]) -> torch.Tensor:
        """Append tokens to a prompt and return the logits after them, (vocabulary,)."""
        if isinstance(row, Growing):
            return self.feed([row], [tokens])[0]
        self._use(self._original)
        given = {self._cache_name: row.cache}
        output = self.model(input_ids=self._tensor([tokens]), use_cache=True, logits_to_keep=1, **given)
        row.cache = output.past_key_values
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits

    def pass_through(
        self, ids: Sequence[int], places: Sequence[int], last: Sequence[int], layout: Layout
    ) -> torch.Tensor:
        """Return the logits, float32, at the rows `last` of tokens that stand at `places`."""
        return self._logits(self._through(ids, places, last, layout), ())

    def _through(
        self, ids: Sequence[int], places: Sequence[int], last: Sequence[int], layout: Layout
    ) -> torch.Tensor:
        """Return states for `_logits`: the quick way leaves the vocabulary for later, the other does not."""
        tokens, where, rows = self._tensor(ids), self._tensor(places), self._tensor(last)
        if self._quick is not None:
            return self._quick.ends(tokens, where, rows, layout)
        self._use(ATTENTION)
        output = self.model(
            input_ids=tokens.unsqueeze(0),
            position_ids=where.unsqueeze(0),
            # A mask of four dimensions is passed on as it is, so none is made; our attention ignores it.
            attention_mask=self._tensor([[[[1]]]]),
            use_cache=False,
            logits_to_keep=rows,
            layout=layout,
        )
        logits: torch.Tensor = output.logits[0].float()
        return logits

    def _logits(self, ends: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        return ends if self._quick is None else self._quick.logits(ends, tokens)

    def _packed_in_thread(self, segments: Sequence[Segment]) -> torch.Tensor:
        import torch

        with torch.inference_mode():  # which holds for one thread only
            return self.packed(segments)

    def _use(self, attention: str) -> None:
        if attention != self._attention:
            self.model.set_attn_implementation(attention)
            self._attention = attention

    def _tensor(self, values: object) -> torch.Tensor:
        import torch

        return torch.tensor(values, device=self.model.device)

    def _agrees(self) -> bool:
        """Return whether the packed and the plain path agree, about prompts of which half have a past."""
        import torch

        rows = tried(self.model.config.get_text_config().vocab_size)
        with torch.inference_mode():
            wanted = self.plain(rows, 64)
            try:
                begun = [Segment(row[:4], keep=4) for row in rows[::2]]
                self.packed(begun)
                later = [Segment(row[4:], [first.kept]) for row, first in zip(rows[::2], begun, strict=True)]
                whole = [Segment(row) for row in rows[1::2]]
                ends = self.packed([part for pair in zip(later, whole, strict=True) for part in pair])
                found = self._logits(ends, ())
            except torch.OutOfMemoryError:
                raise  # a GPU that is full says nothing about the architecture
            except (Unsupported, AttributeError, KeyError, TypeError, ValueError, RuntimeError):
                return False
        if found.shape != wanted.shape:
            return False
        gap = found.log_softmax(-1) - wanted.log_softmax(-1)
        if self.model.dtype.itemsize > 2:
            return bool(gap.abs().max() < _TOLERANCE)
        apart = gap.std(dim=-1) / wanted.std(dim=-1)
        return bool(max(apart[::2].median(), apart[1::2].median()) < _TOLERANCE_16_BIT)


def tried(vocabulary: int) -> list[list[int]]:
    """Return prompts to compare two ways on, of different lengths.

    They are of common tokens: after a few of the control tokens with which a vocabulary begins, a trained
    model may go far off by rounding to 16 bits alone.
    """
    first = min(1000, vocabulary // 2)
    return [[(first + 97 * n + k) % vocabulary for k in range(7 - n % 3)] for n in range(6)]


def _exact_head(model: PreTrainedModel) -> None:
    """Let the head of a model of 16 bits compute in float32.

    In bfloat16 logits of 16 and more are multiples of an eighth: the log-odds of passages would tie. The head
    runs at the last token of a prompt alone, so that costs a float32 copy of its weights and no time.
    """
    import torch

    owner: Any = model  # transformers types neither of the two methods
    head = owner.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.weight.dtype == torch.float32:
        return
    exact = deepcopy(head).float()
    exact.register_forward_pre_hook(lambda _, given: (given[0].float(),))
    owner.set_output_embeddings(exact)


def _window(config: PreTrainedConfig) -> int:
    """Return the length up to which a token sees all tokens before it, and only where they stand matters."""
    text = config.get_text_config()
    ropes = getattr(text, "rope_parameters", None) or {}
    kinds = [ropes] if "rope_type" in ropes else [rope for rope in ropes.values() if isinstance(rope, dict)]
    if any(rope.get("rope_type", "default") not in _FIXED_ROPES for rope in kinds):
        return 0
    limits = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min([int(limit) for limit in limits if limit], default=int(text.max_position_embeddings))
