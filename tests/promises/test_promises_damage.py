"""Bits flipped and files cut in every kind of file of an index: an error, no effect, or the check says so.

RANKRAG_FLIPS says how many; the short form is for every change of the code, the long one is run by hand.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from letters import LetterEncoder
from rankrag.errors import RankRAGError
from rankrag.index import IndexDocuments, Settings, build, faults, open_store
from rankrag.index.stores import lance_tables

pytestmark = pytest.mark.slow

HANGS_S = 60
"""Seconds of a processor that a process may take without a word."""

IDLE_S = 30
"""Seconds by the clock in which a process that goes on has some of a processor, on a busy machine too."""

FLIPS = int(os.environ.get("RANKRAG_FLIPS", "80"))
INDEX = Path("idx")


def write_index() -> None:
    """Make an index with vectors and several commits, deletions among them."""
    Path("docs").mkdir()
    for n in range(25):
        Path(f"docs/{n}.txt").write_text(f"Document {n} is about owls and word{n % 7}. " * (n % 3 + 1))
    Path("set.csv").write_text("id,text\n" + "".join(f"r{n},record {n} of word{n % 5}\n" for n in range(60)))
    settings = Settings(encoder=LetterEncoder())
    build(["docs"], INDEX, settings)
    for n in range(5):
        Path(f"docs/{n}.txt").write_text(f"Document {n} was changed.")
    build(["docs", "set.csv"], INDEX, settings)
    IndexDocuments(INDEX).delete(["docs/9.txt", "r7"])


def outcome() -> object:
    """Return all that an index gives to whoever asks it."""
    lance_tables._session.cache_clear()  # as in a process of its own: nothing is remembered
    store = open_store(INDEX)
    vector = LetterEncoder().encode_queries(["owls and records"])[0]
    hits = [store.search_words(words, 9) for words in ("owls", "changed", "record word3")]
    hits += [store.search_vectors(vector, 9), store.search_words("document", 9, {"path": "docs/*"})]
    rows = sorted((repr(row) for rows, _ in store.batches() for row in rows), key=str)
    return hits, rows, store.documents(), sorted(store.files().items()), store.manifest


def kind_of(path: Path) -> str:
    """Return what kind of file of an index a path is."""
    return path.name if path.parent == INDEX else f"{path.parts[1]}/{path.parts[2]}/{path.suffix}"


def attack(whole: object) -> str:
    """Return what comes of asking an index that was damaged."""
    try:
        return "no effect" if outcome() == whole else "other results"
    except RankRAGError as error:
        said = str(error)
    except Exception as error:  # what LanceDB itself says
        return f"foreign {type(error).__name__}"
    return "error" if "\n" not in said and "delete" not in said else f"not our words: {said}"


def attacks(first: int, n: int) -> None:
    """Damage files one after the other, and write down what comes of it; the process may end of it."""
    whole = outcome()
    for turn in range(first, n):
        kind, path, content = damage(turn)
        before = path.read_bytes()
        with Path("seen").open("a") as seen:
            seen.write(f"{turn} {kind} ")
        path.write_bytes(content)
        what = attack(whole)
        found = what in ("no effect", "error") or bool(check())
        path.write_bytes(before)
        with Path("seen").open("a") as seen:
            seen.write(f"{what}{'' if found else ', and no check finds it'}\n")


def damage(turn: int) -> tuple[str, Path, bytes]:
    """Return which file is damaged in a turn, and what is in it then."""
    generator = random.Random(f"{os.environ.get('RANKRAG_SEED', '1')} {turn}")
    kinds: dict[str, list[Path]] = {}
    for path in sorted(INDEX.rglob("*")):
        if path.is_file() and path.stat().st_size:
            kinds.setdefault(kind_of(path), []).append(path)
    kind = sorted(kinds)[turn % len(kinds)]
    path = generator.choice(kinds[kind])
    before = path.read_bytes()
    at = generator.randrange(len(before))
    flipped = before[:at] + bytes([before[at] ^ 1 << generator.randrange(8)]) + before[at + 1 :]
    return kind, path, before[:at] if turn % 5 == 4 else flipped


def check() -> list[str]:
    try:
        return faults(INDEX)
    except RankRAGError as error:
        return [str(error)]


def goes_on(process: BaseProcess, seen: Path) -> bool:
    """Wait for a process that writes down what it sees; return whether it came to an end."""
    said, used = -1, 0.0
    while process.is_alive():
        before = processor_s(process)
        if seen.stat().st_size != said:
            said, used = seen.stat().st_size, before
        process.join(IDLE_S)
        now = processor_s(process)
        hangs = now - before < 0.05 or now - used > HANGS_S
        if process.is_alive() and hangs and seen.stat().st_size == said:
            return False
    return True


def processor_s(process: BaseProcess) -> float:
    """Return the seconds of a processor that a process has taken; 0 where the system does not say."""
    try:
        numbers = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def test_damage_is_found_or_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_index()
    shutil.copytree(INDEX, "whole")
    seen = Path("seen")
    seen.touch()
    while (done := len(seen.read_text().splitlines())) < FLIPS:
        process = multiprocessing.get_context("spawn").Process(target=attacks, args=(done, FLIPS))
        process.start()
        hangs = not goes_on(process, seen)
        process.kill()
        process.join()
        if hangs or process.exitcode:
            found = "" if check() else ", and no check finds it"
            with seen.open("a") as stream:
                stream.write(f"{'hangs' if hangs else 'the process ends'}{found}\n")
            shutil.rmtree(INDEX)
            shutil.copytree("whole", INDEX)
    lines = [line.split(" ", 1)[1] for line in seen.read_text().splitlines()]
    for line, count in sorted(Counter(lines).items()):
        print(f"{count:4} {line}")
    assert not [line for line in lines if "no check finds it" in line or "not our words" in line]
    assert faults(INDEX) == []
