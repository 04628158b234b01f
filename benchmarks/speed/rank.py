"""How fast passages are ranked: the naive loop, a padded batch, and the engine in its kinds of numbers.

    python benchmarks/speed/rank.py [--model smollm2-135m] [--passages FILE] [--count 100] [--clock cpu]

Naive is one forward pass of transformers for each passage, in float32, with all its logits; padded is the
same in batches of eight. The engine runs with each of `--precisions`: cold with nothing remembered, warm with
the states of every passage (not of the question), half-warm with those of every other passage; disk, in the
first of the precisions, has them all on disk (`--cache-dir`; the files are new, so the system still holds
them in memory) and nothing remembered. The passages are taken in blocks and all ways run over a block before
the next, so a machine that is busy for a while is busy for all of them; `--clock cpu` counts the processor's
time, not what it spent on other programs. Useful work is two operations for each weight of the linear layers
and each token that has to be read once (the common beginning of the prompts once in all), and the vocabulary
once a passage; attention is not counted. The limit is that work at the rate of the model's own float32
products.

With `--naive-passages K` a model is ranked with as `rankrag` does it, adapter and likelihood of the question
included: for each of `--count`, cold and then for another question. The naive loop over its base takes K
passages, before and after, scaled to the tokens of each ranking.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from limits import Model, body_weights, matmul_rate, passages_of
from rankrag import prompts
from rankrag.model.engine.disk_cache import FREQUENT, DiskCache
from rankrag.model.engine.local import CACHE_BYTES, LocalLanguageModel
from rankrag.model.engine.tokenizer import Tokenizer
from rankrag.model.skills.ranker import relevance
from rankrag.model.store import registry
from rankrag.model.store.checkpoint import read_checkpoint
from rankrag.system.models import Loading, Precision, open_engine
from rankrag.system.open import ranker_of
from rankrag.types import Hit, Passage, Prompt, Question

if TYPE_CHECKING:
    import torch

ASKED = Question("asked", "Which statement binds a name that is not local to the function it stands in?")
BEFORE = Question("before", "What is it about?")
PADDED_BATCH = 8
_AMPLE = 2 << 30
"""Bytes of states: all that are ranked stay, in any numbers."""
CLOCKS = {"wall": perf_counter, "cpu": process_time}


@dataclass
class Tally:
    """Seconds of each way, the best that the machine could have done, and how far log-odds differ."""

    clock: Callable[[], float]
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    scores: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rates: list[float] = field(default_factory=list)
    ideal_s: float = 0.0
    cache_bytes: int = 0

    def run(self, way: str, work: Callable[[], np.ndarray]) -> None:
        """Add what one way takes for a block, and its scores."""
        started = self.clock()
        found = work()
        self.seconds[way] += self.clock() - started
        self.scores[way] += found.tolist()

    def difference(self, way: str) -> float:
        """Return how far scores are from the naive ones at most."""
        return float(np.abs(np.subtract(self.scores[way], self.scores["naive"])).max())

    def correlation(self, way: str) -> float:
        """Return the correlation of log-odds with the naive ones."""
        ours, theirs = (np.log(s) - np.log1p(-s) for s in (np.array(self.scores[w]) for w in (way, "naive")))
        return float(np.corrcoef(ours, theirs)[0, 1])


class Naive:
    """What one writes first: transformers, whole prompts, all logits."""

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._words = Tokenizer(folder)
        self.model: Model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
        self._labels = [self._words.continuation(":", label)[0] for label in labels]

    def tokens(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt."""
        prefix, suffix = self._words.prompt(prompt)
        return [*prefix, *suffix]

    def loop(self, asked: Sequence[Prompt]) -> np.ndarray:
        """Return relevance by one pass a prompt."""
        import torch

        rows = [self.model(input_ids=torch.tensor([self.tokens(p)])).logits[0, -1] for p in asked]
        return self._relevance(torch.stack(rows))

    def padded(self, asked: Sequence[Prompt]) -> np.ndarray:
        """Return relevance by batches, padded on the left."""
        import torch

        found = []
        for first in range(0, len(asked), PADDED_BATCH):
            rows = [self.tokens(prompt) for prompt in asked[first : first + PADDED_BATCH]]
            length = max(map(len, rows))
            ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
            mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
            places = (mask.cumsum(1) - 1).clamp(min=0)
            found.append(self.model(input_ids=ids, attention_mask=mask, position_ids=places).logits[:, -1])
        return self._relevance(torch.cat(found))

    def _relevance(self, logits: torch.Tensor) -> np.ndarray:
        return relevance(logits.log_softmax(-1)[:, self._labels].double().numpy())


def main() -> None:
    """Measure, print, and fail if the cache held more than its limit."""
    arguments = _arguments()
    if arguments.naive_passages:
        _beside_a_few(arguments)
        return
    form = prompts.template(arguments.template)
    folder = Path(registry.locate(arguments.model))
    passages = list(islice(passages_of(arguments.passages), max(arguments.count)))
    naive = Naive(folder, form.labels())
    engines = {
        name: LocalLanguageModel(folder, device="cpu", precision=name) for name in arguments.precisions
    }
    for lm in engines.values():
        lm.cache.limit = arguments.cache_bytes
    first = engines[arguments.precisions[0]]
    size = -(-len(passages) // arguments.blocks)
    tally = Tally(CLOCKS[arguments.clock])
    _warm_up(list(engines.values()), naive, passages[:2], form)
    with tempfile.TemporaryDirectory() as kept_in:
        on_disk = DiskCache(Path(kept_in), 100 * arguments.cache_bytes, "benchmark")
        for start in range(0, len(passages), size):
            block = passages[start : start + size]
            asked, before = ([prompts.rank(q, p, form) for p in block] for q in (ASKED, BEFORE))
            _naive(naive, asked, tally)
            for name, lm in engines.items():
                _ways(name, lm, asked, before, form, tally)
            _from_disk(first, on_disk, asked, before, form, tally)
        on_disk.close()
    kept = tally.cache_bytes <= arguments.cache_bytes and _keeps_a_small_limit(first, passages[:size], form)
    _print(arguments, _result(tally, arguments, len(passages), kept))
    sys.exit(0 if kept else 1)


def _beside_a_few(arguments: argparse.Namespace) -> None:
    """Measure and print what ranking takes beside a naive loop over few passages."""
    import torch

    card = read_checkpoint(registry.locate(arguments.model))
    form = prompts.template(card.template)
    naive = Naive(Path(registry.locate(card.base)) if card.is_adapter else card.folder, form.labels())
    passages = list(islice(passages_of(arguments.passages), max(arguments.count)))
    few = [prompts.rank(ASKED, passage, form) for passage in passages[: arguments.naive_passages]]
    clock = CLOCKS[arguments.clock]

    def tokens(asked: Sequence[Prompt]) -> int:
        return sum(len(naive.tokens(prompt)) for prompt in asked)

    def seconds_a_token() -> float:
        with torch.inference_mode():
            naive.loop(few[:1])
            started = clock()
            naive.loop(few)
        return (clock() - started) / tokens(few)

    before = seconds_a_token()
    rows: list[tuple[str, int, float, int]] = []
    for precision in arguments.precisions:
        rows += _shipped(arguments, precision, passages, clock, tokens)
    after = seconds_a_token()
    result = [
        {"way": way, "passages": n, "seconds": took, "times_naive": (before + after) / 2 * length / took}
        for way, n, took, length in rows
    ]
    if arguments.output == "json":
        print(json.dumps({"clock": arguments.clock, "naive_s_a_token": [before, after], "ways": result}))
        return
    print(f"naive: {before:.5f} s a token before, {after:.5f} after ({arguments.clock})")
    for way, n, took, length in rows:
        times = (before + after) / 2 * length / took
        print(f"{way:32}{n:>5}{took:>9.2f} s {times:>7.2f} times naive")


def _shipped(
    arguments: argparse.Namespace,
    precision: Precision,
    passages: Sequence[Passage],
    clock: Callable[[], float],
    tokens: Callable[[Sequence[Prompt]], int],
) -> Iterator[tuple[str, int, float, int]]:
    """Yield way, passages, seconds and the tokens of its prompts for each ranking in one kind of numbers."""
    engine = open_engine(arguments.model, calibration=False, loading=Loading(precision))
    assert isinstance(engine.lm, LocalLanguageModel)
    engine.lm.cache.limit = _AMPLE
    ranker = ranker_of(engine)
    ranker.rank(BEFORE, [Hit(passage, 0.0) for passage in passages[:2]])
    for n in arguments.count:
        engine.lm.cache.clear()
        for way, question in (("cold", BEFORE), ("warm", ASKED)):
            started = clock()
            ranker.rank(question, [Hit(passage, 0.0) for passage in passages[:n]])
            took = clock() - started
            length = tokens([prompts.rank(question, passage, engine.form) for passage in passages[:n]])
            yield f"{precision} ({engine.precision}), {way}", n, took, length


def _naive(naive: Naive, asked: Sequence[Prompt], tally: Tally) -> None:
    import torch

    with torch.inference_mode():
        tally.run("naive", lambda: naive.loop(asked))
        tally.run("padded", lambda: naive.padded(asked))
        rate = matmul_rate(naive.model, clock=tally.clock)
    tally.rates.append(rate)
    tally.ideal_s += _useful(naive.model, [naive.tokens(prompt) for prompt in asked]) / rate


def _ways(
    name: str,
    lm: LocalLanguageModel,
    asked: Sequence[Prompt],
    before: Sequence[Prompt],
    form: prompts.Template,
    tally: Tally,
) -> None:
    """Rank a block cold, half-warm and warm."""
    ways: dict[str, Sequence[Prompt]] = {"cold": [], "half-warm": before[::2], "warm": before}
    for way, known in ways.items():
        lm.cache.clear()
        lm.logprobs(known, form.labels())
        tally.run(f"{name}, {way}", lambda: _ranked(lm, asked, form))
        tally.cache_bytes = max(tally.cache_bytes, lm.cache.n_bytes)


def _from_disk(
    lm: LocalLanguageModel,
    on_disk: DiskCache,
    asked: Sequence[Prompt],
    before: Sequence[Prompt],
    form: prompts.Template,
    tally: Tally,
) -> None:
    lm.disk = lm._scorer.disk = on_disk
    for _ in range(FREQUENT):
        lm.logprobs(before, form.labels())
    on_disk.flush()
    lm.cache.clear()
    tally.run(f"{lm.precision}, disk", lambda: _ranked(lm, asked, form))
    lm.disk = lm._scorer.disk = None


def _ranked(lm: LocalLanguageModel, asked: Sequence[Prompt], form: prompts.Template) -> np.ndarray:
    return relevance(lm.logprobs(asked, form.labels()))


def _useful(model: Model, rows: Sequence[Sequence[int]]) -> float:
    """Return the floating-point operations that ranking the rows takes, each common beginning read once."""
    head = model.get_output_embeddings()
    shared = next((n for n, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1), 0)
    tokens = sum(map(len, rows)) - shared * (len(rows) - 1)
    return 2.0 * float(body_weights(model) * tokens + head.weight.numel() * len(rows))


def _warm_up(
    engines: Sequence[LocalLanguageModel],
    naive: Naive,
    passages: Sequence[Passage],
    form: prompts.Template,
) -> None:
    import torch

    asked = [prompts.rank(ASKED, passage, form) for passage in passages]
    with torch.inference_mode():
        naive.loop(asked)
        naive.padded(asked)
    for lm in engines:
        lm.logprobs(asked, form.labels())


def _keeps_a_small_limit(lm: LocalLanguageModel, passages: Sequence[Passage], form: prompts.Template) -> bool:
    """Return whether the cache keeps a limit that a third of the passages fill."""
    lm.cache.clear()
    lm.cache.limit = limit = 3_000_000 + len(passages) * 2_000_000
    for question in (ASKED, BEFORE):
        lm.logprobs([prompts.rank(question, passage, form) for passage in passages], form.labels())
        if lm.cache.n_bytes > limit:
            return False
    return lm.cache.n_bytes > 0


def _result(tally: Tally, arguments: argparse.Namespace, n_passages: int, kept: bool) -> dict[str, Any]:
    naive = tally.seconds["naive"]
    ways = [way for way in tally.seconds if way not in ("naive", "padded")]
    return {
        "passages": n_passages,
        "clock": arguments.clock,
        "seconds": {way: round(seconds, 3) for way, seconds in tally.seconds.items()},
        "times_naive": {way: round(naive / seconds, 2) for way, seconds in tally.seconds.items()},
        "max_score_difference": {way: round(tally.difference(way), 7) for way in ways},
        "log_odds_correlation": {way: round(tally.correlation(way), 5) for way in ways},
        "matmul_gflops": round(median(tally.rates) / 1e9, 1),
        "limit_s": round(tally.ideal_s, 3),
        "cache_bytes": tally.cache_bytes,
        "cache_limit_kept": kept,
    }


def _print(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    if arguments.output == "json":
        print(json.dumps(result))
        return
    from rich.console import Console
    from rich.table import Table

    n = result["passages"]
    table = Table(title=f"{arguments.model}, {n} passages, template {arguments.template}")
    for title in (
        "",
        f"seconds ({result['clock']})",
        "ms a passage",
        "times naive",
        "difference",
        "correlation",
    ):
        table.add_column(title, justify="right" if title else "left")
    for way, seconds in result["seconds"].items():
        gaps = [result[name].get(way, "") for name in ("max_score_difference", "log_odds_correlation")]
        row = f"{seconds:.2f}", f"{1000 * seconds / n:.0f}", f"{result['times_naive'][way]:.2f}", *gaps
        table.add_row(way, *map(str, row))
    console = Console()
    console.print(table)
    for name in ("matmul_gflops", "limit_s", "cache_bytes", "cache_limit_kept"):
        console.print(f"{name}: {result[name]}", highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast passages are ranked, as ratios in one run.")
    parser.add_argument("--model", default="smollm2-135m", help="a named model or a folder")
    parser.add_argument("--passages", help="a file of passages; without, the Python reference is cut up")
    parser.add_argument(
        "--count", type=int, nargs="+", default=[100], help="passages to rank; several with --naive-passages"
    )
    parser.add_argument("--naive-passages", type=int, metavar="K", help="naive over K passages only, scaled")
    parser.add_argument("--blocks", type=int, default=4, help="blocks that the passages are taken in")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16", "int8"])
    parser.add_argument("--clock", default="wall", choices=sorted(CLOCKS), help="whose seconds are counted")
    parser.add_argument("--template", default="paper", choices=sorted(prompts.TEMPLATES))
    parser.add_argument("--cache-bytes", type=int, default=CACHE_BYTES, help="limit of the prefix cache")
    parser.add_argument("--output", default="text", choices=("text", "json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
