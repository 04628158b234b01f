"""What users bring: passages, questions, conversations and examples, in JSON, TSV or plain lines.

Readers stream. Every error is a `FormatError` that names the file and the line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast, get_args

from ..errors import FormatError, amount
from ..files import (
    Record,
    as_object,
    kind_of,
    open_text,
    parse_object,
    read_lines,
    read_records,
    write_records,
)
from ..types import Example, Passage, Question, Source, Speaker, Style, Task, Turn

# ── passages ─────────────────────────────────────────────────────────────────────────────────────────


def read_passages(path: str) -> Iterator[Passage]:
    """Yield the passages of a file: JSON lines (see `passage`), TSV, or plain text with a passage a line.

    TSV has two columns, as they stand (MS MARCO's collection: id, text), or three, quoted, the header left
    out (DPR's psgs_w100: id, text, title).
    """
    if ".tsv" in Path(path).suffixes:
        yield from _tsv_passages(path)
        return
    for number, line in read_lines(path):
        if line.lstrip().startswith("{"):
            yield passage(path, number, parse_object(path, number, line))
        else:
            yield Passage(id=str(number), text=line.strip())


def _tsv_passages(path: str) -> Iterator[Passage]:
    for number, line in read_lines(path):
        cells = line.split("\t")
        if len(cells) == 3:
            (cells,) = csv.reader([line], delimiter="\t")
        if len(cells) not in (2, 3):
            raise FormatError(
                path, number, f"found {amount(len(cells), 'column')}, wanted 2 or 3 (id, text, title)"
            )
        if cells != ["id", "text", "title"]:
            yield Passage(cells[0], cells[1], cells[2] if len(cells) == 3 else "")


def passage(path: str, line: int, record: Record) -> Passage:
    """Return a passage from a record in the shape of BEIR, FlashRAG or this project.

    The id is `_id` or `id` (else the line number), the text `text` or `contents`, of which a title may stand
    alone, and `metadata` or `attributes` holds further values, which are kept as strings.
    """
    extra = record.get("metadata") or record.get("attributes") or {}
    if not isinstance(extra, dict):
        raise FormatError(path, line, f"found metadata of type {kind_of(extra)}, wanted an object")
    names, title = ("text", "contents"), _text(record, "title", path, line)
    is_title_alone = bool(title) and not any(record.get(name) for name in names)
    return Passage(
        id=_id(record, line),
        text="" if is_title_alone else _one_of(record, names, path, line),
        title=title,
        source=_source(record.get("source")),
        attributes={str(name): _plain(value) for name, value in extra.items()},
    )


def passage_record(passage: Passage) -> Record:
    """Return a passage as a line of a corpus, which `passage` reads: its id, title and text."""
    return {"id": passage.id, "title": passage.title, "text": passage.text}


# ── questions and conversations ──────────────────────────────────────────────────────────────────────


def read_questions(path: str) -> Iterator[Question]:
    """Yield the questions of a file: JSON lines (in a .jsonl nothing else), TSV (id, text) or plain lines.

    A record has its text in `question`, `text` or `query` and its id in `id` or `_id`. `history`, `style`
    and `options` are read where a record has them; gold answers are never read.
    """
    is_json = ".jsonl" in Path(path).suffixes
    for number, line in read_lines(path):
        if is_json or line.lstrip().startswith("{"):
            yield question(path, number, parse_object(path, number, line))
        elif "\t" in line:
            name, text = line.split("\t", 1)
            yield Question(id=name.strip(), text=text.strip())
        else:
            yield Question(id=str(number), text=line.strip())


def question(path: str, line: int, record: Record) -> Question:
    """Return a question from a record in the shape of BEIR or of this project."""
    options = record.get("options") or {}
    if not isinstance(options, dict):
        raise FormatError(path, line, f"found options of type {kind_of(options)}, wanted an object")
    style = record.get("style") or "plain"
    if style not in get_args(Style):
        raise FormatError(path, line, f"found style {style!r}, wanted one of {', '.join(get_args(Style))}")
    return Question(
        id=_id(record, line),
        text=_one_of(record, ("question", "text", "query"), path, line),
        history=_turns(record.get("history") or [], path, line),
        style=cast("Style", style),
        options={str(letter): _plain(text) for letter, text in options.items()},
    )


def read_history(path: str) -> tuple[Turn, ...]:
    """Return a conversation, oldest turn first: a JSON list of messages, or one message a line.

    A message is `{"role": "user" | "assistant", "content": ...}` (`text` is accepted for `content`).
    """
    with open_text(path) as stream:
        text = stream.read().strip()
    if text.startswith("["):
        try:
            return _turns(json.loads(text), path, None)
        except json.JSONDecodeError as error:
            raise FormatError(path, error.lineno, f"found broken JSON ({error.msg})") from error
    messages = [
        parse_object(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    return _turns(messages, path, None)


# ── examples ─────────────────────────────────────────────────────────────────────────────────────────


def write_examples(path: str, examples: Iterable[Example]) -> int:
    """Write training examples as JSON lines; return their number."""
    return write_records(path, (asdict(item) for item in examples))


def read_examples(path: str) -> Iterator[Example]:
    """Yield the training examples that `write_examples` wrote, or that anyone wrote in its shape."""
    for number, record in read_records(path):
        task = record.get("task")
        if task not in get_args(Task):
            raise FormatError(path, number, f"found task {task!r}, wanted one of {', '.join(get_args(Task))}")
        yield Example(
            id=_id(record, number),
            source=_text(record, "source", path, number),
            task=cast("Task", task),
            question=question(path, number, _mapping(record, "question", path, number)),
            passages=tuple(
                passage(path, number, as_object(path, number, item))
                for item in _list(record, "passages", path, number)
            ),
            target=_one_of(record, ("target",), path, number),
        )


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


def _mapping(record: Record, name: str, path: str, line: int) -> Record:
    if name not in record:
        raise FormatError(path, line, f"found no {name!r}")
    return as_object(path, line, record[name])


def _list(record: Record, name: str, path: str, line: int) -> list[object]:
    value = record.get(name, [])
    if not isinstance(value, list):
        raise FormatError(path, line, f"found {name} of type {kind_of(value)}, wanted a list")
    return value


def _text(record: Record, name: str, path: str, line: int) -> str:
    value = record.get(name) or ""
    if not isinstance(value, str):
        raise FormatError(path, line, f"found {name} of type {kind_of(value)}, wanted text")
    return value


def _one_of(record: Record, names: Sequence[str], path: str, line: int) -> str:
    for name in names:
        if record.get(name):
            return _text(record, name, path, line)
    raise FormatError(path, line, f"found no text in {' or '.join(map(repr, names))}")


def _id(record: Record, line: int) -> str:
    value = record.get("_id", record.get("id"))
    return str(line) if value is None else str(value)


def _source(value: object) -> Source | None:
    if isinstance(value, str):
        return Source(path=value) if value else None
    if not isinstance(value, dict):
        return None
    numbers = {name: value.get(name) for name in ("page", "start", "end")}
    whole = {name: number for name, number in numbers.items() if isinstance(number, int)}
    return Source(path=str(value.get("path", "")), **whole)


def _turns(messages: object, path: str, line: int | None) -> tuple[Turn, ...]:
    if not isinstance(messages, list):
        raise FormatError(
            path, line, f"found a conversation of type {kind_of(messages)}, wanted a list of messages"
        )
    turns = []
    for message in messages:
        record = as_object(path, line, message)
        role, text = record.get("role"), record.get("content", record.get("text"))
        if role not in get_args(Speaker) or not isinstance(text, str):
            raise FormatError(
                path, line, "found a message without a role (user, assistant) or without its text"
            )
        turns.append(Turn(cast("Speaker", role), text))
    return tuple(turns)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
