"""The readers of official and neutral files by the names of their formats, and which format a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ... import files
from ...errors import FormatError
from ...files import read_json
from ..benchmarks import Benchmark, FileFormat
from ..gold import GoldQuestion, LeftOut
from .choices import mirage, pubmedqa
from .dialogues import chatrag, doc2dial, inscit, topiocqa
from .neutral_lines import neutral, neutral_test
from .open_questions import dpr, fever, hotpotqa, kilt, musique, nq_open, popqa

READERS: dict[FileFormat, Callable[[str, Benchmark], Iterator[GoldQuestion | LeftOut]]] = {
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
    "popqa": popqa,
    "pubmedqa": pubmedqa,
    "mirage": mirage,
}
"""Each takes the path of a file and the benchmark that it is read for."""

_Signs = tuple[tuple[frozenset[str], FileFormat], ...]
"""Names of fields, all of which the first record of a format has; the first that fit decide."""

_LINES: _Signs = (
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
_DOCUMENTS: _Signs = (
    (frozenset({"messages"}), "chatrag"),
    (frozenset({"Conversation_no", "Turn_no"}), "topiocqa"),
    (frozenset({"_id", "question", "answer"}), "hotpotqa"),
    (frozenset({"turns"}), "inscit"),
    (frozenset({"QUESTION", "final_decision"}), "pubmedqa"),
)


def detect(path: str) -> FileFormat:
    """Return the format of a file, by its first record; raises FormatError where none fits."""
    suffixes = [suffix for suffix in Path(path).suffixes if suffix not in (".xz", ".gz")]
    if suffixes[-1:] == [".csv"]:
        return _of_table(path)
    if suffixes[-1:] == [".json"]:
        return _of_document(path)
    if suffixes[-1:] == [".tsv"] and "s_pop" in _first_line(path).split("\t"):
        return "popqa"
    try:
        names = set(next((record for _, record in files.read_records(path)), {}))
    except FormatError:
        line = _first_line(path)
        if "\t" in line:
            return "dpr"
        if line.strip() not in ("[", "{"):
            raise
        return _of_document(path)
    return _fitting(path, names, _LINES)


def _of_table(path: str) -> FileFormat:
    line = _first_line(path)
    if line.startswith("id,question,context"):
        return "doc2dial"
    if "\t" in line:
        return "dpr"
    raise FormatError(path, 1, f"found {line[:40]!r}, wanted Doc2Dial's header or DPR's question<tab>[...]")


def _first_line(path: str) -> str:
    return next((line for _, line in files.read_lines(path)), "")


def _of_document(path: str) -> FileFormat:
    """Return the format of a file that is one JSON value: a list, or an object of records by id."""
    value = read_json(path)
    if isinstance(value, dict):
        if {"medqa", "mmlu"} & value.keys():
            return "mirage"
        value = list(value.values())
    record = value[0] if isinstance(value, list) and value else {}
    return _fitting(path, set(record) if isinstance(record, dict) else set(), _DOCUMENTS)


def _fitting(path: str, names: set[str], signs: _Signs) -> FileFormat:
    for wanted, name in signs:
        if wanted <= names:
            return name
    raise FormatError(
        path,
        1,
        f"found {', '.join(sorted(names)) or 'nothing'}, wanted question and answers (a JSON object a line), "
        f"or one of the formats {', '.join(READERS)}",
    )
