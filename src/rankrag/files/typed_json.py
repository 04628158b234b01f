"""JSON of our own as the dataclass that it was written from, each value of the type that its field has."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache

Typed = typing.TypeVar("Typed")


def typed(wanted: type[Typed], value: object, where: str) -> Typed:
    """Return plain JSON as a dataclass, null for a number as NaN; fields with a default may be missing.

    Raises ValueError for an unknown field, a missing one, and where another type stands; `where` is what
    messages call the value.
    """
    return typing.cast("Typed", _typed(wanted, value, where))


def _typed(wanted: object, value: object, where: str) -> object:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(wanted, type) and is_dataclass(wanted):
        return _dataclass(wanted, _of_kind(dict, "an object", value, where), where)
    if origin is tuple:
        return _tuple(arguments, _of_kind(list, "a list", value, where), where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        entries = _of_kind(dict, "an object", value, where)
        return {name: _typed(arguments[1], entry, f"{where}.{name}") for name, entry in entries.items()}
    if origin is types.UnionType:
        return None if value is None else _typed(arguments[0], value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{where}: found {value!r:.40}, wanted one of {', '.join(map(str, arguments))}")
        return value
    if wanted is float and (value is None or type(value) is int):
        return math.nan if value is None else float(value)
    kind = typing.cast("type[object]", wanted)
    return _of_kind(kind, kind.__name__, value, where)


def _dataclass(wanted: type, entries: dict[str, object], where: str) -> object:
    hints = _hints(wanted)
    names = list(hints)
    if unknown := sorted(entries.keys() - set(names)):
        raise ValueError(f"{where}: found unknown {', '.join(unknown)}, wanted {', '.join(names)}")
    if missing := [name for name in _needed(wanted) if name not in entries]:
        raise ValueError(f"{where}: found no {', '.join(missing)}, wanted {', '.join(names)}")
    return wanted(**{name: _typed(hints[name], entries[name], f"{where}.{name}") for name in entries})


def _tuple(arguments: tuple[object, ...], entries: list[object], where: str) -> tuple[object, ...]:
    kinds = [arguments[0]] * len(entries) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(entries):
        raise ValueError(f"{where}: found {len(entries)} values, wanted {len(kinds)}")
    places = enumerate(zip(kinds, entries, strict=True))
    return tuple(_typed(kind, entry, f"{where}[{n}]") for n, (kind, entry) in places)


def _of_kind(kind: type[Typed], name: str, value: object, where: str) -> Typed:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: found {type(value).__name__} {value!r:.40}, wanted {name}")
    return value


@cache
def _hints(wanted: type) -> dict[str, object]:
    """Return the type of each field of a dataclass, in their order."""
    return dict(typing.get_type_hints(wanted))


def _needed(wanted: type) -> list[str]:
    """Return the fields without a default: an earlier report may lack the others."""
    return [
        field.name
        for field in fields(wanted)
        if field.default is MISSING and field.default_factory is MISSING
    ]
