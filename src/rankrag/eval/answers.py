"""What a system gave for a benchmark, on disk: a folder that grows by a line a question.

    facts.json       the system, the benchmark, the sample: a folder holds the answers of one system
    answers.jsonl    one answer a line, in the order in which they were finished; hits by id and score
    passages.jsonl   the text of every passage that a hit names, once

A kill loses at most the question in work: a line that was not finished is cut off when work goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Self

from ..errors import FormatError, InvalidInputError, NotFoundError
from ..files import locked, read_records, typed, write_json
from ..formats import answer_record, passage, passage_record
from ..types import Answer, Citation, Hit, Passage, Question
from .results import System, joined

FACTS, ANSWERS, PASSAGES = "facts.json", "answers.jsonl", "passages.jsonl"
LOCK = ".lock"
"""Held while a folder is open for adding; empty."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a folder of answers holds: which system, asked what, and where.

    `file`, `sha256` and `questions` are of the benchmark's data, `runs` the hashes of the runs that stood in
    for a search; the sample: `n` questions after `skip` in the order of `seed`. `n`, `path` (where
    the data lay), `versions` and `device` may differ when work goes on: more questions, another machine; and
    `gold_found`, how many of the sample's gold passages the index holds, None where nobody looked; and
    `index`, what held the texts.
    """

    system: System
    benchmark: str
    file: str
    sha256: str
    questions: int
    seed: int
    n: int
    max_tokens: int = 0
    runs: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    gold_found: int | None = None
    index: str = ""
    skip: int = 0


_FREE = frozenset({"n", "path", "versions", "device", "gold_found", "index"})


@dataclass(frozen=True, slots=True)
class StoredAnswers:
    """The answers of a folder by question id, and why there is none where a question could not be asked."""

    facts: Facts
    answers: Mapping[str, Answer]
    failed: Mapping[str, str] = field(default_factory=dict)


class AnswerFile:
    """A folder of answers, open for adding.

    `done` holds the ids of the questions that have their line, `failed` of those that could not be asked.
    """

    def __init__(self, folder: Path, facts: Facts) -> None:
        """Open a folder, new or begun.

        Raises InvalidInputError if it holds the answers of another system, or if another process has it open:
        both would ask every question, and write each answer twice.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._facts: Facts | None = facts  # to be written with the first answer that they are about
        if (folder / FACTS).exists():
            before = read_facts(folder)
            _check_same(folder, asdict(before), asdict(facts))
            self._facts = _joined(before, facts)
        self._lock = _locked(folder)
        if not (folder / FACTS).exists():
            self._write_facts()
        for name in (ANSWERS, PASSAGES):
            _cut_half_line(folder / name)
        lines = [record for _, record in _numbered(folder / ANSWERS)]
        self.done = {str(record["id"]) for record in lines}
        self.failed = {str(record["id"]) for record in lines if "failed" in record}
        self._passages = {str(record["id"]) for _, record in _numbered(folder / PASSAGES)}
        self._streams = {
            name: (folder / name).open("a", encoding="utf-8", newline="\n") for name in (ANSWERS, PASSAGES)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams.values():
            stream.close()
        self._lock.close()

    def add(self, answer: Answer) -> None:
        """Write an answer; the passages that are not on file yet go first, so that no answer lacks one."""
        for hit in answer.retrieved:
            if hit.passage.id not in self._passages:
                self._passages.add(hit.passage.id)
                source = {"source": asdict(hit.passage.source)} if hit.passage.source else {}
                self._write(PASSAGES, passage_record(hit.passage) | source)
        brief = {
            name: [_brief(hit) for hit in hits]
            for name, hits in (("retrieved", answer.retrieved), ("ranked", answer.ranked))
        }
        self._write(ANSWERS, answer_record(answer) | brief)

    def fail(self, question: Question, reason: str) -> None:
        """Write that a question could not be asked: it has no answer, and counts zero."""
        self.failed.add(question.id)
        self._write(ANSWERS, {"id": question.id, "question": question.text, "failed": reason})

    def _write_facts(self) -> None:
        if self._facts is not None:
            write_json(self.folder / FACTS, asdict(self._facts))
        self._facts = None

    def _write(self, name: str, record: Mapping[str, object]) -> None:
        self._write_facts()
        self._streams[name].write(json.dumps(record, ensure_ascii=False) + "\n")
        self._streams[name].flush()


def read_facts(folder: Path) -> Facts:
    """Return what a folder of answers says of its system and benchmark."""
    path = folder / FACTS
    if not path.is_file():
        raise NotFoundError(
            f"found no {FACTS} in {folder}, wanted a folder of answers: `rankrag eval predict` makes one"
        )
    try:
        facts = typed(Facts, json.loads(path.read_text(encoding="utf-8")), FACTS)
        return replace(facts, system=_with_precision(facts.system))
    except ValueError as problem:
        raise FormatError(str(path), None, f"found no facts ({problem}): predict anew") from problem


def read_answers(folder: Path) -> StoredAnswers:
    """Return the answers of a folder, with the texts of their passages."""
    facts = read_facts(folder)
    texts = {
        str(record["id"]): passage(str(folder / PASSAGES), number, record)
        for number, record in _numbered(folder / PASSAGES)
    }
    answers: dict[str, Answer] = {}
    failed: dict[str, str] = {}
    for number, record in _numbered(folder / ANSWERS):
        if "failed" in record:
            failed[str(record["id"])] = str(record["failed"])
        else:
            answers[str(record["id"])] = _answer(f"{folder / ANSWERS}:{number}", record, texts)
    return StoredAnswers(facts, answers, failed)


TEXTS = ("text", "answer", "prediction", "output")
"""Names under which other systems' files hold the answer; KILT's `output` is a list of `{"answer"}`."""


def read_others(path: str) -> dict[str, str]:
    """Return answers that another system wrote, by question id: JSON lines with an id and a text."""
    texts: dict[str, str] = {}
    for number, record in read_records(path):
        name = next((str(record[key]) for key in ("id", "_id", "question_id", "qid") if key in record), "")
        value = next((record[key] for key in TEXTS if key in record), None)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0].get("answer", "")
        if not name or not isinstance(value, str):
            raise FormatError(
                path, number, f"found no id or no text, wanted `id` and one of {', '.join(TEXTS)}"
            )
        if name in texts:
            raise FormatError(path, number, f"found a second answer to {name!r}, wanted one a question")
        texts[name] = value
    return texts


def _with_precision(system: System) -> System:
    """Return a system whose facts say with what numbers it computed: once that was said of others alone."""
    if system.facts.get("model_sha256") and "precision" not in system.facts:
        return replace(system, facts={**system.facts, "precision": "float32"})
    return system


def _joined(before: Facts, now: Facts) -> Facts:
    """Return the facts of a folder in which work goes on: answers of both were made as either says."""
    device = joined({"": before.device}, {"": now.device})[""]
    return replace(now, n=max(before.n, now.n), versions=joined(before.versions, now.versions), device=device)


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


def _check_same(folder: Path, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    different = [
        name
        for name in sorted(found.keys() | wanted.keys())
        if name not in _FREE and found.get(name) != wanted.get(name)
    ]
    if different:
        name = different[0]
        raise InvalidInputError(
            f"{folder} holds the answers of another system: found {name} {found.get(name)!r}, "
            f"wanted {wanted.get(name)!r}: choose another folder or system name"
        )


def _locked(folder: Path) -> IO[str]:
    """Return a lock on a folder, which the system takes back when this process ends, however it ends."""
    lock = (folder / LOCK).open("a", encoding="ascii")
    if not locked(lock.fileno()):
        lock.close()
        raise InvalidInputError(
            f"found {folder} open in another process, wanted it for this one: wait for it, or choose another "
            "folder or system name"
        )
    return lock


def _cut_half_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as stream:
        content = stream.read()
        stream.truncate(content.rfind(b"\n") + 1)


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    if path.exists():
        yield from read_records(str(path))


def _brief(hit: Hit) -> dict[str, object]:
    record: dict[str, object] = {"id": hit.passage.id, "score": hit.score}
    return record | ({} if hit.scored else {"scored": False}) | ({"cut": hit.cut} if hit.cut else {})


def _answer(place: str, record: Mapping[str, Any], texts: Mapping[str, Passage]) -> Answer:
    try:
        return Answer(
            Question(id=str(record["id"]), text=str(record["question"])),
            query=str(record["query"]),
            retrieved=_hits(record["retrieved"], texts),
            ranked=_hits(record["ranked"], texts),
            read_k=int(record["read_k"]),
            text=str(record["text"]),
            citations=tuple(Citation(**cited) for cited in record["citations"]),
            abstained=bool(record["abstained"]),
            timings_s={step: float(seconds) for step, seconds in record["timings_s"].items()},
            done=True,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise FormatError(
            place, None, f"found no {problem}, wanted an answer as `rankrag eval predict` writes it"
        ) from problem


def _hits(hits: Sequence[Mapping[str, Any]], texts: Mapping[str, Passage]) -> tuple[Hit, ...]:
    return tuple(Hit(texts[hit["id"]], float(hit["score"]), hit.get("scored", True)) for hit in hits)
