"""How an answer looks in a terminal: while it grows, and when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..errors import amount
from ..pipeline import Level, level
from ..spans import Excerpt, Span, excerpt, flat, window
from ..types import Answer, Hit, Passage, Question
from .console import QUIET, show, warn

MARK = "cyan"
EXCERPT = 200
"""Characters of a passage that a terminal shows in a list."""
AROUND = 8
"""Lines of a document that are shown before and after the place of a source."""
LEVELS: dict[Level, str] = {"high": "green", "medium": "yellow", "low": QUIET}


def watch(steps: Iterable[Answer], console: Console) -> Answer:
    """Show the steps of an answer as they come, wipe them, and return the last."""
    if not console.is_terminal:
        *_, answer = steps
        return answer
    with Live(_stage("searching"), console=console, transient=True, refresh_per_second=12) as live:
        for answer in steps:
            live.update(_growing(answer))
    return answer


def _growing(answer: Answer) -> Spinner | _Tail:
    if answer.text:
        return _Tail(Text(answer.text))
    if answer.ranked:
        return _stage(f"reading the best {min(answer.read_k, len(answer.ranked))}")
    found = f", first {place(answer.retrieved[0]).plain}" if answer.retrieved else ""
    if not answer.n_ranked:
        return _stage(f"found {len(answer.retrieved)}{found}")
    return _stage(f"ranking {answer.n_ranked} of {len(answer.retrieved)}")


def _stage(words: str) -> Spinner:
    return Spinner("dots", text=Text(words, style=QUIET), style=MARK)


class _Tail:
    """The last lines of a text that fit the window: a live display cannot scroll."""

    def __init__(self, text: Text) -> None:
        self.text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self.text, options, pad=False)
        for line in lines[-max(1, console.size.height - 2) :]:
            yield from line
            yield Segment.line()


def show_answer(answer: Answer, console: Console, index: Path | None = None) -> None:
    """Write the answer with its marks, its sources and what it took; `index` is where they are from."""
    console.print(marked(answer))
    console.print()
    show_sources(answer, console, index)
    show_notes(answer, console)
    console.print(timings(answer))


def marked(answer: Answer) -> Text:
    """Return the text with the number of the cited source after each cited sentence."""
    numbers = {hit.passage.id: n for n, hit in reversed([*enumerate(_read(answer), 1)])}
    text, done = Text(), 0
    for citation in sorted(answer.citations, key=lambda citation: citation.end):
        text.append(answer.text[done : citation.end])
        text.append(f" [{numbers[citation.passage_id]}]", style=MARK)
        done = citation.end
    return text.append(answer.text[done:])


def show_hits(
    hits: Sequence[Hit],
    console: Console,
    question: Question,
    moved: Sequence[int] | None = None,
    calibrated: bool = False,
) -> None:
    """Write each hit with its text, on a terminal from where it matters; `moved`: how far up each went."""
    for n, hit in enumerate(hits):
        places = moved[n] if moved else None
        show(_headline(n + 1, hit, places, calibrated), console)
        whole = Text(flat(hit.passage.text).strip())
        text = _leading(hit, excerpt(hit.passage.text, question.text)) if console.is_terminal else whole
        show(Padding(text, (0, 0, 1, 4)), console)
    if not hits:
        console.print(Text("Nothing was found.", style=QUIET))


def say_why_nothing(index: Path, query: str) -> None:
    """Write a line about why a search found nothing, where more is known than that the words do not occur."""
    from ..index import open_store, why_nothing

    if reason := why_nothing(open_store(index), query):
        warn(reason)


def show_sources(answer: Answer, console: Console, index: Path | None = None) -> None:
    """Write each passage that was read, best first, with the sentence of it that matters."""
    if not answer.ranked:
        return
    # Without a ranker the hits are those of the retriever as they were.
    was_ranked = answer.ranked != answer.retrieved
    title = "Closest passages, not read" if answer.abstained else "Sources"
    columns = "relevance, places moved by ranking" if was_ranked else "score of the retriever"
    console.print(Text.assemble((title, "bold"), (f"  {columns}", QUIET)))
    given = [hit.passage for hit in answer.retrieved]
    moved = moves(given, answer.ranked) if was_ranked else None
    for n, hit in enumerate(_read(answer)):
        excerpt = _found(answer, hit)
        line = _line(index, hit.passage, excerpt.start)
        show(
            _headline(n + 1, hit, moved[n] if moved else None, answer.calibrated, line),
            console,
        )
        show(Padding(_leading(hit, excerpt), (0, 0, 0, 4)), console)
    console.print()


def _found(answer: Answer, hit: Hit) -> Excerpt:
    said = "" if answer.abstained else answer.text
    return excerpt(hit.passage.text, answer.question.text, said)


def _line(index: Path | None, passage: Passage, offset: int) -> int | None:
    """Return the line of a passage's file on which a character of its text stands, None where unknown."""
    if index is None:
        return None
    from ..index import IndexDocuments

    first = IndexDocuments(index).line(passage)
    return first + passage.text.count("\n", 0, offset) if first else None


def _leading(hit: Hit, excerpt: Excerpt) -> Text:
    """Return a passage as one paragraph that begins where it matters, the words that tell in bold."""
    text = hit.passage.text
    start, end = window(text, excerpt, EXCERPT)
    shown, at = Text("… " if start else ""), start
    for first, last in excerpt.marks:
        if start <= first and last <= end:
            shown.append(flat(text[at:first]))
            shown.append(text[first:last], style="bold")
            at = last
    shown.append(flat(text[at:end]))
    return shown.append(" …" if end < len(text) else "")


def show_place(answer: Answer, number: int, console: Console, index: Path | None) -> None:
    """Write the place of a source in its document: the lines around what it says, with their numbers."""
    if not 1 <= number <= len(_read(answer)):
        n_read = amount(len(_read(answer)), "passage")
        console.print(Text(f"There is no source {number}: the model read {n_read}.", style=QUIET))
        return
    from ..index import locate

    hit = _read(answer)[number - 1]
    passage, spans = hit.passage, _said(answer, hit)
    located = locate(index, passage) if index is not None else None
    text, offset = (located.text, located.start) if located else (passage.text, 0)
    first, last = offset + min(spans)[0], offset + max(end for _, end in spans)
    begin = first - len("\n".join(text[:first].split("\n")[-1 - AROUND :]))
    end = last + len("\n".join(text[last:].split("\n")[: 1 + AROUND]))
    shown = Text(text[begin:end])
    for start, stop in spans:
        shown.stylize("bold yellow", offset + start - begin, offset + stop - begin)
    line = located.line if located else None
    show(_headline(number, hit, None, answer.calibrated, line), console)
    if located is None and index is not None:
        console.print(Text("Its file cannot be shown as it was indexed: this is the passage.", style=QUIET))
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style=QUIET, no_wrap=True)
    table.add_column()
    at = text.count("\n", 0, begin) + 1
    for n, each in enumerate(shown.split("\n", allow_blank=True)):
        table.add_row(str(at + n) if line else "", each)
    show(table, console)


def _said(answer: Answer, hit: Hit) -> list[Span]:
    """Return the spans of a passage that citations point at, else its sentence that matters."""
    source = hit.passage.source
    begin = source.start if source and source.start is not None else 0
    cited = [
        (citation.source_start - begin, citation.source_end - begin)
        for citation in answer.citations
        if citation.passage_id == hit.passage.id
        and citation.source_start is not None
        and citation.source_end is not None
    ]
    excerpt = _found(answer, hit)
    return cited or [(excerpt.start, excerpt.end)]


def _headline(
    number: int, hit: Hit, moved: int | None, calibrated: bool = False, line: int | None = None
) -> Table:
    """Return a hit on one line: number, score, how far ranking moved it (if known), title and place."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style=MARK, no_wrap=True)
    table.add_column(no_wrap=True)
    arrows = [] if moved is None else [_arrow(moved)]
    for _ in arrows:
        table.add_column(no_wrap=True)
    table.add_column()
    table.add_row(Text(f"[{number}]"), score(hit, calibrated), *arrows, place(hit, line))
    return table


def score(hit: Hit, calibrated: bool = False) -> Text:
    """Return a score as people read it, in a word too where that was measured; unscored hits have a dash."""
    if not hit.scored:
        return Text(f"    –{' ' * 7 if calibrated else ''}", style=QUIET)
    text = Text(f"{hit.score:.3f}")
    if calibrated:
        name = level(hit.score)
        text.append(f" {name:<6}", style=LEVELS[name])
    return text


def place(hit: Hit, line: int | None = None) -> Text:
    """Return title, path and line or page of a hit; its id where it has none of them."""
    source = hit.passage.source
    text = Text(hit.passage.title, style="bold")
    where = source.path if source else ""
    if source and source.page is not None:
        where += f", page {source.page}"
    elif where and line is not None:
        where += f":{line}"
    if where or not text:
        text.append(f"{'  ' if text else ''}{where or hit.passage.id}", style=f"not bold {QUIET}")
    return text


def moves(given: Sequence[Passage], ranked: Sequence[Hit]) -> list[int]:
    """Return for each ranked hit by how many places ranking moved it up (below zero: down)."""
    before = {passage.id: n for n, passage in reversed([*enumerate(given)])}
    return [before[hit.passage.id] - n for n, hit in enumerate(ranked)]


def _arrow(places: int) -> Text:
    if places == 0:
        return Text("–", style=QUIET)
    return Text(f"▲{places}", style="green") if places > 0 else Text(f"▼{-places}", style="red")


def show_notes(answer: Answer, console: Console) -> None:
    """Write what the reader should know: an abstention, weak evidence, passages that did not fit."""
    if answer.rewritten:
        console.print(Text(f"searched for: {answer.rewritten}", style=QUIET))
    if answer.abstained and not answer.ranked:
        warnings = ["Nothing was found for this question, so there was nothing to answer from."]
    elif answer.abstained:
        warnings = ["No passage was relevant enough to answer from."]
    elif answer.weak:
        warnings = [
            f"weak evidence: the best passage has a relevance of {answer.best:.3f} ({level(answer.best)})"
        ]
    else:
        warnings = []
    for cut in answer.cuts:
        warnings.append(f"{cut.passage_id} did not fit: {cut.kept} of {cut.length} characters were read")
    for warning in warnings:
        console.print(Text(warning, style="yellow"))


def timings(answer: Answer) -> Text:
    """Return the seconds of each step and the tokens, in one quiet line."""
    scored = share_scored(answer.n_scored, len(answer.ranked))
    parts = [f"{step} {seconds:.2f} s" for step, seconds in answer.timings_s.items()]
    if answer.usage.prompt_tokens:
        parts.append(f"{answer.usage.prompt_tokens} + {answer.usage.completion_tokens} tokens")
    return Text(scored + " · ".join(parts), style=QUIET)


def share_scored(n_scored: int, n_ranked: int) -> str:
    """Say how many of the passages a budget let the ranker score; nothing where it scored them all."""
    return f"{n_scored} of {amount(n_ranked, 'passage')} scored · " if n_scored < n_ranked else ""


def _read(answer: Answer) -> tuple[Hit, ...]:
    return answer.ranked[: answer.read_k]
