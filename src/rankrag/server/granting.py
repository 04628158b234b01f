"""One ask as requests word it: its question, how many passages, which of them, and by which pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import InvalidInputError
from ..pipeline import Pipeline
from ..types import Answer, Filters, Hit, Passage
from .requests import check_number
from .settings import Limits


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What a request changes of the pipeline; None leaves what the server was started with.

    `passages` are the client's own, used in place of the index. `max_tokens` is the most pieces that the
    model writes; a piece is a token, rarely a few. The answer ends before the first text of `stop`.
    """

    retrieve_k: int | None = None
    read_k: int | None = None
    min_relevance: float | None = None
    ranking: bool = True
    passages: tuple[Passage, ...] | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """A retriever over the passages of one request: all of them, in the order in which they came."""

    passages: Sequence[Passage]

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return the passages; the first scores 1, the last nearly 0."""
        del query
        if filters:
            raise InvalidInputError(
                "found filters beside documents, wanted one of them: filters search the index"
            )
        return [Hit(passage, 1 - n / len(self.passages)) for n, passage in enumerate(self.passages[:k])]


def granted(pipeline: Pipeline, wish: PassRequest, limits: Limits) -> Pipeline:
    """Return the pipeline with what a request wishes.

    `read_k` is at most `retrieve_k`: of ten passages retrieved no more than ten can be read. Raises
    InvalidInputError for more passages than the server allows.
    """
    own = wish.passages
    retrieve_k = (len(own) if own else wish.retrieve_k) or pipeline.retrieve_k
    check_number("documents" if own else "retrieve_k", retrieve_k, limits)
    return replace(
        pipeline,
        retriever=pipeline.retriever if own is None else Given(own),
        retrieve_k=retrieve_k,
        read_k=min(wish.read_k or pipeline.read_k, retrieve_k),
        ranker=pipeline.ranker if wish.ranking else None,
        min_relevance=pipeline.min_relevance if wish.min_relevance is None else wish.min_relevance,
        max_tokens=wish.max_tokens,
        stop=wish.stop,
    )


def changes(
    answers: Iterator[Answer], record: Callable[[Answer], Mapping[str, object]]
) -> Iterator[dict[str, object]]:
    """Yield, for each step of a growing answer, the fields of its record that changed."""
    before: dict[str, object] = {}
    for answer in answers:
        now = {**record(answer), "done": answer.done}
        changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
        before = now
        yield changed
