"""How far a long step is: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from .. import types
from . import console

LINE_EVERY_S = 10.0
Tracked = TypeVar("Tracked")


@contextlib.contextmanager
def reporting() -> Iterator[types.Progress]:
    """Show on standard error what is reported until the block ends."""
    err = console.err()
    if err.is_terminal:
        bar = BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan")
        shown = Progress(bar, _Rate(), _Left(), console=err, transient=True)
        with console.drawing(err), shown as bars:
            yield _Bars(bars)
    else:
        yield _Lines(err)


def track(items: Iterable[Tracked], total: int, unit: str) -> Iterator[Tracked]:
    """Yield the items, showing how many of them are done."""
    with reporting() as report:
        for done, item in enumerate(items, 1):
            yield item
            report(done, total, unit)


class _Rate(ProgressColumn):
    """Counts and speed: `1,200 of 5,000 passages · 410/s`."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_counts(int(task.completed), int(task.total or 0), task.description, speed))


class _Left(ProgressColumn):
    """The time that is left, while there is something left."""

    def render(self, task: Task) -> Text:
        if task.finished or task.time_remaining is None:
            return Text("")
        return Text(f"{timedelta(seconds=int(task.time_remaining))} left", style="bright_black")


class _Bars:
    """A bar for each unit that is reported."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, done: int, total: int, unit: str) -> None:
        if unit not in self.tasks:
            self.tasks[unit] = self.bars.add_task(unit, total=total or None, completed=done)
        if done < self.bars.tasks[self.tasks[unit]].completed:  # the same work once more
            self.bars.reset(self.tasks[unit])
        self.bars.update(self.tasks[unit], completed=done, total=total or None)


class _Lines:
    """A line every ten seconds, so that a log shows that work goes on."""

    def __init__(self, err: Console) -> None:
        self.err = err
        self.written = monotonic()
        self.begun: dict[str, tuple[int, float]] = {}
        """What was done of a unit when it was first reported, and when: that is no speed of this run."""
        self.done: dict[str, int] = {}

    def __call__(self, done: int, total: int, unit: str) -> None:
        now = monotonic()
        if done < self.done.get(unit, 0):  # the same work once more
            del self.begun[unit]
        self.done[unit] = done
        before, started = self.begun.setdefault(unit, (done, now))
        if now - self.written >= LINE_EVERY_S:
            self.written = now
            speed = (done - before) / (now - started) if now > started else 0.0
            seconds = int((total - done) / speed) if speed and total > done else 0
            left = f" · {timedelta(seconds=seconds)} left" if seconds else ""
            self.err.print(Text(_counts(done, total, unit, speed) + left))


def _counts(done: int, total: int, unit: str, speed: float | None) -> str:
    """Return counts and speed in words; a unit that begins with `bytes` is shown in kB, MB or GB.

    What has neither a count nor an end is a step of its own, such as `loading the model`.
    """
    if not done and not total:
        return unit
    scale, name = _scale(max(done, total)) if unit.startswith("bytes") else (1, "")
    unit = unit.replace("bytes", name, 1)
    text = f"{done / scale:,.0f} of {total / scale:,.0f} {unit}" if total else f"{done / scale:,.0f} {unit}"
    if not speed:
        return text
    if speed < 1 and not name:
        return f"{text} · {1 / speed:,.0f} s each"
    if name:
        scale, name = _scale(speed)
    return f"{text} · {speed / scale:,.0f} {name}".rstrip() + "/s"


def _scale(n_bytes: float) -> tuple[int, str]:
    """Return the largest unit that leaves at least two digits before the point."""
    fitting = [(scale, name) for scale, name in ((10**9, "GB"), (10**6, "MB")) if n_bytes >= 10 * scale]
    return fitting[0] if fitting else (1000, "kB")
