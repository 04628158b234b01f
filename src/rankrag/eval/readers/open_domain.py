"""Open questions: KILT, DPR's csv, NQ-open, HotpotQA and 2WikiMultihopQA, MuSiQue, FEVER."""

from __future__ import annotations

import ast
import csv
import hashlib
from collections import Counter
from collections.abc import Iterator

from ... import formats
from ...errors import FormatError
from ...types import Question, Style
from ..benchmark import Dropped, Gold, Item
from .fields import Fields, array
from .neutral import VERDICTS, verdict


def kilt(path: str, style: Style) -> Iterator[Item | Dropped]:
    """Yield KILT: `{id, input, output: [{answer, provenance}]}` a line (github.com/facebookresearch/KILT).

    Provenance names pages of KILT's own Wikipedia, which are no ids of a corpus here, so no passage is gold.
    The public test files hold no output: they cannot be scored here.
    """
    for number, record in formats.read_records(path):
        row = Fields(path, number, record)
        found = [text for one in row.records("output") for text in one.texts("answer")]
        if style == "true_false":
            found = [_label(row, text) for text in found]
        answers = tuple(dict.fromkeys(filter(None, found)))
        if not row.texts("input"):  # KILT publishes TriviaQA without its questions
            raise row.fault("found no question in 'input', wanted it put in by id from the original dataset")
        yield _item(str(record.get("id", number)), row.text("input"), style, answers)


def _label(row: Fields, text: str) -> str:
    if text not in VERDICTS:
        raise row.fault(f"found label {text!r}, wanted one of {', '.join(VERDICTS)}")
    return VERDICTS[text]


def dpr(path: str, style: Style) -> Iterator[Item | Dropped]:
    """Yield DPR's test files: question, tab, the list of answers as Python writes it; quoted as csv is."""
    seen = Counter[str]()
    with formats.open_text(path) as stream:
        rows = csv.reader(stream, delimiter="\t")
        for values in filter(None, rows):
            answers = _listed(values[1]) if len(values) == 2 else None
            if answers is None:
                problem = "found no list of answers after a tab, wanted question<tab>[...]"
                raise FormatError(path, rows.line_num, problem)
            text = values[0].strip()
            yield _item(_derived("dpr", text, seen), text, style, answers)


def _listed(text: str) -> tuple[str, ...] | None:
    """Return a Python list of texts, None for anything else."""
    try:
        found = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return None
    return tuple(map(str, found)) if isinstance(found, list) else None


def nq_open(path: str, style: Style) -> Iterator[Item | Dropped]:
    """Yield NQ-open: `{question, answer: [...]}` a line."""
    seen = Counter[str]()
    for number, record in formats.read_records(path):
        row = Fields(path, number, record)
        text = row.text("question")
        yield _item(_derived("nq", text, seen), text, style, tuple(row.texts("answer")))


def hotpotqa(path: str, style: Style) -> Iterator[Item | Dropped]:
    """Yield HotpotQA and 2WikiMultihopQA: an array of `{_id, question, answer, ...}`."""
    for row in array(path):
        yield _item(row.text("_id"), row.text("question"), style, tuple(row.texts("answer")))


def musique(path: str, style: Style) -> Iterator[Item | Dropped]:
    """Yield MuSiQue: `{id, question, answer, answer_aliases, answerable, paragraphs}` a line.

    Paragraphs are numbered within a question and have no ids of a corpus, so none is gold here. In the full
    set every question has a twin of the same id that lacks a paragraph and cannot be answered: one unit.
    """
    for number, record in formats.read_records(path):
        row = Fields(path, number, record)
        answerable = record.get("answerable") is not False
        answers = (*row.texts("answer"), *row.texts("answer_aliases")) if answerable else ()
        gold = Gold(tuple(dict.fromkeys(answers)), answerable=answerable)
        name = row.text("id") if answerable else f"{row.text('id')}-unanswerable"
        question = Question(name, row.text("question"), style=style)
        yield Item(question, gold, row.text("id")) if answers or not answerable else Dropped("no gold answer")


def fever(path: str, style: Style) -> Iterator[Item | Dropped]:
    """Yield FEVER: `{id, claim, label}` a line; NOT ENOUGH INFO is dropped, as the paper has two labels."""
    for number, record in formats.read_records(path):
        row = Fields(path, number, record)
        answers = tuple(filter(None, [verdict(row)]))
        found = _item(f"fever-{record.get('id', number)}", row.text("claim"), style, answers)
        yield found if answers else Dropped("not enough info")


def _item(name: str, text: str, style: Style, answers: tuple[str, ...]) -> Item | Dropped:
    return (
        Item(Question(name, text, style=style), Gold(answers), name) if answers else Dropped("no gold answer")
    )


def _derived(source: str, text: str, seen: Counter[str]) -> str:
    """Return an id for a question that has none; one that is asked again gets its number after it."""
    name = f"{source}-{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]}"
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"
