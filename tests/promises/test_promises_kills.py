"""`kill -9` at any moment of a build, an update, a prune, a deletion or a copy, while a reader polls."""

from __future__ import annotations

import json
import random
import shutil
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from killing import KILLS, chance, killed

from rankrag.errors import RankRAGError
from rankrag.index import IndexDocuments, Settings, build, copy_index, faults, open_store
from rankrag.index.manifest import COPYING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are not killed like this here"),
]

INDEX, COPY = Path("idx"), Path("copied")
VERBS = ("build", "update", "prune", "delete", "copy")
WORDS = 20
NOT_YET = ("found no index", "is no index", "first build was stopped before it began")

Content = dict[str, dict[str, str]]
"""The texts of passages by their ids, for each document."""


def work(ready: Event, verb: str, gone: list[str]) -> None:
    """Do in a process of its own what is to be killed."""
    import lancedb  # noqa: F401

    ready.set()
    if verb == "delete":
        IndexDocuments(INDEX).delete(gone)
    elif verb == "copy":
        copy_index(INDEX, COPY)
    else:
        build(["docs", "set.jsonl"], INDEX, Settings(words=WORDS, prune=verb == "prune"))


class Corpus:
    """Documents and records on disk, and what an index should hold of them."""

    def __init__(self, generator: random.Random) -> None:
        self.generator = generator
        self.version = 0
        self.documents: Content = {}
        self.records: Content = {}

    def write(self, share: float) -> None:
        """Change a share of all documents, and write all."""
        self.version += 1
        for n in range(60):
            if self.generator.random() < share:
                texts = self._texts(f"d{n}")
                self.documents[f"docs/{n}.txt"] = {
                    f"docs/{n}.txt#{i}": text for i, text in enumerate(texts, 1)
                }
        for n in range(120):
            if self.generator.random() < share:
                texts = self._texts(f"r{n}")
                ids = [f"r{n}"] if len(texts) == 1 else [f"r{n}#{i}" for i in range(1, len(texts) + 1)]
                self.records[f"r{n}"] = dict(zip(ids, texts, strict=True))
        self.save()

    def save(self) -> None:
        Path("docs").mkdir(exist_ok=True)
        for path in Path("docs").iterdir():
            if path.as_posix() not in self.documents:
                path.unlink()
        for name, passages in self.documents.items():
            Path(name).write_text("\n\n".join(passages.values()))
        lines = ({"_id": id, "text": "\n\n".join(texts.values())} for id, texts in self.records.items())
        Path("set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def remove(self, share: float) -> list[str]:
        names = [name for name in self.documents if self.generator.random() < share]
        for name in names:
            del self.documents[name]
        return names

    def _texts(self, name: str) -> list[str]:
        part = [f"{name} v{self.version} p{i} " + "word " * 14 for i in range(self.generator.randint(1, 3))]
        return [text.strip() for text in part]

    @property
    def content(self) -> Content:
        return self.documents | self.records


@dataclass
class Reader:
    """Polls an index: each document is there once, as it was or as it will be, and never goes back."""

    old: Content = field(default_factory=dict)
    new: Content = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    polls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def turn(self, old: Content, new: Content) -> None:
        with self.lock:
            self.old, self.new = old, new
            self.arrived = {name for name in new if new[name] == old.get(name)}

    def poll(self) -> None:
        with self.lock:
            try:
                there = content_of(INDEX, self.complaints)
                for word, named in (("r5", "r5" in there), ("word", bool(there))):
                    if named and not open_store(INDEX).search_words(word, 3):
                        self.complaints.append(f"a search finds nothing of {word}, which is there")
            except RankRAGError as error:
                if self.old or not any(words in str(error) for words in NOT_YET):
                    self.complaints.append(f"cannot be read: {error}")
                return
            self.polls += 1
            for name in self.old.keys() | self.new.keys() | there.keys():
                self._look(name, there.get(name))

    def _look(self, name: str, now: dict[str, str] | None) -> None:
        old, new = self.old.get(name), self.new.get(name)
        if now == new:
            self.arrived.add(name)
        elif now != old:
            self.complaints.append(f"{name}: found {now}, wanted {old} or {new}")
        elif name in self.arrived:
            self.complaints.append(f"{name}: went back to {old}")

    def run(self) -> None:
        while not self.ended.wait(0.02):
            try:
                self.poll()
            except Exception:
                self.complaints.append(traceback.format_exc())
                return


def content_of(index: Path, complaints: list[str]) -> Content:
    found: Content = {}
    counts: Counter[str] = Counter()
    for rows, _ in open_store(index).batches():
        for row in rows:
            found.setdefault(row.document, {})[row.passage.id] = row.passage.text
            counts[row.passage.id] += 1
    complaints += [f"{name}: {count} times" for name, count in counts.items() if count > 1]
    return found


@contextmanager
def reading() -> Iterator[Reader]:
    reader = Reader()
    thread = threading.Thread(target=reader.run)
    thread.start()
    try:
        yield reader
    finally:
        reader.ended.set()
        thread.join()


def test_kills_lose_and_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKRAG_SYNC", "on")
    generator = chance()
    corpus, kills, took = Corpus(generator), Counter[str](), dict.fromkeys(VERBS, 1.0)
    with reading() as reader:
        turn = 0
        while kills.total() < KILLS:
            verb = VERBS[turn % len(VERBS)]
            old: Content = dict(corpus.content) if turn else {}
            gone: list[str] = []
            if verb in ("build", "update"):
                corpus.write(1.0 if verb == "build" else 0.4)
            elif verb in ("prune", "delete"):
                gone = corpus.remove(0.2)
                corpus.save()
            reader.turn(old, dict(corpus.content))
            for _ in range(4):
                was_alive, seconds = killed(work, generator.uniform(0.05, took[verb]), verb, gone)
                if not was_alive:
                    took[verb] = seconds
                    break
                kills[verb] += 1
                if verb == "copy" and (COPY / "manifest.json").exists():
                    assert content_of(COPY, reader.complaints) == corpus.content
                    if not (COPY / COPYING).exists():  # it was through, and is not done again
                        was_alive = False
                        break
            if was_alive:
                was_alive, took[verb] = killed(work, 600, verb, gone)
                assert not was_alive
            reader.poll()
            assert reader.complaints == [], (verb, kills, reader.complaints[:3])
            assert content_of(INDEX, reader.complaints) == corpus.content
            assert faults(INDEX) == []
            if verb == "copy":
                assert content_of(COPY, reader.complaints) == corpus.content
                assert faults(COPY) == []
                shutil.rmtree(COPY)
            turn += 1
            print(f"{kills.total()} kills {dict(kills)}, {reader.polls} polls, {turn} turns", flush=True)
