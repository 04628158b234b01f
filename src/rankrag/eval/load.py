"""Benchmarks from files: by name below a data root, by path, or a ranking collection."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import formats
from ..errors import FormatError, InvalidInputError, NotFoundError
from ..files import sha256, write_records
from ..prompts import about
from ..types import Hit
from .benchmarks import BENCHMARKS, Benchmark, FileFormat
from .gold import Gold, GoldQuestion, LeftOut
from .readers.choices import MIRAGE_TASKS
from .readers.detect import READERS, detect
from .readers.neutral_lines import neutral_record

FOLDERS = ("", "eval", "data")
"""Folders below a data root in which files are looked for."""

COMPRESSED = ("", ".xz", ".gz")
QRELS = ("qrels/test.tsv", "qrels/test.txt", "qrels.txt", "qrels.tsv")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A benchmark read from a file: its questions, the file and its SHA-256, what was left out and why."""

    benchmark: Benchmark
    questions: tuple[GoldQuestion, ...]
    path: str
    sha256: str
    dropped: dict[str, int] = field(default_factory=dict)


def load_benchmark(name: str, data_root: Path | None = None, path: Path | None = None) -> Loaded:
    """Return a benchmark with its questions.

    `name` is one of the table, whose file is `path` or looked for below `data_root`; or the path of a file
    with question and answers, or of the folder of a ranking collection. Raises NotFoundError where there is
    no file, InvalidInputError for an unknown name, FormatError with file and line for what cannot be read.
    """
    if name in BENCHMARKS:
        benchmark = BENCHMARKS[name]
        if path is not None:
            return _load(benchmark, str(path), _format_of(benchmark, path))
        if (first := _first_file(benchmark, data_root)) is None:
            raise _not_at_hand(benchmark, data_root)
        return _load(benchmark, *first)
    own = _own_path(name, data_root)
    if is_collection(own):
        return load_collection(own)
    return _load(_own_benchmark(own), str(own), detect(str(own)))


def check_name(name: str, data_root: Path | None) -> None:
    """Raise NotFoundError for a file that is not there, InvalidInputError for a name of no benchmark."""
    if name not in BENCHMARKS:
        _own_path(name, data_root)


def _load(benchmark: Benchmark, path: str, file_format: FileFormat) -> Loaded:
    questions: dict[str, GoldQuestion] = {}
    dropped = Counter[str]()
    for record in READERS[file_format](path, benchmark):
        if isinstance(record, LeftOut):
            dropped[record.reason] += 1
            continue
        name = record.question.id
        if name in questions:
            raise FormatError(path, None, f"found the id {name!r} twice, wanted it once")
        questions[name] = record
    if not questions:
        raise FormatError(path, None, f"found no question with gold, wanted those of {benchmark.name}")
    digest = sha256(Path(path))
    every = tuple(questions.values())
    return Loaded(_styled(benchmark, every), every, path, digest, dict(dropped))


def official_questions(path: str) -> list[str] | None:
    """Return what a file in an official format asks, None for neutral lines and files of another kind.

    These are the questions that are scored: claims without a verdict and questions without gold are not
    among them. MIRAGE's file holds five benchmarks. Raises FormatError where none of it can be scored.
    """
    try:
        file_format = detect(path)
    except FormatError:
        return None
    if file_format == "neutral":
        return None
    own = _own_benchmark(Path(path))
    benchmarks = [BENCHMARKS[name] for name in MIRAGE_TASKS] if file_format == "mirage" else [own]
    return [asked.question.text for row in benchmarks for asked in _load(row, path, file_format).questions]


def _own_benchmark(path: Path) -> Benchmark:
    """Return a benchmark for a user's own file, named as the file is."""
    name = path.name.split(".")[0]
    name = f"own-{name}" if name in BENCHMARKS else name  # nobody's own questions are the paper's
    return Benchmark(name, name, "own", "phrase", ("EM", "F1", "Acc"), 32)


def _styled(benchmark: Benchmark, questions: Sequence[GoldQuestion]) -> Benchmark:
    """Return a user's benchmark with the measures that its questions' own style asks for."""
    styles = {asked.question.style for asked in questions}
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


# ── the neutral shape ────────────────────────────────────────────────────────────────────────────────


def export(name: str, data_root: Path, to: Path) -> Iterator[tuple[str, int]]:
    """Write an official benchmark in the neutral shape; yield each path written and its number of lines.

    TO/FILE.jsonl are the questions, under the name by which `load_benchmark` finds them below TO. Where the
    benchmark brings passages of its own, TO/corpus/NAME.jsonl are these and TO/runs/NAME.run their order for
    each question; where it says which page a question is about, TO/queries/NAME.jsonl are questions to
    search with, the page named in them. Raises as `load_benchmark` does, InvalidInputError for a file that is
    in the neutral shape already, and NotFoundError for a folder that is not there.
    """
    loaded = _official(name, data_root)
    items = loaded.questions
    file, kind = loaded.benchmark.files[-1]  # its neutral one
    split = {"split": "test"} if kind == "neutral_test" else {}
    questions = _below(to / file)
    yield questions, write_records(questions, (neutral_record(item) | split for item in items))
    if passages := {passage.id: passage for item in items for passage in item.candidates}:
        corpus, run = _below(to / "corpus" / f"{name}.jsonl"), _below(to / "runs" / f"{name}.run")
        yield corpus, write_records(corpus, map(formats.passage_record, passages.values()))
        hits = (
            (item.question.id, [Hit(passage, 1 / n) for n, passage in enumerate(item.candidates, 1)])
            for item in items
        )
        yield run, formats.write_run(run, hits, name)
    if any(item.topic for item in items):
        queries = _below(to / "queries" / f"{name}.jsonl")
        yield queries, write_records(queries, (_query_record(item) for item in items))


def _query_record(item: GoldQuestion) -> dict[str, object]:
    asked = about(item.question, item.topic) if item.topic else item.question
    history = [{"role": turn.role, "text": turn.text} for turn in asked.history]
    return {"id": asked.id, "question": asked.text, "history": history}


def _official(name: str, data_root: Path) -> Loaded:
    if not data_root.is_dir():
        raise NotFoundError(f"found no folder {data_root}, wanted one with benchmarks: check the path")
    if name not in BENCHMARKS:
        raise InvalidInputError(f"found {name!r}, wanted one of {', '.join(BENCHMARKS)}: name a benchmark")
    if (first := _first_file(BENCHMARKS[name], data_root)) is None:
        raise _not_at_hand(BENCHMARKS[name], data_root)
    if first[1].startswith("neutral"):
        raise InvalidInputError(
            f"found {first[0]} in the neutral shape already, wanted {name}'s official file"
        )
    return _load(BENCHMARKS[name], *first)


def _below(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path)


# ── where ────────────────────────────────────────────────────────────────────────────────────────────


def _first_file(benchmark: Benchmark, data_root: Path | None) -> tuple[str, FileFormat] | None:
    """Return the first file of a benchmark that is there: official full sets stand before others."""
    if data_root is None:
        return None
    for name, file_format in benchmark.files:
        for folder in FOLDERS:
            if path := _file(data_root / folder, name):
                return str(path), _promised(file_format, path)
    return None


def _format_of(benchmark: Benchmark, path: Path) -> FileFormat:
    """Return the format of a file that was named: by its name if that is known, else by its content."""
    known = {
        f"{Path(name).name}{ending}": file_format
        for name, file_format in benchmark.files
        for ending in COMPRESSED
    }
    if path.name not in known or not path.is_file():
        return detect(str(path))
    return _promised(known[path.name], path)


def _promised(file_format: FileFormat, path: Path) -> FileFormat:
    """Return the format that a name promises, or that of the content where two formats share the name."""
    # Both ChatRAG-Bench and INSCIT have an inscit/dev.json.
    return detect(str(path)) if file_format == "chatrag" else file_format


def _not_at_hand(benchmark: Benchmark, data_root: Path | None) -> NotFoundError:
    names = ", ".join(name for name, _ in benchmark.files)
    where = f"below {data_root}" if data_root else "without --data-root"
    return NotFoundError(
        f"found no file of {benchmark.name} {where}, wanted one of {names}: see {benchmark.source}"
    )


def _own_path(name: str, data_root: Path | None) -> Path:
    """Return the file or folder of a name that is no benchmark's, below the data root or not."""
    candidates = [Path(name)]
    if data_root is not None:
        candidates += [data_root / folder / name for folder in FOLDERS]
        # A user's own file is known by the beginning of its name once its answers are on file.
        endings = [f"{end}{packed}" for end in (".jsonl", ".json", ".csv") for packed in COMPRESSED]
        candidates += [data_root / folder / f"{name}{ending}" for folder in FOLDERS for ending in endings]
    for path in candidates:
        if path.is_file() or is_collection(path):
            return path
    if "/" in name or Path(name).suffix:
        raise NotFoundError(
            f"found no such file: {name}, wanted one with question and answers, or a name of "
            "`rankrag eval list`: check the path"
        )
    raise InvalidInputError(
        f"found {name!r}, wanted one of {', '.join(BENCHMARKS)}, a file with question and answers, or the "
        "folder of a ranking collection"
    )


# ── ranking collections ──────────────────────────────────────────────────────────────────────────────


def is_collection(folder: Path) -> bool:
    """Say whether a folder holds the queries of a ranking collection."""
    return folder.is_dir() and _file(folder, "queries.jsonl") is not None


def load_collection(folder: Path) -> Loaded:
    """Return a collection as a benchmark: its queries with their judgements, grades included.

    Queries without a judgement are left out and counted. Gold is a passage from grade 1 on, on the scale of
    TREC's deep learning track (0 to 3) from 2 on, as is the custom there; nDCG takes the grades as they are.
    """
    queries = _file(folder, "queries.jsonl")
    qrels = next((path for name in QRELS if (path := _file(folder, name))), None)
    if queries is None or qrels is None:
        raise NotFoundError(f"found no queries.jsonl or no qrels in {folder}, wanted the BEIR layout")
    grades = _grades(str(qrels))
    highest = max((grade for judged in grades.values() for grade in judged.values()), default=0)
    least = 2 if highest == 3 else 1
    asked = list(formats.read_questions(str(queries)))
    questions = tuple(
        GoldQuestion(
            question,
            Gold((), frozenset(name for name, grade in judged.items() if grade >= least), grades=judged),
            question.id,
        )
        for question in asked
        if (judged := grades.get(question.id))
    )
    if not questions:
        raise FormatError(
            str(qrels), None, f"found no judgement of a query in {queries.name}, wanted the same ids"
        )
    digest = hashlib.sha256(queries.read_bytes() + qrels.read_bytes()).hexdigest()
    benchmark = Benchmark(folder.name, folder.name, "ranking", "plain", ("nDCG@10", "R@20", "RR@10"), 0)
    dropped = {"not judged": len(asked) - len(questions)} if len(questions) < len(asked) else {}
    return Loaded(benchmark, questions, str(folder), digest, dropped)


def _grades(path: str) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for question, name, grade in formats.read_qrels(path):
        if name in grades[question]:
            raise FormatError(path, None, f"found {name!r} judged twice for {question!r}, wanted once")
        grades[question][name] = grade
    return dict(grades)


def _file(folder: Path, name: str) -> Path | None:
    return next((path for end in COMPRESSED if (path := folder / f"{name}{end}").is_file()), None)


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AtHand:
    """A benchmark, with its file and how many questions that holds where there is one."""

    benchmark: Benchmark
    path: str = ""
    questions: int = 0
    dropped: int = 0


def at_hand(data_root: Path | None) -> Iterator[AtHand]:
    """Yield every benchmark of the table, with what a data root has of it, or why that cannot be read."""
    if data_root is not None and not data_root.is_dir():
        raise NotFoundError(f"found no folder {data_root}, wanted one with benchmarks: check the path")
    for benchmark in BENCHMARKS.values():
        yield _looked_at(benchmark, data_root)


def _looked_at(benchmark: Benchmark, data_root: Path | None) -> AtHand:
    """Return what a data root has of a benchmark; a file that cannot be read hides none of the others."""
    try:
        if (first := _first_file(benchmark, data_root)) is None:
            return AtHand(benchmark)
        loaded = _load(benchmark, *first)
    except (InvalidInputError, NotFoundError) as problem:
        return AtHand(benchmark, str(problem))
    return AtHand(benchmark, loaded.path, len(loaded.questions), sum(loaded.dropped.values()))
