"""A language model behind an HTTP server that speaks OpenAI's API: vLLM, llama.cpp, Ollama, OpenAI itself.

    openai:MODEL[@URL]         chat server: messages to `/chat/completions`, in the words of template `chat`
    openai-text:MODEL[@URL]    plain text to `/completions`, in the words of template `paper`

Without `@URL` the server is `OPENAI_BASE_URL`; there is no default, so no document goes to a public service
by accident. `OPENAI_API_KEY` is sent if it is set. `RANKRAG_CONTEXT_LENGTH` (tokens) and `RANKRAG_TIMEOUT_S`
fit the server. docs/endpoints.md says more.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import BoundedSemaphore, Lock
from typing import Literal

import numpy as np

from ... import prompts
from ...errors import FailureError, InvalidInputError
from ...types import Prompt, Usage
from ..engine.stream import until
from .http import TIMEOUT_S, Endpoint, RefusedError, checked_url
from .shapes import context_length, first_token, messages, piece, spelled, usage

Way = Literal["openai", "openai-text"]
"""As messages to a chat server, or as the text of the prompt."""

FORMS: dict[Way, prompts.Template] = {"openai": prompts.CHAT, "openai-text": prompts.PAPER}
"""The template of each way: a chat server puts messages into the frame of its own model."""

_PATHS: dict[Way, str] = {"openai": "/chat/completions", "openai-text": "/completions"}

CONTEXT_LENGTH = 4096
"""Default tokens of prompt and answer where the server does not tell: what the smallest settings hold."""

BYTES_PER_TOKEN = 3
"""To count tokens without a tokenizer: English has 4 to 5 bytes a token, so this errs on the safe side."""

WORKERS = 8
"""Ranking requests under way at once, of all threads together."""

_LISTED = (20, 5)
"""Probabilities asked for: the most that OpenAI and vLLM list, then what older servers allow."""

_ENDS = 4
"""Stop strings that OpenAI takes in a request."""

_NAME = re.compile(r"(?P<way>openai|openai-text):(?P<model>.*?)(?:@(?P<url>https?://.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RemoteName:
    """What a name `openai:MODEL@URL` stands for."""

    way: Way
    model: str
    url: str


def is_remote(name: str) -> bool:
    """Return whether a text names a model behind a server."""
    return _NAME.fullmatch(name) is not None


def resolve(name: str) -> RemoteName:
    """Return way, model and base URL of a name; nothing is sent.

    Raises InvalidInputError for a name without a model, without a URL, or with one that cannot be used.
    """
    match = _NAME.fullmatch(name)
    if match is None or not match["model"].strip():
        raise InvalidInputError(
            "found no model's name after openai:, wanted openai:MODEL or openai:MODEL@URL"
        )
    way: Way = "openai" if match["way"] == "openai" else "openai-text"
    url = match["url"] or os.environ.get("OPENAI_BASE_URL", "").strip()
    if not url:
        raise InvalidInputError(
            f"found no server for {name!r}, wanted its URL, since documents go nowhere unasked: "
            "set OPENAI_BASE_URL=http://HOST:PORT/v1 or write it behind the name: openai:MODEL@http://HOST:PORT/v1"
        )
    return RemoteName(way, match["model"].strip(), checked_url(url))


def open_remote(name: str) -> RemoteLanguageModel:
    """Return the model of a name, set up from the environment; nothing is sent yet.

    Raises InvalidInputError like `resolve`, and for settings that are no numbers.
    """
    reference = resolve(name)
    endpoint = Endpoint(
        reference.url,
        key=os.environ.get("OPENAI_API_KEY", ""),
        timeout_s=_number("RANKRAG_TIMEOUT_S") or TIMEOUT_S,
    )
    context = _number("RANKRAG_CONTEXT_LENGTH")
    return RemoteLanguageModel(endpoint, reference.model, reference.way, int(context) if context else None)


@dataclass(frozen=True, slots=True)
class Writing(Iterator[str]):
    """Pieces of an answer as they come, and what the server counted of them."""

    pieces: Generator[str]
    counted: list[Usage]
    most: int

    def __next__(self) -> str:
        return next(self.pieces)

    def close(self) -> None:
        """End the connection."""
        self.pieces.close()

    @property
    def usage(self) -> Usage | None:
        """The tokens read and written, once the server told them."""
        if not self.counted:
            return None
        return replace(self.counted[-1], cut=self.counted[-1].completion_tokens >= self.most)


class RemoteLanguageModel:
    """Fills the role of a language model with requests to a server; safe to use from several threads.

    Answers are asked for at temperature 0, which a server that batches may still not answer twice alike.
    Tokens are estimated: `n_tokens` counts bytes, and `usage` tells what the server counted.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        way: Way = "openai",
        context_length: int | None = None,
        workers: int = WORKERS,
    ) -> None:
        """Set up; `context_length` None asks the server, and takes 4096 where it does not say."""
        self.endpoint = endpoint
        self.model = model
        self.form = FORMS[way]
        self._way = way
        self._context = context_length
        self._workers = workers
        self._lock = Lock()
        self._turns = BoundedSemaphore(workers)
        self._learnt: frozenset[str] = frozenset()
        self._ranks = False
        self._refusal = ""

    @property
    def context_length(self) -> int:
        """The most tokens that prompt and answer may have together; the first look may ask the server."""
        with self._lock:
            if self._context is None:
                self._context = self._told_context() or CONTEXT_LENGTH
            return self._context

    def n_tokens(self, text: str) -> int:
        """Return an estimate of the tokens of a text, on the high side: a third of its bytes, rounded up.

        The server's tokenizer is not at hand; texts made of rare symbols may have more.
        """
        return -(-len(text.encode()) // BYTES_PER_TOKEN)

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        """Return natural-log probabilities of each choice as the first token after each prompt.

        Shape (prompts, choices), float64. A choice has the probability of every listed token that spells
        it, with or without the space before it. A server lists only the likeliest tokens (20 at most): a
        choice that is not among them gets the most that it can have, which is the smaller of the least
        probability listed and of what the list leaves over. It may have less.

        Raises FailureError where the server gives no probabilities, which the first prompt finds out and
        later calls repeat without asking, or where it lists no choice at all.
        """
        if self._refusal:
            raise FailureError(self._refusal)
        table = np.zeros((len(prompts), len(choices)))
        known = 0 if self._ranks else min(1, len(prompts))
        for n, prompt in enumerate(prompts[:known]):
            table[n] = self._logprobs(prompt, choices)
            self._ranks = True
        if rest := prompts[known:]:
            with ThreadPoolExecutor(min(self._workers, len(rest)), "rankrag-remote") as pool:
                rows = pool.map(lambda prompt: self._logprobs(prompt, choices), rest)
                for n, row in enumerate(rows, known):
                    table[n] = row
        return table

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Writing:
        """Return the greedy continuation piece by piece, ending before any string of `stop`.

        Closing the iterator closes the connection. Raises FailureError on the way where the server fails,
        or where it spends every token without writing a word, as a reasoning model may.
        """
        counted: list[Usage] = []
        return Writing(self._until_stop(prompt, max_tokens, stop, counted), counted, max_tokens)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────

    def _until_stop(
        self, prompt: Prompt, max_tokens: int, stop: Sequence[str], counted: list[Usage]
    ) -> Generator[str]:
        if max_tokens < 1:
            return
        with contextlib.closing(self._written(prompt, max_tokens, stop, counted)) as texts:
            yield from until(texts, stop)

    def _written(
        self, prompt: Prompt, max_tokens: int, stop: Sequence[str], counted: list[Usage]
    ) -> Generator[str]:
        """Yield what the server writes, as it comes; what it counts goes into `counted`."""
        body = {**self._asked(prompt, max_tokens), "stream": True, "stream_options": {"include_usage": True}}
        # The markers frame our own text; between messages the server has its own.
        if ends := [mark for mark in stop if mark not in prompt.markers][:_ENDS]:
            body["stop"] = ends
        written, reason = False, ""
        with contextlib.closing(self._events(body)) as events:
            for event in events:
                if told := usage(event):
                    counted.append(told)
                text, why = piece(event)
                reason = why or reason
                if text:
                    written = True
                    yield text
        if not written and reason == "length":
            raise FailureError(
                f"found no word of an answer from {self.model} in {max_tokens} tokens, wanted one: a "
                "reasoning model thinks first; switch that off at the server, or choose a model without"
            )

    def _logprobs(self, prompt: Prompt, choices: Sequence[str]) -> list[float]:
        """Return the log probability of each choice after one prompt."""
        body = {**self._asked(prompt, 1), "logprobs": _LISTED[0]}
        if self._way == "openai":
            body |= {"logprobs": True, "top_logprobs": _LISTED[0]}
        try:
            with self._turns:
                answer = self._post(body)
        except RefusedError as refusal:
            if "logprobs" not in refusal.said:
                raise
            raise self._no_ranking(f"it says: {refusal.said}") from refusal
        listed = first_token(answer)
        if not listed:
            raise self._no_ranking("its answers have no logprobs")
        scores = spelled(listed, choices)
        if scores is None:
            labels = " nor ".join(choice.strip() for choice in choices)
            best = max(listed, key=listed.__getitem__)
            raise FailureError(
                f"found neither {labels} among the {len(listed)} likeliest first tokens of {self.model} (the "
                f"first is {best!r}), wanted one of them: rank with a model that answers as it is asked to, "
                "or answer without ranking (--no-rank)"
            )
        return scores

    def _no_ranking(self, why: str) -> FailureError:
        self._refusal = (
            f"found no token probabilities from {self.endpoint.host} for {self.model} ({why}), wanted those "
            "of True and False to rank by: rank with another model, or answer without ranking (--no-rank)"
        )
        return FailureError(self._refusal)

    def _asked(self, prompt: Prompt, max_tokens: int) -> dict[str, object]:
        """Return the fields that every request has."""
        said: dict[str, object] = {"prompt": prompt.prefix + prompt.suffix}
        if self._way == "openai":
            said = {"messages": [{"role": role, "content": text} for role, text in messages(prompt)]}
        return {"model": self.model, **said, "max_tokens": max_tokens, "temperature": 0}

    def _told_context(self) -> int | None:
        """Return the context length that the server's list of models has for ours, None without one."""
        try:
            return context_length(self.endpoint.get("/models"), self.model)
        except RefusedError:  # an API without a list, or a key that may not see it
            return None

    # ── what servers call things ─────────────────────────────────────────────────────────────────────

    def _post(self, body: Mapping[str, object]) -> Mapping[str, object]:
        return next(self._asking(body, lambda path, sent: iter([self.endpoint.post(path, sent)])))

    def _events(self, body: Mapping[str, object]) -> Generator[Mapping[str, object]]:
        return self._asking(body, self.endpoint.events)

    def _asking(
        self,
        body: Mapping[str, object],
        send: Callable[[str, Mapping[str, object]], Iterator[Mapping[str, object]]],
    ) -> Generator[Mapping[str, object]]:
        """Yield what the server answers, asked again in other words where it does not know ours."""
        while True:
            sent = self._spoken(body)
            try:
                yield from send(_PATHS[self._way], sent)
            except RefusedError as refusal:
                self._learn(refusal)
                if self._spoken(body) == sent:
                    raise
            else:
                return

    def _learn(self, refusal: RefusedError) -> None:
        """Remember which field of a request the server named when it refused it."""
        if refusal.status in (400, 422):
            words = ("max_completion_tokens", "stream_options", "logprobs")
            self._learnt |= {word for word in words if word in refusal.said}

    def _spoken(self, body: Mapping[str, object]) -> dict[str, object]:
        """Return a request as this server takes it; what is asked for stays the same.

        OpenAI's newer models want the limit as `max_completion_tokens`; older servers do not know
        `stream_options`, or list fewer probabilities.
        """
        sent = dict(body)
        if "max_completion_tokens" in self._learnt:
            sent["max_completion_tokens"] = sent.pop("max_tokens")
        if "stream_options" in self._learnt:
            sent.pop("stream_options", None)
        if "logprobs" in self._learnt:
            name = "top_logprobs" if "top_logprobs" in sent else "logprobs"
            sent |= {name: _LISTED[1]} if name in sent else {}
        return sent


def _number(variable: str) -> float | None:
    """Return the positive number in an environment variable, None where it is not set."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number < math.inf:
        raise InvalidInputError(f"found {variable}={text!r}, wanted a number from 1 on: mend or unset it")
    return number
