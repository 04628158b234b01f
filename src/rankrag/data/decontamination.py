"""What benchmarks and training data must not share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache

from ..files import rows
from ..formats import question
from .item import Item
from .matching import squash, words

ANCHOR = 5
"""Words that a benchmark question must have to be looked for inside longer texts."""

SHINGLE, KEPT_SHINGLES, SHARED = 8, 4, 0.5
"""Words of a shingle; one of how many is kept; the share that makes two passages the same."""


class Questions:
    """Questions, looked for in others: the same, or contained in a longer text.

    Two questions are the same if they agree in letters and digits (NFKC, lower case). One is contained if
    its words stand in the text in a row; questions of fewer than five words are not looked for, as
    they would be found by chance.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._same: set[str] = set()
        self._anchors: dict[tuple[str, ...], list[str]] = {}
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._same)

    def add(self, text: str) -> None:
        """Add a question."""
        key = squash(text)
        if key and key not in self._same:
            self._same.add(key)
            said = words(text)
            if len(said) >= ANCHOR:
                self._anchors.setdefault(tuple(said[:ANCHOR]), []).append(" ".join(said))

    def same(self, text: str) -> bool:
        """Say whether a text is one of the questions."""
        return squash(text) in self._same

    def contained(self, text: str) -> bool:
        """Say whether one of the questions stands inside a text."""
        said = words(text)
        for start in range(len(said) - ANCHOR + 1):
            for wanted in self._anchors.get(tuple(said[start : start + ANCHOR]), ()):
                if said[start : start + wanted.count(" ") + 1] == wanted.split():
                    return True
        return False


class Passages:
    """Reading passages, looked for by the shingles (runs of eight words) that texts share.

    One shingle in four is kept, chosen by its hash, so that the index of all benchmarks stays small
    (Broder 1997). A text of fewer than eight words has one shingle, itself.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._shingles: set[int] = set()
        self.n_passages = 0
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Add a passage."""
        self.n_passages += 1
        self._shingles.update(_shingles(text))

    def overlap(self, text: str) -> float:
        """Return the share of a text's kept shingles that occur in the passages, in 0..1."""
        own = set(_shingles(text))
        return len(own & self._shingles) / len(own) if own else 0.0

    def same(self, text: str) -> bool:
        """Say whether half of a text or more stands in the passages."""
        return self.overlap(text) >= SHARED


OfficialReader = Callable[[str], Iterable[str] | None]
"""Takes a file and returns the questions in it, None where its format is no benchmark's own."""


class Benchmarks:
    """All that a recipe's benchmark files ask and read; `official` reads those in a format of their own."""

    def __init__(self, official: OfficialReader | None = None) -> None:
        self.questions, self.passages = Questions(), Passages()
        self._official = official
        self._verdicts: dict[tuple[str, str], str | None] = {}

    def add(self, path: str) -> None:
        """Add the questions of a file, and the passages in it that it calls relevant.

        The file has an official format, the neutral shape or that of BEIR's queries. Only the neutral shape
        says which passages are relevant.
        """
        asked = self._official(path) if self._official else None
        for text in asked or ():
            self.questions.add(text)
        if asked is not None:
            return
        for row in rows(path):
            self.questions.add(question(path, row.line or 0, row.values).text)
            for passage in row.rows("passages") if row.has("passages") else ():
                if passage.values.get("relevant") is True:
                    self.passages.add(passage.text("text"))

    def reason_against(self, item: Item) -> str | None:
        """Say why an item must not be trained on, None where nothing speaks against it.

        Compared are its question and all that its user says before (the same, or containing a benchmark
        question) and its gold passages. Mined passages are not: they come from the corpus that benchmarks
        are answered from. Items with the same id and question are looked at once.
        """
        key = (item.id, item.question.text)
        if key not in self._verdicts:
            self._verdicts[key] = self._look(item)
        return self._verdicts[key]

    def _look(self, item: Item) -> str | None:
        asked = telling(item)
        if any(self.questions.same(text) for text in asked):
            return "is a benchmark question"
        if any(self.questions.contained(text) for text in asked):
            return "contains a benchmark question"
        if any(self.passages.same(passage.text) for passage in item.gold):
            return "reads a benchmark passage"
        return None


def telling(item: Item) -> list[str]:
    """Return what the user of an item says, without turns of a conversation that could stand in any.

    A benchmark asks `Yes.` or `How?` somewhere; that says nothing about a dialogue with the same turn.
    """
    said = [item.question.text, *(turn.text for turn in item.question.history if turn.role == "user")]
    return [text for text in said if len(said) == 1 or len(words(text)) >= ANCHOR]


@lru_cache(maxsize=1 << 15)  # several ingredients read the same source
def _shingles(text: str) -> tuple[int, ...]:
    said = words(text)
    starts = range(max(1, len(said) - SHINGLE + 1)) if said else ()
    codes = [zlib.crc32(" ".join(said[start : start + SHINGLE]).encode()) for start in starts]
    return tuple(code for code in codes if code % KEPT_SHINGLES == 0) or tuple(codes[:1])
