from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rankrag.errors import InvalidInputError, NotFoundError
from rankrag.model.skills.cross_encoder import CrossEncoderRanker
from rankrag.types import Hit, Passage, Question

PASSAGES = [
    Passage("a", "Owls hunt at night."),
    Passage("b", "Marie Curie was born in Warsaw.", title="Curie"),
    Passage("c", "The quick brown fox jumps over the lazy dog. " * 30),
]


def write(folder: Path, labels: int) -> Path:
    """Write a BERT of random weights with a tokenizer of letters and words."""
    import torch
    import transformers

    bert: Any = transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123))]
    words += [f"##{chr(code)}" for code in range(97, 123)] + ["owls", "night", "born", "the"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    bert.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = bert.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=128, num_labels=labels, initializer_range=0.5,
    )  # fmt: skip
    bert.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_it_ranks_as_the_model_itself_does(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = write(tmp_path / "ce", 1)
    question = Question("q", "When do owls hunt?")
    ranked = CrossEncoderRanker(folder, max_tokens=64).rank(question, [Hit(p, 0.0) for p in PASSAGES])
    assert sorted(hit.passage.id for hit in ranked) == ["a", "b", "c"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = ["Owls hunt at night.", "Curie\nMarie Curie was born in Warsaw.", PASSAGES[2].text]
    rows = tokenizer(
        [question.text] * 3, texts, return_tensors="pt", padding=True, truncation=True, max_length=64
    )
    with torch.no_grad():
        wanted = torch.sigmoid(model(**rows).logits[:, 0]).tolist()
    found = {hit.passage.id: hit.score for hit in ranked}
    assert [found[name] for name in "abc"] == pytest.approx(wanted, abs=1e-5)
    assert [hit.score for hit in ranked] == sorted(found.values(), reverse=True)


@pytest.mark.slow
def test_two_labels_are_no_relevance(tmp_path: Path) -> None:
    ranker = CrossEncoderRanker(write(tmp_path / "ce", 2))
    with pytest.raises(InvalidInputError, match="a model of 2 labels, wanted one"):
        ranker.rank(Question("q", "Why?"), [Hit(PASSAGES[0], 0.0)])


def test_no_folder_is_said(tmp_path: Path) -> None:
    ranker = CrossEncoderRanker(tmp_path)
    assert ranker.rank(Question("q", "Why?"), []) == []
    with pytest.raises(NotFoundError, match="found no cross-encoder"):
        ranker.rank(Question("q", "Why?"), [Hit(PASSAGES[0], 0.0)])
