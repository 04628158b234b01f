"""Every record that goes in or comes out, one reader and one writer for each.

Readers stream. Every error is a `FormatError` that names the file and the line.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import quote, unquote

from .errors import FormatError
from .files import (
    Record,
    as_object,
    kind_of,
    open_text,
    parse_object,
    read_lines,
    read_records,
    write_records,
    writing,
)
from .spans import excerpt
from .types import (
    Answer,
    Citation,
    Cut,
    Example,
    Hit,
    Passage,
    Question,
    Source,
    Speaker,
    Style,
    Task,
    Turn,
    Usage,
)

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
            raise FormatError(path, number, f"found {len(cells)} columns, wanted 2 or 3 (id, text, title)")
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


# ── questions and conversations ──────────────────────────────────────────────────────────────────────


def read_questions(path: str) -> Iterator[Question]:
    """Yield the questions of a file: JSON lines, TSV (id, text) or plain lines.

    A record has its text in `question`, `text` or `query` and its id in `id` or `_id`. `history`, `style`
    and `options` are read where a record has them; gold answers are never read.
    """
    for number, line in read_lines(path):
        if line.lstrip().startswith("{"):
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


# ── runs and qrels (TREC) ────────────────────────────────────────────────────────────────────────────


def write_run(path: str, rankings: Iterable[tuple[str, Sequence[Hit]]], tag: str) -> int:
    """Write a TREC run (`qid Q0 docid rank score tag`, rank from 1); return the number of lines.

    Evaluation tools order a run by its score alone, so where our order differs from that of the scores
    (ties, hits left unscored) the score is lowered by the smallest step that keeps our order. The tag of
    hits left unscored ends in `-unscored`.
    """
    count = 0
    with writing(path) as stream:
        for name, hits in rankings:
            ceiling = float("inf")
            for rank, hit in enumerate(hits, 1):
                ceiling = min(hit.score, ceiling - max(1e-9, abs(ceiling) * 1e-9)) if rank > 1 else hit.score
                by = run_name(tag if hit.scored else f"{tag}-unscored")
                stream.write(f"{run_name(name)} Q0 {run_name(hit.passage.id)} {rank} {ceiling:.12g} {by}\n")
                count += 1
    return count


def run_name(name: str) -> str:
    """Return an id as a column of a run: white space, which separates columns, becomes `%20` and the like."""
    return re.sub(r"\s|%(?=[0-9A-Fa-f]{2})", lambda found: quote(found[0]), name) or "_"


def id_in_run(name: str) -> str:
    """Return the id for which `run_name` gives a name; what it cannot have given stands for itself."""
    spelled = unquote(name)
    return spelled if run_name(spelled) == name else name


def read_run(path: str) -> Iterator[tuple[str, str, float]]:
    """Yield (question id, passage id, score) of every line of a TREC run, in the order of the file."""
    for number, line in read_lines(path):
        parts = line.split()
        if len(parts) != 6:
            raise FormatError(
                path, number, f"found {len(parts)} columns, wanted 6 (qid Q0 docid rank score tag)"
            )
        yield parts[0], parts[2], _number(parts[4], path, number)


def read_qrels(path: str) -> Iterator[tuple[str, str, int]]:
    """Yield (question id, passage id, relevance) of TREC qrels (4 columns) or a BEIR TSV (3)."""
    for number, line in read_lines(path):
        parts = line.split()
        if number == 1 and parts[:2] == ["query-id", "corpus-id"]:
            continue
        if len(parts) not in (3, 4):
            raise FormatError(path, number, f"found {len(parts)} columns, wanted 4 (TREC) or 3 (BEIR)")
        yield parts[0], parts[-2], _whole(parts[-1], path, number)


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


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────


def answer_record(answer: Answer) -> Record:
    """Return an answer as `ask --output json` prints it; `n_scored` where that is not all of `ranked`."""
    record: Record = {
        "id": answer.question.id,
        "question": answer.question.text,
        "query": answer.query,
        "rewritten": answer.rewritten or None,
        "text": answer.text,
        "abstained": answer.abstained,
        "weak": answer.weak,
        "calibrated": answer.calibrated,
        "citations": [asdict(citation) for citation in answer.citations],
        "retrieved": [hit_record(hit) for hit in answer.retrieved],
        "ranked": [hit_record(hit) for hit in answer.ranked],
        "read_k": answer.read_k,
        "cuts": [asdict(cut) for cut in answer.cuts],
        "usage": {name: getattr(answer.usage, name) for name in ("prompt_tokens", "completion_tokens")},
        "timings_s": {step: round(seconds, 4) for step, seconds in answer.timings_s.items()},
    }
    return record | ({"n_scored": answer.n_scored} if answer.n_scored < len(answer.ranked) else {})


def answer_of(record: Mapping[str, object], question: Question) -> Answer:
    """Return the answer to a question of which `answer_record` made a record."""
    told = cast("Mapping[str, Any]", record)
    return Answer(
        question,
        query=told["query"],
        rewritten=told["rewritten"] or "",
        retrieved=tuple(map(_hit_of, told["retrieved"])),
        n_ranked=told.get("n_ranked", len(told["ranked"])),
        ranked=tuple(map(_hit_of, told["ranked"])),
        read_k=told["read_k"],
        text=told["text"],
        citations=tuple(Citation(**citation) for citation in told["citations"]),
        abstained=told["abstained"],
        weak=told["weak"],
        calibrated=told["calibrated"],
        cuts=tuple(Cut(**cut) for cut in told["cuts"]),
        usage=Usage(**told["usage"]),
        timings_s=told["timings_s"],
        done=told.get("done", True),
    )


def _hit_of(told: Mapping[str, Any]) -> Hit:
    source = Source(told["source"], told["page"], told["source_start"], told["source_end"])
    found = Passage(told["id"], told["text"], told["title"], source, told["attributes"])
    return Hit(found, told["score"] or 0.0, told.get("scored", True), told.get("cut", 0))


def excerpts_record(answer: Answer) -> Record:
    """Return, by the id of each passage, its sentence that matters and the words in it that tell so.

    `{start, end, marks: [[start, end], ...]}`, in characters of the passage's text: before the answer is done
    by the question, then for the passages that were read by the answer too.
    """
    read = {hit.passage.id for hit in answer.ranked[: answer.read_k]} if answer.done else set()
    said = "" if answer.abstained else answer.text
    found = {
        hit.passage.id: excerpt(
            hit.passage.text, answer.question.text, said if hit.passage.id in read else ""
        )
        for hit in answer.retrieved
    }
    return {name: {"start": one.start, "end": one.end, "marks": one.marks} for name, one in found.items()}


def hit_record(hit: Hit) -> Record:
    """Return a hit as JSON shows it: path or URL, page and offsets flat; no score where it is unscored."""
    source = hit.passage.source or Source(path="")
    record: Record = {
        "id": hit.passage.id,
        "score": hit.score if hit.scored else None,
        "title": hit.passage.title,
        "text": hit.passage.text,
        "source": source.path,
        "page": source.page,
        "source_start": source.start,
        "source_end": source.end,
        "attributes": dict(hit.passage.attributes),
    }
    return record | ({} if hit.scored else {"scored": False}) | ({"cut": hit.cut} if hit.cut else {})


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


def _number(text: str, path: str, line: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise FormatError(path, line, f"found {text!r}, wanted a number")
    return number


def _whole(text: str, path: str, line: int) -> int:
    number = _number(text, path, line)
    if not number.is_integer():
        raise FormatError(path, line, f"found {text!r}, wanted a whole number")
    return int(number)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
