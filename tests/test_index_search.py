from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letters import LetterEncoder
from rankrag.errors import InvalidInputError
from rankrag.index import BM25, Dense, Hybrid, Settings, Store, build, fuse, open_store, retriever
from rankrag.index.stores.conditions import attribute, attributes, quote
from rankrag.types import Hit, Passage, Retriever

RECORDS = [
    {"_id": "a", "title": "Cats", "text": "They sleep.", "metadata": {"lang": "en", "kind": "it's"}},
    {"_id": "b", "title": "", "text": "A cat and a dog AND a bird.", "metadata": {"lang": "en"}},
    {"_id": "c", "title": "", "text": "Katzen schnurren, cat.", "metadata": {"lang": "de"}},
    *({"_id": f"same{n}", "text": "identical words here"} for n in range(30)),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("search")
    (folder / "c.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    (folder / "odd [x]'s.txt").write_text("An odd file about a cat.")
    build([str(folder)], folder / "idx", Settings(encoder=LetterEncoder()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield open_store(folder / "idx")


def ids(hits: list[Hit]) -> list[str]:
    return [hit.passage.id.rsplit("/", 1)[-1] for hit in hits]


def test_title_and_text_are_found_with_stems(store: Store) -> None:
    assert set(ids(store.search_words("cats", 10))) == {"a", "b", "c", "odd [x]'s.txt#1"}
    assert ids(store.search_words("sleeping", 10)) == ["a"]


def test_scores_fall_and_ties_go_by_id(store: Store) -> None:
    hits = store.search_words("identical words", 5)
    assert ids(hits) == ["same0", "same1", "same10", "same11", "same12"]
    assert len({hit.score for hit in hits}) == 1
    scores = [hit.score for hit in store.search_words("cat dog", 10)]
    assert scores == sorted(scores, reverse=True)
    assert ids(store.search_words("identical words", 30)) == sorted(f"same{n}" for n in range(30))


@pytest.mark.parametrize("k", [0, -1])
def test_no_hits_wanted(store: Store, k: int) -> None:
    assert store.search_words("cat", k) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_text_is_a_query(store: Store, query: str) -> None:
    assert len(store.search_words(query, 3)) <= 3


@pytest.mark.parametrize(
    "query", ['"cat"', "cat AND dog", "+cat -dog", "content:cat", "cat*", "(cat", "cat~2", "cat^9", "NOT cat"]
)
def test_operators_are_but_words(store: Store, query: str) -> None:
    plain = {"cat AND dog": "cat dog", "+cat -dog": "cat dog", "content:cat": "cat content"}.get(query, "cat")
    found = store.search_words(query, 50)
    assert ids(found) == ids(store.search_words(plain, 50)) or "AND" in query or "NOT" in query
    assert {"a", "b", "c"} <= set(ids(found))


def test_filters_come_before_the_first_k(store: Store) -> None:
    assert ids(store.search_words("cat", 1, {"lang": "de"})) == ["c"]
    assert ids(store.search_words("cats sleep", 5, {"lang": "en", "kind": "it's"})) == ["a"]
    assert store.search_words("cat", 5, {"lang": "fr"}) == []
    assert store.search_words("cat", 5, {"lang": "en' OR '1'='1"}) == []
    assert len(store.search_words("cat identical", 50, {"path": "*.jsonl"})) == 33
    assert ids(store.search_words("cat", 5, {"path": "*odd [[]x]'s.txt"})) == ["odd [x]'s.txt#1"]
    query = LetterEncoder().encode_queries(["identical"])[0]
    assert ids(store.search_vectors(query, 1, {"lang": "de"})) == ["c"]


GLOBS = st.text(st.sampled_from(list("ab/.*?[]!-'\\ %_")), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(glob=GLOBS, around=st.sampled_from(["{}", "*{}*", "*odd{}*", "*o{}d [[]x]*", "*/{}.jsonl"]))
def test_globs_mean_what_fnmatch_means(store: Store, glob: str, around: str) -> None:
    pattern = around.format(glob)
    hits = store.search_words("cat identical", 50, {"path": pattern})
    names = {hit.passage.source.path for hit in hits if hit.passage.source}
    assert names == {name for name in store.names() if fnmatchcase(name, pattern)}


@given(st.text(), st.text())
def test_attributes_come_back_as_they_went(name: str, value: str) -> None:
    assert dict(attributes([attribute(name, value)])) == {name: value}
    assert quote(value)[1:-1].replace("''", "'") == value


# ── retrievers ───────────────────────────────────────────────────────────────────────────────────────


def test_vector_scores_are_cosines(store: Store) -> None:
    encoder = LetterEncoder()
    hits = Dense(store, encoder).search("cat", 40)
    assert len(hits) == 34
    query = encoder.encode_queries(["cat"])[0]
    for hit in hits:
        vector = encoder.encode_passages([hit.passage])[0]
        cosine = float(query @ vector / np.linalg.norm(query) / np.linalg.norm(vector))
        assert math.isclose(hit.score, cosine, abs_tol=1e-5)
    order = [(-round(hit.score, 6), hit.passage.id) for hit in hits]
    assert order == sorted(order)


def test_fusion_is_the_formula() -> None:
    def hits(*names: str) -> list[Hit]:
        return [Hit(Passage(name, name), 9.0) for name in names]

    fused = fuse([hits("a", "b", "c"), hits("c", "d")])
    assert [(hit.passage.id, hit.score) for hit in fused] == [
        ("c", 1 / 63 + 1 / 61),
        ("a", 1 / 61),
        ("b", 1 / 62),
        ("d", 1 / 62),
    ]


def test_retrievers_by_name(store: Store) -> None:
    encoder = LetterEncoder()
    words: Retriever = retriever("bm25", store)
    dense, hybrid = retriever("dense", store, encoder), retriever("hybrid", store, encoder)
    assert isinstance(words, BM25)
    assert isinstance(hybrid, Hybrid)
    fused = fuse([words.search("cat", 100), dense.search("cat", 100)])[:5]
    assert hybrid.search("cat", 5) == fused
    assert hybrid.search("cat", 1, {"lang": "de"})[0].passage.id == "c"
    assert dense.search("  ", 5) == []
    with pytest.raises(InvalidInputError, match="found retriever 'bm26', wanted one of bm25, dense, hybrid"):
        retriever("bm26", store)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="found no encoder for retriever 'dense', wanted letters"):
        retriever("dense", store)


def test_other_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("東京都は日本の首都です。\n\nDie Katzen schnurren.")
    build(["a.txt"], Path("any"), Settings(language="any"))
    build(["a.txt"], Path("german"), Settings(language="German"))
    assert open_store(Path("any")).search_words("日本", 1)
    assert not open_store(Path("any")).search_words("Katze", 1)
    assert open_store(Path("german")).search_words("Katze", 1)


def test_passages_are_looked_up_by_id(tmp_path: Path) -> None:
    lines = [json.dumps({"_id": f"it's {n}", "title": "T", "text": f"Passage {n}."}) for n in range(300)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    build([str(tmp_path / "c.jsonl")], tmp_path / "i", Settings(words=0))
    found = open_store(tmp_path / "i").passages([*(f"it's {n}" for n in range(290)), "gone"])
    assert len(found) == 290
    assert found["it's 7"].text == "Passage 7."
    assert found["it's 7"].title == "T"
