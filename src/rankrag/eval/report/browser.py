"""The data of the page's browser: every question with what each system gave, as small as it goes."""

from __future__ import annotations

import json
import math

from ..results import Results, ShownAnswer
from .names import is_ranking

READ, CHARACTERS = 3, 260
"""Passages that are shown of those read, and characters of each."""

Packed = list[object]


def browser_data(results: Results) -> dict[str, object]:
    """Return the data that `page.js` reads.

    Names of systems, measures and benchmarks and the texts of passages stand once; everything else names
    them by their place. A question is [benchmark, id, text, gold, given by system]; what a system gave is
    [text, values by measure, passages], or null.
    """
    systems = [one.name for one in results.systems]
    measures = _measures(results)
    passages: dict[tuple[str, str], int] = {}
    benchmarks = {one.name: n for n, one in enumerate(results.benchmarks)}
    questions = []
    for row in results.questions:
        if row.benchmark in benchmarks:
            given = [_given(row.given.get(name), measures, passages) for name in systems]
            questions.append([benchmarks[row.benchmark], row.id, row.question, list(row.gold), given])
    a, b = _first_pair(results, systems)
    return {
        "systems": systems,
        "measures": measures,
        "benchmarks": [[one.title, list(one.measures)] for one in results.benchmarks],
        "passages": [list(one) for one in passages],
        "questions": questions,
        "a": a,
        "b": b,
    }


def embedded(data: object) -> str:
    r"""Return JSON for the inside of a script element: no `<`, `>` or `&`, which only `\u` escapes spell."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _measures(results: Results) -> list[str]:
    """Return the measures of the questions: those of answers first, then those of rankings."""
    headline = dict.fromkeys(name for one in results.benchmarks for name in one.measures)
    named = {name for row in results.questions for given in row.given.values() for name in given.values}
    others = sorted(named - headline.keys(), key=lambda name: (is_ranking(name), name))
    return [*(name for name in headline if name in named), *others]


def _given(
    given: ShownAnswer | None, measures: list[str], passages: dict[tuple[str, str], int]
) -> Packed | None:
    if given is None:
        return None
    read = [passages.setdefault((title, _short(words)), len(passages)) for title, words in given.read[:READ]]
    return [given.text, [_number(given.values.get(name)) for name in measures], read]


def _number(value: float | None) -> float | None:
    """Return a value with as many digits as are shown, None for what is not there or not finite."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else round(value, 4)


def _short(words: str) -> str:
    flat = " ".join(words.split())
    return flat if len(flat) <= CHARACTERS else flat[:CHARACTERS].rsplit(" ", 1)[0] + " …"


def _first_pair(results: Results, systems: list[str]) -> tuple[int, int]:
    """Return the places of the two systems to show first: those of the first comparison."""
    for one in results.comparisons:
        if one.a in systems and one.b in systems:
            return systems.index(one.a), systems.index(one.b)
    return 0, min(1, max(0, len(systems) - 1))
