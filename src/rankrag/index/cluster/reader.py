"""A reader whose work is done by the workers of a Ray cluster, ahead of the builder that asks for it.

First every file is gone through for its digest; then what is new or changed is cut into pieces, each a task
for a worker, whose passages come back in the builder's order. Workers open the files under the same paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...errors import InvalidInputError, MissingExtraError
from ...types import Progress
from ..reading import COLLECTIONS, Apart, File, LineSpan, Portion, ReadPlan, ReadSettings, clean
from ..settings import PassageEncoder
from .spread import Worker, in_tasks, in_tasks_then_actors

if TYPE_CHECKING:
    import numpy as np

Batched = TypeVar("Batched")

PART_BYTES = 16 * 2**20
"""Bytes of a piece: of JSON lines that are not compressed, or of documents that lie side by side."""

_FILES = 64
"""Documents in a piece."""

_ROWS, _CHARACTERS = 128, 2**20
"""Passages, and characters, from which records are sent on together; of a document never more are."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What going through a file told: its digest, its size and time, and where it can be divided."""

    digest: str = ""
    stamp: tuple[int, int] = (0, 0)
    parts: tuple[LineSpan, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to read, or a part of it; `number` is its place among the files of the build."""

    number: int
    file: File
    after: int
    stamp: tuple[int, int]
    part: LineSpan | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What a worker sends: a portion of a file, or why the file cannot be read."""

    number: int
    portion: Portion | None
    problem: str = ""


class RayReader:
    """Reads files on a Ray cluster; with an encoder the portions bring their vectors.

    It reads ahead, so it must be asked for files in the order of `begin`. A worker that dies is replaced and
    its piece read again; nothing of it comes twice.
    """

    def __init__(self, reading: ReadSettings, encoder: PassageEncoder | None, progress: Progress) -> None:
        self.reading = reading
        self.encoder = encoder
        self.progress = progress
        self.scans: dict[str, Scan] = {}
        self.numbers: dict[str, int] = {}
        self.sent: Iterator[Sent] = iter(())
        self.next: Sent | None = None

    def begin(self, files: Sequence[File], plan: ReadPlan) -> None:
        """Find the digests of all files, then begin to read those that the plan wants."""
        files = [replace(file, path=file.path.absolute()) for file in files if clean(file.name) == file.name]
        self.numbers = {file.name: number for number, file in enumerate(files)}
        self._scan(files)
        wanted: list[Wanted] = []
        for number, file in enumerate(files):
            scan = self.scans[file.name]
            if not scan.problem and (after := plan(file, scan.digest)) is not None:
                wanted += _wanted(number, file, after, scan)
        # A collection, or a part of one, is a task of its own.
        sizes = [PART_BYTES if piece.file.kind in COLLECTIONS else piece.stamp[0] for piece in wanted]
        pieces = _grouped(wanted, sizes)
        read = partial(_read, self.reading)
        if self.encoder is None:
            self.sent = in_tasks(pieces, read)
        else:
            make = partial(_encoding, self.encoder, self.encoder.fingerprint)
            self.sent = in_tasks_then_actors(pieces, read, make)
        self.next = next(self.sent, None)

    def digest(self, file: File) -> str:
        """Return the digest that a file had at `begin`; raises OSError if it could not be read."""
        scan = self.scans[file.name]
        if scan.problem:
            raise OSError(scan.problem)
        return scan.digest

    def portions(self, file: File, after: int) -> Iterator[Portion]:  # noqa: ARG002
        """Yield the passages of a file as they come; `after` is what the plan said."""
        number = self.numbers[file.name]
        # What is left of a file that the builder has given up is passed over.
        while self.next is not None and self.next.number <= number:
            sent, self.next = self.next, next(self.sent, None)
            if sent.number == number:
                if sent.portion is None:
                    raise InvalidInputError(sent.problem)
                yield sent.portion

    def _scan(self, files: Sequence[File]) -> None:
        sizes = [_size(file) for file in files]
        done, total = 0, sum(sizes)
        for file, size, scanned in zip(files, sizes, in_tasks(_grouped(files, sizes), _scans), strict=True):
            self.scans[file.name] = scanned
            done += size
            self.progress(done, total, "bytes compared")


def _size(file: File) -> int:
    try:
        return file.size
    except OSError:
        return 0  # its scan says why


def _grouped(items: Sequence[Batched], sizes: Sequence[int]) -> list[list[Batched]]:
    """Divide what is to be read into tasks, in order: what is small goes together."""
    groups: list[list[Batched]] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if not groups or total + size > PART_BYTES or len(groups[-1]) == _FILES:
            groups.append([])
            total = 0
        groups[-1].append(item)
        total += size
    return groups


def _wanted(number: int, file: File, after: int, scan: Scan) -> list[Wanted]:
    whole = Wanted(number, file, after, scan.stamp)
    if not scan.parts:
        return [whole]
    ends = [*(part.before for part in scan.parts[1:]), None]
    left = [part for part, end in zip(scan.parts, ends, strict=True) if end is None or end > after]
    return [replace(whole, part=part) for part in left]


# ── on a worker ──────────────────────────────────────────────────────────────────────────────────────


def _scans(files: Sequence[File]) -> Iterator[Scan]:
    for file in files:
        try:
            yield scan(file)
        except OSError as error:
            yield Scan(problem=str(error))


def scan(file: File) -> Scan:
    """Go through a file once, for its digest and, if it is JSON lines, for where it can be divided."""
    stamp = _stamp(file.path)
    digest = hashlib.sha256()
    at = before = 0
    marks = [(0, 0)]
    with file.path.open("rb") as stream:
        while block := stream.read(PART_BYTES):
            digest.update(block)
            if (end := block.rfind(b"\n")) >= 0:
                before += block.count(b"\n")
                marks.append((at + end + 1, before))
            at += len(block)
    if not (file.kind == ".jsonl" and file.path.suffix.lower() == ".jsonl"):
        return Scan(digest.hexdigest(), stamp)
    pairs = pairwise([*marks, (at, before)])
    parts = [LineSpan(start, end, number) for (start, number), (end, _) in pairs if start < end]
    return Scan(digest.hexdigest(), stamp, tuple(parts))


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _read(reading: ReadSettings, piece: Sequence[Wanted]) -> Iterator[Sent]:
    with Apart() as apart:
        for wanted in piece:
            file = wanted.file
            try:
                if _stamp(file.path) != wanted.stamp:
                    raise InvalidInputError("it changed while it was being read: run the same command again")
                portions = apart.portions(file, reading, wanted.after, wanted.part)
                for portion in _together(portions) if file.kind in COLLECTIONS else _divided(portions):
                    yield Sent(wanted.number, portion)
            except (InvalidInputError, MissingExtraError, OSError) as error:
                yield Sent(wanted.number, None, str(error))


def _together(portions: Iterable[Portion]) -> Iterator[Portion]:
    """Yield portions of a few records instead of one each."""
    held: list[Portion] = []
    n_rows = characters = 0
    for portion in portions:
        held.append(portion)
        n_rows += len(portion.rows)
        characters += sum(len(row.passage.text) for row in portion.rows)
        if n_rows >= _ROWS or characters >= _CHARACTERS:
            yield _joined(held)
            held, n_rows, characters = [], 0, 0
    if held:
        yield _joined(held)


def _joined(portions: Sequence[Portion]) -> Portion:
    return Portion(
        [row for portion in portions for row in portion.rows],
        max(portion.read for portion in portions),
        None,
        sum(portion.records for portion in portions),
        sum(portion.skipped for portion in portions),
        tuple(note for portion in portions for note in portion.notes),
    )


def _divided(portions: Iterable[Portion]) -> Iterator[Portion]:
    """Yield a document bit by bit, so that several workers can encode it: it is committed whole."""
    for portion in portions:
        for first in range(0, len(portion.rows), _ROWS):
            notes = portion.notes if first == 0 else ()
            yield Portion(portion.rows[first : first + _ROWS], portion.read, notes=notes)


def _encoding(encoder: PassageEncoder, fingerprint: str) -> Worker[Sent, Sent]:
    """Return what encodes on a worker; refuses weights that are not those of the index."""
    if encoder.fingerprint != fingerprint:
        raise InvalidInputError(
            f"found other weights of {encoder.name} on a worker ({encoder.fingerprint}), wanted those of the "
            f"index ({fingerprint}): put the same files on every machine"
        )
    return partial(_encoded, encoder)


def _encoded(encoder: PassageEncoder, sent: list[Sent]) -> list[Sent]:
    passages = [row.passage for shipment in sent if shipment.portion for row in shipment.portion.rows]
    if not passages:
        return sent
    vectors = encoder.encode_passages(passages)
    done: list[Sent] = []
    at = 0
    for shipment in sent:
        done.append(_with_vectors(shipment, vectors[at:]))
        at += len(shipment.portion.rows) if shipment.portion else 0
    return done


def _with_vectors(sent: Sent, vectors: np.ndarray) -> Sent:
    """Return a portion with the first of the vectors, as many as it has passages."""
    if sent.portion is None:
        return sent
    return replace(sent, portion=replace(sent.portion, vectors=vectors[: len(sent.portion.rows)]))
