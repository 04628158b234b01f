"""What requests are made of: texts that can be written down, filters, passages, conversations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..errors import InvalidInputError
from ..files import is_text
from ..types import Passage, Turn
from .settings import Limits


def _text(value: str) -> str:
    if not is_text(value):
        raise ValueError("found half of a surrogate pair, wanted whole characters")
    return value


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[Text, Field(max_length=1000)]

MOST_FILTERS = 32
"""Filters in a request. Each is a condition of the store's, whose parser goes a step deeper with each."""

MOST_ITEMS = 100_000
"""Entries of any list in a request; passages, messages and others have lower bounds of their own."""

MOST_MESSAGES = 1000
"""Messages of a conversation."""

Filter = Annotated[
    dict[Annotated[Text, Field(max_length=200)], Annotated[Text, Field(max_length=1000)]],
    Field(max_length=MOST_FILTERS),
]
Items = Annotated[list[object], Field(max_length=MOST_ITEMS)]
Texts = Annotated[list[Text], Field(max_length=MOST_ITEMS)]


class Own(BaseModel):
    """A request in this project's own shape: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Foreign(BaseModel):
    """A request in a shape of others, who add fields as they like: what it does not know is left out."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class Message(Own):
    """A turn of a conversation."""

    role: Literal["user", "assistant"]
    content: Text


Messages = Annotated[tuple[Message, ...], Field(max_length=MOST_MESSAGES)]


def turns(messages: Sequence[Message]) -> tuple[Turn, ...]:
    """Return the turns of a conversation, oldest first, without empty ones."""
    return tuple(
        Turn(message.role, message.content.strip()) for message in messages if message.content.strip()
    )


def check_lengths(texts: Mapping[str, str], limits: Limits) -> None:
    """Raise InvalidInputError for a text that is longer than one may be; `texts` maps fields to texts."""
    for name, text in texts.items():
        if len(text) > limits.characters:
            raise InvalidInputError(
                f"{name}: found {len(text):,} characters, wanted at most {limits.characters:,}: send less"
            )


def check_number(name: str, number: int, limits: Limits) -> None:
    """Raise InvalidInputError for more passages than a request may have."""
    if number > limits.passages:
        raise InvalidInputError(
            f"{name}: found {number:,} passages, wanted at most {limits.passages:,}: send fewer at a time"
        )


def as_passage(number: int, given: object, fields: Sequence[str] = ()) -> Passage:
    """Return a passage from a text or an object; its id is its number unless the object has one.

    `fields` names what of an object is read (Cohere's `rank_fields`); without them it is `text`, or
    `content`, after `title`. Raises InvalidInputError for what has no field of text (it may be empty), and
    for what an answer could not repeat.
    """
    _check_plain(number, given)
    if isinstance(given, str):
        return Passage(str(number), given.strip())
    if not isinstance(given, dict):
        raise InvalidInputError(f"documents.{number}: wanted a text or an object with `text`")
    record = given.get("data") if isinstance(given.get("data"), dict) else given  # Cohere's chat has `data`
    texts = {str(name): value for name, value in dict(record or {}).items() if isinstance(value, str)}
    if fields:
        text = "\n".join(texts[name] for name in fields if name in texts)
        title = ""
    else:
        text = texts.get("text") or texts.get("content") or texts.get("snippet") or ""
        title = texts.get("title", "")
    if not texts.keys() & set(fields or ("text", "content", "snippet")):
        wanted = ", ".join(fields) or "text"
        raise InvalidInputError(f"documents.{number}: found no {wanted}, wanted a text in it")
    name = given.get("id")
    return Passage(name if isinstance(name, str) and name else str(number), text.strip(), title.strip())


def _check_plain(number: int, given: object) -> None:
    """Raise InvalidInputError for what JSON cannot hold, though a lenient reader takes it."""
    try:
        json.dumps(given, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise InvalidInputError(
            f"documents.{number}: found NaN, infinity or half of a surrogate pair, wanted plain JSON"
        ) from error
