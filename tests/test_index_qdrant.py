"""Qdrant over its wire: the command line, keys, limits, and what goes wrong with a server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cli_call import call
from letters import LetterEncoder
from qdrant_small import SmallQdrant, small_qdrant
from rankrag.errors import FailureError, InvalidInputError, NotFoundError
from rankrag.files import summed
from rankrag.index import Settings, StorePlace, build, copy_index, open_store
from rankrag.index.stores.qdrant_server import client_of
from serving import client, make_app, until

INDEX = Path("idx")
KEY = "secret-of-this-server"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    Path("docs").mkdir()
    Path("docs/cats.txt").write_text("Cats sleep most of the day.")
    Path("docs/dogs.txt").write_text("Dogs bark and run.")
    lines = [
        json.dumps({"_id": f"r{n}", "text": f"record {n} of a set", "kind": "even odd".split()[n % 2]})
        for n in range(40)
    ]
    Path("docs/set.jsonl").write_text("\n".join(lines))


@pytest.fixture
def server() -> Iterator[SmallQdrant]:
    with small_qdrant() as running:
        yield running


def place_at(server: SmallQdrant, collection: str = "rankrag-idx") -> StorePlace:
    return StorePlace("qdrant", server.url, collection)


@pytest.mark.slow
def test_every_command_works_over_a_server(server: SmallQdrant, capsys: pytest.CaptureFixture[str]) -> None:
    made = (
        "index",
        "docs",
        "--index",
        "idx",
        "--encoder",
        "none",
        "--store",
        "qdrant",
        "--store-url",
        server.url,
    )
    assert json.loads(call(capsys, *made, "--output", "json")[0])["n_passages"] == 42
    assert sorted(path.name for path in INDEX.iterdir()) == ["lock", "manifest.json"]
    assert "3 unchanged" in call(capsys, "index", "docs", "--index", "idx")[0]
    assert "3 unchanged" in call(capsys, *made)[0]
    assert "Cats sleep" in call(capsys, "search", "sleeping cat", "--index", "idx")[0]
    out, _ = call(
        capsys, "search", "record", "--index", "idx", "--where", "kind=odd", "-k", "30", "--output", "json"
    )
    assert len(json.loads(out)["hits"]) == 20
    assert "docs/cats.txt" in call(capsys, "ask", "Do cats sleep?", "--index", "idx", "--model", "fake")[0]
    assert "42 documents, 42 passages" in call(capsys, "documents", "list", "--index", "idx")[0]
    call(capsys, "documents", "delete", "r7", "docs/dogs.txt", "--index", "idx")
    assert "40 documents, 40 passages" in call(capsys, "documents", "list", "--index", "idx")[0]
    call(capsys, "documents", "copy", "back", "--index", "idx")
    assert "40 documents, 40 passages" in call(capsys, "documents", "list", "--index", "back")[0]
    assert any("/index" in line for line in server.asked)


@pytest.mark.slow
def test_a_served_index_may_be_on_a_server(server: SmallQdrant) -> None:
    build(["docs"], INDEX, Settings(store=place_at(server)))
    with client(make_app(INDEX)) as http:
        posted = http.post("/v1/documents", files=[("file", ("zebra.md", b"# Zebras\n\nThey have stripes."))])
        job = f"/v1/jobs/{posted.json()['job']['id']}"
        until(lambda: http.get(job).json()["job"]["status"] == "done")
        (hit,) = http.post("/v1/search", json={"question": "zebras stripes"}).json()["data"]
        assert "stripes" in hit["text"]
        (zebra,) = [
            one for one in http.get("/v1/documents").json()["data"] if one["path"].endswith("zebra.md")
        ]
        assert http.delete(f"/v1/documents/{zebra['id']}").json()["deleted"]
        assert http.post("/v1/search", json={"question": "zebras stripes"}).json()["data"] == []


def test_arguments_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    start = ("index", "docs", "--index", "idx", "--encoder", "none")
    for more, wanted in (
        (("--store", "qdrant"), "--store-url http://HOST:6333"),
        (("--store-url", "http://localhost:6333"), "without --store qdrant"),
        (("--store", "lancedb", "--collection", "c"), "without --store qdrant"),
    ):
        assert wanted in call(capsys, *start, *more, code=2)[1]
    for url in (
        "localhost:6333",
        "ftp://h",
        "http://",
        "http://user:word@host:6333",
        ":memory",
        "http://h/?api=k",
    ):
        _, err = call(capsys, *start, "--store", "qdrant", "--store-url", url, code=5)
        assert "word" not in err.replace("password", "")
    assert not INDEX.exists()


# ── keys, limits, failures ───────────────────────────────────────────────────────────────────────────


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: SmallQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = KEY
    with pytest.raises(FailureError, match=r"found status 401 .* set QDRANT_API_KEY to a key of this server"):
        build(["docs"], INDEX, Settings(store=place_at(server)))
    monkeypatch.setenv("QDRANT_API_KEY", f"{KEY}\n")
    build(["docs"], INDEX)
    assert open_store(INDEX).search_words("cats", 1)
    assert KEY not in "".join(path.read_text() for path in INDEX.iterdir())
    monkeypatch.setenv("QDRANT_API_KEY", "two\nlines")
    with pytest.raises(InvalidInputError, match="no header can carry") as error:
        open_store(INDEX)
    assert "lines" not in str(error.value)


def test_a_server_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        start = ("index", "docs", "--index", "idx", "--encoder", "none")
        _, err = call(capsys, *start, "--store", "qdrant", "--store-url", url, code=6)
        assert f"found no answer from the Qdrant server at {url}" in err
        _, err = call(capsys, "search", "cat", "--index", "idx", code=6)
    assert len(err.strip().splitlines()) == 1
    assert "start it" in err


def test_a_request_that_is_too_large_says_what_to_do(server: SmallQdrant) -> None:
    server.largest = 5000
    with pytest.raises(FailureError, match=r"status 413 .*too large\), wanted .*max_request_size_mb"):
        build(["docs/set.jsonl"], INDEX, Settings(store=place_at(server)))
    server.largest = 2**20
    assert build(["docs"], INDEX).n_passages == 42


@pytest.mark.slow
def test_large_builds_go_in_requests_of_bounded_size(server: SmallQdrant) -> None:
    Path("book.txt").write_text("\n\n".join(f"Paragraph {n}. " + "word " * 90 for n in range(600)))
    lines = [json.dumps({"_id": f"l{n}", "text": f"x{n} " * 250}) for n in range(300)]
    Path("long.jsonl").write_text("\n".join(lines))
    server.largest = 2**20
    report = build(["book.txt", "long.jsonl"], INDEX, Settings(store=place_at(server)))
    assert report.failed == ()
    assert len(open_store(INDEX).ids()) == report.n_passages >= 1500


def test_collections_of_others_are_left_alone(server: SmallQdrant) -> None:
    client_of(place_at(server)).create_collection("foreign", vectors_config={})
    with pytest.raises(InvalidInputError, match="that no index of rankrag made, wanted a new one"):
        build(["docs"], INDEX, Settings(store=place_at(server, "foreign")))
    build(["docs"], Path("first"), Settings(store=place_at(server, "ours")))
    values = json.loads(Path("first/manifest.json").read_text())
    Path("second").mkdir()
    Path("second/manifest.json").write_text(
        json.dumps(summed(values | {"created": "2020-01-01T00:00:00+00:00"}))
    )
    for attempt in (lambda: open_store(Path("second")), lambda: build(["docs"], Path("second"))):
        with pytest.raises(InvalidInputError, match=r"belongs to an index made .* give another --collection"):
            attempt()


def test_a_collection_that_is_gone_or_of_another_dimension(server: SmallQdrant) -> None:
    build(["docs"], INDEX, Settings(encoder=LetterEncoder(), store=place_at(server)))
    text = Path("idx/manifest.json").read_text()
    values = json.loads(text.replace('"dimension": 26', '"dimension": 27'))
    Path("idx/manifest.json").write_text(json.dumps(summed(values)))
    with pytest.raises(InvalidInputError, match=r"found vectors of 26 numbers .* wanted 27"):
        open_store(INDEX)
    Path("idx/manifest.json").write_text(text)
    store = open_store(INDEX)
    client_of(place_at(server)).delete_collection("rankrag-idx")
    with pytest.raises(NotFoundError, match=r"found no collection rankrag-idx .* or restore it there"):
        open_store(INDEX)
    with pytest.raises(FailureError, match=r"status 404 .* somebody deleted the collection"):
        store.search_words("cat", 1)


def test_manifests_say_where_the_passages_are(server: SmallQdrant) -> None:
    build(["docs"], INDEX)
    assert "store" not in json.loads(Path("idx/manifest.json").read_text())
    build(["docs"], Path("there"), Settings(store=place_at(server, "there")))
    values = json.loads(Path("there/manifest.json").read_text())
    assert values["format"] == 3
    assert values["store"] == {"name": "qdrant", "url": server.url, "collection": "there"}
    Path("there/manifest.json").write_text(json.dumps(summed(values | {"store": {"name": "chroma"}})))
    with pytest.raises(
        InvalidInputError, match=r"store\.name: found 'chroma', wanted one of lancedb, qdrant"
    ):
        open_store(Path("there"))


CHILD = """
import os, signal, sys
from pathlib import Path
from rankrag.index import Settings, StorePlace, build
sys.modules["rankrag.index.commits"].BATCH = 50
left = int(sys.argv[2])
def progress(done, total, unit):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
build(["big.jsonl"], Path("idx"), Settings(store=StorePlace("qdrant", sys.argv[1], "big")), progress)
"""


@pytest.mark.slow
def test_a_killed_build_goes_on(server: SmallQdrant) -> None:
    Path("big.jsonl").write_text(
        "\n".join(json.dumps({"_id": f"r{n}", "text": f"record {n}"}) for n in range(500))
    )
    child = subprocess.run([sys.executable, "-c", CHILD, server.url, "4"], check=False)
    assert child.returncode == -signal.SIGKILL
    store = open_store(INDEX)
    assert (len(store), store.last_record("big.jsonl")) == (200, 200)
    server.asked.clear()
    assert build(["big.jsonl"], INDEX).added == ("big.jsonl",)
    assert store.ids() == {f"r{n}" for n in range(500)}
    written = [line for line in server.asked if line.startswith("PUT /collections/big/points?")]
    assert len(written) == 2  # 300 records, not 500


# ── copies ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_corpus_goes_to_a_server_and_back(server: SmallQdrant) -> None:
    encoder = LetterEncoder()
    build(["docs"], INDEX, Settings(encoder=encoder))
    made = copy_index(INDEX, Path("there"), place_at(server, "there"))
    assert (made.n_files, made.n_passages) == (3, 42)
    copy_index(Path("there"), Path("back"))
    one, two, three = (open_store(Path(name)) for name in ("idx", "there", "back"))
    assert one.files() == two.files() == three.files()
    assert one.documents() == two.documents() == three.documents()
    assert one.passages(one.ids()) == two.passages(one.ids()) == three.passages(one.ids())
    query = np.asarray(encoder.encode_queries(["cats"])[0])
    for way in ("words", "vectors"):
        hits = [
            store.search_words("cats record 3", 9) if way == "words" else store.search_vectors(query, 9)
            for store in (one, two, three)
        ]
        assert [h.passage for h in hits[0]] == [h.passage for h in hits[1]] == [h.passage for h in hits[2]]
        for others in hits[1:]:
            assert np.allclose([h.score for h in hits[0]], [h.score for h in others], rtol=0.05)
    # Where it is copied to, documents have the same names: what has not changed is not read again.
    Path("docs/new.txt").write_text("A zebra.")
    for name in ("there", "back"):
        report = build(["docs"], Path(name), Settings(encoder=encoder))
        assert (report.added, len(report.unchanged)) == (("docs/new.txt",), 3)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("name", ["lancedb", "qdrant"])
@pytest.mark.slow
def test_a_stopped_copy_does_not_open_and_goes_on(
    server: SmallQdrant, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["rankrag.index.stores.lance"], "_READ_AT_ONCE", 50)
    lines = [json.dumps({"_id": f"r{n}", "text": f"record {n}"}) for n in range(298)]
    Path("docs/set.jsonl").write_text("\n".join(lines))
    build(["docs"], INDEX)
    place = StorePlace() if name == "lancedb" else place_at(server, "there")

    def stop(done: int, total: int, unit: str) -> None:
        if done > 50:
            raise StoppedError

    def stopped() -> None:
        with pytest.raises(StoppedError):
            copy_index(INDEX, Path("there"), place, stop)
        with pytest.raises(InvalidInputError, match="which is no index"):
            open_store(Path("there"))

    stopped()
    server.asked.clear()
    seen: list[int] = []
    made = copy_index(INDEX, Path("there"), place, lambda done, *_: seen.append(done))
    assert made.n_passages == seen[-1] == 300
    assert not Path("there/copying.json").exists()
    written = [line for line in server.asked if line.startswith("PUT /collections/there/points?")]
    assert len(written) == (5 if name == "qdrant" else 0)  # the first 52 of 300 were in
    assert open_store(Path("there")).ids() == open_store(INDEX).ids()
    with pytest.raises(InvalidInputError, match="found an index at there, wanted a new folder"):
        copy_index(INDEX, Path("there"), place)


@pytest.mark.slow
def test_a_copy_begins_anew_if_its_source_changed(server: SmallQdrant) -> None:
    build(["docs"], INDEX)
    place = place_at(server, "there")

    def stop(done: int, total: int, unit: str) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        copy_index(INDEX, Path("there"), place, stop)
    Path("docs/cats.txt").write_text("Zebras graze.")
    build(["docs"], INDEX)
    copy_index(INDEX, Path("there"), place)
    assert open_store(Path("there")).search_words("zebra", 1)
    assert not open_store(Path("there")).search_words("sleep", 1)


def test_a_copy_takes_no_collection_that_is_there(server: SmallQdrant) -> None:
    place = place_at(server, "ours")
    build(["docs"], INDEX, Settings(store=place))
    with pytest.raises(InvalidInputError, match="belongs to an index made"):
        copy_index(INDEX, Path("there"), place)
    assert len(open_store(INDEX)) == 42
    assert copy_index(INDEX, Path("there"), place_at(server, "other")).n_passages == 42
    assert len(open_store(INDEX)) == 42
    with pytest.raises(NotFoundError, match="found no index at gone"):
        copy_index(Path("gone"), Path("elsewhere"))
    assert not Path("gone").exists()
