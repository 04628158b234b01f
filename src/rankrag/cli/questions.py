"""`rankrag data questions`: questions on one's own passages, to train on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import prompts
from ..errors import InvalidInputError, amount
from ..files import Record, write_records
from ..formats import passage_record
from ..system import RAG, Engine, SystemSpec, models, open_engine, open_system
from ..types import Passage, Question
from . import console, progress
from .options import DEFAULT_INDEX, IndexFolder, Output, RetrieveK, arguments, takes_system

if TYPE_CHECKING:
    from ..index import Store

LEAST_WORDS = 30
"""Of a passage that is asked about: in fewer there is little to ask."""

LEAST_ASKED = 4
"""Words of a question. The small models end theirs without a mark, so that tells nothing."""

MOST_TOKENS = 48
"""Of a question."""

READ_AT_ONCE = 1000


@takes_system("model", "ranker", "generator", "retriever", "read_k", "precision")
def questions(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the questions go: JSON lines.")],
    index: IndexFolder = DEFAULT_INDEX,
    n: Annotated[
        int, typer.Option("-n", metavar="N", min=1, help="Passages to ask about, drawn by --seed.")
    ] = 300,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the draw.")] = 0,
    *,
    spec: SystemSpec,
    writer: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model that writes the questions, if not the answering one."),
    ] = None,
    retrieve_k: RetrieveK = 20,
    output: Output = "text",
) -> None:
    """Write questions on the passages of an index, for `data build`.

    Each has its answer and near misses beside it.

    A question is kept if it comes back: search and ranking find its passage among those that are read, and
    from these the model answers as it did from the passage alone.
    """
    spec = replace(spec, index=index, retrieve_k=retrieve_k)
    with arguments():
        spec.check()
        models.check_model(writer or spec.model)
    from ..index import open_store

    with console.working(f"loading {spec.names()}"):
        passages = drawn(open_store(index), n, seed)
        rag = open_system(spec)
        writes = open_engine(writer, loading=spec.loading.where_it_fits(writer)) if writer else rag.answering
    dropped: Counter[str] = Counter()

    def kept() -> Iterator[Record]:
        for passage in progress.track(passages, len(passages), "passages"):
            item = question_on(passage, rag, writes)
            if isinstance(item, str):
                dropped[item] += 1
            else:
                yield item

    n_kept = write_records(str(to), kept())
    record = {"questions": str(to), "passages": len(passages), "kept": n_kept, "dropped": dropped}
    reasons = "; ".join(f"{reason}: {count}" for reason, count in dropped.most_common())
    words = f"{to}: {amount(n_kept, 'question')} on {amount(len(passages), 'passage')}. {reasons}".rstrip()
    console.give(output, record, words)


def drawn(store: Store, n: int, seed: int) -> list[Passage]:
    """Return at most `n` passages of an index that are long enough to ask about."""
    ids = sorted(store.ids())
    random.Random(seed).shuffle(ids)

    def long_enough() -> Iterator[Passage]:
        for start in range(0, len(ids), READ_AT_ONCE):
            passages = store.passages(wanted := ids[start : start + READ_AT_ONCE])
            yield from (passages[name] for name in wanted if len(passages[name].text.split()) >= LEAST_WORDS)

    return [*islice(long_enough(), n)]


def question_on(passage: Passage, rag: RAG, writer: Engine) -> Record | str:
    """Return a question on a passage, in the neutral shape of a data folder, or why there is none."""
    from ..data.matching import contains_answer

    prompt = prompts.question(passage, writer.form)
    written = "".join(writer.lm.generate(prompt, MOST_TOKENS, writer.form.stop)).strip().partition("\n")[0]
    if len(written.split()) < LEAST_ASKED:
        return "no question"
    question = Question(passage.id, written, style="phrase")
    pipeline = replace(rag.pipeline, citer=None, min_relevance=None)
    if pipeline.generator is None:
        raise InvalidInputError("found a system that does not answer, wanted one that does")
    answer = "".join(pipeline.generator.read(question, [passage]).pieces()).rstrip(".")
    if not contains_answer(passage.text, [answer]):
        return "its answer is not in the passage"
    asked = pipeline.ask(question)
    if passage.id not in {hit.passage.id for hit in asked.ranked[: asked.read_k]}:
        return "its passage is not found again"
    if not contains_answer(asked.text, [answer]) and not contains_answer(answer, [asked.text]):
        return "answered otherwise from what is found"
    misses = [hit.passage for hit in asked.ranked if not contains_answer(hit.passage.text, [answer])]
    return {
        "id": passage.id,
        "question": written,
        "answers": [answer],
        "passages": [
            passage_record(passage) | {"relevant": True},
            *(passage_record(miss) | {"relevant": False} for miss in misses),
        ],
    }
