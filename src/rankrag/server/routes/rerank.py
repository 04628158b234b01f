"""`/rerank`, `/v1/rerank`, `/v2/rerank` and `/score`: passages of the client's own, ranked without an index.

Requests and responses are the union of the shapes of Cohere (v1 and v2), Jina and vLLM; a request with
`texts` in place of `documents` is answered as Text Embeddings Inference does, one with `top_k` or
`truncation` as Voyage does.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from ...errors import InvalidInputError, amount
from ...files import Record
from ...fitting import fit
from ...types import Hit, Passage, Prompt, Question, Ranker, best_first
from ..desk import LateError
from ..requests import Foreign, Items, Name, Text, Texts, as_passage, check_lengths, check_number
from ..state import Shared, State

routes = APIRouter()

UNSCORED = -1.0
"""Stands for a relevance where the server's budget left a document unscored: below every relevance, and a
number, since clients of these shapes take nothing else. `"scored": false` is beside it."""

SHARE = 0.8
"""Of the deadline is for ranking: the last batch may take longer than it was meant to."""


class RerankRequest(Foreign):
    """A query and what is to be put in order. Unknown fields are left out, as clients add them freely."""

    query: Text
    documents: Items | None = None
    texts: Texts | None = None
    model: Name | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    truncation: bool | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None
    return_text: bool = False
    rank_fields: Annotated[list[Name], Field(max_length=100)] | None = None
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = None
    truncate_prompt_tokens: int | None = None
    max_chunks_per_doc: int | None = None
    instruction: Text | None = None
    instruct: Text | None = None
    raw_scores: bool = False

    def is_voyage(self) -> bool:
        """Whether it is a client of Voyage's, which alone names these fields."""
        return bool(self.model_fields_set & {"top_k", "truncation"})

    def wanted(self) -> int | None:
        """Return how many results are wanted, None for all."""
        return self.top_n or self.top_k


class ScoreRequest(Foreign):
    """vLLM's bulk shape: one query for all documents, or a query for each."""

    queries: Text | Texts | None = None
    documents: Text | Texts | None = None
    text_1: Text | Texts | None = None
    text_2: Text | Texts | None = None
    model: Name | None = None


@routes.post("/rerank")
@routes.post("/v1/rerank")
@routes.post("/v2/rerank")
async def rerank(body: RerankRequest, request: Request, state: Shared) -> Response:
    """Return documents by relevance, most relevant first; `index` is the place in the request.

    At the server's deadline it returns what it has; documents that were not scored by then follow as they
    came, marked.
    """
    passages = _passages(body, state)
    question = Question("1", body.query.strip())
    short = {passage.id: passage for passage in passages}
    seen: list[Hit] = []
    ranker = _ranker(state, seen.extend)

    def ranked() -> tuple[list[Hit], int]:
        for passage in passages:
            short[passage.id] = _shortened(passage, body.max_tokens_per_doc, state.about.n_tokens)
        texts = list(short.values())
        hits = ranker.rank(question, [Hit(passage, 0.0) for passage in texts])
        return hits, _tokens(body.query, texts, state.about.n_tokens)

    try:
        hits, n_tokens = await state.desk.run(request, ranked, state.settings.rerank_s)
    except LateError:
        hits, n_tokens = _so_far(list(seen), passages), 0
    whole = {passage.id: passage for passage in passages}
    n_cut = sum(hit.scored and _is_cut(hit, whole) for hit in hits)
    n_left = sum(not hit.scored for hit in hits)
    best = hits[: body.wanted()]
    if body.texts is not None:
        return JSONResponse([_as_tei(hit, whole, body.return_text) for hit in best])
    if body.is_voyage():
        return JSONResponse(_as_voyage(best, whole, body, state, n_tokens))
    results = [_result(hit, body, request.url.path) for hit in best]
    warnings = _warnings(body, state, n_cut, n_left)
    return JSONResponse(_answer(results, state, n_tokens, warnings, request.url.path))


def _ranker(state: State, tell: Callable[[Sequence[Hit]], None]) -> Ranker:
    """Return the ranker, within the server's deadline if it has one; it tells each batch that it ranked."""
    ranker, seconds = state.ranker(), state.settings.rerank_s
    if state.settings.bounded is None or seconds is None:
        return ranker
    return state.settings.bounded(seconds * SHARE, tell)


def _so_far(seen: Sequence[Hit], passages: Sequence[Passage]) -> list[Hit]:
    """Return what was ranked before the deadline, best first, then the others as they came."""
    scored = best_first(seen)
    done = {hit.passage.id for hit in scored}
    return scored + [Hit(other, 0.0, scored=False) for other in passages if other.id not in done]


def _is_cut(hit: Hit, whole: Mapping[str, Passage]) -> bool:
    return bool(hit.cut) or hit.passage.text != whole[hit.passage.id].text


@routes.post("/score")
@routes.post("/v1/score")
async def score(body: ScoreRequest, request: Request, state: Shared) -> Record:
    """Return the relevance of each document, in the order of the request."""
    queries, documents = _pairs(body)
    check_number("documents", len(documents), state.limits)
    texts = {f"documents.{n}": text for n, text in enumerate(documents)}
    check_lengths({"queries": max(queries, key=len), **texts}, state.limits)
    ranker = state.ranker()

    def scores() -> tuple[dict[int, Hit], int]:
        scored: dict[int, Hit] = {}
        for query in dict.fromkeys(queries):
            own = [n for n, other in enumerate(queries) if other == query]
            hits = [Hit(Passage(str(n), documents[n].strip()), 0.0) for n in own]
            scored |= {int(hit.passage.id): hit for hit in ranker.rank(Question("1", query), hits)}
        long = {text: state.about.n_tokens(text) for text in {*queries, *documents}}
        return scored, sum(long[text] for text in [*queries, *documents])

    scored, n_tokens = await state.desk.run(request, scores)
    data = [{"index": n, "object": "score", **_scored(scored[n], "score")} for n in range(len(documents))]
    head = {"id": f"score-{uuid.uuid4().hex}", "object": "list", "created": int(time.time())}
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {**head, "model": state.about.ranks_with, "data": data, "usage": usage}


# ── in ───────────────────────────────────────────────────────────────────────────────────────────────


def _passages(body: RerankRequest, state: State) -> tuple[Passage, ...]:
    """Return what is to be ranked; each goes by its place, whatever id the client gave it."""
    given: Sequence[object] = body.texts if body.texts is not None else body.documents or ()
    if not body.query.strip():
        raise InvalidInputError("query: found no words, wanted a question")
    if not given:
        raise InvalidInputError("documents: found none, wanted a list of texts")
    check_number("documents", len(given), state.limits)
    passages = [as_passage(n, document, body.rank_fields or ()) for n, document in enumerate(given)]
    texts = {f"documents.{n}": passage.text for n, passage in enumerate(passages)}
    check_lengths({"query": body.query, **texts}, state.limits)
    return tuple(replace(passage, id=str(n)) for n, passage in enumerate(passages))


def _shortened(passage: Passage, max_tokens: int | None, n_tokens: Callable[[str], int]) -> Passage:
    """Return a passage with at most so many tokens of text."""
    if max_tokens is None or n_tokens(passage.text) <= max_tokens:
        return passage

    def alone(shown: Sequence[Passage]) -> Prompt:
        return Prompt(shown[0].text, "")

    prompt, _ = fit(alone, [passage], max_tokens, n_tokens)
    return replace(passage, text=prompt.prefix)


def _pairs(body: ScoreRequest) -> tuple[list[str], list[str]]:
    """Return queries and documents, as many of each; one query alone goes with all documents."""
    queries = _listed(body.queries if body.queries is not None else body.text_1)
    documents = _listed(body.documents if body.documents is not None else body.text_2)
    if not queries or not documents or not all(query.strip() for query in queries):
        raise InvalidInputError("found no queries or no documents, wanted both: queries and documents")
    if len(queries) == 1:
        queries = queries * len(documents)
    if len(queries) != len(documents):
        raise InvalidInputError(
            f"found {len(queries)} queries and {amount(len(documents), 'document')}, wanted one query "
            "or as many"
        )
    return queries, documents


def _listed(given: str | list[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else given or []


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────


def _result(hit: Hit, body: RerankRequest, path: str) -> Record:
    """Return one result; Cohere leaves documents out unless asked, Jina's and vLLM's clients expect them."""
    index = int(hit.passage.id)
    result: Record = {"index": index, **_scored(hit, "relevance_score")}
    wanted = body.return_documents
    if wanted or (wanted is None and path != "/v2/rerank"):
        given = (body.documents or ())[index]
        result["document"] = given if isinstance(given, dict) else {"text": given}
    return result


def _scored(hit: Hit, name: str) -> Record:
    """Return the relevance under a name, and the mark of a hit without one."""
    return {name: hit.score} if hit.scored else {name: UNSCORED, "scored": False}


def _answer(results: list[Record], state: State, n_tokens: int, warnings: list[str], path: str) -> Record:
    version = {"/v2/rerank": "2"}.get(path, "1")
    return {
        "id": f"rerank-{uuid.uuid4().hex}",
        "object": "rerank",
        "model": state.about.ranks_with,
        "created": int(time.time()),
        "results": results,
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        "meta": {
            "api_version": {"version": version},
            "billed_units": {"search_units": 1},
            "warnings": warnings,
        },
    }


def _as_tei(hit: Hit, whole: dict[str, Passage], with_text: bool) -> Record:
    result: Record = {"index": int(hit.passage.id), **_scored(hit, "score")}
    return result | ({"text": whole[hit.passage.id].text} if with_text else {})


def _as_voyage(
    best: Sequence[Hit], whole: Mapping[str, Passage], body: RerankRequest, state: State, n_tokens: int
) -> Record:
    data: list[Record] = []
    for hit in best:
        result: Record = {"index": int(hit.passage.id), **_scored(hit, "relevance_score")}
        data.append(result | ({"document": whole[hit.passage.id].text} if body.return_documents else {}))
    usage = {"total_tokens": n_tokens}
    return {"object": "list", "data": data, "model": state.about.ranks_with, "usage": usage}


def _warnings(body: RerankRequest, state: State, n_cut: int, n_left: int) -> list[str]:
    told = [f"{amount(n_cut, 'document')} cut at the end, too long to fit"] if n_cut else []
    if n_left:
        what = "budget" if state.settings.rerank_s is None else "deadline"
        told.append(
            f"{amount(n_left, 'document')} left unscored by the server's {what}: last, in the order given"
        )
    for name in ("max_chunks_per_doc", "truncate_prompt_tokens", "instruction", "instruct"):
        if getattr(body, name) is not None:
            told.append(f"{name} was not used")
    if body.raw_scores:
        told.append("raw_scores was not used: scores are probabilities")
    return told


def _tokens(query: str, passages: Sequence[Passage], n_tokens: Callable[[str], int]) -> int:
    """Return the tokens of query and documents, without the frame around them."""
    return n_tokens(query) * len(passages) + sum(n_tokens(passage.text) for passage in passages)
