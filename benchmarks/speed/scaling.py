"""How cost grows with the number of passages, with their length and with the corpus; log-log plots.

    python benchmarks/speed/scaling.py count|length [--model smollm2-135m] --out DIR
    python benchmarks/speed/scaling.py corpus --corpus FILE --questions FILE --out DIR

`count` ranks N passages of 100 words, `length` 20 passages of a growing length, cold (nothing remembered) and
warm (the passages were ranked for another question), beside the naive loop of `rank.py`. `corpus` indexes the
first records of a collection for BM25 and searches it. Costs are medians of repetitions that go through all
sizes before the next, in units of the smallest size's first curve. Each prints the points and the slope: an
exponent of 1 is a cost in proportion. `--out` gets a plot (SVG) and the points (JSON).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from limits import passages_of, timed
from rank import ASKED, BEFORE, Naive
from rankrag import files, formats, prompts
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.store import registry
from rankrag.types import Passage, Prompt, Question

if TYPE_CHECKING:
    from rankrag.index import Store

Times = dict[str, dict[int, list[float]]]
"""Seconds by curve and size, one a repetition."""

COUNTS = (5, 10, 20, 40, 80)
WORDS = (25, 50, 100, 200)
N_BY_LENGTH = 20
WORDS_BY_COUNT = 100
SIZES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_024_000)
K = 20


def main() -> None:
    """Measure, print, and write a plot and its points."""
    options = _arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    plots = _corpus(options) if options.what == "corpus" else _rank(options)
    for name, (label, times) in plots.items():
        _write(options.out, name, label, times)


# ── ranking ──────────────────────────────────────────────────────────────────────────────────────────


def _rank(options: argparse.Namespace) -> dict[str, tuple[str, Times]]:
    import torch

    form = prompts.template(options.template)
    folder = Path(registry.locate(options.model))
    ways = _Ways(
        LocalLanguageModel(folder, device="cpu", precision="float32"), Naive(folder, form.labels()), form
    )
    words = " ".join(passage.text for passage in passages_of(options.passages)).split()
    label, work = {
        "count": ("passages", {n: _cut(words, n, WORDS_BY_COUNT) for n in COUNTS}),
        "length": ("words in a passage", {n: _cut(words, N_BY_LENGTH, n) for n in WORDS}),
    }[options.what]
    with torch.inference_mode():
        ways.run(work[min(work)])  # the first of everything is slow
        return {options.what: (label, _repeated(options.repeat, work, ways.run))}


def _cut(words: Sequence[str], count: int, length: int) -> list[Passage]:
    """Return passages of one length; the text begins anew where it is too short for all."""
    starts = [n * length % (len(words) - length) for n in range(count)]
    return [Passage(str(n), " ".join(words[at : at + length])) for n, at in enumerate(starts)]


class _Ways:
    def __init__(self, lm: LocalLanguageModel, naive: Naive, form: prompts.Template) -> None:
        self.lm, self.naive, self.form = lm, naive, form
        lm.cache.limit = 8 << 30  # nothing is to be forgotten while it is measured

    def run(self, passages: Sequence[Passage]) -> dict[str, float]:
        """Return the seconds that each way takes for one ranking."""
        labels = self.form.labels()
        asked, before = (self._prompts(question, passages) for question in (ASKED, BEFORE))
        found = {"naive": timed(lambda: self.naive.loop(asked))[1]}
        self.lm.cache.clear()
        found["cold"] = timed(lambda: self.lm.logprobs(asked, labels))[1]
        self.lm.cache.clear()
        self.lm.logprobs(before, labels)
        found["warm"] = timed(lambda: self.lm.logprobs(asked, labels))[1]
        return found

    def _prompts(self, question: Question, passages: Sequence[Passage]) -> list[Prompt]:
        return [prompts.rank(question, passage, self.form) for passage in passages]


# ── the corpus ───────────────────────────────────────────────────────────────────────────────────────


def _corpus(options: argparse.Namespace) -> dict[str, tuple[str, Times]]:
    asked = list(islice(formats.read_questions(options.questions), options.count))
    times: Times = {"build": {}, "search": {}}
    with tempfile.TemporaryDirectory() as folder:
        _built(
            next(_heads(options.corpus, Path(folder)))[1], Path(folder) / "first.index"
        )  # the first is slow
        for size, path in _heads(options.corpus, Path(folder)):
            store, seconds = timed(partial(_built, path, Path(folder) / f"{size}.index"))
            times["build"][size] = [seconds]
            times["search"][size] = [_search_s(store, asked) for _ in range(options.repeat)]
            path.unlink()
    return {name: ("passages in the corpus", {name: sizes}) for name, sizes in times.items()}


def _heads(corpus: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the number of records and a file of them, ever more from the start of a collection."""
    lines = [json.dumps(record) for _, record in files.read_records(corpus)]
    for size in (*(size for size in SIZES if size < len(lines)), len(lines)):
        path = folder / f"{size}.jsonl"
        path.write_text("\n".join(lines[:size]) + "\n", encoding="utf-8")
        yield size, path


def _built(path: Path, index: Path) -> Store:
    from rankrag.index import Settings, build, open_store

    build([str(path)], index, Settings(words=0))
    return open_store(index)


def _search_s(store: Store, asked: Sequence[Question]) -> float:
    return median(timed(partial(store.search_words, question.text, K))[1] for question in asked)


# ── what comes out ───────────────────────────────────────────────────────────────────────────────────


def _repeated(
    n_times: int, work: Mapping[int, Sequence[Passage]], run: Callable[[Sequence[Passage]], dict[str, float]]
) -> Times:
    times: Times = {}
    for _ in range(n_times):
        for size, passages in work.items():
            for curve, seconds in run(passages).items():
                times.setdefault(curve, {}).setdefault(size, []).append(seconds)
    return times


def _write(out: Path, name: str, label: str, times: Times) -> None:
    medians = {
        curve: {size: median(found) for size, found in sizes.items()} for curve, sizes in times.items()
    }
    first = next(iter(medians.values()))
    unit = first[min(first)]
    points = {c: {size: round(s / unit, 3) for size, s in sizes.items()} for c, sizes in medians.items()}
    slopes = {curve: round(_slope(sizes), 2) for curve, sizes in points.items()}
    print(json.dumps({name: points, "slopes": slopes}, indent=2))
    (out / f"{name}.json").write_text(json.dumps({"points": points, "slopes": slopes}, indent=2) + "\n")
    _plot(out / f"{name}.svg", label, f"{next(iter(points))} at {min(first):,} = 1", points, slopes)


def _slope(sizes: Mapping[int, float]) -> float:
    return float(np.polyfit(np.log(list(sizes)), np.log(list(sizes.values())), 1)[0])


def _plot(
    path: Path, label: str, unit: str, points: Mapping[str, Mapping[int, float]], slopes: Mapping[str, float]
) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = path.stem  # the same points give the same file
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for curve, sizes in points.items():
        axes.loglog(
            list(sizes), list(sizes.values()), marker="o", label=f"{curve} (slope {slopes[curve]:.2f})"
        )
    ticks = sorted({size for sizes in points.values() for size in sizes})
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    values = [value for sizes in points.values() for value in sizes.values()]
    # At least a decade and a half, so that what hardly grows looks like it.
    middle, reach = (min(values) * max(values)) ** 0.5, max((max(values) / min(values)) ** 0.5 * 1.2, 6.0)
    axes.set_ylim(middle / reach, middle * reach)
    axes.set(xlabel=label, ylabel=f"time ({unit})")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How cost grows, as log-log plots.")
    parser.add_argument("what", choices=("count", "length", "corpus"))
    parser.add_argument("--out", required=True, type=Path, help="a folder for plots and points")
    parser.add_argument("--model", default="smollm2-135m", help="a named model or a folder")
    parser.add_argument("--passages", help="a file of passages; without, the Python reference is cut up")
    parser.add_argument("--template", default="paper", choices=sorted(prompts.TEMPLATES))
    parser.add_argument("--corpus", help="a collection (.jsonl, also packed)")
    parser.add_argument("--questions", help="questions, as `rankrag search --questions` reads them")
    parser.add_argument("--count", type=int, default=100, help="questions to search for")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, of which the median counts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
