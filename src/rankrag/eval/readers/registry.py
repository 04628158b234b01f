"""The formats by name, and which one a file is in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ... import formats
from ...errors import FormatError, InvalidInputError
from ...types import Style
from ..benchmark import Dropped, Item, Reader
from .choices import mirage, pubmedqa
from .conversations import chatrag, doc2dial, inscit, topiocqa
from .fields import read_json
from .neutral import neutral, neutral_test
from .open_domain import dpr, fever, hotpotqa, kilt, musique, nq_open

Read = Callable[[str, Style], Iterator[Item | Dropped]]

READERS: dict[Reader, Read] = {
    "neutral": neutral,
    "neutral_test": neutral_test,
    "kilt": kilt,
    "dpr": dpr,
    "nq_open": nq_open,
    "hotpotqa": hotpotqa,
    "musique": musique,
    "fever": fever,
    "chatrag": chatrag,
    "doc2dial": doc2dial,
    "topiocqa": topiocqa,
    "inscit": inscit,
    "pubmedqa": pubmedqa,
}

MIRAGE_TASKS = {
    "mmlu_med": "mmlu",
    "pubmedqa": "pubmedqa",
    "bioasq": "bioasq",
    "medqa": "medqa",
    "medmcqa": "medmcqa",
}
"""Names of benchmarks, and of their tasks in MIRAGE."""


def reader(kind: Reader, benchmark: str) -> Read:
    """Return what reads a format; MIRAGE's one file holds a task a benchmark."""
    if kind != "mirage":
        return READERS[kind]
    if benchmark not in MIRAGE_TASKS:
        raise InvalidInputError(
            f"found MIRAGE's file for {benchmark}, wanted one of {', '.join(MIRAGE_TASKS)}: name it"
        )
    return partial(mirage, task=MIRAGE_TASKS[benchmark])


_LINES: tuple[tuple[frozenset[str], Reader], ...] = (
    (frozenset({"input", "output"}), "kilt"),
    (frozenset({"claim", "label"}), "fever"),
    (frozenset({"question", "answer", "paragraphs"}), "musique"),
    (frozenset({"question", "answers"}), "neutral"),
    (frozenset({"question", "label"}), "neutral"),
    (frozenset({"question", "options", "answer"}), "neutral"),
    (frozenset({"question", "golden_answers"}), "neutral"),
    (frozenset({"question", "id", "answer"}), "neutral"),
    (frozenset({"question", "answer"}), "nq_open"),
)
_RECORDS: tuple[tuple[frozenset[str], Reader], ...] = (
    (frozenset({"messages"}), "chatrag"),
    (frozenset({"Conversation_no", "Turn_no"}), "topiocqa"),
    (frozenset({"_id", "question", "answer"}), "hotpotqa"),
    (frozenset({"turns"}), "inscit"),
    (frozenset({"QUESTION", "final_decision"}), "pubmedqa"),
)


def sniff(path: str) -> Reader:
    """Return the format of a file, by its first record; raises FormatError where none fits."""
    suffixes = [suffix for suffix in Path(path).suffixes if suffix not in (".xz", ".gz")]
    if suffixes[-1:] == [".csv"]:
        first = next((line for _, line in formats.read_lines(path)), "")
        return "doc2dial" if first.startswith("id,question,context") else "dpr"
    names, table = _first(path, suffixes[-1:] == [".json"])
    for wanted, kind in table:
        if wanted <= names:
            return kind
    raise FormatError(
        path,
        1,
        f"found {', '.join(sorted(names)) or 'nothing'}, wanted question and answers (a JSON object a line), "
        f"or one of the formats {', '.join(READERS)}, mirage",
    )


def _first(path: str, whole: bool) -> tuple[set[str], tuple[tuple[frozenset[str], Reader], ...]]:
    if not whole:
        try:
            return set(next((record for _, record in formats.read_records(path)), {})), _LINES
        except FormatError:
            line = next((line for _, line in formats.read_lines(path)), "")
            if line.strip() not in ("[", "{") and "\t" not in line:
                raise
            if "\t" in line:
                return {"question", "list"}, ((frozenset({"list"}), "dpr"),)
    value = read_json(path)
    if isinstance(value, dict):
        if {"medqa", "mmlu"} & value.keys():
            return {"medqa"}, ((frozenset({"medqa"}), "mirage"),)
        value = list(value.values())
    record = value[0] if isinstance(value, list) and value else {}
    return set(record) if isinstance(record, dict) else set(json.dumps(record)[:0]), _RECORDS
