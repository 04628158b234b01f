"""A tiny place to evaluate in: an index, a run, questions; and the command that predicts there."""

from __future__ import annotations

import atexit
import contextlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

FACTS = [
    ("Paris", "capital", "France"),
    ("Rome", "capital", "Italy"),
    ("Bern", "capital", "Switzerland"),
    ("Oslo", "capital", "Norway"),
    ("Athens", "capital", "Greece"),
    ("Vienna", "capital", "Austria"),
]


def make(folder: Path) -> Path:
    """Put an index, a run and a file of questions into a folder; they are made once a process."""
    shutil.copytree(_made(), folder, dirs_exist_ok=True)
    return folder


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    passages = [
        {"_id": f"p{n}", "title": country, "text": f"{city} is the {what} of {country}."}
        for n, (city, what, country) in enumerate(FACTS)
    ] + [
        {"_id": f"x{n}", "text": f"The weather of {country} is fine."}
        for n, (*_, country) in enumerate(FACTS)
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, passages)))
    questions = [
        {
            "id": f"q{n}",
            "question": f"What is the {what} of {country}?",
            "answers": [city],
            "passages": [{"id": f"p{n}", "text": f"{city} is the {what} of {country}.", "relevant": True}],
        }
        for n, (city, what, country) in enumerate(FACTS)
    ]
    (folder / "capitals.jsonl").write_text("\n".join(map(json.dumps, questions)))
    lines = [
        f"q{n} Q0 {name} {r} {9 - r} x" for n in range(6) for r, name in enumerate((f"x{n}", f"p{n}"), 1)
    ]
    (folder / "x.run").write_text("\n".join(lines))
    from rankrag.index import Settings, build

    with contextlib.chdir(folder):  # the index names its files from there
        build(["corpus.jsonl"], folder / "index", Settings(words=0))
    return folder


def predict(place: Path, out: Path, name: str, *more: str) -> tuple[str, ...]:
    return (
        *("eval", "predict", str(place / "capitals.jsonl"), "--out", str(out), "--name", name),
        *("--model", "fake", "--retrieve-k", "5", "--read-k", "1", "--index", str(place / "index"), *more),
    )
