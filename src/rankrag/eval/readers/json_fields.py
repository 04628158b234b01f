"""What the readers of official files share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...errors import FormatError
from ...files import Row, read_json
from ...types import Turn

UNITS = ("conversation", "fever_id")
"""Fields of the neutral shape that name what is independent of other units."""


def objects(path: str) -> Iterator[tuple[str, Row]]:
    """Yield (key, record) of a JSON object of objects."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise FormatError(path, 1, "found no JSON object, wanted one of questions by id")
    for place, (name, record) in enumerate(value.items(), 1):
        if not isinstance(record, dict):
            raise FormatError(path, place, f"found {name!r} that is no object, wanted a question")
        yield name, Row(path, place, record)


def array(path: str) -> Iterator[Row]:
    """Yield the records of a JSON array."""
    value = read_json(path)
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise FormatError(path, 1, "found no JSON array of objects, wanted a question each")
    yield from (Row(path, place, record) for place, record in enumerate(value, 1))


def alternating(said: Sequence[str]) -> tuple[Turn, ...]:
    """Return turns that begin with the user and alternate."""
    return tuple(Turn("assistant" if n % 2 else "user", text.strip()) for n, text in enumerate(said))


def choices(row: Row, name: str) -> dict[str, str]:
    """Return options: letters to texts."""
    value = row.values.get(name)
    if not isinstance(value, dict) or not value:
        raise row.error(f"found no {name}, wanted an object of letters and texts")
    return {str(letter): str(text) for letter, text in value.items()}
