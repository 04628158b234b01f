"""What OpenAI's API looks like in JSON, as the servers that speak it really write it.

Reference: https://platform.openai.com/docs/api-reference/chat and `completions` beside it. Nothing here asks
a server.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ... import prompts
from ...types import Prompt, Usage

_CONTEXT_NAMES = ("max_model_len", "n_ctx", "context_length", "context_window", "max_context_length")
"""What `/models` calls the context: vLLM and SGLang, llama.cpp, OpenRouter, Groq, Mistral."""


def messages(prompt: Prompt) -> list[tuple[str, str]]:
    """Return a prompt of the template `chat` as (role, text), system first; the open last turn is left out.

    The frame comes off exactly, since `prompts` leaves no marker of it in a text.
    """
    start, end = prompts.CHAT.markers
    turn = rf"{re.escape(start)}(\w+)\n(.*?){re.escape(end)}\n"
    return [(role, text) for role, text in re.findall(turn, prompt.prefix + prompt.suffix, re.DOTALL)]


def first_token(answer: Mapping[str, object]) -> dict[str, float]:
    """Return the log probability of each token listed for the first place of an answer; none, none listed.

    Takes the two shapes that servers write, whichever way was asked: `logprobs.content[0].top_logprobs`
    (a list) and `logprobs.top_logprobs[0]` (an object). The token that was written counts as listed.
    """
    choice = next(iter(_objects(answer.get("choices"))), {})
    told = choice.get("logprobs")
    if not isinstance(told, dict):
        return {}
    if first := next(iter(_objects(told.get("content"))), None):
        both = [first, *_objects(first.get("top_logprobs"))]
        entries = [(entry.get("token"), entry.get("logprob")) for entry in both]
    else:
        tops = next(iter(_objects(told.get("top_logprobs"))), {})
        written = zip(_items(told.get("tokens"))[:1], _items(told.get("token_logprobs"))[:1], strict=False)
        entries = [*written, *tops.items()]
    return {
        token: min(float(logprob), 0.0)
        for token, logprob in entries
        if isinstance(token, str) and isinstance(logprob, int | float) and not math.isnan(logprob)
    }


def spelled(listed: Mapping[str, float], choices: Sequence[str]) -> list[float] | None:
    """Return the log probability of each choice among the tokens listed, None if none is there.

    A choice has that of all tokens that spell it, with or without a space before it. One that is not
    listed gets the most that it can have: the smaller of the least that is listed and what is left over.
    """
    logprobs = [_spelled(listed, choice.strip()) for choice in choices]
    if all(score is None for score in logprobs):
        return None
    left = math.log(max(1e-6, 1.0 - sum(math.exp(score) for score in listed.values())))
    least = min(left, *listed.values())
    return [least if score is None else score for score in logprobs]


def _spelled(listed: Mapping[str, float], word: str) -> float | None:
    # Some servers write the space before a token as its tokenizer does: ▁ or Ġ.
    scores = [score for token, score in listed.items() if token.lstrip(" ▁Ġ") == word]
    return float(np.logaddexp.reduce(scores)) if scores else None


def piece(event: Mapping[str, object]) -> tuple[str, str]:
    """Return the text of an event and why the answer ends there, each empty where there is none."""
    choice = next(iter(_objects(event.get("choices"))), {})
    holder = next(
        (held for name in ("delta", "message") if isinstance(held := choice.get(name), dict)), choice
    )
    texts = [holder.get(name) for name in ("content", "text")]
    return next((text for text in texts if isinstance(text, str)), ""), str(choice.get("finish_reason") or "")


def usage(event: Mapping[str, object]) -> Usage | None:
    """Return the tokens that the server counted, None in an event that does not tell."""
    told = event.get("usage")
    if not isinstance(told, dict):
        return None
    read, written = told.get("prompt_tokens"), told.get("completion_tokens")
    return Usage(read, written) if isinstance(read, int) and isinstance(written, int) else None


def context_length(listing: Mapping[str, object], model: str) -> int | None:
    """Return the context length that a list of models gives for one, in tokens; None without one."""
    cards = {card.get("id"): card for card in _objects(listing.get("data"))}
    card = cards.get(model, {})
    base = cards.get(card.get("parent"), {})  # vLLM lists an adapter under its base
    more = _objects([card.get("meta")])  # llama.cpp's place for it
    sizes = [at.get(name) for at in (card, *more, base) for name in _CONTEXT_NAMES]
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[dict[str, object]]:
    return [item for item in _items(value) if isinstance(item, dict)]
