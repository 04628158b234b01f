"""Fields of official files, each taken with a clear word about what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...errors import FormatError
from ...files import read_json
from ...types import Turn

UNITS = ("conversation", "fever_id")
"""Fields of the neutral shape that name what is independent of other units."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One record of a file; `place` is its line or number, from 1."""

    path: str
    place: int
    values: Mapping[str, object]

    def text(self, name: str) -> str:
        """Return a text that has to be there."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.fault(f"found no text in {name!r}")
        return value.strip()

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; one text alone is a list of one, nothing an empty list."""
        value = self.values.get(name)
        listed: list[object] = value if isinstance(value, list) else [] if value is None else [value]
        texts = [entry.strip() for entry in listed if isinstance(entry, str)]
        if len(texts) < len(listed):
            raise self.fault(f"found {name} that is no list of texts")
        return [text for text in texts if text]

    def records(self, name: str) -> list[Fields]:
        """Return a list of records, empty where there is none."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.fault(f"found {name} that is no list of objects")
        return [Fields(self.path, self.place, entry) for entry in value]

    def choices(self, name: str) -> dict[str, str]:
        """Return options: letters to texts."""
        value = self.values.get(name)
        if not isinstance(value, dict) or not value:
            raise self.fault(f"found no {name}, wanted an object of letters and texts")
        return {str(letter): str(text) for letter, text in value.items()}

    def fault(self, problem: str) -> FormatError:
        """Return the error that names the file and the place."""
        return FormatError(self.path, self.place, problem)


def objects(path: str) -> Iterator[tuple[str, Fields]]:
    """Yield (key, record) of a JSON object of objects."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise FormatError(path, 1, "found no JSON object, wanted one of questions by id")
    for place, (name, record) in enumerate(value.items(), 1):
        if not isinstance(record, dict):
            raise FormatError(path, place, f"found {name!r} that is no object, wanted a question")
        yield name, Fields(path, place, record)


def array(path: str) -> Iterator[Fields]:
    """Yield the records of a JSON array."""
    value = read_json(path)
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise FormatError(path, 1, "found no JSON array of objects, wanted a question each")
    yield from (Fields(path, place, record) for place, record in enumerate(value, 1))


def alternating(said: Sequence[str]) -> tuple[Turn, ...]:
    """Return turns that begin with the user and alternate."""
    return tuple(Turn("assistant" if n % 2 else "user", text.strip()) for n, text in enumerate(said))
