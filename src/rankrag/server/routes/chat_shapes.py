"""A finished answer in the shapes that clients of chats know: OpenAI's, Cohere's, and ours beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...files import Record
from ...types import Answer, Citation, Hit


def url_citations(answer: Answer) -> list[Record]:
    """Return the citations as OpenAI's `url_citation`s; what has no path or URL goes by its id."""
    hits = _hits(answer)
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": citation.start,
                "end_index": citation.end,
                "title": hits[citation.passage_id].passage.title or citation.passage_id,
                "url": citation.source or citation.passage_id,
            },
        }
        for citation in answer.citations
    ]


def citations(answer: Answer) -> list[Record]:
    """Return the citations in the shape of Cohere's chat."""
    hits = _hits(answer)
    return [
        {
            "start": citation.start,
            "end": citation.end,
            "text": answer.text[citation.start : citation.end],
            "sources": [
                {"type": "document", "id": citation.passage_id, "document": _document(citation, hits)}
            ],
            "type": "TEXT_CONTENT",
        }
        for citation in answer.citations
    ]


def _document(citation: Citation, hits: Mapping[str, Hit]) -> Record:
    passage = hits[citation.passage_id].passage
    return {
        "id": passage.id,
        "title": passage.title,
        "text": passage.text,
        "source": citation.source,
        "page": passage.source.page if passage.source else None,
        "source_start": citation.source_start,
        "source_end": citation.source_end,
        "relevance": citation.relevance,
    }


def _hits(answer: Answer) -> dict[str, Hit]:
    return {hit.passage.id: hit for hit in answer.ranked}


def beside(answer: Answer, warnings: Sequence[str], ranked: bool) -> Record:
    """Return the citations and what became of each passage; `ranked` says whether a model ordered them."""
    first = {hit.passage.id: hit.score for hit in answer.retrieved}
    hits = [
        {
            "id": hit.passage.id,
            "title": hit.passage.title,
            "source": hit.passage.source.path if hit.passage.source else "",
            "score_retrieved": first.get(hit.passage.id),
            "score": hit.score if hit.scored else None,
            "scored": hit.scored and ranked,
            "read": number < answer.read_k and not answer.abstained,
        }
        for number, hit in enumerate(answer.ranked)
    ]
    retrieval = {
        "query": answer.query,
        "rewritten": answer.rewritten or None,
        "hits": hits,
        "abstained": answer.abstained,
        "weak": answer.weak,
        "warnings": list(warnings),
        "timings_s": {step: round(seconds, 4) for step, seconds in answer.timings_s.items()},
    }
    return {"citations": citations(answer), "retrieval": retrieval}


def usage(answer: Answer) -> Record:
    """Return the tokens that were read and written, as OpenAI counts them."""
    read, written = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def reason(answer: Answer) -> str:
    """Return why the answer ends, as OpenAI has it."""
    return "length" if answer.usage.cut else "stop"
