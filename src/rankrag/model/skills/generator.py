"""The model as generator: it answers from the passages that ranked best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from ... import prompts
from ...types import Cut, LanguageModel, Passage, Prompt, Question, Style, Usage
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
class Metered(Protocol):
    """A language model that is told how many tokens it read and wrote."""

    def usage(self, prompt: Prompt) -> Usage | None:
        """Return the tokens of the last whole answer to a prompt, None where they were not told."""
        ...


@dataclass(frozen=True, slots=True)
class ModelGenerator:
    """Answers greedily from passages. `max_tokens` limits the answer; None takes it from the style.

    The paper names limits for its benchmarks only; a `plain` question, which a person asks and no
    benchmark scores, gets the limit of conversations.
    """

    lm: LanguageModel
    form: prompts.Template
    max_tokens: int | None = None

    def stream(self, question: Question, passages: Sequence[Passage]) -> Iterator[str]:
        """Yield the answer piece by piece, without the whitespace around it.

        Raises InvalidInputError if the question does not fit beside the answer. Closing the iterator
        stops the model.
        """
        prompt, _ = self._fit(question, passages)
        return _trimmed(self.lm.generate(prompt, self._limit(question), self.form.stop))

    def cuts(self, question: Question, passages: Sequence[Passage]) -> tuple[Cut, ...]:
        """Return what `stream` would have to leave out of the passages for them to fit."""
        return self._fit(question, passages)[1]

    def usage(self, question: Question, passages: Sequence[Passage], text: str) -> Usage:
        """Return the tokens that reading these passages and writing `text` takes.

        What the model was told goes before what we count.
        """
        prompt, _ = self._fit(question, passages)
        limit = self._limit(question)
        if isinstance(self.lm, Metered) and (told := self.lm.usage(prompt)) is not None:
            return replace(told, limit=limit)
        n_tokens = counter(self.lm, self.form.markers)
        return Usage(
            prompt_tokens=n_tokens(prompt.prefix) + n_tokens(prompt.suffix),
            completion_tokens=self.lm.n_tokens(self.form.target(text)) if text else 0,
            limit=limit,
        )

    def _fit(self, question: Question, passages: Sequence[Passage]) -> tuple[Prompt, tuple[Cut, ...]]:
        return prompts.fit(
            lambda shown: prompts.answer(question, shown, self.form),
            passages,
            self.lm.context_length - self._limit(question),
            counter(self.lm, self.form.markers),
        )

    def _limit(self, question: Question) -> int:
        return _MAX_TOKENS[question.style] if self.max_tokens is None else self.max_tokens


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
