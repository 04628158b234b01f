"""Mined passages: TREC runs that `rankrag search` wrote, and the passages that they name.

A blend does not search. `searches` says which searches a recipe needs and writes their questions;
`rankrag index` and `rankrag search` carry them out; `Mined` reads what they found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInputError, NotFoundError, amount
from ..formats import read_passages, read_run, run_name
from ..types import Passage
from .recipe import RetrieverName


@dataclass(frozen=True, slots=True)
class Search:
    """One search to make before a blend can be built: paths of its questions, corpora and run.

    `k` is how many passages a question; `done` says that the run is there already; `retriever` is `bm25`,
    `dense` or `hybrid`, the last two with vectors of the default encoder.
    """

    name: str
    questions: str
    corpus: tuple[str, ...]
    run: str
    k: int
    done: bool
    retriever: RetrieverName = "bm25"

    @property
    def vectors(self) -> bool:
        """Whether the search needs an index with vectors."""
        return self.retriever != "bm25"

    def commands(self) -> str:
        """Return the two commands that make the run; passages stay whole, so that they keep their ids."""
        index = f"{Path(self.run).with_suffix('')}.index"
        encoder = "" if self.vectors else " --encoder none"
        return (
            f"rankrag index {' '.join(self.corpus)} --index {index} --passage-words 0{encoder} --yes"
            " && "
            f"rankrag search --questions {self.questions} --index {index} --retriever {self.retriever} "
            f"-k {self.k} --run {self.run}"
        )


class Mined:
    """The hits of one run, for the questions asked for, with their texts."""

    def __init__(self, search: Search, questions: Collection[str]) -> None:
        """Read the run and, in one pass each, its corpora; only what is needed is kept in memory.

        Raises NotFoundError where there is no run, InvalidInputError where the corpora lack a passage.
        """
        if not Path(search.run).is_file():
            raise NotFoundError(f"found no run at {search.run}: make it with {search.commands()}")
        self._hits = _best(search, {run_name(name) for name in questions})
        wanted = {name for names in self._hits.values() for name in names}
        self._passages = _look_up(search.corpus, wanted)
        if missing := sorted(wanted - self._passages.keys()):
            raise InvalidInputError(
                f"{search.run}: found {amount(len(missing), 'passage')} (first {missing[0]!r}) not in "
                f"{', '.join(search.corpus)}: make the run again with {search.commands()}"
            )

    def hits(self, question: str) -> list[Passage]:
        """Return the passages found for a question, best first."""
        return [self._passages[name] for name in self._hits.get(run_name(question), ())]


def _best(search: Search, questions: Collection[str]) -> dict[str, list[str]]:
    hits: dict[str, list[str]] = {}
    for question, name, _ in read_run(search.run):
        if question in questions and len(found := hits.setdefault(question, [])) < search.k:
            found.append(name)
    return hits


def _look_up(corpora: Iterable[str], wanted: Collection[str]) -> dict[str, Passage]:
    return {
        run_name(passage.id): passage
        for path in corpora
        for passage in read_passages(path)
        if run_name(passage.id) in wanted
    }
