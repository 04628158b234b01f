"""Filters as conditions of the store's SQL, with every value quoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from ...types import Filters
from ..one_form import spellings

_VALUES = 500
"""Values in one `IN (...)`: the parser of conditions is recursive and slow on very long ones."""


def condition(filters: Filters | None) -> str | None:
    """Return the condition that a passage meets all filters, or None if there are none.

    `path` is a glob in the sense of `fnmatch` (`*` also crosses `/`); every other name is an attribute that
    must equal the value. Both are compared as they are written, but for how Unicode composes accents.
    """
    return " AND ".join(map(_condition, (filters or {}).items())) or None


def _condition(wanted: tuple[str, str]) -> str:
    name, value = wanted
    if name == "path":
        ways = [f"regexp_like(path, {quote(glob_pattern(glob))})" for glob in spellings(value)]
    else:
        ways = [f"array_has(attributes, {quote(way)})" for way in spellings(attribute(name, value))]
    return ways[0] if len(ways) == 1 else f"({' OR '.join(ways)})"


def is_in(column: str, values: Iterable[str]) -> Iterator[str]:
    """Yield conditions that a column has one of the values, each of bounded length."""
    rest = iter(values)
    while part := list(islice(rest, _VALUES)):
        yield f"{column} IN ({', '.join(map(quote, part))})"


def quote(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


# ── attributes: one string for each, so that a list column holds any names ───────────────────────────


def attribute(name: str, value: str) -> str:
    """Return an attribute as it is stored, `name=value`; an equals sign in the name is escaped."""
    return f"{name.replace('%', '%25').replace('=', '%3D')}={value}"


def attributes(stored: Iterable[str]) -> Mapping[str, str]:
    """Return attributes from what `attribute` made of them."""
    pairs = (item.partition("=") for item in stored)
    return {name.replace("%3D", "=").replace("%25", "%"): value for name, _, value in pairs}


# ── globs ────────────────────────────────────────────────────────────────────────────────────────────

_NOTHING = r"[^\x{0}-\x{10ffff}]"


def glob_pattern(glob: str) -> str:
    """Return the regular expression (in the store's dialect) that matches what `fnmatch` matches.

    `fnmatch.translate` itself writes Python's dialect, with atomic groups that the store does not know.
    """
    parts: list[str] = []
    at = 0
    while at < len(glob):
        sign, at = glob[at], at + 1
        if sign == "*" and parts[-1:] == [".*"]:
            continue
        if sign == "[" and (end := _class_end(glob, at)):
            parts.append(_class(glob[at:end]))
            at = end + 1
        else:
            parts.append({"*": ".*", "?": "."}.get(sign) or _hex(sign))
    return f"(?s)^(?:{''.join(parts)})$"


def _class_end(glob: str, at: int) -> int:
    """Return where the class that begins at `at` closes; 0 if it does not, and `[` stands for itself."""
    first = at + 1 if glob[at : at + 1] == "!" else at
    return glob.find("]", first + 1) if glob.find("]", first + 1) > 0 else 0


def _class(inside: str) -> str:
    negated = inside.startswith("!")
    inside = inside[negated:]
    parts: list[str] = []
    at = 0
    while at < len(inside):
        if at + 2 < len(inside) and inside[at + 1] == "-":
            low, high = inside[at], inside[at + 2]
            parts += [f"{_hex(low)}-{_hex(high)}"] if low <= high else []
            at += 3
        else:
            parts.append(_hex(inside[at]))
            at += 1
    if not parts:
        return "." if negated else _NOTHING
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _hex(sign: str) -> str:
    return sign if sign.isascii() and sign.isalnum() else f"\\x{{{ord(sign):x}}}"
