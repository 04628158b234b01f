"""The model as generator: it answers from the passages that ranked best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from ... import prompts
from ...errors import InvalidInputError
from ...fitting import fit
from ...types import (
    Cut,
    LanguageModel,
    MixtureLanguageModel,
    Passage,
    Prompt,
    Question,
    ReadingMode,
    Style,
    Usage,
)
from ..engine.stream import until
from ..engine.tokens import counter

SHORT, LONG, VERDICT = 32, 128, 8
"""Most tokens of an answer: open questions, conversations, verdicts (arXiv 2407.02485, section 5.1)."""

JOINT_SHARE = 0.5
"""What the prompt with all passages counts in a mixture; the passages one by one share the rest."""

_MAX_TOKENS: dict[Style, int] = {
    "plain": LONG,
    "phrase": SHORT,
    "span": SHORT,
    "full": LONG,
    "number": SHORT,
    "span_or_full": LONG,
    "true_false": VERDICT,
    "choice": VERDICT,
}


@runtime_checkable
class Counted(Iterator[str], Protocol):
    """Pieces of an answer from a model that counts tokens."""

    @property
    def usage(self) -> Usage | None:
        """The tokens so far; those of the prompt are 0, and all None, where they were not counted."""


@dataclass(slots=True)
class ModelReading:
    """An answer that the model gives to its prompts, within `limit` tokens and before any text of `stop`.

    `weights` say how much each of several prompts counts.
    """

    lm: LanguageModel
    form: prompts.Template
    prompts: tuple[Prompt, ...]
    weights: tuple[float, ...]
    cuts: tuple[Cut, ...]
    limit: int
    stop: tuple[str, ...] = ()
    _written: Iterator[str] | None = None

    def pieces(self) -> Iterator[str]:
        """Yield the answer piece by piece, without the whitespace around it."""
        self._written = self._write()
        return until(_trimmed(self._written), self.stop)

    def usage(self, text: str) -> Usage:
        """Return the tokens read and written; what the model told goes before what we count.

        Where nobody counted while it was written, `text` is.
        """
        told = self._written.usage if isinstance(self._written, Counted) else None
        if told is None:
            written = self.lm.n_tokens(self.form.target(text)) if text else 0
            told = Usage(0, written, written >= self.limit)
        if told.prompt_tokens:
            return told
        n_tokens = counter(self.lm, self.form.markers)
        return replace(told, prompt_tokens=sum(n_tokens(p.prefix) + n_tokens(p.suffix) for p in self.prompts))

    def _write(self) -> Iterator[str]:
        if len(self.prompts) == 1:
            return self.lm.generate(self.prompts[0], self.limit, self.form.stop)
        if not isinstance(self.lm, MixtureLanguageModel):
            raise InvalidInputError(
                "found a model that tells no distributions, wanted one on this machine for the reading "
                "mixture: leave --reading out"
            )
        return self.lm.generate_mixture(self.prompts, self.weights, self.limit, self.form.stop)


@dataclass(frozen=True, slots=True)
class ModelGenerator:
    """Answers greedily from passages. `max_tokens` limits the answer; None takes it from the style.

    The paper names limits for its benchmarks only; a `plain` question, which a person asks and no
    benchmark scores, gets the limit of conversations. `reading` is as in the paper `joint`; a `mixture`
    adds a prompt for each passage alone, and what the prompts say of the next token is averaged.
    """

    lm: LanguageModel
    form: prompts.Template
    max_tokens: int | None = None
    reading: ReadingMode = "joint"

    def read(
        self,
        question: Question,
        passages: Sequence[Passage],
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        relevance: Sequence[float] = (),
    ) -> ModelReading:
        """Return the reading of these passages, at most `max_tokens` long, that ends before a text of `stop`.

        Raises InvalidInputError if the question does not fit beside the answer.
        """
        own = _MAX_TOKENS[question.style] if self.max_tokens is None else self.max_tokens
        limit = own if max_tokens is None else min(own, max_tokens)
        joint, cuts = self._fit(lambda read: prompts.answer(question, read, self.form), passages, limit)
        asked, weights = [joint], [1.0]
        if self.reading == "mixture" and len(passages) > 1:

            def alone(read: Sequence[Passage]) -> Prompt:
                return prompts.context_answer(question, read[0], self.form)

            apart = [self._fit(alone, [passage], limit) for passage in passages]
            asked += [prompt for prompt, _ in apart]
            cuts = tuple(cut for _, short in apart for cut in short)
            weights = [JOINT_SHARE, *_shares(relevance or [1.0] * len(passages), 1 - JOINT_SHARE)]
        ends = (*stop, *(prompts.ECHOES if passages else ()))
        return ModelReading(self.lm, self.form, tuple(asked), tuple(weights), cuts, limit, ends)

    def _fit(
        self, build: Callable[[Sequence[Passage]], Prompt], passages: Sequence[Passage], limit: int
    ) -> tuple[Prompt, tuple[Cut, ...]]:
        n_tokens = counter(self.lm, self.form.markers)
        return fit(build, passages, self.lm.context_length - limit, n_tokens)


def _shares(relevance: Sequence[float], whole: float) -> list[float]:
    """Return what each passage has of the whole, in the ratio of their relevance; alike where all are 0."""
    total = sum(relevance)
    return [whole * (part / total if total else 1 / len(relevance)) for part in relevance]


def _trimmed(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the pieces without the whitespace before the first word and after the last."""
    held = ""
    started = False
    for piece in pieces:
        text = held + piece if started else piece.lstrip()
        words = text.rstrip()
        held = text[len(words) :]
        if words:
            started = True
            yield words
