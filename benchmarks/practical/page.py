"""What the practical questions say, for people: a table of systems, and every answer with its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from questions import Practical
from rankrag.eval.statistics import compare
from tally import Ruled, Share, by_kind, sides, tally

HEADS = (
    *("system", "right", "partly", "contradicting", "refused, answerable", "refused, unanswerable"),
    *("evidence retrieved", "evidence read", "citations that hold it", "citations that support", "seconds"),
)

VERDICTS = {
    "right": "right",
    "partial": "partly right",
    "wrong": "wrong",
    "contradicts": "wrong: contradicts",
    "refused": "wrong: refused, though the documents answer it",
    "empty": "wrong: empty",
    "answered": "wrong: answered, though the documents do not",
}


def table(found: Mapping[str, Sequence[Ruled]]) -> str:
    """Return the systems as a Markdown table: counts, with Wilson's 95 % intervals in per cent."""
    rows = [HEADS, tuple("--" for _ in HEADS)]
    for name, rulings in found.items():
        counts = tally(rulings)
        shares = (
            counts.refused,
            counts.declined,
            counts.retrieved,
            counts.read,
            counts.citations,
            counts.supported,
        )
        texts = (_share(counts.right), str(counts.partial), str(counts.contradicting), *map(_share, shares))
        seconds = "" if counts.seconds is None else f"{counts.seconds:.1f}"
        rows.append((name, *texts, seconds))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def comparisons(found: Mapping[str, Sequence[Ruled]]) -> list[str]:
    """Return what ranking changes in the right answers of each model that was asked with and without it."""
    lines = []
    for name in found:
        other = f"{name.removesuffix('-unranked')}-ranked"
        if other not in found or not name.endswith("-unranked"):
            continue
        before, after = ({one.asked.id: one for one in found[each]} for each in (name, other))
        both = [key for key, one in before.items() if key in after and one.asked.answerable]
        if not both:
            continue
        pair = compare([before[key].right for key in both], [after[key].right for key in both], both)
        points = pair.difference
        lines.append(
            f"{other} against {name}, right answers of {len(both)}: {100 * points.value:+.1f} points "
            f"[{100 * points.low:.1f}, {100 * points.high:.1f}], p = {pair.p:.2g}; "
            f"won {pair.wins}, lost {pair.losses}."
        )
    return lines


def page(found: Mapping[str, Sequence[Ruled]], questions: Sequence[Practical], notes: Sequence[str]) -> str:
    """Return the page of a run: the table, right answers by kind, and all questions with their answers."""
    return "\n".join(_page(found, questions, notes)) + "\n"


def citations(found: Mapping[str, Sequence[Ruled]]) -> str:
    """Return the page of all citations: each sentence, the words it points at, and the verdict."""
    return "\n".join(_citations(found)) + "\n"


def _citations(found: Mapping[str, Sequence[Ruled]]) -> Iterator[str]:
    yield from ("# Citations of the practical questions", "", table(found))
    for name, rulings in found.items():
        yield from ("", f"## {name}")
        for one in rulings:
            given = one.answer.citations if one.answer else ()
            for citation, supported in zip(given, one.supported, strict=True):
                assert one.answer is not None
                sentence, quoted = sides(one.answer, citation)
                yield from ("", f"**{one.asked.question}** {'Supported' if supported else 'Not supported'}.")
                yield from ("", f"- said: {_quoted(sentence)}")
                yield f"- `{PurePath(citation.source or citation.passage_id).as_posix()}`: {_quoted(quoted)}"


def _page(
    found: Mapping[str, Sequence[Ruled]], questions: Sequence[Practical], notes: Sequence[str]
) -> Iterator[str]:
    yield "# Practical questions"
    yield from ("", *(f"- {note}" for note in notes), "", table(found), "")
    yield from (*comparisons(found), "", "## Right answers by kind", "")
    kinds = {name: by_kind(rulings) for name, rulings in found.items()}
    names = sorted({kind for shares in kinds.values() for kind in shares})
    yield f"| kind | {' | '.join(kinds)} |"
    yield f"|--|{'--|' * len(kinds)}"
    for kind in names:
        shares = (held.get(kind, Share(0, 0)) for held in kinds.values())
        yield f"| {kind} | {' | '.join(f'{share.k} of {share.n}' for share in shares)} |"
    rulings = {name: {one.asked.id: one for one in those} for name, those in found.items()}
    for number, asked in enumerate(questions, 1):
        given = {name: those[asked.id] for name, those in rulings.items() if asked.id in those}
        if given:
            yield from ("", *_question(number, asked, given))


def _question(number: int, asked: Practical, given: Mapping[str, Ruled]) -> Iterator[str]:
    yield f"## {number}. {asked.question}"
    yield ""
    if asked.answerable:
        yield f"Right: {asked.answer} *({', '.join(dict.fromkeys(one.document for one in asked.evidence))})*"
    else:
        yield f"Right: that the documents do not answer it.{_near(asked)}"
    for name, one in given.items():
        yield from ("", *_given(name, one))


def _near(asked: Practical) -> str:
    return f" *(near: {asked.near_miss})*" if asked.near_miss else ""


def _given(name: str, one: Ruled) -> Iterator[str]:
    verdict = VERDICTS[one.verdict.ruling] + (f" (“{one.verdict.against}”)" if one.verdict.against else "")
    missing = f"; missing: {', '.join(one.verdict.missing)}" if one.verdict.missing else ""
    yield f"**{name}**: {verdict}{missing}"
    if one.answer is None:
        yield from ("", "> *(could not be asked)*")
        return
    yield from ("", f"> {_quoted(one.answer.text) or '*(nothing)*'}", "")
    if one.asked.answerable:
        yield f"- evidence: {_place(one.found)} of those retrieved, {_place(one.ranked)} as ranked" + (
            ", read" if one.read else ", not read"
        )
    for citation, right in zip(one.answer.citations, one.cited, strict=True):
        held = "holds the answer" if right else "does not hold the answer"
        shown = "" if not one.asked.answerable else f": {held}"
        yield f"- cites {PurePath(citation.source or citation.passage_id).as_posix()}{shown}"


def _place(place: int | None) -> str:
    return "nowhere" if place is None else f"number {place}"


def _quoted(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;").replace("*", r"\*")


def _share(share: Share) -> str:
    if not share.n:
        return "–"
    low, high = (100 * bound for bound in share.interval())
    return f"{share.k} of {share.n} [{low:.0f}, {high:.0f}]"
