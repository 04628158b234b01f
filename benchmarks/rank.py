"""How fast passages are ranked: the naive loop, a padded batch, the engine cold and warm, from disk, in int8.

    python benchmarks/rank.py [--model smollm2-135m] [--passages FILE] [--count 100] [--output json]

Naive is one forward pass of transformers for each passage, with all its logits; padded is the same in
batches of eight. Cold is the engine with nothing remembered, warm with the states of every passage (not of
the question), half-warm with those of every other passage; disk has them all on disk (`--cache-dir`; the
files are new, so the system still holds them in memory) and nothing remembered. int8 is `--precision int8`.
The passages are taken in blocks and all ways run over a block before the next, so a machine that is busy for
a while is busy for all of them. Useful work
is two operations for each weight of the linear layers and each token that has to be read once (the common
beginning of the prompts once in all), and the vocabulary once a passage; attention is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from limits import Model, body_weights, matmul_rate, passages_of, timed
from rankrag import prompts
from rankrag.model.engine.disk_cache import FREQUENT
from rankrag.model.engine.local import CACHE_BYTES, LocalLanguageModel
from rankrag.model.engine.tokenizer import Tokenizer
from rankrag.model.skills.ranker import relevance
from rankrag.model.store import registry
from rankrag.types import Passage, Prompt, Question

if TYPE_CHECKING:
    import torch

ASKED = Question("asked", "Which statement binds a name that is not local to the function it stands in?")
BEFORE = Question("before", "What is it about?")
WAYS = ("naive", "padded", "cold", "half-warm", "warm", "disk", "int8", "int8 warm")
PADDED_BATCH = 8


@dataclass
class Tally:
    """Seconds of each way, the best that the machine could have done, and how far scores differ."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WAYS, 0.0))
    rates: list[float] = field(default_factory=list)
    ideal_s: float = 0.0
    difference: float = 0.0
    wanted: np.ndarray = field(default_factory=lambda: np.zeros(0))
    int8_scores: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    cache_bytes: int = 0

    def record(self, way: str, seconds: float, found: np.ndarray, wanted: np.ndarray) -> None:
        """Add what one way took for a block, and how far its scores are from the naive ones."""
        self.seconds[way] += seconds
        if way == "int8":
            self.int8_scores += found.tolist()
            self.scores += wanted.tolist()
        elif way in ("cold", "half-warm", "warm", "disk"):
            self.difference = max(self.difference, float(np.abs(found - wanted).max()))


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
    form = prompts.template(arguments.template)
    folder = Path(registry.locate(arguments.model))
    passages = list(islice(passages_of(arguments.passages), arguments.count))
    limit = arguments.cache_bytes
    lm, small, on_disk = (
        LocalLanguageModel(folder, device="cpu", precision=precision, cache_bytes=limit)
        for precision in ("float32", "int8", "float32")
    )
    naive = Naive(folder, form.labels())
    size = -(-len(passages) // arguments.blocks)
    tally = Tally()
    _warm_up((lm, small), naive, passages[:2], form)
    with tempfile.TemporaryDirectory() as kept_in:
        on_disk.keep_on_disk(Path(kept_in), 100 * limit, "benchmark")
        for first in range(0, len(passages), size):
            block = passages[first : first + size]
            _block(lm, naive, block, form, tally)
            _more(small, on_disk, block, form, tally)
        assert on_disk.disk
        on_disk.disk.close()
    kept = tally.cache_bytes <= arguments.cache_bytes and _keeps_a_small_limit(lm, passages[:size], form)
    _print(arguments, _result(tally, len(passages), arguments.cache_bytes, kept))
    sys.exit(0 if kept else 1)


def _block(
    lm: LocalLanguageModel, naive: Naive, passages: Sequence[Passage], form: prompts.Template, tally: Tally
) -> None:
    import torch

    asked, before = ([prompts.rank(question, p, form) for p in passages] for question in (ASKED, BEFORE))
    ours = partial(_ranked, lm, asked, form)
    with torch.inference_mode():
        wanted, seconds = timed(lambda: naive.loop(asked))
        tally.record("naive", seconds, wanted, wanted)
        tally.wanted = wanted
        rate = matmul_rate(naive.model)
        for way, known in (("padded", []), ("cold", []), ("half-warm", before[::2]), ("warm", before)):
            if way != "warm":
                lm.cache.clear()
            lm.logprobs(known, form.labels())
            found, seconds = timed(partial(naive.padded, asked) if way == "padded" else ours)
            tally.record(way, seconds, found, wanted)
            tally.cache_bytes = max(tally.cache_bytes, lm.cache.n_bytes)
    tally.rates.append(rate)
    tally.ideal_s += _useful(naive.model, [naive.tokens(prompt) for prompt in asked]) / rate


def _more(
    small: LocalLanguageModel,
    on_disk: LocalLanguageModel,
    passages: Sequence[Passage],
    form: prompts.Template,
    tally: Tally,
) -> None:
    """Rank a block from disk and in integers; `_block` comes first."""
    asked, before = ([prompts.rank(question, p, form) for p in passages] for question in (ASKED, BEFORE))
    for _ in range(FREQUENT):
        on_disk.logprobs(before, form.labels())
    assert on_disk.disk
    on_disk.disk.flush()
    on_disk.cache.clear()
    small.cache.clear()
    for way, lm in (("disk", on_disk), ("int8", small)):
        found, seconds = timed(partial(_ranked, lm, asked, form))
        tally.record(way, seconds, found, tally.wanted)
    small.cache.clear()
    small.logprobs(before, form.labels())
    found, seconds = timed(partial(_ranked, small, asked, form))
    tally.record("int8 warm", seconds, found, tally.wanted)


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


def _result(tally: Tally, n_passages: int, limit: int, kept: bool) -> dict[str, object]:
    naive = tally.seconds["naive"]
    return {
        "passages": n_passages,
        "seconds": {way: round(seconds, 3) for way, seconds in tally.seconds.items()},
        "padded_ratio": round(naive / tally.seconds["padded"], 3),
        "cold_ratio": round(naive / tally.seconds["cold"], 3),
        "half_warm_ratio": round(naive / tally.seconds["half-warm"], 3),
        "warm_ratio": round(naive / tally.seconds["warm"], 3),
        "disk_ratio": round(naive / tally.seconds["disk"], 3),
        "int8_ratio": round(naive / tally.seconds["int8"], 3),
        "int8_warm_ratio": round(naive / tally.seconds["int8 warm"], 3),
        "max_score_difference": tally.difference,
        "int8_log_odds_correlation": round(_correlation(tally), 4),
        "matmul_gflops": round(median(tally.rates) / 1e9, 1),
        "limit_fraction": round(tally.ideal_s / tally.seconds["cold"], 3),
        "cache_bytes": tally.cache_bytes,
        "cache_limit": limit,
        "cache_limit_kept": kept,
    }


def _correlation(tally: Tally) -> float:
    ours, theirs = (np.log(s) - np.log1p(-s) for s in map(np.array, (tally.int8_scores, tally.scores)))
    return float(np.corrcoef(ours, theirs)[0, 1])


def _print(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    if arguments.output == "json":
        print(json.dumps(result))
        return
    from rich.console import Console
    from rich.table import Table

    n = result["passages"]
    table = Table(title=f"{arguments.model}, {n} passages, template {arguments.template}")
    for title in ("", "seconds", "ms a passage", "times naive"):
        table.add_column(title, justify="right" if title else "left")
    for way, seconds in result["seconds"].items():
        ratio = result["seconds"]["naive"] / seconds
        table.add_row(way, f"{seconds:.2f}", f"{1000 * seconds / n:.0f}", f"{ratio:.2f}")
    console = Console()
    console.print(table)
    for name in (
        "max_score_difference",
        "int8_log_odds_correlation",
        "matmul_gflops",
        "limit_fraction",
        "cache_bytes",
        "cache_limit_kept",
    ):
        console.print(f"{name}: {result[name]}", highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast passages are ranked, as ratios in one run.")
    parser.add_argument("--model", default="smollm2-135m", help="a named model or a folder")
    parser.add_argument("--passages", help="a file of passages; without, the Python reference is cut up")
    parser.add_argument("--count", type=int, default=100, help="passages to rank")
    parser.add_argument("--blocks", type=int, default=4, help="blocks that the passages are taken in")
    parser.add_argument("--template", default="paper", choices=sorted(prompts.TEMPLATES))
    parser.add_argument("--cache-bytes", type=int, default=CACHE_BYTES, help="limit of the prefix cache")
    parser.add_argument("--output", default="text", choices=("text", "json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
