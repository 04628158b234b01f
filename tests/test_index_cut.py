from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankrag.index.reading.cut import cut, n_words

PROSE = st.text(
    st.sampled_from([*list("abcABC.!?,;:'\"()#-*123 \n\n\t\r\x0c"), "漢", "字", "。", "ก", "é", "\u2028"]),
    max_size=600,
)


def solid(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=150, deadline=None)
@given(
    text=st.one_of(PROSE, st.text(max_size=300)),
    words=st.integers(0, 30),
    pages=st.lists(st.integers(0, 600), max_size=5),
)
def test_passages_hold_every_character_once_and_cross_no_page(
    text: str, words: int, pages: list[int]
) -> None:
    spans = cut(text, words, sorted(pages))
    assert solid("".join(text[start:end] for start, end in spans)) == solid(text)
    assert all(a_end <= b_start for (_, a_end), (b_start, _) in itertools.pairwise(spans))
    for start, end in spans:
        assert text[start:end] == text[start:end].strip() != ""
        assert not any(start < page < end for page in pages)
        assert words == 0 or n_words(text[start:end]) <= words or len(text[start:end].split()) <= words


def test_cuts_at_sentences_and_shares_out_the_rest() -> None:
    sentence = "One two three four five six seven eight nine ten. "
    spans = cut(sentence * 13, 100)
    assert [len((sentence * 13)[a:b].split()) for a, b in spans] in ([60, 70], [70, 60])


def test_prefers_the_border_of_a_paragraph() -> None:
    first = "Alpha beta gamma delta. " * 10
    text = f"{first.strip()}\n\n{'Omega psi chi phi. ' * 14}"
    assert next(text[a:b] for a, b in cut(text, 60)) == first.strip()


def test_a_heading_stays_with_what_follows() -> None:
    text = f"{'Words that fill a paragraph. ' * 18}\n\nThe heading\n\n{'More of the same kind. ' * 18}"
    passages = [text[a:b] for a, b in cut(text, 100)]
    assert not any(passage.endswith("The heading") for passage in passages)
    assert any(passage.startswith("The heading\n\nMore") for passage in passages)


@pytest.mark.parametrize(
    ("before", "kept", "after"),
    [
        ("word " * 98, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", " word" * 60),
        ("公司规定员工请假手续" * 9 + "如下所述，", "提交医院证明书原件一份方可", "不得" * 40),
        ("ห้องสมุด " * 49, "วันหยุดราชการ", " ห้องสมุด" * 30),
    ],
)
def test_a_long_sentence_is_not_cut_within_a_hash_or_a_phrase(before: str, kept: str, after: str) -> None:
    text = before + kept + after
    assert sum(kept in text[start:end] for start, end in cut(text, 100)) == 1


def test_abbreviations_end_no_sentence() -> None:
    text = "He met Dr. Smith of the U.S. Army there in St. Louis once. " * 4
    assert [text[a:b] for a, b in cut(text, 14)] == [text[:58]] * 4


def test_a_long_sentence_is_cut_at_a_word_border() -> None:
    text = " ".join(f"word{n}" for n in range(250))
    passages = [text[a:b] for a, b in cut(text, 100)]
    assert all(len(passage.split()) <= 100 for passage in passages)
    assert " ".join(passages) == text


@pytest.mark.parametrize("text", ["漢字" * 500, "ภาษาไทย" * 300, "x" * 100_000, "https://a.b/" * 3000])
def test_text_without_spaces_is_bounded_too(text: str) -> None:
    passages = [text[a:b] for a, b in cut(text, 50)]
    assert max(map(len, passages)) <= 50 * 32
    assert "".join(passages) == text


def test_zero_words_do_not_cut_but_pages_do() -> None:
    text = "a " * 500 + "\f" + "b " * 500
    assert len(cut(text, 0)) == 1
    assert [text[a] for a, _ in cut(text, 0, [0, 1001])] == ["a", "b"]


@pytest.mark.parametrize(
    "text", [" " * 200_000 + "a" + " " * 200_000, "\n \n" * 60_000 + "x", "." + "'" * 200_000, ". " * 50_000]
)
def test_odd_text_takes_no_more_than_linear_time(text: str) -> None:
    started = time.process_time()
    cut(text, 100)
    # A pattern that backtracks would need hours; a tenth of a second is usual.
    assert time.process_time() - started < 5
