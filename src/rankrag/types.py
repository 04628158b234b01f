"""The nouns of RankRAG and the roles that act on them.

Nouns are frozen, slotted dataclasses; roles are Protocols, so an implementation inherits nothing and
anything with the right methods will do. This module imports only the standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

Style = Literal["plain", "phrase", "span", "full", "number", "span_or_full", "true_false", "choice"]
"""The kind of answer that a question wants; the words of each kind stand in `prompts.py`."""

Task = Literal["instruct", "context_qa", "retrieval_qa", "rank", "retrieval_rank"]
"""The five shapes of a training example, in the paper's order (arXiv 2407.02485, section 4)."""

Speaker = Literal["user", "assistant"]

ReadingMode = Literal["joint", "mixture"]
"""All passages in one prompt, or a mean of that with a prompt for each (RAG-Token, arXiv 2005.11401)."""

ASKED = ""
"""A choice for `LanguageModel.logprobs`: no continuation, but the question where it stands in the prompt."""

Filters = Mapping[str, str]
"""Attribute name to wanted value. The name `path` takes a glob and is compared with `Source.path`."""

RetrieverKind = Literal["bm25", "dense", "hybrid"]
"""By words, by vectors, or by both."""

StoreName = Literal["lancedb", "qdrant"]
"""What holds the passages of an index."""

Progress = Callable[[int, int, str], None]
"""Is told how much is done, of how much, and of what: `passages`, `bytes`, `bytes fetched`…"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a passage came from.

    `start` and `end` are offsets in characters into the *extracted text* of the document (for PDF the
    pages joined by a form feed), such that `document[start:end] == passage.text`; `page` counts from 1.
    """

    path: str
    page: int | None = None
    start: int | None = None
    end: int | None = None

    def __str__(self) -> str:
        """Return the place as people write it: `guide.pdf, page 3`, or `guide.md:120-180` in characters."""
        if self.page is not None:
            return f"{self.path}, page {self.page}"
        return self.path if self.start is None else f"{self.path}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Passage:
    """The unit that is indexed, ranked and read: about 100 words."""

    id: str
    text: str
    title: str = ""
    source: Source | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation before the question."""

    role: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What the user asked, with its conversation. It never holds gold answers.

    `history` is oldest first; `options` maps a letter to its text (multiple choice) and is never part
    of the search query. With style `true_false` the text is a claim.
    """

    id: str
    text: str
    history: tuple[Turn, ...] = ()
    style: Style = "plain"
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage with a score. Its rank is its position in the list; higher is better.

    Scores compare within one list only. After a ranker the score is a relevance in 0..1, unless
    `scored` is false: then a budget left the hit unscored, it follows in retrieval order and keeps the
    retriever's score. `cut` counts the characters at the end of the passage that the ranker did not
    see because they did not fit.
    """

    passage: Passage
    score: float
    scored: bool = True
    cut: int = 0


def best_first(hits: Iterable[Hit]) -> list[Hit]:
    """Return hits as every ranking orders them: by score, ties by passage id."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))


@dataclass(frozen=True, slots=True)
class Example:
    """One training item: question and passages in, target out. All five tasks share the shape."""

    id: str
    source: str
    task: Task
    question: Question
    passages: tuple[Passage, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The only thing a model sees: `prefix + suffix`, then `target`, which it is taught to write.

    `prefix` is the system text and the passages: it does not depend on the question, so its keys and
    values can be reused for every later question. The loss mask is the last seam. Seams fall before
    whitespace or beside a marker of the template, so tokenising the parts equals tokenising the whole.
    `markers` are the strings of the frame that are control tokens (none in plain text templates). `asked` is
    where the question stands in the suffix of a ranking prompt: `suffix[start:end]`; (0, 0): nowhere.
    """

    prefix: str
    suffix: str
    target: str = ""
    markers: tuple[str, ...] = ()
    asked: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage that did not fit whole: its first `kept` of `length` characters stayed."""

    passage_id: str
    kept: int
    length: int


@dataclass(frozen=True, slots=True)
class Citation:
    """`answer.text[start:end]` leans on a passage that was read.

    `relevance` is what the model itself gives the passage for that sentence, in 0..1: relevance, not
    proof. `source_start` and `source_end` delimit the sentence of the passage closest to it, in
    characters of the source document (None where the passage has no offsets).
    """

    start: int
    end: int
    passage_id: str
    relevance: float
    source: str = ""
    source_start: int | None = None
    source_end: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the answering prompt and of the answer.

    `cut` says that the answer would go on where its limit was, as far as is known.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole trace of one ask. It grows as it streams, and every consumer sees the same object.

    `rewritten` is the question as it was searched for, where it leaned on its conversation. `retrieved` and
    `ranked` hold the same passages in two orders; the first `read_k` of `ranked` were read. `abstained` says
    that no passage reached the least relevance wanted, `weak` that even the best one is of low relevance.
    `calibrated` says that its relevances are probabilities that were measured. `n_ranked` counts what is
    ranked while the ranking goes on. `timings_s` maps a step (`rewrite`, `retrieve`, `rank`, `generate`,
    `cite`) to its seconds. `done` is true on the last step.
    """

    question: Question
    query: str = ""
    retrieved: tuple[Hit, ...] = ()
    ranked: tuple[Hit, ...] = ()
    read_k: int = 0
    text: str = ""
    citations: tuple[Citation, ...] = ()
    abstained: bool = False
    weak: bool = False
    rewritten: str = ""
    n_ranked: int = 0
    calibrated: bool = False
    cuts: tuple[Cut, ...] = ()
    usage: Usage = Usage()
    timings_s: Mapping[str, float] = field(default_factory=dict)
    done: bool = False

    @property
    def n_scored(self) -> int:
        """Hits of `ranked` that were scored: fewer than all where a budget ended the ranking early."""
        return sum(hit.scored for hit in self.ranked)

    @property
    def best(self) -> float:
        """The relevance of the best passage, 0 where none was scored."""
        return max((hit.score for hit in self.ranked if hit.scored), default=0.0)


@dataclass(frozen=True, slots=True)
class Document:
    """One file (or one line of a collection) in an index, as `Documents.list` reports it."""

    id: str
    path: str
    sha256: str
    n_passages: int


class Retriever(Protocol):
    """Finds passages: BM25, dense, hybrid or remote."""

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return at most `k` hits, best first."""


class Ranker(Protocol):
    """Orders hits by relevance to the question ("reranker" elsewhere)."""

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same passages, best first: none dropped, none added, ties by passage id."""


class Reading(Protocol):
    """One answer in the making: the passages are fitted, nothing is written yet."""

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """What had to be left out of the passages for them to fit."""

    def pieces(self) -> Iterator[str]:
        """Yield the answer piece by piece; the pieces joined are the answer. Closing it stops the model."""

    def usage(self, text: str) -> Usage:
        """Return the tokens that were read, and those that writing `text`, the pieces so far, took."""


class Generator(Protocol):
    """Answers from passages ("reader" elsewhere)."""

    def read(
        self,
        question: Question,
        passages: Sequence[Passage],
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        relevance: Sequence[float] = (),
    ) -> Reading:
        """Return the reading of these passages; `max_tokens` and the first text of `stop` end it sooner.

        `relevance` is that of each passage; empty where it is not known.
        """


class Rewriter(Protocol):
    """Makes a question that leans on its conversation one that stands alone."""

    def rewrite(self, question: Question) -> str:
        """Return the question as one of its own, "" where it is one already or cannot be made one."""


class Citer(Protocol):
    """Finds, for each sentence of an answer, the passage it leans on."""

    def cite(self, question: Question, text: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
        """Return citations in the order of the text; only the given passages are cited."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a file that was to go in: its documents in the index, or why it cannot be read.

    `notes` say what was guessed, cut or passed over in it.
    """

    documents: tuple[Document, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


class Documents(Protocol):
    """What a server or a command line needs of an index to change it."""

    def add(
        self, paths: Iterable[str], progress: Progress | None = None, more: bool = False
    ) -> dict[str, Added]:
        """Index files, replacing those that changed; return what became of each, by its path as given.

        `more` says that others follow at once, so that what is made once for many files may wait for them.
        """

    def count(self) -> tuple[int, int]:
        """Return the number of files and of passages, without reading them."""

    def list(self) -> tuple[Document, ...]:
        """Return every document in the index, ordered by id."""

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents and their passages; return how many documents were there."""

    def place(self, document: Document) -> Path:
        """Return the absolute path of a document's file."""

    def line(self, passage: Passage) -> int | None:
        """Return the line (from 1) of its file at which a passage begins, None where that cannot be told."""

    def examples(self) -> tuple[str, ...]:
        """Return a few questions that the documents suggest, of as many documents as can be."""


class LanguageModel(Protocol):
    """One language model, whatever engine runs it."""

    @property
    def context_length(self) -> int:
        """The most tokens that prompt and answer may have together."""

    def n_tokens(self, text: str) -> int:
        """Return the number of tokens of a text on its own, without special tokens."""

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        """Return natural-log probabilities of each choice right after each prompt.

        Shape (prompts, choices), float64. A choice of several tokens has the sum of its tokens', and `ASKED`
        the sum of those that stand at `Prompt.asked`: how likely what precedes the question makes it.
        """

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        """Yield the greedy continuation piece by piece, ending before any string of `stop`."""


@runtime_checkable
class MixtureLanguageModel(LanguageModel, Protocol):
    """A language model that continues several prompts as one."""

    def generate_mixture(
        self, prompts: Sequence[Prompt], weights: Sequence[float], max_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yield the greedy continuation by the weighted mean of the prompts' distributions of each token."""
