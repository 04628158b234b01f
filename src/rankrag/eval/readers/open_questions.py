"""Open questions: KILT, DPR's csv, NQ-open, HotpotQA and 2WikiMultihopQA, MuSiQue, PopQA, FEVER."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence

from ... import files
from ...errors import FormatError
from ...files import Row
from ...types import Question
from ..benchmarks import Benchmark
from ..gold import Gold, GoldQuestion, LeftOut
from .json_fields import array
from .neutral_lines import labelled, verdict


def kilt(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield KILT: `{id, input, output: [{answer, provenance}]}` a line (github.com/facebookresearch/KILT).

    Provenance names pages of KILT's own Wikipedia, which are no ids of a corpus here, so no passage is gold.
    The public test files hold no output: they cannot be scored here.
    """
    for number, record in files.read_records(path):
        row = Row(path, number, record)
        said = [text for output in row.any_rows("output") for text in output.any_texts("answer")]
        if benchmark.style == "true_false":
            said = [labelled(row, text) for text in said]
        answers = tuple(dict.fromkeys(filter(None, said)))
        if not row.any_texts("input"):  # KILT publishes TriviaQA without its questions
            raise row.error("found no question in 'input', wanted it put in by id from the original dataset")
        yield _with_gold(benchmark, str(record.get("id", number)), row.stripped("input"), answers)


def dpr(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield DPR's test files: question, tab, the list of answers as Python writes it; quoted as csv is."""
    seen = Counter[str]()
    with files.open_text(path) as stream:
        rows = csv.reader(stream, delimiter="\t")
        for values in filter(None, rows):
            answers = _listed(values[1]) if len(values) == 2 else None
            if answers is None:
                problem = "found no list of answers after a tab, wanted question<tab>[...]"
                raise FormatError(path, rows.line_num, problem)
            text = values[0].strip()
            yield _with_gold(benchmark, _derived("dpr", text, seen), text, answers)


def _listed(text: str) -> tuple[str, ...] | None:
    """Return a Python list of texts, None for anything else."""
    try:
        value = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return None
    return tuple(map(str, value)) if isinstance(value, list) else None


def nq_open(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield NQ-open: `{question, answer: [...]}` a line."""
    seen = Counter[str]()
    for number, record in files.read_records(path):
        row = Row(path, number, record)
        text = row.stripped("question")
        yield _with_gold(benchmark, _derived("nq", text, seen), text, row.any_texts("answer"))


def hotpotqa(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield HotpotQA and 2WikiMultihopQA: an array of `{_id, question, answer, ...}`."""
    for row in array(path):
        yield _with_gold(benchmark, row.stripped("_id"), row.stripped("question"), row.any_texts("answer"))


def musique(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield MuSiQue: `{id, question, answer, answer_aliases, answerable, paragraphs}` a line.

    Paragraphs are numbered within a question and have no ids of a corpus, so none is gold here. In the full
    set every question has a twin of the same id that lacks a paragraph and cannot be answered: one unit.
    """
    for number, record in files.read_records(path):
        row = Row(path, number, record)
        answerable = record.get("answerable") is not False
        answers = (*row.any_texts("answer"), *row.any_texts("answer_aliases")) if answerable else ()
        gold = Gold(tuple(dict.fromkeys(answers)), answerable=answerable)
        name = row.stripped("id") if answerable else f"{row.stripped('id')}-unanswerable"
        question = Question(name, row.stripped("question"), style=benchmark.style)
        yield (
            GoldQuestion(question, gold, row.stripped("id"))
            if answers or not answerable
            else LeftOut("no gold answer")
        )


LONG_TAIL = 100
"""Views a month below which a subject of PopQA is rare: 1,399 of its 14,267 questions, the paper's set."""


def popqa(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield the long tail of PopQA: `id, question, possible_answers (JSON), s_pop, ...` under a header, TSV.

    `s_pop` counts the views a month of the subject's page. The selection is that of Self-RAG, which the
    paper follows.
    """
    with files.open_text(path) as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        for values in rows:
            row = Row(path, rows.line_num, values)
            if not (views := row.stripped("s_pop")).isdecimal():
                raise row.error(f"found {views!r} in 's_pop', wanted the views of a page")
            if int(views) >= LONG_TAIL:
                yield LeftOut(f"{LONG_TAIL} views a month or more")
                continue
            try:
                answers = Row(
                    path, row.place, {"possible_answers": json.loads(row.stripped("possible_answers"))}
                )
            except json.JSONDecodeError as error:
                raise row.error("found no JSON in 'possible_answers', wanted a list of texts") from error
            yield _with_gold(
                benchmark,
                f"popqa-{row.stripped('id')}",
                row.stripped("question"),
                answers.any_texts("possible_answers"),
            )


def fever(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield FEVER: `{id, claim, label}` a line; NOT ENOUGH INFO is dropped, as the paper has two labels."""
    for number, record in files.read_records(path):
        row = Row(path, number, record)
        if label := verdict(row):
            yield _with_gold(benchmark, f"fever-{record.get('id', number)}", row.stripped("claim"), [label])
        else:
            yield LeftOut("not enough info")


def _with_gold(benchmark: Benchmark, name: str, text: str, answers: Sequence[str]) -> GoldQuestion | LeftOut:
    if not answers:
        return LeftOut("no gold answer")
    return GoldQuestion(Question(name, text, style=benchmark.style), Gold(tuple(answers)), name)


def _derived(source: str, text: str, seen: Counter[str]) -> str:
    """Return an id for a question that has none; one that is asked again gets its number after it."""
    name = f"{source}-{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]}"
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"
