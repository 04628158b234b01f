"""The neutral shape: a JSON object a line, gold answers and judged passages beside the question."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ... import files, formats
from ...files import Row
from ...types import Style
from ..benchmarks import Benchmark
from ..gold import Gold, GoldQuestion, LeftOut
from .json_fields import UNITS, choices

VERDICTS = {"SUPPORTS": "True", "REFUTES": "False", "NOT ENOUGH INFO": ""}
"""FEVER's labels as verdicts; the third is none, and such claims are dropped as in the paper."""

_MADE_FROM = re.compile(r"0{6}[2-4]$")
"""FEVER-Symmetric makes three cases of a FEVER claim; their ids are its id followed by 0000002 to 0000004."""


def neutral_test(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield the questions of a neutral file whose `split` is test."""
    return neutral(path, benchmark, "test")


def neutral(path: str, benchmark: Benchmark, split: str = "") -> Iterator[GoldQuestion | LeftOut]:
    """Yield the questions of a neutral file; a question's own `style` goes before the benchmark's."""
    for number, record in files.read_records(path):
        if split and record.get("split") != split:
            yield LeftOut(f"not in the {split} split")
            continue
        row = Row(path, number, record)
        form = record.get("style") or ("choice" if record.get("options") else benchmark.style)
        question = formats.question(path, number, record | {"style": form})
        if question.style == "choice" and not question.options:
            raise row.error("found a question of style choice without options, wanted letters and texts")
        relevant = [passage for passage in row.any_rows("passages") if passage.values.get("relevant") is True]
        ids = [str(passage.values["id"]) for passage in relevant if passage.values.get("id")]
        answers = _answers(row, question.style)
        unanswerable = record.get("answerable") is False
        if not answers and not unanswerable:
            yield LeftOut("not enough info" if "label" in record else "no gold answer")
            continue
        gold = Gold(() if unanswerable else answers, frozenset(ids), not unanswerable)
        yield GoldQuestion(question, gold, _unit(row, ids) or question.id)


def neutral_record(item: GoldQuestion) -> dict[str, object]:
    """Return a question as a line of the neutral shape, which `neutral` reads back as it was.

    Of its gold passages those are in it whose text is known, which is what decontamination compares.
    """
    question, gold = item.question, item.gold
    history = [{"role": turn.role, "text": turn.text} for turn in question.history]
    passages = [
        formats.passage_record(passage) | {"relevant": True}
        for passage in item.candidates
        if passage.id in gold.passages
    ]
    named: dict[str, object] = {
        "history": history,
        "options": dict(question.options),
        "passages": passages,
        "topic": item.topic,
        "conversation": item.unit if item.unit != question.id else "",
    }
    return {
        **{"id": question.id, "question": question.text, "style": question.style},
        **_gold_fields(question.style, gold),
        **{name: value for name, value in named.items() if value},
    }


def _gold_fields(style: Style, gold: Gold) -> dict[str, object]:
    if not gold.answerable:
        return {"answers": [], "answerable": False}
    if style == "choice":
        return {"answer": gold.answers[0]}
    if style == "true_false":
        labels = {verdict: label for label, verdict in VERDICTS.items()}
        return {"label": labels[gold.answers[0]]}
    return {"answers": list(gold.answers)}


def _unit(row: Row, passages: list[str]) -> str:
    """Return what a question shares with others: conversation, FEVER claim, or its first gold passage."""
    named = next((str(row.values[name]) for name in UNITS if row.values.get(name) is not None), "")
    if named:
        return _MADE_FROM.sub("", named) if "fever_id" in row.values else named
    return f"passage {passages[0]}" if passages else ""


def _answers(row: Row, style: Style) -> tuple[str, ...]:
    if style == "true_false" and "label" in row.values:
        return tuple(filter(None, [verdict(row)]))
    if style == "choice":
        letter, options = row.stripped("answer"), choices(row, "options")
        if letter not in options:
            raise row.error(f"found answer {letter!r}, wanted one of {', '.join(options)}")
        return (letter,)
    names = ("answers", "answer", "golden_answers")  # the last is FlashRAG's
    return tuple(next(filter(None, map(row.any_texts, names)), ()))


def verdict(row: Row) -> str:
    """Return the verdict of a claim's `label`, empty where it is NOT ENOUGH INFO."""
    return labelled(row, row.stripped("label"))


def labelled(row: Row, label: str) -> str:
    """Return the verdict of one of FEVER's labels, empty for NOT ENOUGH INFO."""
    if label not in VERDICTS:
        raise row.error(f"found label {label!r}, wanted one of {', '.join(VERDICTS)}")
    return VERDICTS[label]
