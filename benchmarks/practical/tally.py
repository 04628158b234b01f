"""From the answers of a system to counts: right, refused, evidence found and read, citations that hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import NormalDist, median

from judge import Verdict, is_evidence, judged, supports
from questions import Practical
from rankrag.eval.answers import FACTS, read_answers
from rankrag.types import Answer, Citation, Hit


@dataclass(frozen=True, slots=True)
class Ruled:
    """A question, what a system gave for it (None: it could not be asked), and the verdict.

    `found` and `ranked` are the places, from 1, of the first passage with evidence among those retrieved and
    those ranked; None: there is none. `cited` says of each citation whether its passage holds the answer,
    `supported` whether the words that it points at hold what its sentence says.
    """

    asked: Practical
    answer: Answer | None
    verdict: Verdict
    found: int | None
    ranked: int | None
    cited: tuple[bool, ...]
    supported: tuple[bool, ...]

    @property
    def right(self) -> bool:
        """Say whether the answer is right."""
        return self.verdict.ruling == "right"

    @property
    def read(self) -> bool:
        """Say whether a passage with evidence was among those that were read."""
        return self.answer is not None and self.ranked is not None and self.ranked <= self.answer.read_k

    def record(self, system: str) -> dict[str, object]:
        """Return it as a line of verdicts.jsonl, without text of documents."""
        return {
            "system": system,
            "id": self.asked.id,
            "ruling": self.verdict.ruling,
            "missing": list(self.verdict.missing),
            "against": self.verdict.against,
            "text": self.answer.text if self.answer else "",
            "evidence_retrieved": self.found,
            "evidence_ranked": self.ranked,
            "citations_right": list(self.cited),
            "citations_supported": list(self.supported),
        }


@dataclass(frozen=True, slots=True)
class Share:
    """`k` of `n`."""

    k: int
    n: int

    def interval(self) -> tuple[float, float]:
        """Return Wilson's 95 % interval of the share, 0..1; everything for none of none.

        https://doi.org/10.2307/2276774
        """
        if not self.n:
            return 0.0, 1.0
        z, share = NormalDist().inv_cdf(0.975), self.k / self.n
        middle = share + z**2 / (2 * self.n)
        spread = z * sqrt(share * (1 - share) / self.n + z**2 / (4 * self.n**2))
        low, high = ((middle + side * spread) / (1 + z**2 / self.n) for side in (-1, 1))
        return max(0.0, low), min(1.0, high)


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of a system; `seconds` is the median for a question, None where nothing was timed."""

    right: Share
    partial: int
    contradicting: int
    refused: Share
    declined: Share
    retrieved: Share
    read: Share
    citations: Share
    supported: Share
    seconds: float | None


def ruled(questions: Iterable[Practical], folder: Path) -> list[Ruled]:
    """Return the verdicts on the answers in a folder, in the order of the questions that were asked."""
    given = read_answers(folder)
    asked = (one for one in questions if one.id in given.answers or one.id in given.failed)
    return [_ruled(one, given.answers.get(one.id)) for one in asked]


def systems(answers: Path) -> list[tuple[str, Path]]:
    """Return the name and the folder of each system below a folder of answers."""
    return [(place.parents[1].name, place.parent) for place in sorted(answers.glob(f"*/practical/{FACTS}"))]


def tally(rulings: Sequence[Ruled]) -> Tally:
    """Return the counts over the questions of a system."""
    answerable = [one for one in rulings if one.asked.answerable]
    others = [one for one in rulings if not one.asked.answerable]
    n, kinds = len(answerable), [one.verdict.ruling for one in answerable]
    cited = [right for one in answerable for right in one.cited]
    supported = [right for one in rulings for right in one.supported]
    seconds = [sum(one.answer.timings_s.values()) for one in rulings if one.answer is not None]
    return Tally(
        right=Share(kinds.count("right"), n),
        partial=kinds.count("partial"),
        contradicting=kinds.count("contradicts"),
        refused=Share(kinds.count("refused"), n),
        declined=Share(sum(one.right for one in others), len(others)),
        retrieved=Share(sum(one.found is not None for one in answerable), n),
        read=Share(sum(one.read for one in answerable), n),
        citations=Share(sum(cited), len(cited)),
        supported=Share(sum(supported), len(supported)),
        seconds=median(seconds) if seconds else None,
    )


def by_kind(rulings: Sequence[Ruled]) -> Mapping[str, Share]:
    """Return the share of right answers of each kind of question that has an answer."""
    held: dict[str, list[bool]] = {}
    for one in rulings:
        if one.asked.answerable:
            held.setdefault(one.asked.kind, []).append(one.right)
    return {kind: Share(sum(rights), len(rights)) for kind, rights in held.items()}


def _ruled(asked: Practical, answer: Answer | None) -> Ruled:
    if answer is None:
        return Ruled(asked, None, judged(asked, ""), None, None, (), ())
    holding = {hit.passage.id for hit in answer.retrieved if is_evidence(asked, hit.passage.text)}
    return Ruled(
        asked=asked,
        answer=answer,
        verdict=judged(asked, answer.text, answer.abstained),
        found=_first(answer.retrieved, holding),
        ranked=_first(answer.ranked, holding),
        cited=tuple(one.passage_id in holding for one in answer.citations),
        supported=tuple(supports(asked, *sides(answer, one)) for one in answer.citations),
    )


def sides(answer: Answer, citation: Citation) -> tuple[str, str]:
    """Return the sentence that a citation stands for, and the words of the document that it points at.

    Where it points at no place within its passage, the words are those of the whole passage.
    """
    passage = next(hit.passage for hit in answer.ranked if hit.passage.id == citation.passage_id)
    sentence, text, source = answer.text[citation.start : citation.end], passage.text, passage.source
    if citation.source_start is None or citation.source_end is None or not source or source.start is None:
        return sentence, text
    return sentence, text[citation.source_start - source.start : citation.source_end - source.start]


def _first(hits: Sequence[Hit], holding: set[str]) -> int | None:
    return next((place for place, hit in enumerate(hits, 1) if hit.passage.id in holding), None)
