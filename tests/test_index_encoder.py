"""Encoders on tiny random checkpoints of the real architectures, against plain transformers code."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from rankrag.errors import InvalidInputError, NotFoundError
from rankrag.index.encoder import Encoder, windows
from rankrag.index.named_encoders import ENCODERS, EncoderSettings
from rankrag.index.query_encoder import load_query_encoder
from rankrag.types import Passage
from test_imports import fresh

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] marie curie was born in warsaw poland the cat sat on a mat where "
    "query passage : represent this sentence for searching relevant passages"
).split()

QUERIES = ["where was marie curie born", "the cat", "where"]
PASSAGES = [
    Passage("1", "marie curie was born in warsaw", title="marie curie"),
    Passage("2", "the cat sat on the mat the cat sat on the mat", title="the cat"),
    Passage("3", "warsaw poland"),
]


def check(found: np.ndarray, expected: np.ndarray, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    from transformers import BertTokenizer

    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    path.write_text("\n".join(WORDS))
    tokenizer: PreTrainedTokenizerBase = BertTokenizer(str(path))
    return tokenizer


def sizes() -> dict[str, int]:
    return {
        "vocab_size": len(WORDS),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }


def save(kind: str, folder: Path, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> PreTrainedModel:
    """Write a random checkpoint of an architecture and return the model that was written."""
    import torch
    import transformers

    torch.manual_seed(seed)
    bert, dpr = transformers.BertConfig.from_dict(sizes()), transformers.DPRConfig.from_dict(sizes())
    makers: dict[str, Callable[[], PreTrainedModel]] = {
        "bert": lambda: transformers.BertModel(bert),
        "question": lambda: transformers.DPRQuestionEncoder(dpr),
        "context": lambda: transformers.DPRContextEncoder(dpr),
    }
    model = makers[kind]()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.train(False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def by_hand(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[object], pooling: str
) -> np.ndarray:
    """Encode one text at a time with nothing but transformers: no batches, no padding."""
    import torch

    rows = []
    for text in texts:
        arguments = text if isinstance(text, tuple) else (text,)
        tokens = tokenizer(*arguments, return_tensors="pt")
        with torch.no_grad():
            output = model(**tokens)
        if pooling == "pooler":
            rows.append(output.pooler_output[0])
        else:
            states = output.last_hidden_state[0]
            rows.append(states[0] if pooling == "cls" else states.mean(dim=0))
    return np.stack([row.numpy() for row in rows])


def unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / lengths)


LINES = ["marie curie\n" + PASSAGES[0].text, "the cat\n" + PASSAGES[1].text, PASSAGES[2].text]


@pytest.mark.parametrize(
    ("name", "pooling", "query_prefix", "passage_prefix"),
    [
        ("minilm-l6", "mean", "", ""),
        ("e5-small-v2", "mean", "query: ", "passage: "),
        ("multilingual-e5-small", "mean", "query: ", "passage: "),
        ("bge-small-en", "cls", "Represent this sentence for searching relevant passages: ", ""),
    ],
)
@pytest.mark.slow
def test_a_cosine_encoder_of_one_side(
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    pooling: str,
    query_prefix: str,
    passage_prefix: str,
) -> None:
    model = save("bert", tmp_path, tokenizer)
    encoder = Encoder(tmp_path, name)
    queries = by_hand(model, tokenizer, [query_prefix + q for q in QUERIES], pooling)
    passages = by_hand(model, tokenizer, [passage_prefix + line for line in LINES], pooling)
    check(encoder.encode_queries(QUERIES), unit(queries))
    check(encoder.encode_passages(PASSAGES), unit(passages))
    assert (encoder.dimension, encoder.similarity) == (16, "cosine")


def test_contriever_is_a_mean_and_keeps_its_length(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = save("bert", tmp_path, tokenizer)
    encoder = Encoder(tmp_path, "contriever-msmarco")
    found = encoder.encode_passages(PASSAGES)
    check(found, by_hand(model, tokenizer, LINES, "mean"), atol=1e-5)
    assert found.dtype == np.float32
    assert encoder.similarity == "dot"


@pytest.mark.parametrize("name", ["dragon-plus", "dragon-multiturn"])
def test_dragon_has_an_encoder_for_each_side(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    query = save("bert", tmp_path / "query", tokenizer, seed=1)
    context = save("bert", tmp_path / "context", tokenizer, seed=2)
    encoder = Encoder(tmp_path, name)
    assert encoder.speakers == (name == "dragon-multiturn")
    found = encoder.encode_queries(QUERIES), encoder.encode_passages(PASSAGES)
    check(found[0], by_hand(query, tokenizer, QUERIES, "cls"), atol=1e-5)
    check(found[1], by_hand(context, tokenizer, LINES, "cls"), atol=1e-5)


def test_medcpt_reads_title_and_text_as_a_pair(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    query = save("bert", tmp_path / "query", tokenizer, seed=1)
    context = save("bert", tmp_path / "context", tokenizer, seed=2)
    encoder = Encoder(tmp_path, "medcpt")
    pairs = [(p.title, p.text) for p in PASSAGES]
    expected = by_hand(context, tokenizer, pairs, "cls")
    check(encoder.encode_passages(PASSAGES), expected, atol=1e-5)
    expected = by_hand(query, tokenizer, QUERIES, "cls")
    check(encoder.encode_queries(QUERIES), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["minilm-l6", "e5-small-v2", "bge-small-en", "contriever-msmarco", "medcpt"])
def test_one_query_by_itself_has_the_vector_that_it_has_among_others(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    save("bert", tmp_path / "query" if ENCODERS[name].two_sided else tmp_path, tokenizer, seed=1)
    if ENCODERS[name].two_sided:
        save("bert", tmp_path / "context", tokenizer, seed=2)
    encoder = Encoder(tmp_path, name)
    texts = [*QUERIES, "", "the cat sat on a mat " * 100, "MARIE CURIE\u0301 \x00 x"]
    each = [encoder.encode_queries([text]) for text in texts]
    assert "_query_model" not in vars(encoder)
    check(np.concatenate(each), encoder.encode_queries(texts), atol=2e-6)


def test_one_query_needs_no_pytorch(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    save("bert", tmp_path, tokenizer)
    code = (
        "import sys; from pathlib import Path; from rankrag.index.encoder import Encoder; "
        f"print(Encoder(Path({str(tmp_path)!r}), 'minilm-l6').encode_queries(['the cat']).shape); "
        "print({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    assert fresh(code) == "(1, 16)\nset()\n"


@pytest.mark.parametrize(
    "settings",
    [{"hidden_act": "relu"}, {"model_type": "roberta"}, {"position_embedding_type": "relative_key"}],
)
def test_another_architecture_is_left_to_its_library(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, settings: dict[str, str]
) -> None:
    save("bert", tmp_path, tokenizer)
    assert load_query_encoder(tmp_path, "mean", 256) is not None
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | settings))
    assert load_query_encoder(tmp_path, "mean", 256) is None


def test_weights_that_are_not_float32_are_left_to_their_library(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = save("bert", tmp_path, tokenizer)
    model.bfloat16().save_pretrained(tmp_path)
    assert load_query_encoder(tmp_path, "mean", 256) is None


def test_dpr_takes_both_sides_from_its_own_classes(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    question = save("question", tmp_path / "query", tokenizer, seed=1)
    context = save("context", tmp_path / "context", tokenizer, seed=2)
    encoder = Encoder(tmp_path, "dpr-nq")
    expected = by_hand(question, tokenizer, QUERIES, "pooler")
    check(encoder.encode_queries(QUERIES), expected, atol=1e-5)
    texts = [f"{p.title} [SEP] {p.text}" if p.title else p.text for p in PASSAGES]
    expected = by_hand(context, tokenizer, texts, "pooler")
    check(encoder.encode_passages(PASSAGES), expected, atol=1e-5)
    assert encoder.dimension == 16


def test_the_separator_makes_the_ids_of_a_pair(tokenizer: PreTrainedTokenizerBase) -> None:
    joined = tokenizer("marie curie [SEP] was born")
    pair = tokenizer("marie curie", "was born")
    assert joined["input_ids"] == pair["input_ids"]
    assert set(joined["token_type_ids"]) == {0}


def test_long_queries_are_cut_at_the_limit_of_the_settings(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    save("bert", tmp_path, tokenizer)
    settings = replace(ENCODERS["minilm-l6"], query_tokens=4, passage_tokens=6)
    encoder = Encoder(tmp_path, "mine", settings)
    queries = encoder.encode_queries(["the cat sat on a mat", "the cat"])
    check(queries[0], queries[1])


@pytest.mark.parametrize("name", ["minilm-l6", "contriever-msmarco", "medcpt", "multilingual-e5-small"])
def test_long_passages_are_the_mean_of_windows_under_their_title(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    settings = replace(ENCODERS[name], passage_tokens=16, two_sided=False)
    model = save("bert", tmp_path, tokenizer)
    encoder = Encoder(tmp_path, "mine", settings)
    text = "the cat sat on a mat where marie curie was born in warsaw poland"
    long, short = Passage("1", text, "the cat"), Passage("2", "the cat sat", "mat")
    room = 16 - len(_ids(settings, tokenizer, replace(long, text="")))
    parts = windows(text, room, tokenizer)
    assert len(parts) == 2
    assert " ".join(parts) == text
    assert all(len(_ids(settings, tokenizer, replace(long, text=part))) <= 16 for part in parts)
    each = by_hand(
        model, tokenizer, [_text(settings, replace(long, text=part)) for part in parts], settings.pooling
    )
    cosine = settings.similarity == "cosine"
    mean = (unit(each) if cosine else each).mean(axis=0, keepdims=True)
    found = encoder.encode_passages([short, long, short])
    check(found[1:2], unit(mean) if cosine else mean, atol=1e-5)
    check(found[::2], encoder.encode_passages([short, short]))
    end = encoder.encode_passages([replace(long, text=text.replace("poland", "mat"))])
    assert np.abs(end - found[1:2]).max() > 1e-5  # the last word counts


def _text(settings: EncoderSettings, passage: Passage) -> str | tuple[str, str]:
    if settings.title == "pair":
        return passage.title, passage.text
    return f"{settings.passage_prefix}{passage.title}\n{passage.text}"


def _ids(settings: EncoderSettings, tokenizer: PreTrainedTokenizerBase, passage: Passage) -> list[int]:
    text = _text(settings, passage)
    found: list[int] = tokenizer(*(text if isinstance(text, tuple) else (text,)))["input_ids"]
    return found


def test_a_title_longer_than_the_window_leaves_room_for_the_text(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    save("bert", tmp_path, tokenizer)
    encoder = Encoder(tmp_path, "mine", replace(ENCODERS["minilm-l6"], passage_tokens=12))
    one, other = (Passage("1", f"{last} born in", "the cat sat on " * 9) for last in ("curie", "warsaw"))
    found = encoder.encode_passages([one, other])
    assert np.abs(found[0] - found[1]).max() > 1e-5


@pytest.mark.parametrize("room", [1, 3, 7, 40])
def test_windows_hold_every_piece_once(tokenizer: PreTrainedTokenizerBase, room: int) -> None:
    text = " ".join(WORDS[5:] * 7)
    parts = windows(text, room, tokenizer)
    assert " ".join(parts) == text
    assert all(len(tokenizer(part, add_special_tokens=False)["input_ids"]) <= room for part in parts)
    lengths = [len(part.split()) for part in parts]
    assert min(lengths) >= max(lengths) // 2


def test_decomposed_text_has_the_vector_of_composed_text(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "서울", "책"])
    )
    tokenizer = BertTokenizer(str(tmp_path / "vocab.txt"), strip_accents=False, tokenize_chinese_chars=False)
    save("bert", tmp_path / "model", tokenizer)
    encoder = Encoder(tmp_path / "model", "multilingual-e5-small")
    forms = [unicodedata.normalize(form, "서울 책") for form in ("NFC", "NFD")]
    found = encoder.encode_passages([Passage(form, form) for form in forms])
    check(found[0], found[1])
    queries = encoder.encode_queries([*forms, "책"])
    check(queries[0], queries[1])
    assert np.abs(queries[0] - queries[2]).max() > 1e-5


def test_order_and_batches_change_nothing(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    save("bert", tmp_path, tokenizer)
    texts = [" ".join(WORDS[5 : 6 + n % 20]) for n in range(41)]
    small = Encoder(tmp_path, "minilm-l6", batch_size=4)
    found = small.encode_queries(texts)
    np.testing.assert_array_equal(found, small.encode_queries(texts))
    backwards = Encoder(tmp_path, "minilm-l6", batch_size=32).encode_queries(texts[::-1])[::-1]
    check(found, backwards)


def test_no_texts_give_no_rows(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    save("bert", tmp_path, tokenizer)
    assert Encoder(tmp_path, "minilm-l6").encode_queries([]).shape == (0, 16)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_folder_in_the_layout_of_sentence_transformers_speaks_for_itself(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, similarity: Literal["cosine", "dot"]
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    model = save("bert", tmp_path / "bert", tokenizer)
    parts = [Transformer(str(tmp_path / "bert")), Pooling(16, "cls")]
    prompts = {"query": "where : ", "document": "passage : "}
    made = SentenceTransformer(modules=parts, prompts=prompts, similarity_fn_name=similarity)
    made.save_pretrained(str(tmp_path / "layout"))
    encoder = Encoder(tmp_path / "layout", "mine")
    expected = by_hand(model, tokenizer, ["where : " + q for q in QUERIES], "cls")
    expected = unit(expected) if similarity == "cosine" else expected
    check(encoder.encode_queries(QUERIES), expected, atol=1e-5)
    expected = by_hand(model, tokenizer, ["passage : " + line for line in LINES], "cls")
    expected = unit(expected) if similarity == "cosine" else expected
    check(encoder.encode_passages(PASSAGES), expected, atol=1e-5)
    assert encoder.similarity == similarity
    (tmp_path / "layout" / "model.safetensors").rename(tmp_path / "layout" / "pytorch_model.bin")
    with pytest.raises(InvalidInputError, match="found pickled weights"):
        Encoder(tmp_path / "layout", "mine").encode_queries(QUERIES)


def test_the_fingerprint_follows_weights_and_settings(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    save("bert", tmp_path / "a", tokenizer, seed=1)
    save("bert", tmp_path / "b", tokenizer, seed=2)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    (tmp_path / "copy" / "rankrag-model.json").write_text("{}")
    first = Encoder(tmp_path / "a", "minilm-l6")
    assert first.fingerprint == Encoder(tmp_path / "copy", "minilm-l6").fingerprint
    others = [Encoder(tmp_path / "b", "minilm-l6"), Encoder(tmp_path / "a", "e5-small-v2")]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_a_checkpoint_that_leaves_weights_random_is_refused(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    save("bert", tmp_path, tokenizer)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    for queries in (QUERIES, QUERIES[:1]):
        with pytest.raises(InvalidInputError, match=r"found no weights for encoder\.layer\.2"):
            Encoder(tmp_path, "minilm-l6").encode_queries(queries)


def test_what_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    for queries in (QUERIES, QUERIES[:1]):
        with pytest.raises(NotFoundError, match="found no encoder"):
            Encoder(tmp_path, "minilm-l6").encode_queries(queries)
    with pytest.raises(InvalidInputError, match=r"found no modules\.json.*minilm-l6, dragon-plus"):
        Encoder(tmp_path, "mine").encode_queries(QUERIES)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InvalidInputError, match="found pickled weights"):
        Encoder(tmp_path, "minilm-l6").encode_queries(QUERIES)


@pytest.mark.model
def test_the_default_encoder_agrees_with_its_own_modules() -> None:
    from rankrag.model.store import registry

    folder = registry.locate("minilm-l6")
    ours, layout = Encoder(folder, "minilm-l6"), Encoder(folder, "its own modules")
    texts = [
        "Where was Marie Curie born?",
        "The C programming language",
        "word " * 400,
        "Żółć 日本語 😀 naïve",
    ]
    together = layout.encode_queries(texts)
    check(ours.encode_queries(texts), together)
    check(np.concatenate([ours.encode_queries([text]) for text in texts]), together)
    found = (
        ours.encode_queries(texts[:1])
        @ ours.encode_passages(
            [Passage("1", "She was born in Warsaw.", "Marie Curie"), Passage("2", "Python is a language.")]
        ).T
    )
    assert found[0, 0] > 0.6 > 0.2 > found[0, 1]
