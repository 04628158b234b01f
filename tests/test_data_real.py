"""The readers on real data, where it is at hand."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from rankrag.data.item import Item
from rankrag.data.matching import contains_answer, squash
from rankrag.data.sources import PARTS, SOURCES, SourceName, reader
from rankrag.files import rows

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data beside the project"),
]

COUNTS: dict[str, tuple[SourceName, int]] = {
    "squad": ("squad", 3994),
    "squad_sentences": ("squad_sentences", 9995),
    "webquestions": ("webquestions", 3777),
    "msmarco": ("msmarco", 1847),
    "quoref": ("quoref", 200),
    "ropes": ("ropes", 200),
    "adversarial_qa": ("adversarial_qa", 600),
    "duorc": ("duorc", 400),
    "tatqa_dev": ("tatqa", 1490),
    "narrativeqa": ("narrativeqa", 500),
    "hotpotqa": ("hotpotqa", 199),
    "2wiki": ("2wiki", 500),
    "musique": ("musique", 82),
    "bioasq": ("bioasq", 1585),
    "ambignq": ("ambignq", 10021),
    "lima": ("lima", 1028),
}


def items(path: Path, source: SourceName, layout: str = "neutral") -> list[Item]:
    read = reader(source, "neutral" if layout == "neutral" else "official")
    assert read is not None
    return [one for one in read(str(path)) if isinstance(one, Item)]


@pytest.mark.parametrize("name", COUNTS)
def test_every_train_file_is_read_whole(name: str) -> None:
    source, count = COUNTS[name]
    read = reader(source, "neutral")
    assert read is not None
    found = list(read(str(DATA / "train" / f"{name}.jsonl.xz")))
    assert len(found) == count
    kept = [one for one in found if isinstance(one, Item)]
    assert len(kept) >= 0.69 * count  # MS MARCO has 556 queries without a gold passage or an answer
    assert len({one.id for one in kept}) == len(kept)
    assert all(one.question.text and (one.target or one.answers or one.gold) for one in kept)


def test_squad_official_agrees_with_the_neutral_file() -> None:
    official = items(DATA / "raw" / "squad" / "train-v2.0-subset.json.xz", "squad", "official")
    neutral = items(DATA / "train" / "squad.jsonl.xz", "squad")
    assert len(official) == len(neutral) == 3994
    pairs = {(one.question.text, one.gold[0].text): set(one.answers) for one in neutral}
    same = [one for one in official if pairs.get((one.question.text, one.gold[0].text)) == set(one.answers)]
    assert len(same) >= 0.99 * len(official)
    held = [one for one in official if contains_answer(one.gold[0].text, one.answers)]
    assert len(held) == len(official) - 3  # `end` in endosymbionts, `peaceful` in peacefully, `Indirect`


def test_tatqa_official_agrees_with_the_neutral_file() -> None:
    official = items(DATA / "raw" / "tatqa" / "tatqa_dataset_dev.json.xz", "tatqa", "official")
    neutral = items(DATA / "train" / "tatqa_dev.jsonl.xz", "tatqa")
    by_id = {one.id: one for one in official}
    assert len(neutral) == 1490
    assert len(official) == len({*by_id}) >= 1490
    shared = [(one, by_id[one.id]) for one in neutral if one.id in by_id]
    assert len(shared) == 1490
    assert [one.question.text for one, _ in shared] == [other.question.text for _, other in shared]
    assert [one.answers for one, _ in shared] == [other.answers for _, other in shared]
    whole = [one for one, other in shared if squash(one.gold[0].text) == squash(other.gold[0].text)]
    assert len(whole) == 1490 - 18  # three contexts of the neutral file lack a paragraph


def test_tokens_of_natural_questions_are_printed_and_still_hold_the_answer() -> None:
    read = SOURCES["qed_nq"].neutral(str(DATA / "train" / "qed_nq.jsonl.xz"))
    found = [one for one in itertools.islice(read, 1500) if isinstance(one, Item)]
    answered = [one for one in found if one.answers]
    held = [one for one in answered if contains_answer(one.gold[0].text, one.answers)]
    assert len(held) >= 0.99 * len(answered)
    texts = [one.gold[0].text for one in found]
    assert sum(" ," in text or " . " in text for text in texts) <= 0.02 * len(texts)


@pytest.mark.slow
def test_the_parts_of_collections_are_in_the_table_of_licences() -> None:
    p3 = Counter(row.text("template") for row in rows(str(DATA / "train" / "t0_messages.jsonl.xz")))
    assert all(any(name.startswith(f"{part}_") for part in PARTS["p3"]) for name in p3)
    cot = {row.text("task") for row in rows(str(DATA / "train" / "flan_cot.jsonl.xz"))}
    assert cot == set(PARTS["flan_cot"])
