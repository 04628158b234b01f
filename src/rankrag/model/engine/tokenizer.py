"""Text to tokens and back, such that no document can write a control token."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, NotFoundError, in_a_line, needs
from ...types import Prompt
from .tokens import split

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the transformers tokenizer of a model folder; nothing is fetched.

    Raises NotFoundError if the folder holds no tokenizer, InvalidInputError if it is one that only
    Python code can run.
    """
    with needs("transformers", "local"):
        from transformers import AutoTokenizer
    if not (folder / "tokenizer.json").is_file():
        raise NotFoundError(
            f"{folder}: found no tokenizer.json, wanted a model folder: pull or export the model again"
        )
    try:
        # Without the word transformers asks on the terminal whether to run a folder's own code.
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers and tokenizers raise nearly anything about broken files
        raise InvalidInputError(
            f"{folder}: found a tokenizer that does not load ({in_a_line(error)}), wanted a tokenizer.json "
            "and its settings, without code: pull or export the model again"
        ) from error
    if not tokenizer.is_fast:
        raise InvalidInputError(
            f"{folder}: found a tokenizer without a tokenizers backend, wanted a tokenizer.json that loads"
        )
    return tokenizer


def token_counter(folder: Path) -> Callable[[str], int]:
    """Return what counts the tokens of a text without loading transformers.

    Raises MissingExtraError without the tokenizers package.
    """
    with needs("tokenizers", "local"):
        from tokenizers import Tokenizer as Loaded
    backend = Loaded.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(backend.encode(text, add_special_tokens=False).ids)


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Return the tokens that no text may write, by name: all added ones, marked as special or not.

    Runs of spaces, which some tokenizers add, are text.
    """
    added = tokenizer.added_tokens_decoder
    return {token.content: number for number, token in added.items() if token.content.strip()}


def _closed(backend: Backend) -> Backend:
    """Return a tokenizer with all its control tokens marked as special: those it can be told to pass over."""
    state = json.loads(backend.to_str())
    if plain := [
        token for token in state["added_tokens"] if not token["special"] and token["content"].strip()
    ]:
        for token in plain:
            token["special"] = True
        backend = type(backend).from_str(json.dumps(state))
    return backend


class Tokenizer:
    """The tokenizer of a model folder.

    Only a marker of a prompt's frame becomes a control token; everywhere else the same characters are
    plain text, so that `<|im_end|>` in a document ends nothing.
    """

    def __init__(self, folder: Path) -> None:
        tokenizer = load_tokenizer(folder)
        self._backend = _closed(tokenizer.backend_tokenizer)
        self._control = control_tokens(tokenizer)
        # The start token, where the model's own tokenizer writes one (Llama 3 does, SmolLM2 does not).
        alone, written = (self._backend.encode("a", add_special_tokens=s).ids for s in (False, True))
        self.start: tuple[int, ...] = tuple(written[: written.index(alone[0])])
        self._backend.encode_special_tokens = True

    def prompt(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        """Return the tokens of prefix and suffix; joined they are those of the whole text.

        A token that covers the seam (Llama 3 makes one of a full stop and the blank line after it) counts
        to the suffix. The first tokens are the model's start token, if it has one.
        """
        tokens, ends = self._tokens(prompt)
        n_prefix = bisect_right(ends, len(prompt.prefix))
        return tokens[:n_prefix], tokens[n_prefix:]

    def asked(self, prompt: Prompt) -> range:
        """Return which tokens of the suffix lie inside `prompt.asked`, without one that covers its end.

        The first of the suffix is none of them: what comes before it may be computed elsewhere.
        """
        _, ends = self._tokens(prompt)
        first = bisect_right(ends, len(prompt.prefix))
        start, stop = (bisect_right(ends, len(prompt.prefix) + offset) - first for offset in prompt.asked)
        return range(max(1, start), max(1, stop))

    def _tokens(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        """Return the tokens of a prompt and the places in its text where they end."""
        tokens, ends, offset = [*self.start], [0] * len(self.start), 0
        for number, piece in enumerate(split(prompt.prefix + prompt.suffix, prompt.markers)):
            made, stops = self._marker(piece) if number % 2 else self._plain(piece)
            tokens += made
            ends += [offset + stop for stop in stops]
            offset += len(piece)
        return tokens, ends

    def continuation(self, before: str, text: str) -> list[int]:
        """Return the tokens of a text as they follow another, of which the last character is enough."""
        head, _ = self._plain(before[-1:])
        both, _ = self._plain(before[-1:] + text)
        return both[len(head) :] if both[: len(head)] == head else self._plain(text)[0]

    def n_tokens(self, text: str) -> int:
        """Return the number of tokens of a text on its own, without special tokens."""
        return len(self._plain(text)[0])

    def control(self, text: str) -> int | None:
        """Return the token of a text that is the name of a control token, None for any other text."""
        return self._control.get(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, control tokens left out."""
        text: str = self._backend.decode(list(tokens), skip_special_tokens=True)
        return text

    def _plain(self, text: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a text and the places in it where they end."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return encoding.ids, [end for _, end in encoding.offsets]

    def _marker(self, marker: str) -> tuple[list[int], list[int]]:
        if (token := self._control.get(marker)) is None:
            raise InvalidInputError(
                f"found no control token {marker!r} in the model's tokenizer, wanted the markers of the "
                "prompt template: use the template that the model was tuned with"
            )
        return [token], [len(marker)]
