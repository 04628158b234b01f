"""How an answer looks in a terminal: while it grows, and when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import shorten

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..types import Answer, Hit
from .console import show, warn

MARK = "cyan"
QUIET = "bright_black"
EXCERPT = 300
"""Characters of a passage that a terminal shows in a list."""


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


def show_answer(answer: Answer, console: Console) -> None:
    """Write the answer with its marks, its sources and what it took."""
    console.print(marked(answer))
    console.print()
    show_sources(answer, console)
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


def show_hits(hits: Sequence[Hit], console: Console, moved: Sequence[int] | None = None) -> None:
    """Write each hit with its text; `moved` is how many places up each went."""
    for n, hit in enumerate(hits):
        show(ranking([hit], moved[n : n + 1] if moved else None, first=n + 1), console)
        show(Padding(Text(_excerpt(hit, console)), (0, 0, 1, 4)), console)
    if not hits:
        console.print(Text("Nothing was found.", style=QUIET))


def say_why_nothing(index: Path, query: str) -> None:
    """Write a line about why a search found nothing, where more is known than that the words do not occur."""
    from ..index import open_store, why_nothing

    if reason := why_nothing(open_store(index), query):
        warn(reason)


def _excerpt(hit: Hit, console: Console) -> str:
    """Return the passage as one paragraph, its beginning alone where a person reads it."""
    text = " ".join(hit.passage.text.split())
    return shorten(text, EXCERPT, placeholder=" …") if console.is_terminal else text


def show_sources(answer: Answer, console: Console) -> None:
    """Write a line for each passage that was read, best first."""
    if not answer.ranked:
        return
    title = "Closest passages, not read" if answer.abstained else "Sources"
    console.print(Text.assemble((title, "bold"), (f"  {_columns(answer)}", QUIET)))
    moved = moves(answer) if _was_ranked(answer) else None
    show(ranking(_read(answer), moved), console)
    console.print()


def _columns(answer: Answer) -> str:
    """Say what the numbers before a source are."""
    return "relevance, places moved by ranking" if _was_ranked(answer) else "score of the retriever"


def ranking(hits: Sequence[Hit], moved: Sequence[int] | None = None, first: int = 1) -> Table:
    """Return hits as lines: number, score, how far ranking moved each (if known), title and place."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style=MARK, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for _ in range(1 if moved else 0):
        table.add_column(no_wrap=True)
    table.add_column()
    for n, hit in enumerate(hits):
        arrows = [_arrow(moved[n])] if moved else []
        table.add_row(Text(f"[{first + n}]"), score(hit), *arrows, place(hit))
    return table


def score(hit: Hit) -> Text:
    """Return a score as people read it; a hit that no ranker scored has a dash."""
    return Text(f"{hit.score:.3f}") if hit.scored else Text("–", style=QUIET)


def place(hit: Hit) -> Text:
    """Return title, path and page of a hit; its id where it has none of them."""
    source = hit.passage.source
    text = Text(hit.passage.title, style="bold")
    where = source.path if source else ""
    if source and source.page is not None:
        where += f", page {source.page}"
    if where or not text:
        text.append(f"{'  ' if text else ''}{where or hit.passage.id}", style=f"not bold {QUIET}")
    return text


def moves(answer: Answer) -> list[int]:
    """Return for each ranked hit by how many places ranking moved it up (below zero: down)."""
    before = {hit.passage.id: n for n, hit in reversed([*enumerate(answer.retrieved)])}
    return [before[hit.passage.id] - n for n, hit in enumerate(answer.ranked)]


def _arrow(places: int) -> Text:
    if places == 0:
        return Text("–", style=QUIET)
    return Text(f"▲{places}", style="green") if places > 0 else Text(f"▼{-places}", style="red")


def show_notes(answer: Answer, console: Console) -> None:
    """Write what the reader should know: an abstention, weak evidence, passages that did not fit."""
    if answer.rewritten:
        console.print(Text(f"searched for: {answer.rewritten}", style=QUIET))
    if answer.abstained:
        console.print(Text(_abstention(answer), style="yellow"))
    elif answer.weak:
        console.print(Text(f"weak evidence: the best passage has {answer.best:.2f}", style="yellow"))
    for cut in answer.cuts:
        console.print(
            Text(
                f"{cut.passage_id} did not fit: {cut.kept} of {cut.length} characters were read",
                "yellow",
            )
        )


def _abstention(answer: Answer) -> str:
    if not answer.ranked:
        return "Nothing was found for this question, so there was nothing to answer from."
    return "No passage was relevant enough to answer from."


def timings(answer: Answer) -> Text:
    """Return the seconds of each step and the tokens, in one quiet line."""
    scored = share_scored(answer.n_scored, len(answer.ranked))
    parts = [f"{step} {seconds:.2f} s" for step, seconds in answer.timings_s.items()]
    if answer.usage.prompt_tokens:
        parts.append(f"{answer.usage.prompt_tokens} + {answer.usage.completion_tokens} tokens")
    return Text(scored + " · ".join(parts), style=QUIET)


def share_scored(n_scored: int, n_ranked: int) -> str:
    """Say how many of the passages a budget let the ranker score; nothing where it scored them all."""
    return f"{n_scored} of {n_ranked} passages scored · " if n_scored < n_ranked else ""


def _read(answer: Answer) -> tuple[Hit, ...]:
    return answer.ranked[: answer.read_k]


def _was_ranked(answer: Answer) -> bool:
    """Whether a ranker scored anything: without one the hits are those of the retriever as they were."""
    return answer.ranked != answer.retrieved
