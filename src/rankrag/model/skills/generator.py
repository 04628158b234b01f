"""The model as generator: it answers from the passages that ranked best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from ... import prompts
from ...types import Cut, LanguageModel, Passage, Prompt, Question, Style, Usage
from ..engine.stream import until
from ..engine.tokens import counter

SHORT, LONG, VERDICT = 32, 128, 8
"""Most tokens of an answer: open questions, conversations, verdicts (arXiv 2407.02485, section 5.1)."""

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
class Metered(Iterator[str], Protocol):
    """Pieces of an answer from a model that tells how many tokens it read and wrote."""

    @property
    def usage(self) -> Usage | None:
        """The tokens, once the answer is whole; None where they were not told."""
        ...


@runtime_checkable
class Counted(Iterator[str], Protocol):
    """Pieces of an answer from a model that counts the tokens it wrote."""

    @property
    def n_tokens(self) -> int | None:
        """The tokens written so far; None where nobody counts them."""
        ...


@dataclass(slots=True)
class ModelReading:
    """An answer that the model gives to one prompt, within `limit` tokens and before any text of `stop`."""

    lm: LanguageModel
    form: prompts.Template
    prompt: Prompt
    cuts: tuple[Cut, ...]
    limit: int
    stop: tuple[str, ...] = ()
    _written: Iterator[str] | None = None

    def pieces(self) -> Iterator[str]:
        """Yield the answer piece by piece, without the whitespace around it."""
        self._written = self.lm.generate(self.prompt, self.limit, self.form.stop)
        texts = _trimmed(self._written)
        return until(texts, self.stop) if self.stop else texts

    def usage(self, text: str) -> Usage:
        """Return the tokens read and written; what the model told goes before what we count.

        Where nobody counted while it was written, `text` is.
        """
        if isinstance(self._written, Metered) and (told := self._written.usage) is not None:
            return replace(told, limit=self.limit)
        written = self._written.n_tokens if isinstance(self._written, Counted) else None
        if written is None:
            written = self.lm.n_tokens(self.form.target(text)) if text else 0
        n_tokens = counter(self.lm, self.form.markers)
        return Usage(
            prompt_tokens=n_tokens(self.prompt.prefix) + n_tokens(self.prompt.suffix),
            completion_tokens=written,
            limit=self.limit,
        )


@dataclass(frozen=True, slots=True)
class ModelGenerator:
    """Answers greedily from passages. `max_tokens` limits the answer; None takes it from the style.

    The paper names limits for its benchmarks only; a `plain` question, which a person asks and no
    benchmark scores, gets the limit of conversations.
    """

    lm: LanguageModel
    form: prompts.Template
    max_tokens: int | None = None

    def read(
        self,
        question: Question,
        passages: Sequence[Passage],
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
    ) -> ModelReading:
        """Return the reading of these passages, at most `max_tokens` long, that ends before a text of `stop`.

        Raises InvalidInputError if the question does not fit beside the answer.
        """
        own = _MAX_TOKENS[question.style] if self.max_tokens is None else self.max_tokens
        limit = own if max_tokens is None else min(own, max_tokens)
        prompt, cuts = prompts.fit(
            lambda shown: prompts.answer(question, shown, self.form),
            passages,
            self.lm.context_length - limit,
            counter(self.lm, self.form.markers),
        )
        return ModelReading(self.lm, self.form, prompt, cuts, limit, tuple(stop))


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
