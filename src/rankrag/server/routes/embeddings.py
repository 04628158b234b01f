"""`/v1/embeddings`: vectors by the encoder of the index, in OpenAI's shape."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field

from ...errors import InvalidInputError
from ...files import Record
from ..requests import Foreign, Name, Text, check_lengths, check_number
from ..state import Shared

routes = APIRouter()


class EmbeddingRequest(Foreign):
    """Texts that are to become vectors.

    `input_type` is Cohere's and Voyage's: encoders that treat the two differently want to know whether a
    text is a query or a passage (`document`, the default).
    """

    input: Text | Annotated[list[Text], Field(min_length=1)]
    model: Name | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    input_type: Literal["query", "document", "search_query", "search_document"] | None = None


@routes.post("/v1/embeddings")
async def embeddings(body: EmbeddingRequest, request: Request, state: Shared) -> Record:
    """Return a vector for each text, in the order of the request."""
    encoder = state.settings.encoder
    if encoder is None:
        raise InvalidInputError(
            "found no encoder in this server's index, wanted one: build the index with vectors "
            "(rankrag index --encoder NAME)"
        )
    texts = [body.input] if isinstance(body.input, str) else body.input
    check_number("input", len(texts), state.limits)
    check_lengths({f"input.{n}": text for n, text in enumerate(texts)}, state.limits)
    if any(not text.strip() for text in texts):
        raise InvalidInputError("input: found a text without words, wanted some in each")
    if body.dimensions not in (None, encoder.dimension):
        raise InvalidInputError(
            f"dimensions: found {body.dimensions}, wanted {encoder.dimension}: the encoder has no other"
        )
    is_query = body.input_type in ("query", "search_query")
    encode = encoder.queries if is_query else encoder.passages
    vectors, n_tokens = await state.desk.run(
        request, lambda: (encode(texts), sum(state.about.n_tokens(text) for text in texts))
    )
    data = [
        {"object": "embedding", "index": n, "embedding": _written(vector, body.encoding_format)}
        for n, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {"object": "list", "data": data, "model": encoder.name, "usage": usage}


def _written(vector: np.ndarray, form: Literal["float", "base64"]) -> object:
    """Return a vector as a list of numbers, or as the bytes of its little-endian float32."""
    if form == "float":
        return [float(number) for number in vector]
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
