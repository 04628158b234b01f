"""A language model without weights: it ranks by shared words and answers with a sentence it read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import get_args

import numpy as np

from ... import prompts
from ...errors import InvalidInputError
from ...types import Passage, Prompt, Question, Style

_WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s|$)|$)", re.MULTILINE)
_LABEL = re.compile(r"^Passage(?: \d+)?: ")

_SMALL_WORDS = frozenset(
    "a about an and are as at be by did do does for from had has have how i in into is it its not of on or "
    "that the their they this to was were what when where which who whom whose why will with you your".split()
)


@dataclass(frozen=True, slots=True)
class FakeLanguageModel:
    """Fills the role of a language model with word overlap: deterministic, without weights, instant.

    It lets the whole house run where there is no model (`--model fake`, tests). A token is a word between
    whitespace. A label is as probable as the share of the question's words that occur in the passages.
    """

    context_length: int = 8192

    def n_tokens(self, text: str) -> int:
        """Return the number of words between whitespace."""
        return len(text.split())

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        """Return natural-log probabilities, shape (prompts, choices), of `True`, `False` or anything else.

        Both labels keep at least 1 percent; any other choice has a probability of one in a million.
        """
        rows = [[self._logprob(prompt, choice) for choice in choices] for prompt in prompts]
        return np.array(rows, dtype=np.float64).reshape(len(prompts), len(choices))

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        """Yield, word by word, the sentence of the passages that shares most words with the question."""
        self._check(prompt)
        text = _extract(prompt)
        ends = [text.find(mark) for mark in stop if mark and mark in text]
        yield from re.findall(r"\s*\S+", text[: min(ends, default=len(text))])[:max_tokens]

    def _logprob(self, prompt: Prompt, choice: str) -> float:
        self._check(prompt)
        true = 0.01 + 0.98 * _share(prompt)
        return math.log({prompts.TRUE: true, prompts.FALSE: 1.0 - true}.get(choice.strip(), 1e-6))

    def _check(self, prompt: Prompt) -> None:
        length = self.n_tokens(prompt.prefix) + self.n_tokens(prompt.suffix)
        if length > self.context_length:
            raise InvalidInputError(
                f"found a prompt of {length} tokens, wanted at most {self.context_length}: shorten passages"
            )


def _share(prompt: Prompt) -> float:
    """Return the share, 0..1, of the question's words that occur in the passages."""
    wanted = _asked(prompt)
    return len(wanted & _words(_context(prompt))) / len(wanted) if wanted else 0.0


def _extract(prompt: Prompt) -> str:
    """Return the first sentence with most words of the question, or that there is no answer."""
    wanted = _asked(prompt)
    blocks = (_LABEL.sub("", block) for block in _context(prompt).split("\n\n"))
    sentences = [sentence for block in blocks for sentence in _SENTENCE.findall(block)]
    best = max(sentences, key=lambda text: (len(wanted & _words(text)), text[-1] in ".!?"), default="")
    return best if wanted & _words(best) else prompts.UNANSWERABLE


def _context(prompt: Prompt) -> str:
    """Return what stands between the system text and the conversation."""
    return prompt.prefix.partition(prompts.SYSTEM)[2].strip()


def _asked(prompt: Prompt) -> frozenset[str]:
    """Return the words of the conversation that the templates did not write."""
    text = prompt.suffix
    for marker in prompt.markers:
        text = text.replace(marker, " ")
    return _words(text) - _template_words()


@cache
def _template_words() -> frozenset[str]:
    """Return the words that a prompt holds whatever is asked."""
    passage = Passage("", "")
    forms = prompts.TEMPLATES.values()
    asked = [Question("", "", style=style) for style in get_args(Style)]
    written = [prompts.answer(question, [], form) for question in asked for form in forms]
    written += [prompts.rank(question, passage, form) for question in asked for form in forms]
    return frozenset[str]().union(*(_words(prompt.suffix) for prompt in written))


def _words(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(text)) - _SMALL_WORDS
