"""What a build will take, told before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from ..errors import InvalidInputError
from ..types import Passage
from .manifest import plan
from .reading import COLLECTIONS, CollectionRecord, File, find, passages_of_record, records_of
from .settings import PassageEncoder, Settings

# Measured on two cores of 2.6 GHz; docs/stores.md says with what.
_BYTES = {".pdf": 1700.0, ".html": 1560.0, ".htm": 1560.0, ".docx": 2000.0, ".pptx": 20_000.0}
_PARSE_S = {".pdf": 6.7e-3, ".html": 2.6e-3, ".htm": 2.6e-3, ".docx": 1e-3, ".pptx": 1e-2}
_TEXT_BYTES, _TEXT_S = 610.0, 2e-4
_INDEX_S = 1.2e-4
_MEMORY, _MEMORY_PER_PASSAGE = 350 * 2**20, 600.0
_DISK_PER_PASSAGE = 530.0
_VECTOR_BYTES, _VECTOR_INDEX = 4, 1.3

_SAMPLE, _MOST_SAMPLED, _ENCODED = 1000, 20_000, 16


@dataclass(frozen=True, slots=True)
class BuildEstimate:
    """What a build from nothing would take: right within a factor of two for most files.

    `memory_bytes` is without the weights of an encoder.
    """

    n_files: int
    n_passages: int
    seconds: float
    memory_bytes: int
    disk_bytes: int


def estimate(paths: Iterable[str], folder: Path, settings: Settings | None = None) -> BuildEstimate:
    """Return what indexing the paths would take on this machine, in about a second.

    Collections are sampled, documents are judged by their size and kind; an encoder is timed on a few
    passages. Raises as `build` does for paths and settings that cannot be used.
    """
    settings = settings or Settings()
    manifest = plan(folder, settings)
    files = find(paths, manifest.root_of(folder), may_miss=settings.prune).files
    sample: list[Passage] = []
    n_passages = seconds = 0.0
    for file in files:
        count, cost = _sampled(file, manifest.words, sample) if file.kind in COLLECTIONS else _judged(file)
        n_passages += count
        seconds += cost + count * _INDEX_S
    disk = n_passages * _DISK_PER_PASSAGE
    if settings.encoder is not None:
        seconds += n_passages * _encoding_s(settings.encoder, sample or [Passage("", "word " * 100)])
        disk += n_passages * settings.encoder.dimension * _VECTOR_BYTES * _VECTOR_INDEX
    memory = _MEMORY + n_passages * _MEMORY_PER_PASSAGE
    return BuildEstimate(len(files), round(n_passages), seconds, round(memory), round(disk))


def _judged(file: File) -> tuple[float, float]:
    count = max(1.0, file.size / _BYTES.get(file.kind, _TEXT_BYTES))
    return count, count * _PARSE_S.get(file.kind, _TEXT_S)


def _sampled(file: File, words: int, sample: list[Passage]) -> tuple[float, float]:
    """Return the passages of a collection, and the seconds to read it, by its first records."""
    started = perf_counter()
    count = 0
    last: CollectionRecord | None = None
    try:
        for n, item in enumerate(records_of(file, words), 1):
            # The whole of a small compressed file may be read before its first record comes out of it.
            if n > _SAMPLE and (n > _MOST_SAMPLED or last is None or last.read < file.size):
                break
            if not isinstance(item, CollectionRecord):
                continue
            last = item
            passages = passages_of_record(last, file.name, words)
            count += len(passages)
            if len(sample) < _ENCODED:
                sample += passages
    except InvalidInputError:  # the build itself names what is wrong with the file
        return float(count), perf_counter() - started
    times = 1.0  # that the sample goes into the file
    if last is not None and last.number >= _SAMPLE:
        times = max(times, file.size / max(1, last.read))
    return count * times, (perf_counter() - started) * times


def _encoding_s(encoder: PassageEncoder, sample: list[Passage]) -> float:
    part = sample[:_ENCODED]
    encoder.encode_passages(part[:1])  # the first call also warms up
    started = perf_counter()
    encoder.encode_passages(part)
    return (perf_counter() - started) / len(part)
