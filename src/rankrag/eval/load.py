"""Benchmarks from files: by name below a data root, by path, or a ranking collection."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import FormatError, InvalidInputError, NotFoundError
from .benchmark import Benchmark, Dropped, Item, Loaded, Reader
from .benchmarks.registry import BENCHMARKS
from .collection import COMPRESSED, collection_benchmark, is_collection
from .readers.registry import reader, sniff

PLACES = ("", "eval", "data")
"""Folders below a data root in which files are looked for."""


def load_benchmark(name: str, data_root: Path | None = None, path: Path | None = None) -> Loaded:
    """Return a benchmark with its items.

    `name` is one of the table, whose file is `path` or looked for below `data_root`; or the path of a file
    with question and answers, or of the folder of a ranking collection. Raises NotFoundError where there is
    no file, InvalidInputError for an unknown name, FormatError with file and line for what cannot be read.
    """
    if name in BENCHMARKS:
        benchmark = BENCHMARKS[name]
        found = (str(path), _kind(benchmark, path)) if path else _at(benchmark, data_root)
        if found is None:
            raise _not_at_hand(benchmark, data_root)
        return _load(benchmark, *found)
    place = _place(name, data_root)
    if is_collection(place):
        return collection_benchmark(place)
    return _load(_own(place), str(place), sniff(str(place)))


def _load(benchmark: Benchmark, path: str, kind: Reader) -> Loaded:
    items, dropped, seen = [], Counter[str](), set[str]()
    for found in reader(kind, benchmark.name)(path, benchmark.style):
        if isinstance(found, Dropped):
            dropped[found.reason] += 1
            continue
        if found.question.id in seen:
            raise FormatError(path, None, f"found the id {found.question.id!r} twice, wanted it once")
        seen.add(found.question.id)
        items.append(found)
    if not items:
        raise FormatError(path, None, f"found no question with gold, wanted those of {benchmark.name}")
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Loaded(_styled(benchmark, items), tuple(items), path, digest, dict(dropped))


def _own(path: Path) -> Benchmark:
    """Return a benchmark for a user's own file, named as the file is."""
    name = path.name.split(".")[0]
    name = f"own-{name}" if name in BENCHMARKS else name  # nobody's own questions are the paper's
    return Benchmark(name, name, "own", "phrase", ("EM", "F1", "Acc"), 32)


def _styled(benchmark: Benchmark, items: list[Item]) -> Benchmark:
    """Return a user's benchmark with the measures that its questions' own style asks for."""
    styles = {item.question.style for item in items}
    if benchmark.family != "own" or styles == {benchmark.style}:
        return benchmark
    if len(styles) > 1:
        raise InvalidInputError(
            f"{benchmark.name}: found questions of the styles {', '.join(sorted(styles))}, wanted one: "
            "write a file for each style"
        )
    (style,) = styles
    measures = {"choice": ("Choice",), "true_false": ("Claim",)}.get(style, benchmark.measures)
    tokens = {"choice": 8, "true_false": 8, "plain": 128, "full": 128, "span_or_full": 128}.get(style, 32)
    return replace(benchmark, style=style, measures=measures, max_tokens=tokens)


# ── where ────────────────────────────────────────────────────────────────────────────────────────────


def _at(benchmark: Benchmark, data_root: Path | None) -> tuple[str, Reader] | None:
    """Return the first file of a benchmark that is there: official full sets stand before others."""
    if data_root is None:
        return None
    for name, kind in benchmark.files:
        for place in PLACES:
            for ending in COMPRESSED:
                path = data_root / place / f"{name}{ending}"
                if path.is_file():
                    return str(path), _told(kind, path)
    return None


def _kind(benchmark: Benchmark, path: Path) -> Reader:
    """Return the format of a file that was named: by its name if that is known, else by its content."""
    known = {f"{Path(name).name}{ending}": kind for name, kind in benchmark.files for ending in COMPRESSED}
    if path.name not in known or not path.is_file():
        return sniff(str(path))
    return _told(known[path.name], path)


def _told(kind: Reader, path: Path) -> Reader:
    """Return the format that a name promises, or that of the content where two formats share the name."""
    return sniff(str(path)) if kind == "chatrag" else kind  # both it and INSCIT have an inscit/dev.json


def _not_at_hand(benchmark: Benchmark, data_root: Path | None) -> NotFoundError:
    names = ", ".join(name for name, _ in benchmark.files)
    where = f"below {data_root}" if data_root else "without --data-root"
    return NotFoundError(
        f"found no file of {benchmark.name} {where}, wanted one of {names}: see {benchmark.source}"
    )


def _place(name: str, data_root: Path | None) -> Path:
    """Return the file or folder of a name that is no benchmark's, below the data root or not."""
    candidates = [Path(name)]
    if data_root is not None:
        candidates += [data_root / place / name for place in PLACES]
        # A user's own file is known by the beginning of its name once its answers are on file.
        endings = [f"{end}{packed}" for end in (".jsonl", ".json", ".csv") for packed in COMPRESSED]
        candidates += [data_root / place / f"{name}{ending}" for place in PLACES for ending in endings]
    for path in candidates:
        if path.is_file() or is_collection(path):
            return path
    raise InvalidInputError(
        f"found {name!r}, wanted one of {', '.join(BENCHMARKS)}, a file with question and answers, or the "
        "folder of a ranking collection"
    )


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AtHand:
    """A benchmark, with its file and how many questions that holds where there is one."""

    benchmark: Benchmark
    path: str = ""
    questions: int = 0
    dropped: int = 0

    def record(self) -> dict[str, object]:
        """Return it as JSON shows it."""
        return asdict(self)


def at_hand(data_root: Path | None) -> Iterator[AtHand]:
    """Yield every benchmark of the table, with what a data root has of it, or why that cannot be read."""
    if data_root is not None and not data_root.is_dir():
        raise NotFoundError(f"found no folder {data_root}, wanted one with benchmarks: check the path")
    for benchmark in BENCHMARKS.values():
        yield _looked_at(benchmark, data_root)


def _looked_at(benchmark: Benchmark, data_root: Path | None) -> AtHand:
    """Return what a data root has of a benchmark; a file that cannot be read hides none of the others."""
    try:
        if (found := _at(benchmark, data_root)) is None:
            return AtHand(benchmark)
        loaded = _load(benchmark, *found)
    except (InvalidInputError, NotFoundError) as problem:
        return AtHand(benchmark, str(problem))
    return AtHand(benchmark, loaded.path, len(loaded.items), sum(loaded.dropped.values()))
