"""The rows of a run in the order of their steps, settled before it starts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InvalidInputError
from ..files import write_json
from ..formats import read_examples
from ..types import Example
from .folder import EXAMPLES, HELD_OUT, ROWS, read_json
from .shared import bundles
from .stage_recipe import Stage, StageNumber
from .start import find_start, n_devices, vocabulary
from .token_rows import PARTS, RowCounts, TokenRow, Vocabulary, make_rows, write_arrow, write_rows

if TYPE_CHECKING:
    from datasets import Dataset  # type: ignore[import-untyped, unused-ignore]


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train: the settings of a stage, the blend that it learns from, the folder that it fills."""

    stage: Stage
    number: StageNumber
    blend: Path
    out: Path

    @property
    def examples(self) -> Path:
        """The folder with the examples of the stage: a blend keeps those of stage 1 in `stage1`."""
        return self.blend / "stage1" if self.number == 1 else self.blend


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of a run in the order of their steps, and what is known of them before it starts.

    `examples_in_step` is the mean over the blend: where rows share their beginning, steps differ.
    """

    rows: Dataset
    held_out: Mapping[str, Dataset]
    counts: RowCounts
    tokens_at: np.ndarray
    steps_in_epoch: float
    examples_in_step: float

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return len(self.tokens_at) - 1


def make_plan(job: TrainingJob, words: Vocabulary) -> Plan:
    """Return the rows of the run, from the blend or from what an earlier start of it wrote."""
    folder = job.out / ROWS
    folder.mkdir(exist_ok=True)
    rows, counts = _rows(job.examples / EXAMPLES, folder / "train", words, job.stage)
    if not len(rows):
        raise InvalidInputError(
            f"found no example in {job.examples / EXAMPLES} that fits {job.stage.max_length} tokens "
            f"(dropped: {dict(counts.dropped)}): raise max_length"
        )
    n_rows = len(rows)
    if job.stage.share_prefixes:
        rows = _bundled(rows, folder / "shared.arrow", job.stage.max_length)
    lengths = np.array(rows["length"])
    steps_in_epoch = len(rows) / job.stage.global_batch_size
    order = order_rows(
        lengths,
        job.stage.global_batch_size,
        n_steps(job.stage, len(rows)),
        job.stage.seed,
        sort=job.stage.train_sampling_strategy == "group_by_length",
    )
    tokens_at = np.concatenate([[0], lengths[order].sum(axis=1).cumsum()])
    held_out = _held_out(job, words)
    examples = job.stage.global_batch_size * n_rows / len(rows)
    return Plan(rows.select(order.reshape(-1)), held_out, counts, tokens_at, steps_in_epoch, examples)


def n_steps(stage: Stage, n_rows: int) -> int:
    """Return the optimiser steps of a stage over so many rows; the last batch is filled from a new pass."""
    wanted = math.ceil(stage.num_train_epochs * n_rows / stage.global_batch_size)
    return stage.max_steps if stage.max_steps > 0 else wanted


def _held_out(job: TrainingJob, words: Vocabulary) -> dict[str, Dataset]:
    """Return the held-out rows by part; none if the blend holds none out."""
    path = job.examples / HELD_OUT
    if not path.exists():
        return {}
    rows, _ = _rows(path, job.out / ROWS / "heldout", words, job.stage)
    parts = np.array([PARTS[task] for task in rows["task"]])
    drawn = np.random.default_rng(job.stage.seed).permutation(len(rows))
    share = min(1.0, job.stage.max_eval_examples / max(1, len(rows)))
    held_out = {}
    for part in np.unique(parts):
        numbers = drawn[parts[drawn] == part]
        chosen = rows.select(np.sort(numbers[: math.ceil(share * len(numbers))]))
        # Several processes share out plain rows, whose number they know.
        if job.stage.share_prefixes and n_devices() == 1:
            chosen = _bundled(chosen, job.out / ROWS / f"heldout-{part}.arrow", job.stage.max_length)
        by_length = np.argsort(-np.array(chosen["length"]), kind="stable")
        held_out[str(part)] = chosen.select(by_length)
    return held_out


def _rows(examples: Path, target: Path, words: Vocabulary, stage: Stage) -> tuple[Dataset, RowCounts]:
    """Return the rows of a file of examples with what became of them, written once."""
    from datasets import Dataset  # type: ignore[import-untyped, unused-ignore]

    arrow, counted = target.with_suffix(".arrow"), target.with_suffix(".json")
    if not counted.exists():
        counts, read = RowCounts(), read_examples(str(examples))
        apart = stage.dataset_num_proc > 1
        made = rows_apart(read, stage, counts) if apart else make_rows(read, words, stage.max_length, counts)
        write_rows(arrow, made)
        write_json(counted, asdict(counts))
    return Dataset.from_file(str(arrow)), RowCounts(**read_json(counted))


def _bundled(rows: Dataset, target: Path, max_length: int) -> Dataset:
    """Return the rows with what begins alike together, written once."""
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    from datasets import Dataset  # type: ignore[import-untyped, unused-ignore]

    if not target.exists():
        ids = pa.list_(pa.int32())
        columns = [("input_ids", ids), ("labels", ids), ("seq_lengths", ids), ("length", pa.int32())]
        bundled = bundles(rows, max_length)
        records = (
            (bundle.input_ids, bundle.labels, bundle.seq_lengths, len(bundle.input_ids)) for bundle in bundled
        )
        write_arrow(target, pa.schema(columns), records)
    return Dataset.from_file(str(target))


# ── the order of the rows ──────────────────────────────────────────────────────────────────────────────


CHUNK_BATCHES = 16
"""Batches that are sorted by length together: more saves little padding and makes batches less random."""


def order_rows(lengths: np.ndarray, batch: int, n_steps: int, seed: int, sort: bool) -> np.ndarray:
    """Return the indices of the rows of every step, shape (n_steps, batch).

    Each pass over the rows is a new shuffle (a chunk may straddle two). With `sort`, rows of like length
    share a batch, so that little is padding; the batches themselves stay shuffled, except that the longest
    of the first pass comes first: a model that does not fit the memory fails at once, not after hours.

    The order depends on nothing but the arguments. (Trainer's own samplers draw from the global random
    state, which a resumed run does not have in later epochs.) Any number of devices takes its share of
    the same batches, so the loss of a step does not depend on their number either.
    """
    random = np.random.default_rng(seed)
    n_rows, n_wanted = len(lengths), n_steps * batch
    rows = np.concatenate([random.permutation(n_rows) for _ in range(-(-n_wanted // n_rows))])[:n_wanted]
    if sort:
        size = CHUNK_BATCHES * batch
        rows = np.concatenate(
            [_sorted(rows[i : i + size], lengths, batch, random) for i in range(0, n_wanted, size)]
        )
    batches = rows.reshape(n_steps, batch)
    if sort:
        first_pass = batches[: max(1, n_rows // batch)]
        longest = int(lengths[first_pass].sum(axis=1).argmax())
        batches[[0, longest]] = batches[[longest, 0]]
    return batches


def _sorted(rows: np.ndarray, lengths: np.ndarray, batch: int, random: np.random.Generator) -> np.ndarray:
    """Return a chunk of rows as batches of like length, the batches shuffled."""
    # Stable, so that rows of one length keep their shuffled order.
    batches = rows[np.argsort(-lengths[rows], kind="stable")].reshape(-1, batch)
    return batches[random.permutation(len(batches))].reshape(-1)


# ── rows made by several processes ─────────────────────────────────────────────────────────────────────


CHUNK = 500
"""Examples that a process gets at once: half a second's work."""

AHEAD = 4
"""Chunks in the works for each process, so that a blend of any size takes no memory."""

_words: Vocabulary | None = None
"""How a worker reads the template, settled when it starts."""


def rows_apart(examples: Iterable[Example], stage: Stage, counts: RowCounts) -> Iterator[TokenRow]:
    """Yield the rows of `make_rows`, in the same order, made by `stage.dataset_num_proc` processes."""
    rest = iter(examples)
    chunks = iter(lambda: list(islice(rest, CHUNK)), [])
    # Spawned: threads of the tokenizer and of PyTorch do not survive a fork.
    with ProcessPoolExecutor(stage.dataset_num_proc, get_context("spawn"), _begin, (stage,)) as pool:
        running: deque[Future[tuple[list[TokenRow], RowCounts]]] = deque()
        try:
            for chunk in chunks:
                running.append(pool.submit(_make, chunk, stage.max_length))
                if len(running) >= AHEAD * stage.dataset_num_proc:
                    yield from _taken(running.popleft(), counts)
            while running:
                yield from _taken(running.popleft(), counts)
        finally:
            for future in running:
                future.cancel()


def _begin(stage: Stage) -> None:
    global _words
    _words = vocabulary(find_start(stage), stage.template)


def _make(examples: list[Example], max_length: int) -> tuple[list[TokenRow], RowCounts]:
    assert _words is not None
    counts = RowCounts()
    return list(make_rows(examples, _words, max_length, counts)), counts


def _taken(future: Future[tuple[list[TokenRow], RowCounts]], counts: RowCounts) -> list[TokenRow]:
    rows, counted = future.result()
    counts.add(counted)
    return rows
