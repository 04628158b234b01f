"""Ranking collections in BEIR layout: queries, judgements, and a corpus that an index or a run names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

from .. import formats
from ..errors import FormatError, NotFoundError
from .benchmark import Benchmark, Gold, Item, Loaded

COMPRESSED = ("", ".xz", ".gz")
QRELS = ("qrels/{split}.tsv", "qrels/{split}.txt", "qrels.txt", "qrels.tsv")


def is_collection(folder: Path) -> bool:
    """Say whether a folder holds the queries of a ranking collection."""
    return folder.is_dir() and _file(folder, "queries.jsonl") is not None


def collection_benchmark(folder: Path, split: str = "test") -> Loaded:
    """Return a collection as a benchmark: its queries with their judgements, grades included.

    Queries without a judgement are left out and counted. Gold is a passage from grade 1 on, on the scale of
    TREC's deep learning track (0 to 3) from 2 on, as is the custom there; nDCG takes the grades as they are.
    """
    queries = _file(folder, "queries.jsonl")
    qrels = next((path for name in QRELS if (path := _file(folder, name.format(split=split)))), None)
    if queries is None or qrels is None:
        raise NotFoundError(f"found no queries.jsonl or no qrels in {folder}, wanted the BEIR layout")
    grades = _grades(str(qrels))
    least = 2 if max((grade for found in grades.values() for grade in found.values()), default=0) == 3 else 1
    questions = list(formats.read_questions(str(queries)))
    items = tuple(
        Item(
            question,
            Gold((), frozenset(name for name, grade in found.items() if grade >= least), grades=found),
            question.id,
        )
        for question in questions
        if (found := grades.get(question.id))
    )
    if not items:
        raise FormatError(
            str(qrels), None, f"found no judgement of a query in {queries.name}, wanted the same ids"
        )
    digest = hashlib.sha256(queries.read_bytes() + qrels.read_bytes()).hexdigest()
    benchmark = Benchmark(folder.name, folder.name, "ranking", "plain", ("nDCG@10", "R@20", "RR@10"), 0)
    dropped = {"not judged": len(questions) - len(items)} if len(items) < len(questions) else {}
    return Loaded(benchmark, items, str(folder), digest, dropped)


def _grades(path: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for question, name, grade in formats.read_qrels(path):
        if name in found[question]:
            raise FormatError(path, None, f"found {name!r} judged twice for {question!r}, wanted once")
        found[question][name] = grade
    return dict(found)


def _file(folder: Path, name: str) -> Path | None:
    return next((path for end in COMPRESSED if (path := folder / f"{name}{end}").is_file()), None)
