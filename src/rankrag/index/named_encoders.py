"""How each named encoder wants its input.

`ENCODERS` says for each what its authors do with a query and with a passage; input that it was not trained
with gives other vectors without any error, so each row names where it was read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .settings import Similarity


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How an encoder wants its input, and how its output is compared.

    `pooling`: `mean` over tokens, `cls` (the first), or `pooler` (the model's own output, for DPR).
    `title`: `line` above the text, `separator` (the tokenizer's separator between them, one segment) or
    `pair` (two segments). `query_tokens` and `passage_tokens`: the most that are read at once; the rest of a
    query is cut, a longer passage is read in windows.
    `two_sided`: sub-folders `query` and `context` hold an encoder each. `speakers`: a conversation is
    one query whose lines begin with `user: ` or `agent: `. `source`: where this was read.
    """

    pooling: Literal["mean", "cls", "pooler"]
    similarity: Similarity
    source: str
    query_prefix: str = ""
    passage_prefix: str = ""
    title: Literal["line", "separator", "pair"] = "line"
    query_tokens: int = 512
    passage_tokens: int = 512
    two_sided: bool = False
    speakers: bool = False


_E5 = EncoderSettings(
    pooling="mean",
    similarity="cosine",
    query_prefix="query: ",
    passage_prefix="passage: ",
    source="model card intfloat/e5-base-v2; arXiv 2212.03533",
)
_BGE = EncoderSettings(
    pooling="cls",
    similarity="cosine",
    query_prefix="Represent this sentence for searching relevant passages: ",
    source="model card BAAI/bge-base-en-v1.5",
)

ENCODERS: dict[str, EncoderSettings] = {
    "minilm-l6": EncoderSettings(
        pooling="mean",
        similarity="cosine",
        query_tokens=256,
        passage_tokens=256,
        source="model card sentence-transformers/all-MiniLM-L6-v2; its sentence_bert_config.json (256)",
    ),
    "dragon-plus": EncoderSettings(
        pooling="cls",
        similarity="dot",
        two_sided=True,
        source="model card facebook/dragon-plus-query-encoder; arXiv 2302.07452",
    ),
    "dragon-multiturn": EncoderSettings(
        pooling="cls",
        similarity="dot",
        two_sided=True,
        speakers=True,
        source="model card nvidia/dragon-multiturn-query-encoder (title and text on two lines)",
    ),
    "contriever-msmarco": EncoderSettings(
        pooling="mean",
        similarity="dot",
        source="model card facebook/contriever-msmarco; arXiv 2112.09118",
    ),
    "dpr-nq": EncoderSettings(
        pooling="pooler",
        similarity="dot",
        title="separator",
        query_tokens=256,
        passage_tokens=256,
        two_sided=True,
        source="arXiv 2004.04906 and its code (256 tokens; segments all zero, so no pair)",
    ),
    "medcpt": EncoderSettings(
        pooling="cls",
        similarity="dot",
        title="pair",
        query_tokens=64,
        two_sided=True,
        source="model cards ncbi/MedCPT-Query-Encoder and MedCPT-Article-Encoder; arXiv 2307.00589",
    ),
    "e5-small-v2": _E5,
    "e5-base-v2": _E5,
    "multilingual-e5-small": replace(
        _E5, source="model card intfloat/multilingual-e5-small; arXiv 2402.05672"
    ),
    "bge-small-en": _BGE,
    "bge-base-en": _BGE,
}
"""How each named encoder wants its input."""
