"""Single questions that two systems answered differently, as in the paper's table of cases (Table 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidInputError
from .measures.ranking import has_answer
from .results import QuestionRow, Results


@dataclass(frozen=True, slots=True)
class Cases:
    """The questions of one benchmark by who was right: who got half of a measure or more."""

    benchmark: str
    measure: str
    won: tuple[QuestionRow, ...]
    """`b` was right and `a` was not."""
    lost: tuple[QuestionRow, ...]
    """`a` was right and `b` was not."""
    asked: int


def cases(results: Results, a: str, b: str, measure: str | None = None) -> list[Cases]:
    """Return for each benchmark the questions that one of two systems has right, in the order of the sample.

    Nothing is chosen: the first is the first that was asked. By default by a benchmark's headline.
    Raises InvalidInputError where both have it of no question.
    """
    found = [
        _cases(
            facts.name,
            measure or facts.measures[0],
            [row for row in results.questions if row.benchmark == facts.name],
            (a, b),
        )
        for facts in results.benchmarks
        if facts.measures
    ]
    if not any(kind.asked for kind in found):
        raise InvalidInputError(
            f"found no question with {measure or 'a first measure'} of both {a} and {b}, wanted systems that "
            "were asked the same and a measure of `rankrag eval score`"
        )
    return found


def _cases(benchmark: str, measure: str, rows: Sequence[QuestionRow], pair: tuple[str, str]) -> Cases:
    both = [row for row in rows if all(_scored(row, name, measure) for name in pair)]
    right = [tuple(row.given[name].values[measure] >= 0.5 for name in pair) for row in both]
    won = tuple(row for row, who in zip(both, right, strict=True) if who == (False, True))
    lost = tuple(row for row, who in zip(both, right, strict=True) if who == (True, False))
    return Cases(benchmark, measure, won, lost, len(both))


def _scored(row: QuestionRow, system: str, measure: str) -> bool:
    return system in row.given and measure in row.given[system].values


def told(row: QuestionRow, systems: Sequence[str], titles: Mapping[str, str]) -> list[str]:
    """Return one question in Markdown: what was asked, what counts, and what each system read and said.

    A passage whose first words hold an accepted answer has a `+`.
    """
    lines = [f"**{row.question}** ({titles.get(row.benchmark, row.benchmark)}: {' / '.join(row.gold)})", ""]
    for name in systems:
        given = row.given[name]
        lines += [f"- {name}: {' '.join(given.text.split()) or 'no answer'}"]
        for number, (title, words) in enumerate(given.read, 1):
            mark = "+" if has_answer(f"{title} {words}", row.gold) else " "
            lines += [f"  {number}.{mark} {title or '-'}: {words}"]
    return [*lines, ""]
