"""Examples as token rows: the same ids that serving sees, then the target, which alone carries the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .. import prompts
from ..errors import InvalidInputError
from ..files import replacing
from ..fitting import fit
from ..types import Example, Passage, Prompt, Task

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

Part = Literal["rank", "list", "answer"]
"""What held-out losses are told apart by: a passage judged, relevant passages listed, an answer given."""

PARTS: dict[Task, Part] = {
    "instruct": "answer",
    "context_qa": "answer",
    "retrieval_qa": "answer",
    "rank": "rank",
    "retrieval_rank": "list",
}

IGNORED = -100
"""The label of a token that carries no loss."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One example as tokens: `input_ids[n_prompt:]` is the target with its end, the rest is read only."""

    input_ids: tuple[int, ...]
    n_prompt: int
    task: Task

    @property
    def completion_mask(self) -> tuple[int, ...]:
        """1 where the loss is taken, 0 elsewhere; as long as `input_ids`."""
        return (0,) * self.n_prompt + (1,) * (len(self.input_ids) - self.n_prompt)

    @property
    def labels(self) -> tuple[int, ...]:
        """The ids of the target, `IGNORED` before it; as long as `input_ids`."""
        return (IGNORED,) * self.n_prompt + self.input_ids[self.n_prompt :]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How a model reads a template: `encode` gives the ids of prompt and target, `end` closes a target.

    `n_tokens` counts the tokens of a part of a prompt, as `encode` would make them.
    """

    form: prompts.Template
    encode: Callable[[Prompt], tuple[list[int], list[int]]]
    n_tokens: Callable[[str], int]
    end: tuple[int, ...]

    def labels(self) -> tuple[int, int]:
        """Return the first token of the True and of the False label, as they follow a prompt."""
        opened = Prompt("", self.form.open_answer, markers=self.form.markers)
        true, false = (self.encode(replace(opened, target=t))[1][0] for t in self.form.labels())
        return true, false


@dataclass(slots=True)
class RowCounts:
    """What became of the examples: rows by task, tokens, passages cut, and rows dropped by reason."""

    rows: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    target_tokens: int = 0
    rows_cut: int = 0
    characters_cut: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def add(self, other: RowCounts) -> None:
        """Add what became of further examples."""
        for mine, theirs in ((self.rows, other.rows), (self.dropped, other.dropped)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        self.tokens += other.tokens
        self.target_tokens += other.target_tokens
        self.rows_cut += other.rows_cut
        self.characters_cut += other.characters_cut


def make_rows(
    examples: Iterable[Example], vocabulary: Vocabulary, max_length: int, counts: RowCounts
) -> Iterator[TokenRow]:
    """Yield a row for every example that can be taught in `max_length` tokens, counting what happens.

    Passages are cut until the row fits; frame, question and target never are. An example is dropped,
    and counted under its reason, where that is not enough, or where the cut took away the very words
    that its target repeats: it would teach to answer without evidence.
    """
    for item in examples:
        row, cut = _row(item, vocabulary, max_length)
        if isinstance(row, str):
            counts.dropped[row] = counts.dropped.get(row, 0) + 1
            continue
        counts.rows[row.task] = counts.rows.get(row.task, 0) + 1
        counts.tokens += len(row.input_ids)
        counts.target_tokens += len(row.input_ids) - row.n_prompt
        counts.rows_cut += cut > 0
        counts.characters_cut += cut
        yield row


def _row(item: Example, vocabulary: Vocabulary, max_length: int) -> tuple[TokenRow | str, int]:
    """Return the row of an example, or the reason why there is none, and the characters cut."""

    def build(passages: Sequence[Passage]) -> Prompt:
        return prompts.example(replace(item, passages=tuple(passages)), vocabulary.form)

    prompt_ids, target_ids = vocabulary.encode(build(item.passages))
    target_ids = [*target_ids, *vocabulary.end]
    if len(prompt_ids) + len(target_ids) <= max_length:
        return TokenRow((*prompt_ids, *target_ids), len(prompt_ids), item.task), 0
    # What the tokenizer puts before every text (a BOS) is in the ids, but not in the counts of `fit`.
    extra = len(prompt_ids) - _length(build(item.passages), vocabulary)
    budget = max_length - len(target_ids) - extra
    try:
        short, cuts = fit(build, item.passages, budget, vocabulary.n_tokens)
    except InvalidInputError:
        return "question and target do not fit", 0
    if _lost(item, short, vocabulary.form):
        return "the cut took the answer away", 0
    prompt_ids, _ = vocabulary.encode(short)
    row = TokenRow((*prompt_ids, *target_ids), len(prompt_ids), item.task)
    return row, sum(cut.length - cut.kept for cut in cuts)


def _length(prompt: Prompt, vocabulary: Vocabulary) -> int:
    return vocabulary.n_tokens(prompt.prefix) + vocabulary.n_tokens(prompt.suffix)


def _lost(item: Example, short: Prompt, form: prompts.Template) -> bool:
    """Say whether an answer that stood in the passages no longer does after the cut."""
    if PARTS[item.task] != "answer":
        return False
    whole, answer = prompts.example(item, form).prefix.casefold(), item.target.strip().casefold()
    return answer in whole and answer not in short.prefix.casefold()


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────────

ROWS_AT_ONCE = 2000


def write_rows(path: Path, rows: Iterable[TokenRow]) -> int:
    """Write rows as an Arrow stream with input_ids, labels, task and length; return their number.

    The file takes its name once it is whole; training reads it memory-mapped, so a blend of any size
    takes no memory.
    """
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

    ids = pa.list_(pa.int32())
    schema = pa.schema([("input_ids", ids), ("labels", ids), ("task", pa.string()), ("length", pa.int32())])
    return write_arrow(
        path, schema, ((row.input_ids, row.labels, row.task, len(row.input_ids)) for row in rows)
    )


def write_arrow(path: Path, schema: pa.Schema, records: Iterable[Sequence[object]]) -> int:
    """Write records, a value for each column of the schema, as an Arrow stream; return their number."""
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

    count, rest = 0, iter(records)
    with (
        replacing(path) as partial,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as stream,
    ):
        while batch := list(islice(rest, ROWS_AT_ONCE)):
            count += len(batch)
            stream.write_batch(
                pa.record_batch([list(column) for column in zip(*batch, strict=True)], schema=schema)
            )
    return count
