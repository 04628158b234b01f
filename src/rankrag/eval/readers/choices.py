"""Multiple choice: MIRAGE's benchmark.json, and PubMedQA's own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import FormatError, NotFoundError
from ...types import Question, Style
from ..benchmark import Dropped, Gold, Item
from .fields import Fields, objects, read_json

TASKS = {
    "mmlu": "mmlu_med",
    "pubmedqa": "pubmedqa",
    "bioasq": "bioasq_yn",
    "medqa": "medqa",
    "medmcqa": "medmcqa",
}
"""Names of MIRAGE's tasks, and how ids begin here."""

YES_NO_MAYBE = {"A": "yes", "B": "no", "C": "maybe"}


def mirage(path: str, style: Style, task: str) -> Iterator[Item | Dropped]:
    """Yield one task of MIRAGE: `{task: {id: {question, options, answer}}}`.

    See github.com/Teddy-XiongGZ/MIRAGE.
    """
    value = read_json(path)
    tasks = value if isinstance(value, dict) else {}
    if not isinstance(tasks.get(task), dict):
        raise FormatError(path, None, f"found no task {task!r}, wanted MIRAGE's benchmark.json")
    for place, (name, record) in enumerate(tasks[task].items(), 1):
        row = Fields(path, place, record if isinstance(record, dict) else {})
        options, letter = row.choices("options"), row.text("answer")
        if letter not in options:
            raise row.fault(f"found answer {letter!r}, wanted one of {', '.join(options)}")
        unique = f"{TASKS[task]}-{name}"
        yield Item(Question(unique, row.text("question"), (), style, options), Gold((letter,)), unique)


def pubmedqa(path: str, style: Style) -> Iterator[Item | Dropped]:
    """Yield the official test split of PubMedQA: what test_ground_truth.json names of ori_pqal.json.

    MIRAGE's PubMedQA* is these 500, without their abstracts.
    """
    truth = next(iter(sorted(Path(path).parent.glob("test_ground_truth.json*"))), None)
    if truth is None:
        raise NotFoundError(
            f"found no test_ground_truth.json beside {path}, wanted the test split: put it there"
        )
    labels = read_json(str(truth))
    letters = {text: letter for letter, text in YES_NO_MAYBE.items()}
    for name, row in objects(path):
        label = labels.get(name) if isinstance(labels, dict) else None
        if label is None:
            yield Dropped("not in the test split")
            continue
        if label not in letters:
            raise row.fault(f"found label {label!r}, wanted one of {', '.join(letters)}")
        unique = f"pubmedqa-{name}"
        question = Question(unique, row.text("QUESTION"), (), style, YES_NO_MAYBE)
        yield Item(question, Gold((letters[label],)), unique)
