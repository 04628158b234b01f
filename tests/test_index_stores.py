"""One set of tests for every store: what build, retrievers, documents and copies may rely on."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letters import LetterEncoder
from qdrant_small import small_qdrant
from rankrag.errors import InvalidInputError
from rankrag.index import (
    BM25,
    Dense,
    Hybrid,
    IndexDocuments,
    Settings,
    Store,
    StoreName,
    StorePlace,
    build,
    open_store,
    read_manifest,
)
from rankrag.index.place import MEMORY
from rankrag.index.stores.by_name import STORES, drop_store
from rankrag.index.stores.store import REPLACED, FileRow, StoredPassage
from rankrag.types import Hit, Passage, Source

STORE_NAMES: tuple[StoreName, ...] = get_args(StoreName)
INDEX = Path("idx")
_numbers = itertools.count()


def place_of(name: StoreName) -> StorePlace:
    """Return a place where nothing is yet; the imitation of a server lives as long as the process."""
    return StorePlace(name) if name == "lancedb" else StorePlace(name, MEMORY, f"contract-{next(_numbers)}")


RECORDS = [
    {"_id": "a", "title": "Cats", "text": "They sleep.", "metadata": {"lang": "en", "kind": "it's"}},
    {
        "_id": "b",
        "title": "",
        "text": "A cat and a dog AND a bird.",
        "metadata": {"lang": "en", "a=b": "c%=d"},
    },
    {"_id": "c", "title": "", "text": "Katzen schnurren, cat.", "metadata": {"lang": "de"}},
    {"_id": "long", "text": " ".join(f"w{n}" for n in range(250)), "metadata": {"lang": "xx"}},
    *({"_id": f"same{n}", "text": "identical words here"} for n in range(30)),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=[*STORE_NAMES, pytest.param("qdrant over HTTP", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> Iterator[StorePlace]:
    if request.param in STORES:
        yield place_of(request.param)
        return
    with small_qdrant() as server:
        yield StorePlace("qdrant", server.url, "contract")


def filled(place: StorePlace) -> Store:
    Path("docs").mkdir()
    Path("docs/c.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    Path("docs/odd [x]'s.txt").write_text("An odd file about a cat.")
    Path("docs/empty words.txt").write_text("the of ... !!!")
    report = build(["docs"], INDEX, Settings(encoder=LetterEncoder(), store=place))
    assert report.failed == ()
    return open_store(INDEX)


@pytest.fixture
def store(place: StorePlace) -> Iterator[Store]:
    found = filled(place)
    yield found
    drop_store(found.folder, found.manifest)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.passage.id for hit in hits]


def query_of(text: str) -> np.ndarray:
    return np.asarray(LetterEncoder().encode_queries([text])[0])


def test_every_name_has_a_store() -> None:
    assert STORES.keys() == set(STORE_NAMES)


# ── what is there ────────────────────────────────────────────────────────────────────────────────────


def test_what_went_in_is_told(store: Store) -> None:
    assert len(store) == len(store.ids()) == 38
    assert (
        store.names() == set(store.files()) == {"docs/c.jsonl", "docs/odd [x]'s.txt", "docs/empty words.txt"}
    )
    assert store.last_record("docs/c.jsonl") == 34
    assert store.last_record("gone") == 0
    assert all(row.complete and len(row.sha256) == 64 for row in store.files().values())
    assert store.n_unindexed == 0
    assert (store.manifest.n_files, store.manifest.n_passages) == (0, 0) or store.manifest.n_passages == 38
    documents = {document.id: document for document in store.documents()}
    assert [*documents] == sorted(documents)
    assert documents["long"].n_passages == 3
    assert documents["a"].sha256 == store.files()["docs/c.jsonl"].sha256
    odd = store.documents(["docs/odd [x]'s.txt", "gone"])
    assert odd == [one for one in documents.values() if one.path == "docs/odd [x]'s.txt"] != []


def test_passages_come_back_as_they_went(store: Store) -> None:
    found = store.passages(["a", "b", "docs/odd [x]'s.txt#1", "gone"])
    assert found["a"] == Passage(
        "a", "They sleep.", "Cats", Source("docs/c.jsonl", None, 0, 11), {"lang": "en", "kind": "it's"}
    )
    assert dict(found["b"].attributes) == {"lang": "en", "a=b": "c%=d"}
    assert len(found) == 3
    assert len(store.passages(f"same{n}" for n in range(1000))) == 30


def test_batches_hold_all_that_was_added(store: Store) -> None:
    seen: dict[str, StoredPassage] = {}
    for rows, vectors in store.batches():
        assert vectors is not None
        assert vectors.shape == (len(rows), 26)
        for row, vector in zip(rows, vectors, strict=True):
            wanted = LetterEncoder().encode_passages([row.passage])[0]
            assert np.allclose(vector / np.linalg.norm(vector), wanted / np.linalg.norm(wanted), atol=1e-6)
        seen |= {row.passage.id: row for row in rows}
    assert seen.keys() == store.ids()
    assert (seen["b"].document, seen["b"].record) == ("b", 2)


# ── search ───────────────────────────────────────────────────────────────────────────────────────────


def test_words_are_found_with_stems_in_title_and_text(store: Store) -> None:
    assert set(ids(store.search_words("cats", 10))) == {"a", "b", "c", "docs/odd [x]'s.txt#1"}
    assert ids(store.search_words("sleeping", 10)) == ["a"]
    assert ids(store.search_words("w3 w4", 1)) == ["long#1"]
    assert (
        store.search_words("the of", 5) == store.search_words("", 5) == store.search_words("zebra", 5) == []
    )


def test_scores_fall_and_ties_go_by_id(store: Store) -> None:
    hits = store.search_words("identical words", 5)
    assert ids(hits) == ["same0", "same1", "same10", "same11", "same12"]
    assert len({hit.score for hit in hits}) == 1
    scores = [hit.score for hit in store.search_words("cat dog", 10)]
    assert scores == sorted(scores, reverse=True)
    assert ids(store.search_words("identical words", 30)) == sorted(f"same{n}" for n in range(30))
    assert ids(store.search_vectors(query_of("identical words here"), 3)) == ["same0", "same1", "same10"]


@pytest.mark.parametrize("k", [0, -1])
def test_no_hits_wanted(store: Store, k: int) -> None:
    assert store.search_words("cat", k) == store.search_vectors(query_of("cat"), k) == []


def test_vector_scores_are_cosines(store: Store) -> None:
    hits = Dense(store, LetterEncoder()).search("cat", 40)
    assert len(hits) == 38
    query = query_of("cat")
    for hit in hits:
        vector = LetterEncoder().encode_passages([hit.passage])[0]
        cosine = float(query @ vector / np.linalg.norm(query) / np.linalg.norm(vector))
        assert math.isclose(hit.score, cosine, abs_tol=1e-5)


def test_filters_come_before_the_first_k(store: Store) -> None:
    assert ids(store.search_words("cat", 1, {"lang": "de"})) == ["c"]
    assert ids(store.search_words("cats sleep", 5, {"lang": "en", "kind": "it's"})) == ["a"]
    assert ids(store.search_words("cat", 5, {"a=b": "c%=d"})) == ["b"]
    assert store.search_words("cat", 5, {"lang": "fr"}) == []
    assert store.search_words("cat", 5, {"lang": "en' OR '1'='1"}) == []
    assert len(store.search_words("cat identical", 50, {"path": "*.jsonl"})) == 33
    assert ids(store.search_words("cat", 5, {"path": "*odd [[]x]'s.txt"})) == ["docs/odd [x]'s.txt#1"]
    assert len(store.search_words("cat", 5, {"path": "docs/c.jsonl"})) == 3
    assert store.search_words("cat", 5, {"path": "c.jsonl"}) == []
    assert ids(store.search_vectors(query_of("identical"), 1, {"lang": "de"})) == ["c"]


GLOBS = st.text(st.sampled_from(list("ab/.*?[]!-'\\ %_")), max_size=8)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(glob=GLOBS, around=st.sampled_from(["{}", "*{}*", "*odd{}*", "*o{}d [[]x]*", "*/{}.jsonl"]))
def test_globs_mean_what_fnmatch_means(store: Store, glob: str, around: str) -> None:
    pattern = around.format(glob)
    hits = store.search_words("cat identical", 50, {"path": pattern})
    names = {hit.passage.source.path for hit in hits if hit.passage.source}
    assert names == {name for name in store.names() - {"docs/empty words.txt"} if fnmatchcase(name, pattern)}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_text_is_a_query(store: Store, query: str) -> None:
    assert len(store.search_words(query, 3)) <= 3


QUERIES = ["cat", "cat cat dog", "identical words", "sleeping cats", "w3 w200 bird", "Katze", "an odd file"]


def test_all_stores_rank_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[list[Hit]]] = []
    for name in STORE_NAMES:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        store = filled(place_of(name))
        dense = Dense(store, LetterEncoder())
        retrievers = (BM25(store), dense, Hybrid((BM25(store), dense)))
        found.append([one.search(query, 8) for query in QUERIES for one in retrievers])
    for hits, others in zip(*found, strict=True):
        assert ids(hits) == ids(others)
        # Qdrant counts only passages with words, and weighs by the average length of the first commit.
        assert np.allclose([hit.score for hit in hits], [hit.score for hit in others], rtol=0.05)


def test_words_are_worth_the_same_where_all_is_known_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = []
    for name in STORE_NAMES:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("c.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
        build(["c.jsonl"], INDEX, Settings(store=place_of(name)))
        scores.append([hit.score for hit in open_store(INDEX).search_words("cats identical cat w7", 50)])
    assert len(scores[0]) == 34
    assert np.allclose(scores[0], scores[1], rtol=1e-6)


def test_passages_are_weighed_anew_when_the_average_length_has_moved() -> None:
    Path("short.txt").write_text("A cat.")
    build(["short.txt"], INDEX, Settings(store=place_of("qdrant")))
    store = open_store(INDEX)
    before = store.search_words("cat", 1)[0].score
    Path("c.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    build(["c.jsonl", "short.txt"], INDEX)
    build(["c.jsonl", "short.txt"], Path("lance"))
    found, wanted = (open_store(folder).search_words("cat w9", 20) for folder in (INDEX, Path("lance")))
    assert ids(found) == ids(wanted)
    assert np.allclose([hit.score for hit in found], [hit.score for hit in wanted], rtol=1e-6)
    assert before != found[0].score


# ── changes ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_replaced_and_pruned(store: Store) -> None:
    Path("docs/odd [x]'s.txt").write_text("Now about zebras.")
    report = build(["docs"], INDEX, Settings(encoder=LetterEncoder()))
    assert (report.replaced, len(report.unchanged)) == (("docs/odd [x]'s.txt",), 2)
    assert ids(store.search_words("zebra", 5)) == ["docs/odd [x]'s.txt#1"]
    assert len(store.search_words("cat", 5)) == 3
    Path("docs/c.jsonl").unlink()
    report = build(["docs"], INDEX, Settings(encoder=LetterEncoder(), prune=True))
    assert (report.removed, report.n_passages) == (("docs/c.jsonl",), 2)
    assert len(store) == 2
    assert store.search_words("cat", 5) == []


def test_documents_are_deleted(store: Store) -> None:
    documents = IndexDocuments(INDEX, LetterEncoder())
    assert documents.delete(["a", "long", "docs/odd [x]'s.txt", "gone"]) == 3
    assert documents.count() == (2, 33)
    assert store.search_words("sleep", 5) == []
    assert set(store.files()) == {"docs/c.jsonl", "docs/empty words.txt"}
    assert len(store.search_vectors(query_of("cat"), 50)) == 33


def test_an_open_store_sees_what_another_writes(store: Store) -> None:
    seen: list[int] = []

    def meanwhile(done: int, total: int, unit: str) -> None:
        seen.append(len(open_store(INDEX).search_words("cat", 10)))

    Path("docs/new.txt").write_text("A zebra and a cat.")
    build(["docs"], INDEX, Settings(encoder=LetterEncoder()), meanwhile)
    assert set(seen) <= {4, 5}
    assert ids(store.search_words("zebra", 5)) == ["docs/new.txt#1"]


def test_what_a_killed_build_left_is_mended(store: Store) -> None:
    stray = StoredPassage(Passage("stray", "A stray cat.", source=Source("stray.jsonl")), "stray", 1)
    store.add([stray], np.asarray(LetterEncoder().encode_passages([stray.passage])))
    half = StoredPassage(Passage("h1", "First half.", source=Source("docs/half.jsonl")), "h1", 1)
    Path("docs/half.jsonl").write_text(
        '{"_id": "h1", "text": "First half."}\n{"_id": "h2", "text": "More."}\n'
    )
    digest = hashlib.sha256(Path("docs/half.jsonl").read_bytes()).hexdigest()
    store.set_files([FileRow("docs/half.jsonl", digest, complete=False)])
    store.add([half], np.asarray(LetterEncoder().encode_passages([half.passage])))
    report = build(["docs"], INDEX, Settings(encoder=LetterEncoder()))
    assert report.added == ("docs/half.jsonl",)
    assert store.ids() >= {"h1", "h2"}
    assert "stray" not in store.ids()


def test_other_languages(place: StorePlace) -> None:
    Path("a.txt").write_text("東京都は日本の首都です。\n\nDie Katzen schnurren.")
    build(["a.txt"], INDEX, Settings(language="any", store=place))
    assert open_store(INDEX).search_words("日本", 1)
    assert not open_store(INDEX).search_words("Katze", 1)
    other = place_of(place.name)
    build(["a.txt"], Path("german"), Settings(language="German", store=other))
    assert open_store(Path("german")).search_words("Katze", 1)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────


def test_vectors_of_another_dimension_are_refused(store: Store) -> None:
    row = StoredPassage(Passage("new", "New.", source=Source("new.txt")), "new.txt", 1)
    for vectors in (np.ones((1, 25), np.float32), None):
        with pytest.raises(InvalidInputError, match=r"wanted \(1, 26\): encode them with the encoder"):
            store.add([row], vectors)
    with pytest.raises(InvalidInputError, match=r"found a vector of shape \(25,\), wanted \(26,\)"):
        store.search_vectors(np.ones(25, np.float32), 1)
    assert "new" not in store.ids()


def test_an_index_without_vectors(place: StorePlace) -> None:
    Path("a.txt").write_text("A cat.")
    build(["a.txt"], INDEX, Settings(store=place))
    store = open_store(INDEX)
    assert store.search_words("cats", 1)
    assert [vectors for _, vectors in store.batches()] == [None]
    with pytest.raises(InvalidInputError, match="found no vectors in the index at idx"):
        store.search_vectors(query_of("cat"), 1)


def test_another_store_is_refused(store: Store) -> None:
    assert read_manifest(INDEX).store == store.manifest.store
    with pytest.raises(
        InvalidInputError, match=r"leave --store out, or move it with `rankrag documents copy"
    ):
        build(["docs"], INDEX, Settings(encoder=LetterEncoder(), store=StorePlace("qdrant", MEMORY, "other")))
    assert len(build(["docs"], INDEX, Settings(encoder=LetterEncoder())).unchanged) == 3


# ── a changed document ───────────────────────────────────────────────────────────────────────────────


class WatchedEncoder(LetterEncoder):
    """Notes what a search finds while it encodes, and stops there if it is told to."""

    def __init__(self, queries: Sequence[str], stop: bool = False) -> None:
        super().__init__()
        self.queries = queries
        self.stop = stop
        self.seen: list[list[str]] = []

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        store = open_store(INDEX)
        self.seen.append([hit.passage.text for q in self.queries for hit in store.search_words(q, 5)])
        if self.stop:
            raise KeyboardInterrupt
        return super().encode_passages(passages)


def test_a_changed_document_is_found_while_its_new_version_is_encoded(place: StorePlace) -> None:
    Path("a.txt").write_text("Old cats.\n\n" + " ".join(f"w{n}" for n in range(300)))
    Path("b.txt").write_text("A bird.")
    build(["a.txt", "b.txt"], INDEX, Settings(encoder=LetterEncoder(), store=place))
    before = open_store(INDEX).ids()
    assert len(before) == 5
    Path("a.txt").write_text("New dogs.")
    stopped = WatchedEncoder(["cats"], stop=True)
    with pytest.raises(KeyboardInterrupt):
        build(["a.txt", "b.txt"], INDEX, Settings(encoder=stopped))
    assert [text[:9] for text in stopped.seen[0]] == ["Old cats."]
    assert open_store(INDEX).ids() == before
    watched = WatchedEncoder(["cats", "dogs"])
    Path("c.txt").write_text("A newcomer.")
    report = build(["a.txt", "b.txt", "c.txt"], INDEX, Settings(encoder=watched))
    assert (report.replaced, report.added, report.unchanged) == (("a.txt",), ("c.txt",), ("b.txt",))
    assert [text[:9] for text in watched.seen[0]] == ["Old cats."]
    store = open_store(INDEX)
    assert store.ids() == {"a.txt#1", "b.txt#1", "c.txt#1"}
    assert (
        ids(store.search_words("dogs", 5))
        == ids(store.search_vectors(query_of("New dogs."), 1))
        == ["a.txt#1"]
    )
    assert store.search_words("cats", 5) == []


@pytest.mark.slow
def test_no_more_files_are_replaced_at_once_than_one_condition_holds(place: StorePlace) -> None:
    Path("docs").mkdir()
    for n in range(REPLACED + 20):
        Path(f"docs/{n}.txt").write_text("An old text.")
    build(["docs"], INDEX, Settings(store=place))
    for n in range(REPLACED + 20):
        Path(f"docs/{n}.txt").write_text("A new text.")
    assert len(build(["docs"], INDEX).replaced) == REPLACED + 20
    store = open_store(INDEX)
    assert (len(store), store.search_words("old", 5)) == (REPLACED + 20, [])
    assert len(store.search_words("new", 1000)) == REPLACED + 20


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_word_of_every_passage_is_found_while_they_are_replaced(
    place: StorePlace, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passages of one score are read in several steps, between which another process may commit."""
    Path("c.jsonl").write_text("\n".join(json.dumps({"_id": f"old{n}", "text": "cats"}) for n in range(40)))
    build(["c.jsonl"], INDEX, Settings(store=place))
    store, other = open_store(INDEX), open_store(INDEX)
    rows = [StoredPassage(Passage(f"new{n}", "cats", "", Source("c.jsonl")), f"new{n}", n) for n in range(40)]
    module = import_module(type(store).__module__)
    name = "reading" if place.name == "lancedb" else "asking"
    read, reads = getattr(module, name), itertools.count(1)

    @contextlib.contextmanager
    def step(where: object) -> Iterator[None]:
        with read(where):
            yield
        if next(reads) == after:
            other.replace(["c.jsonl"], rows)

    monkeypatch.setattr(module, name, step)
    hits = store.search_words("cats", 3)
    assert next(reads) > after
    assert ids(hits) in (["new0", "new1", "new10"], ["old0", "old1", "old10"])
    assert ids(store.search_words("cats", 3)) == ["new0", "new1", "new10"]
