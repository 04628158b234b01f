"""The plots of the report, as SVG: the same results give the same bytes.

Lines differ in marker and dash, not only in colour; the ground is transparent and the ink a middle grey, so
that a plot can be read on white and on black. Text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import needs
from ..results import Comparison, Curve, Reliability, Results, benchmark_title
from .sections import drawn_curves, is_seconds
from .verdicts import ordered, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3987C9", "#D9730D", "#1E9A74", "#B8659F", "#8C8C1F", "#7A75C9")
"""Middle tones near those of Okabe and Ito (https://jfly.uni-koeln.de/color/), legible on white and black."""

MARKERS, DASHES = ("o", "s", "^", "D", "v", "P"), ("-", "--", "-.", ":", "-", "--")

INK = "#7F7F7F"
"""The grey of `plots.mplstyle`, for lines that say nothing of better or worse."""

WIDTH_IN = 4.6
"""Width of a plot: at the 350 pixels of a phone its text of 10 points is still 10 pixels high."""

_STYLE = Path(__file__).with_name("plots.mplstyle")


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn plot: the section it belongs to, the name of its file, what it shows in words, and the SVG."""

    section: str
    name: str
    title: str
    words: str
    svg: str


def plots(results: Results) -> tuple[Plot, ...]:
    """Return every plot of the results, in the order of the report.

    Raises MissingExtraError without matplotlib.
    """
    with needs("matplotlib", "eval"):
        from matplotlib import style
    with style.context(["default", _STYLE]):
        return (*_forests(results), *_curves(results), *_reliabilities(results))


# ── comparisons ──────────────────────────────────────────────────────────────────────────────────────


def _forests(results: Results) -> Iterator[Plot]:
    """Yield a forest plot for each pair of systems: a difference and its interval a line."""
    for n, (a, b) in enumerate(dict.fromkeys((test.a, test.b) for test in results.comparisons), 1):
        chosen = ordered(results, a, b)
        labels = [f"{benchmark_title(results, test.benchmark)} {test.measure}" for test in chosen]
        title = f"{b} minus {a}"
        words = f"{title}: differences in points with 95 % intervals, grey where the table shows none"
        svg = _draw(f"forest-{n}", _forest(chosen, labels, title))
        yield Plot("comparisons", f"forest-{n}", title, words, svg)


_VERDICTS = {"better": (COLOURS[0], "D"), "worse": (COLOURS[1], "s"), "no difference shown": (INK, "o")}
"""Colour and marker of a difference: grey where it does not stand after Holm's correction."""


def _forest(chosen: Sequence[Comparison], labels: Sequence[str], title: str) -> Figure:
    figure = _figure(0.9 + 0.26 * len(chosen))
    axes = figure.subplots()
    for row, test in enumerate(chosen):
        middle, low, high = (
            100 * x for x in (test.difference.value, test.difference.low, test.difference.high)
        )
        colour, marker = _VERDICTS[verdict(test)]
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot([middle], [row], marker=marker, color=colour, markersize=6)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.set_xlabel("difference, points (x100)")
    axes.set_title(title, loc="left", wrap=True)
    return figure


# ── curves ───────────────────────────────────────────────────────────────────────────────────────────


def _curves(results: Results) -> Iterator[Plot]:
    """Yield a plot for each (benchmark, measure, what was varied), a line for each system."""
    curves = drawn_curves(results)
    keys = dict.fromkeys((curve.benchmark, curve.measure, curve.x_name) for curve in curves)
    for n, key in enumerate(keys, 1):
        chosen = [curve for curve in curves if (curve.benchmark, curve.measure, curve.x_name) == key]
        benchmark, measure, x_name = key
        title = f"{benchmark_title(results, benchmark)}: {measure} by {x_name}"
        words = f"{title}, a line for each system with its 95 % interval; the numbers are in a table"
        svg = _draw(f"curve-{n}", _curve(chosen, title))
        yield Plot("curves", f"curve-{n}", title, words, svg)


def _curve(chosen: Sequence[Curve], title: str) -> Figure:
    figure = _figure(3.3)
    axes = figure.subplots()
    scale = 1 if is_seconds(chosen[0]) else 100
    for n, curve in enumerate(chosen):
        colour = COLOURS[n % len(COLOURS)]
        xs = [x for x, _ in curve.points]
        low, middle, high = (
            [scale * getattr(v, k) for _, v in curve.points] for k in ("low", "value", "high")
        )
        axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            xs,
            middle,
            color=colour,
            marker=MARKERS[n % len(MARKERS)],
            linestyle=DASHES[n % len(DASHES)],
            label=curve.system,
        )
    _x_axis(axes, chosen)
    axes.set_ylabel("seconds of a question" if scale == 1 else f"{chosen[0].measure} (x100)")
    axes.grid()
    axes.set_title(title, loc="left", wrap=True)
    figure.legend(loc="outside lower left", ncols=1)
    return figure


def _x_axis(axes: Axes, chosen: Sequence[Curve]) -> None:
    """Mark the values that were tried; those of training pairs, from 0 to 50,000, on a logarithmic scale."""
    xs = sorted({x for curve in chosen for x, _ in curve.points})
    positive = [x for x in xs if x > 0]
    if positive and positive[-1] >= max(1000, 5 * positive[0]):
        axes.set_xscale("symlog", linthresh=positive[0])
    axes.set_xticks(xs, [f"{x / 1000:g}k" if x >= 1000 else f"{x:g}" for x in xs])
    axes.minorticks_off()
    axes.set_xlabel(chosen[0].x_name)


# ── reliability ──────────────────────────────────────────────────────────────────────────────────────


def _reliabilities(results: Results) -> Iterator[Plot]:
    """Yield a reliability diagram for each system and benchmark that has one."""
    for n, diagram in enumerate(results.reliability, 1):
        title = f"{diagram.system}, {benchmark_title(results, diagram.benchmark)}"
        points = "; ".join(f"{x:.2f}: {y:.2f} of {count}" for x, y, count in diagram.bins)
        words = f"{title}: share of relevant passages by mean stated relevance ({points})"
        svg = _draw(f"reliability-{n}", _reliability(diagram, title))
        yield Plot("trust", f"reliability-{n}", title, words, svg)


def _reliability(diagram: Reliability, title: str) -> Figure:
    figure = _figure(3.9)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = [bin_ for bin_ in diagram.bins if bin_[2] > 0]
    xs, ys, counts = ([bin_[n] for bin_ in filled] for n in range(3))
    above.plot([0, 1], [0, 1], color=INK, linestyle=":", label="as stated")
    above.plot(
        xs,
        ys,
        color=COLOURS[0],
        marker="o",
        label=f"ECE {diagram.ece.value:.3f}, Brier {diagram.brier.value:.3f}",
    )
    above.set_ylim(-0.03, 1.03)
    above.set_ylabel("share relevant")
    above.legend(loc="upper left")
    above.grid()
    above.set_title(title, loc="left", wrap=True)
    below.bar(xs, counts, width=0.05, color=COLOURS[0])
    for x, count in zip(xs, counts, strict=True):
        below.annotate(f"{count:,}", (x, count), ha="center", va="bottom", fontsize=8)
    below.set_yscale("symlog")
    below.set_ylim(0, 20 * max(counts, default=1))
    below.set_yticks([])
    below.minorticks_off()
    below.set_ylabel("passages")
    below.set_xlim(-0.05, 1.05)
    below.set_xlabel("stated relevance (mean of the bin)")
    return figure


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────


def _figure(height_in: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def _draw(name: str, figure: Figure) -> str:
    """Return a figure as SVG without a date, its ids made distinct by the name of the plot."""
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    stream = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=nothing, transparent=True)
    svg = stream.getvalue()
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg[svg.index("<svg") :]


def inline(plot: Plot) -> str:
    """Return the SVG for the inside of a page: no namespaces, no style for the whole page, a description."""
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", plot.svg, count=2)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL).replace("xlink:href", "href")
    return re.sub(r'\s(width|height)="[^"]*pt"', "", svg, count=2)
