"""Results on disk: one JSON file that is written and read back without loss."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from pathlib import Path

from ...errors import FormatError, NotFoundError
from ...formats import writing
from ..results import Results

FORMAT = "rankrag results 1"
"""First value of the file; another one is another layout."""


def write_results(path: Path, results: Results) -> None:
    """Write results as JSON. A number that is not finite (an interval of nothing) is written as null."""
    record = {"format": FORMAT} | asdict(results)
    with writing(str(path)) as stream:
        stream.write(json.dumps(_finite(record), ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_results(path: Path) -> Results:
    """Return what `write_results` wrote; null for a number is NaN.

    Raises NotFoundError without the file, FormatError for an unknown, missing or misplaced value.
    """
    if not path.is_file():
        raise NotFoundError(f"found no file at {path}, wanted the results of an evaluation: check the path")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(str(path), None, f"found no JSON ({error}), wanted {FORMAT!r}") from error
    found = record.pop("format", None) if isinstance(record, dict) else None
    if found != FORMAT:
        raise FormatError(
            str(path), None, f"found format {found!r}, wanted {FORMAT!r}: make the report again"
        )
    return typing.cast("Results", _Reader(str(path)).read(Results, record, "results"))


def _finite(value: object) -> object:
    """Return a value with null for every number that is not finite; mappings become dicts, tuples lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


@cache
def _hints(wanted: type) -> dict[str, object]:
    """Return the type of each field of a dataclass, in their order."""
    return dict(typing.get_type_hints(wanted))


def _needed(wanted: type) -> list[str]:
    """Return the fields without a default: an earlier report may lack the others."""
    return [one.name for one in fields(wanted) if one.default is MISSING and one.default_factory is MISSING]


class _Reader:
    """Reads a dataclass from plain JSON by the types of its fields, and says where something else stands."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, wanted: object, value: object, where: str) -> object:
        """Return `value` as the wanted type; `where` is its place for messages."""
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if isinstance(wanted, type) and is_dataclass(wanted):
            return self._dataclass(wanted, value, where)
        if origin is tuple:
            return self._tuple(arguments, value, where)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            entries = self._object(value, where)
            return {name: self.read(arguments[1], one, f"{where}.{name}") for name, one in entries.items()}
        if origin is types.UnionType:
            return None if value is None else self.read(arguments[0], value, where)
        return self._plain(wanted, value, where)

    def _dataclass(self, wanted: type, value: object, where: str) -> object:
        entries, hints = self._object(value, where), _hints(wanted)
        names = list(hints)
        if unknown := sorted(entries.keys() - set(names)):
            raise self._error(where, f"found unknown {', '.join(unknown)}, wanted {', '.join(names)}")
        if missing := [name for name in _needed(wanted) if name not in entries]:
            raise self._error(where, f"found no {', '.join(missing)}, wanted {', '.join(names)}")
        return wanted(**{name: self.read(hints[name], entries[name], f"{where}.{name}") for name in entries})

    def _tuple(self, arguments: tuple[object, ...], value: object, where: str) -> tuple[object, ...]:
        entries = self._list(value, where)
        kinds = [arguments[0]] * len(entries) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(entries):
            raise self._error(where, f"found {len(entries)} values, wanted {len(kinds)}")
        places = enumerate(zip(kinds, entries, strict=True))
        return tuple(self.read(kind, one, f"{where}[{n}]") for n, (kind, one) in places)

    def _plain(self, wanted: object, value: object, where: str) -> object:
        if wanted is float:
            if value is None:
                return math.nan
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        elif isinstance(wanted, type) and type(value) is wanted:
            return value
        name = getattr(wanted, "__name__", str(wanted))
        raise self._error(where, f"found {type(value).__name__} {value!r:.40}, wanted {name}")

    def _object(self, value: object, where: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self._error(where, f"found {type(value).__name__} {value!r:.40}, wanted an object")
        return value

    def _list(self, value: object, where: str) -> list[object]:
        if not isinstance(value, list):
            raise self._error(where, f"found {type(value).__name__} {value!r:.40}, wanted a list")
        return value

    def _error(self, where: str, problem: str) -> FormatError:
        return FormatError(self.path, None, f"{where}: {problem}: make the report again")
