"""An answer and its hits as JSON shows them, and read from that again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from ..files import Record
from ..types import Answer, Citation, Cut, Hit, Passage, Question, Source, Usage


def answer_record(answer: Answer) -> Record:
    """Return an answer as `ask --output json` prints it; `n_scored` where that is not all of `ranked`."""
    record: Record = {
        "id": answer.question.id,
        "question": answer.question.text,
        "query": answer.query,
        "rewritten": answer.rewritten or None,
        "text": answer.text,
        "abstained": answer.abstained,
        "weak": answer.weak,
        "calibrated": answer.calibrated,
        "citations": [asdict(citation) for citation in answer.citations],
        "retrieved": [hit_record(hit) for hit in answer.retrieved],
        "ranked": [hit_record(hit) for hit in answer.ranked],
        "read_k": answer.read_k,
        "cuts": [asdict(cut) for cut in answer.cuts],
        "usage": {name: getattr(answer.usage, name) for name in ("prompt_tokens", "completion_tokens")},
        "timings_s": {step: round(seconds, 4) for step, seconds in answer.timings_s.items()},
    }
    return record | ({"n_scored": answer.n_scored} if answer.n_scored < len(answer.ranked) else {})


def answer_of(record: Mapping[str, object], question: Question) -> Answer:
    """Return the answer to a question of which `answer_record` made a record."""
    told = cast("Mapping[str, Any]", record)
    return Answer(
        question,
        query=told["query"],
        rewritten=told["rewritten"] or "",
        retrieved=tuple(map(hit_of, told["retrieved"])),
        n_ranked=told.get("n_ranked", len(told["ranked"])),
        ranked=tuple(map(hit_of, told["ranked"])),
        read_k=told["read_k"],
        text=told["text"],
        citations=tuple(Citation(**citation) for citation in told["citations"]),
        abstained=told["abstained"],
        weak=told["weak"],
        calibrated=told["calibrated"],
        cuts=tuple(Cut(**cut) for cut in told["cuts"]),
        usage=Usage(**told["usage"]),
        timings_s=told["timings_s"],
        done=told.get("done", True),
    )


def hit_of(record: Mapping[str, object]) -> Hit:
    """Return the hit of which `hit_record` made a record."""
    told = cast("Mapping[str, Any]", record)
    source = Source(told["source"], told["page"], told["source_start"], told["source_end"])
    passage = Passage(told["id"], told["text"], told["title"], source, told["attributes"])
    return Hit(passage, told["score"] or 0.0, told.get("scored", True), told.get("cut", 0))


def hit_record(hit: Hit) -> Record:
    """Return a hit as JSON shows it: path or URL, page and offsets flat; no score where it is unscored."""
    source = hit.passage.source or Source(path="")
    record: Record = {
        "id": hit.passage.id,
        "score": hit.score if hit.scored else None,
        "title": hit.passage.title,
        "text": hit.passage.text,
        "source": source.path,
        "page": source.page,
        "source_start": source.start,
        "source_end": source.end,
        "attributes": dict(hit.passage.attributes),
    }
    return record | ({} if hit.scored else {"scored": False}) | ({"cut": hit.cut} if hit.cut else {})
