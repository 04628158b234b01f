"""Multiple choice: MIRAGE's benchmark.json, and PubMedQA's own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import FormatError, InvalidInputError, NotFoundError
from ...files import Row, read_json
from ...types import Question
from ..benchmarks import Benchmark
from ..gold import Gold, GoldQuestion, LeftOut
from .json_fields import choices, objects

MIRAGE_TASKS = {
    "mmlu_med": "mmlu",
    "pubmedqa": "pubmedqa",
    "bioasq": "bioasq",
    "medqa": "medqa",
    "medmcqa": "medmcqa",
}
"""Names of benchmarks, and of their tasks in MIRAGE, whose one file holds all five."""

YES_NO_MAYBE = {"A": "yes", "B": "no", "C": "maybe"}


def mirage(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield a benchmark's task of MIRAGE: `{task: {id: {question, options, answer}}}`.

    See github.com/Teddy-XiongGZ/MIRAGE.
    """
    if (task := MIRAGE_TASKS.get(benchmark.name)) is None:
        raise InvalidInputError(
            f"found MIRAGE's file for {benchmark.name}, wanted one of {', '.join(MIRAGE_TASKS)}: name it"
        )
    beginning = "bioasq_yn" if benchmark.name == "bioasq" else benchmark.name  # of the ids here
    value = read_json(path)
    tasks = value if isinstance(value, dict) else {}
    if not isinstance(tasks.get(task), dict):
        raise FormatError(path, None, f"found no task {task!r}, wanted MIRAGE's benchmark.json")
    for place, (name, record) in enumerate(tasks[task].items(), 1):
        row = Row(path, place, record if isinstance(record, dict) else {})
        options, letter = choices(row, "options"), row.stripped("answer")
        if letter not in options:
            raise row.error(f"found answer {letter!r}, wanted one of {', '.join(options)}")
        unique = f"{beginning}-{name}"
        question = Question(unique, row.stripped("question"), (), benchmark.style, options)
        yield GoldQuestion(question, Gold((letter,)), unique)


def pubmedqa(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
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
            yield LeftOut("not in the test split")
            continue
        if label not in letters:
            raise row.error(f"found label {label!r}, wanted one of {', '.join(letters)}")
        unique = f"pubmedqa-{name}"
        question = Question(unique, row.stripped("QUESTION"), (), benchmark.style, YES_NO_MAYBE)
        yield GoldQuestion(question, Gold((letters[label],)), unique)
