from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from letters import LetterEncoder
from rankrag.errors import FailureError, InvalidInputError, NotFoundError
from rankrag.index import (
    IndexDocuments,
    PassageEncoder,
    Settings,
    build,
    faults,
    open_store,
    read_manifest,
    retriever,
)
from rankrag.index.reading import kinds as kinds_module
from rankrag.index.stores import lance
from rankrag.index.stores.lance_tables import is_there
from rankrag.types import Documents, Passage

INDEX = Path("idx")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def collection(name: str, count: int, first: int = 0) -> None:
    lines = (
        json.dumps({"_id": f"r{n}", "text": f"record {n} of the set"}) for n in range(first, first + count)
    )
    write({name: "\n".join(lines)})


def found(query: str) -> list[str]:
    return [hit.passage.id for hit in open_store(INDEX).search_words(query, 10)]


DOCS = {
    "docs/cats.md": "# Cats\n\nCats purr and sleep.",
    "docs/deep/dogs.txt": "Dogs bark and run.",
    "docs/.hidden/secret.txt": "Cats in secret.",
    "docs/picture.png": "not a kind that is read",
}


def test_add_skip_replace_prune() -> None:
    write(DOCS)
    report = build(["docs"], INDEX)
    assert (report.added, report.n_files, report.n_passages) == (("docs/cats.md", "docs/deep/dogs.txt"), 2, 2)
    assert found("cats") == ["docs/cats.md#1"]

    report = build(["docs"], INDEX)
    assert (report.added, report.unchanged) == ((), ("docs/cats.md", "docs/deep/dogs.txt"))

    write({"docs/cats.md": "# Lions\n\nLions roar."})
    Path("docs/deep/dogs.txt").unlink()
    report = build(["docs"], INDEX)
    assert (report.replaced, report.removed, report.n_passages) == (("docs/cats.md",), (), 2)
    assert (found("cats"), found("lions"), found("dogs")) == (
        [],
        ["docs/cats.md#1"],
        ["docs/deep/dogs.txt#1"],
    )

    report = build(["docs"], INDEX, Settings(prune=True))
    assert (report.removed, report.n_files) == (("docs/deep/dogs.txt",), 1)
    assert found("dogs") == []


def test_a_change_that_keeps_size_and_time_is_seen(folder: Path) -> None:
    write({"a.txt": "cats"})
    before = Path("a.txt").stat()
    build(["a.txt"], INDEX)
    write({"a.txt": "dogs"})
    os.utime("a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert build(["a.txt"], INDEX).replaced == ("a.txt",)
    assert found("dogs") == ["a.txt#1"]


def test_prune_takes_a_path_that_is_gone_and_leaves_what_lies_elsewhere() -> None:
    write({"a/x.txt": "one", "a/y.txt": "two", "b/z.txt": "three"})
    build(["a", "b"], INDEX)
    shutil.rmtree("a")
    shutil.rmtree("b")
    assert build(["a"], INDEX, Settings(prune=True)).removed == ("a/x.txt", "a/y.txt")
    assert build(["b/*.txt"], INDEX, Settings(prune=True)).removed == ("b/z.txt",)
    with pytest.raises(NotFoundError, match="nothing of it in the index"):
        build(["c"], INDEX, Settings(prune=True))


def test_prune_of_the_root_and_of_the_folder_above(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"p/a/x.txt": "one", "p/a/y.txt": "two", "outside.txt": "three"})
    monkeypatch.chdir(folder / "p")
    index = folder / "idx"
    build([".", "../outside.txt"], index)
    (folder / "p/a/x.txt").unlink()
    (folder / "outside.txt").unlink()
    assert build(["."], index, Settings(prune=True)).removed == ("a/x.txt",)
    (folder / "p/a/y.txt").unlink()
    assert set(build([".."], index, Settings(prune=True)).removed) == {"a/y.txt", f"{folder}/outside.txt"}


def test_names_do_not_depend_on_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(DOCS | {"elsewhere/note.txt": "A note."})
    build(["docs"], INDEX)
    monkeypatch.chdir(folder / "docs")
    assert build(["."], folder / INDEX).unchanged == ("docs/cats.md", "docs/deep/dogs.txt")
    assert build(["../docs/cats.md", str(folder / "docs" / "cats.md")], folder / INDEX).unchanged == (
        "docs/cats.md",
    )
    moved = folder.with_name(folder.name + "-moved")
    monkeypatch.chdir("/")
    folder.rename(moved)
    assert build([str(moved / "docs")], moved / INDEX).unchanged == ("docs/cats.md", "docs/deep/dogs.txt")
    moved.rename(folder)
    outside = folder.parent / f"{folder.name}-outside.txt"
    outside.write_text("Outside.")
    assert build([str(outside)], folder / INDEX).added == (outside.as_posix(),)


def test_offsets_and_pages_point_into_the_source() -> None:
    text = "# Title\r\n\r\n" + "\n\n".join(f"Paragraph {n} says: naïve 漢字. " * 6 for n in range(20))
    Path("a.md").write_bytes(text.encode())
    build(["a.md"], INDEX, Settings(words=40))
    hits = open_store(INDEX).search_words("paragraph", 100)
    assert len(hits) > 10
    for hit in hits:
        source = hit.passage.source
        assert source is not None
        assert text[source.start : source.end] == hit.passage.text
        assert (source.path, source.page, hit.passage.title) == ("a.md", None, "Title")


def test_a_collection_keeps_its_ids_unless_cut() -> None:
    long = " ".join(f"w{n}" for n in range(150))
    write({"c.jsonl": '{"_id": "short", "title": "T", "text": "two words"}\n'
           + json.dumps({"_id": "long", "text": long, "metadata": {"lang": "en"}})})  # fmt: skip
    build(["c.jsonl"], INDEX)
    assert found("words") == ["short"]
    hit = open_store(INDEX).search_words("w149", 1)[0].passage
    assert (hit.id, dict(hit.attributes)) == ("long#2", {"lang": "en"})
    assert hit.source is not None
    assert long[hit.source.start : hit.source.end] == hit.text


@pytest.mark.slow
def test_what_cannot_be_read_is_named_and_the_rest_goes_in() -> None:
    write({"d/good.txt": "fine text", "d/empty.txt": "", "d/bad.pdf": "no pdf", "d/z.jsonl": '{"id": 1}\n'})
    report = build(["d"], INDEX)
    assert report.added == ("d/good.txt",)
    assert [name for name, _ in report.failed] == ["d/bad.pdf", "d/empty.txt", "d/z.jsonl"]
    assert "broken PDF" in dict(report.failed)["d/bad.pdf"]
    assert dict(report.failed)["d/empty.txt"] == "it holds no text"
    assert "d/z.jsonl:1: found no text" in dict(report.failed)["d/z.jsonl"]
    assert report.n_passages == 1


def test_any_exception_of_a_parser_is_that_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes, name: str) -> None:
        raise AttributeError("nobody\nforesaw this")

    monkeypatch.setitem(kinds_module.DOCUMENTS, ".txt", kinds_module.DocumentKind(broken, apart=False))  # type: ignore[arg-type]
    write({"d/a.txt": "words", "d/b.md": "words"})
    report = build(["d"], INDEX)
    assert report.failed == (("d/a.txt", "it cannot be read (AttributeError: nobody)"),)
    assert report.added == ("d/b.md",)


def test_what_is_read_is_what_goes_in_and_what_is_told() -> None:
    write(
        {
            "d/a.csv": "part,price\n" + "".join(f"p{n},{n}\n" for n in range(120)) + "x,1,2\n",
            "d/b.jsonl": '{"id": 1, "text": "one"}\n\n{"id": 1, "text": "two"}\n{"text": " "}\nno JSON\n',
            "d/c.mbox": "From a\nSubject: s\n\nHello.\n\nFrom b\n\n",
            "d/d.md": "# A\n\nWords.",
            "d/e.html": "<p>Words.",
            "d/f.pdf": "no PDF",
            "d/g.png": "no text",
        }
    )
    report = build(["d"], INDEX)
    store = open_store(INDEX)
    assert (report.n_records, report.n_skipped) == (120 + 2 + 1, 1 + 2 + 1)
    assert len(list(store.documents())) == report.n_records + len(["d/d.md", "d/e.html"])
    assert report.n_made == report.n_passages == len(store)
    assert len([note for _, note in report.notes if note.startswith("passed over")]) == report.n_skipped
    named = [*report.added, *(name for name, _ in (*report.failed, *report.passed_over))]
    assert sorted(named) == sorted(path.as_posix() for path in Path("d").iterdir())


def test_what_was_not_read_and_what_was_guessed_is_told() -> None:
    write({"d/a.csv": "x,y\n1,2\n1,2,3\n", "d/b.png": "no text", "d/README": "Read me first.", "d/bin": "\0"})
    Path("d/legacy.txt").write_bytes("Größe".encode("cp1252"))
    Path("d/link").symlink_to(Path.cwd())
    report = build(["d"], INDEX)
    assert report.added == ("d/README", "d/a.csv", "d/legacy.txt")
    assert dict(report.notes) == {
        "d/a.csv": "passed over d/a.csv:3: found 3 cells, wanted 2 as in the header",
        "d/legacy.txt": "read as cp1252",
    }
    unread = "of no kind that is read: save as PDF, HTML or text"
    link = "a link to a folder: give the folder itself to have it read"
    assert report.passed_over == (("d/b.png", unread), ("d/bin", unread), ("d/link", link))
    assert (report.n_records, report.n_skipped, report.n_made, report.n_passages) == (1, 1, 3, 3)
    assert build(["d"], INDEX).n_made == 0


def test_folders_that_nobody_looked_into_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/b.md", "a/closed/c.md", "a/deeper/d.md"):
        Path("x", name).parent.mkdir(parents=True, exist_ok=True)
        Path("x", name).write_text("Some words.")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = build(["x"], INDEX)
    assert report.added == ("x/a/b.md", "x/a/deeper/d.md")
    assert report.passed_over == (("x/a/closed", "a folder that cannot be opened (Permission denied)"),)
    report = build(["x/a/*"], INDEX)
    folder = "a folder: give it by name, or `**` in the glob, to have it read"
    assert report.passed_over == (("x/a/closed", folder), ("x/a/deeper", folder))


def test_a_pipe_is_no_file() -> None:
    os.mkfifo("pipe.txt")
    with pytest.raises(InvalidInputError, match=r"pipe\.txt, which is no file"):
        build(["pipe.txt"], INDEX)


def test_a_strict_build_refuses_a_collection_for_its_first_bad_line() -> None:
    write({"a.csv": "x,y\n1,2\n1,2,3\n", "b.jsonl": '{"id": "1", "text": "fine"}\n'})
    report = build(["a.csv", "b.jsonl"], INDEX, Settings(strict=True))
    assert report.failed == (("a.csv", "a.csv:3: found 3 cells, wanted 2 as in the header"),)
    assert (report.added, report.n_passages) == (("b.jsonl",), 1)
    assert (report.n_records, report.n_skipped, report.n_made) == (1, 0, 1)


def test_a_name_that_is_no_utf8_is_named() -> None:
    write(DOCS)
    Path(os.fsdecode(b"docs/caf\xe9.txt")).write_text("text")
    report = build(["docs"], INDEX)
    assert report.failed == (("docs/caf\ufffd.txt", "its name is no UTF-8: rename it"),)
    assert report.n_passages == 2


def test_the_older_version_of_a_broken_document_stays() -> None:
    write({"a.txt": "cats"})
    build(["a.txt"], INDEX)
    write({"a.txt": ""})
    assert build(["a.txt"], INDEX).failed == (("a.txt", "it holds no text"),)
    assert found("cats") == ["a.txt#1"]


def test_ids_are_unique_across_collections() -> None:
    collection("a.jsonl", 5)
    collection("b.jsonl", 5, first=4)
    report = build(["a.jsonl", "b.jsonl"], INDEX)
    assert (report.added, report.failed, report.n_passages) == (("a.jsonl", "b.jsonl"), (), 10)
    assert dict(report.notes)["b.jsonl"] == "1 id in the index already, here called b.jsonl#ID"
    ids = [f"r{n}" for n in (0, 1, 2, 3, 4, 5, 6, 7, 8)]
    assert open_store(INDEX).ids() == {*ids, "b.jsonl#r4"}
    assert build(["a.jsonl", "b.jsonl"], INDEX).unchanged == ("a.jsonl", "b.jsonl")


def test_ids_that_come_again_in_a_file_keep_their_records() -> None:
    long = "word " * 150
    lines = [
        ("42", "short"),
        ("42", "again"),
        ("42", "third"),
        ("7", long),
        ("7", "beside a cut one"),
        ("7#1", "x"),
    ]
    Path("a.jsonl").write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in lines))
    report = build(["a.jsonl"], INDEX)
    assert (report.n_records, report.n_made, report.n_passages, report.n_skipped) == (6, 7, 7, 0)
    wanted = {"42", "a.jsonl#42", "a.jsonl#42@3", "7#1", "7#2", "a.jsonl#7", "a.jsonl#7#1"}
    assert open_store(INDEX).ids() == wanted
    assert len(open_store(INDEX).documents()) == 6


def test_a_changed_collection_is_replaced_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """At any moment each record is there once; only those that changed are encoded again."""
    encoded: list[str] = []

    class Noted(LetterEncoder):
        def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
            encoded.extend(passage.id for passage in passages)
            return super().encode_passages(passages)

    monkeypatch.setattr(sys.modules["rankrag.index.commits"], "BATCH_WITH_VECTORS", 4)
    rows = {f"r{n}": f"record {n} " + "word " * (n * 30) for n in range(8)}

    def save() -> None:
        write({"a.jsonl": "".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in rows.items())})

    save()
    build(["a.jsonl"], INDEX, Settings(encoder=Noted()))
    before = open_store(INDEX).ids()
    rows |= {"r1": "another record", "r6": "cut no more", "new": "a record that was not there"}
    del rows["r0"]
    save()
    encoded.clear()
    seen: list[set[str]] = []

    def look(done: int, total: int, unit: str) -> None:
        ids = [row.passage.id for rows, _ in open_store(INDEX).batches() for row in rows]
        assert len(ids) == len(set(ids))
        seen.append({id.partition("#")[0] for id in ids})

    report = build(["a.jsonl"], INDEX, Settings(encoder=Noted()), look)
    assert (report.replaced, report.failed) == (("a.jsonl",), ())
    assert encoded == ["r1", "r6", "new"]
    assert all(names >= rows.keys() - {"new"} for names in seen)
    after = {id for id in before if id.partition("#")[0] not in ("r0", "r6")} | {"r6", "new"}
    assert open_store(INDEX).ids() == after
    assert found("another") == ["r1", "new"] or found("another") == ["r1"]
    assert build(["a.jsonl"], INDEX, Settings(encoder=Noted())).unchanged == ("a.jsonl",)


def test_the_older_version_of_a_broken_collection_stays() -> None:
    collection("a.jsonl", 5)
    build(["a.jsonl"], INDEX)
    write({"a.jsonl": '{"_id": "r1", "text": "changed"}\n{no json\n'})
    assert build(["a.jsonl"], INDEX, Settings(strict=True)).failed
    assert open_store(INDEX).ids() == {f"r{n}" for n in range(5)}
    write({"a.jsonl": ""})
    assert build(["a.jsonl"], INDEX).failed == (("a.jsonl", "it holds no text"),)
    assert open_store(INDEX).ids() == {f"r{n}" for n in range(5)}
    write({"a.jsonl": '{"_id": "r1", "text": "changed"}\n'})
    assert build(["a.jsonl"], INDEX).replaced == ("a.jsonl",)
    assert open_store(INDEX).ids() == {"r1"}


def test_a_document_that_a_killed_build_left_is_never_away() -> None:
    write({"a.txt": "cats", "b.txt": "dogs"})
    build(["a.txt", "b.txt"], INDEX)
    store = open_store(INDEX)
    store._files.delete("path = 'a.txt' OR path = 'b.txt'")  # type: ignore[attr-defined]
    seen: list[list[str]] = []
    report = build(["a.txt"], INDEX, None, lambda *_: seen.append(found("cats")))
    assert (report.added, set(map(tuple, seen))) == (("a.txt",), {("a.txt#1",)})
    assert open_store(INDEX).ids() == {"a.txt#1"}, "nobody gave the other, so it goes"


def test_a_changed_collection_is_replaced() -> None:
    collection("a.jsonl", 5)
    build(["a.jsonl"], INDEX)
    collection("a.jsonl", 3, first=10)
    report = build(["a.jsonl"], INDEX)
    assert (report.replaced, report.n_passages) == (("a.jsonl",), 3)
    assert open_store(INDEX).ids() == {"r10", "r11", "r12"}


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        (["nowhere"], NotFoundError, "found nothing at nowhere"),
        (
            ["empty"],
            InvalidInputError,
            "found no file to index in empty, wanted text, HTML, PDF, .{60,90}: give such files",
        ),
        (["*.none"], InvalidInputError, "found no file to index in"),
        (["a.exe"], InvalidInputError, "found a.exe, of no kind that is read, wanted text, HTML, PDF"),
    ],
)
def test_paths_that_cannot_be_used_write_nothing(
    paths: list[str], error: type[Exception], message: str
) -> None:
    Path("empty").mkdir()
    write({"a.exe": "x"})
    with pytest.raises(error, match=message):
        build(paths, INDEX)
    assert not INDEX.exists()


def test_other_settings_are_refused_by_name() -> None:
    write(DOCS)
    build(["docs"], INDEX, Settings(words=50))
    with pytest.raises(InvalidInputError, match="built with words 50, wanted 80"):
        build(["docs"], INDEX, Settings(words=80))
    with pytest.raises(InvalidInputError, match="built with language English, wanted any"):
        build(["docs"], INDEX, Settings(language="any"))
    with pytest.raises(InvalidInputError, match=r"wanted one of Arabic, .*, any"):
        build(["docs"], Path("new"), Settings(language="Klingon"))
    assert build(["docs"], INDEX).unchanged


def test_folders_that_are_no_index_are_left_alone() -> None:
    write(DOCS | {"file": "x"})
    with pytest.raises(InvalidInputError, match="with other files in it"):
        build(["docs"], Path("docs"))
    with pytest.raises(InvalidInputError, match="found a file at file"):
        build(["docs"], Path("file"))
    with pytest.raises(NotFoundError, match="rankrag index PATH --index gone"):
        open_store(Path("gone"))
    with pytest.raises(InvalidInputError, match="docs, which is no index"):
        open_store(Path("docs"))


def test_broken_and_newer_indexes_are_refused_in_one_line() -> None:
    write(DOCS)
    build(["docs"], INDEX)
    manifest = (INDEX / "manifest.json").read_text()
    cases = {
        "found a broken manifest.json": "{",
        "found an index of format 99": manifest.replace('"format": 3', '"format": 99'),
        "found a broken manifest": manifest.replace('"words"', '"wrods"'),
        r"found a broken manifest.json in idx \(format 'x'\)": manifest.replace(
            '"format": 3', '"format": "x"'
        ),
        "its content is not what was written": manifest.replace('"English"', '"German"'),
    }
    for message, content in cases.items():
        (INDEX / "manifest.json").write_text(content)
        for touch in (open_store, lambda index: build(["docs"], index)):
            with pytest.raises(InvalidInputError, match=message) as error:
                touch(INDEX)
            assert "\n" not in str(error.value)
        assert (INDEX / "manifest.json").read_text() == content
    (INDEX / "manifest.json").write_text(manifest)
    store = open_store(INDEX)
    shutil.move(INDEX / "passages.lance" / "data", "elsewhere")
    with pytest.raises(InvalidInputError, match="found a broken index at idx") as error:
        store.search_words("cats dogs", 5)
    assert "\n" not in str(error.value)
    for version in (INDEX / "passages.lance" / "_versions").iterdir():
        version.write_bytes(b"rubbish")
    with pytest.raises(InvalidInputError, match="found a broken index at idx") as error:
        open_store(INDEX)
    assert "\n" not in str(error.value)


# ── encoders ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_older_version_is_found_until_the_new_one_is_encoded() -> None:
    seen: list[list[str]] = []

    class Looking(LetterEncoder):
        def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
            seen.append(found("cats"))
            return super().encode_passages(passages)

    write({"a.txt": "cats"})
    build(["a.txt"], INDEX, Settings(encoder=LetterEncoder()))
    write({"a.txt": "dogs"})
    build(["a.txt"], INDEX, Settings(encoder=Looking()))
    assert seen == [["a.txt#1"]]
    assert (found("cats"), found("dogs")) == ([], ["a.txt#1"])


def test_vectors_are_stored_and_their_encoder_is_held_to() -> None:
    write(DOCS)
    encoder: PassageEncoder = LetterEncoder()
    build(["docs"], INDEX, Settings(encoder=encoder))
    used = read_manifest(INDEX).encoder
    assert used is not None
    assert (used.name, used.fingerprint, used.dimension) == ("letters", "letters-1", 26)
    assert (
        retriever("dense", open_store(INDEX), encoder)
        .search("rrrun bark", 1)[0]
        .passage.id.endswith("dogs.txt#1")
    )
    with pytest.raises(
        InvalidInputError, match="wanted that encoder to add documents: give --encoder letters"
    ):
        build(["docs"], INDEX)
    with pytest.raises(InvalidInputError, match=r"with vectors by letters .*, wanted other"):
        build(["docs"], INDEX, Settings(encoder=LetterEncoder("other")))
    with pytest.raises(InvalidInputError, match=r"with vectors by letters .*, wanted other"):
        retriever("hybrid", open_store(INDEX), LetterEncoder("other"))


def test_vectors_that_are_not_there_are_not_searched() -> None:
    write(DOCS)
    build(["docs"], INDEX)
    with pytest.raises(InvalidInputError, match=r"without vectors .*: search it with --retriever bm25"):
        retriever("dense", open_store(INDEX), LetterEncoder())
    with pytest.raises(InvalidInputError, match="without vectors"):
        retriever("hybrid", open_store(INDEX))
    with pytest.raises(InvalidInputError, match="without vectors"):
        build(["docs"], INDEX, Settings(encoder=LetterEncoder()))


@pytest.mark.slow
def test_commits_grow_with_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    collection("big.jsonl", 600)
    module = sys.modules["rankrag.index.commits"]
    monkeypatch.setattr(module, "BATCH_WITH_VECTORS", 8)
    monkeypatch.setattr(module, "_SHARE", 4)
    build(["big.jsonl"], INDEX, Settings(encoder=LetterEncoder()))
    grown = len(list((INDEX / "passages.lance" / "data").iterdir()))
    assert 15 < grown < 25, "75 commits of 8 would make a file each"
    assert open_store(INDEX).ids() == {f"r{n}" for n in range(600)}
    write({f"docs/{n:03}.txt": f"document number {n}" for n in range(150)})
    build(["docs"], INDEX, Settings(encoder=LetterEncoder()))
    assert len(list((INDEX / "passages.lance" / "data").iterdir())) <= grown + 2, "it begins where it was"


@pytest.mark.slow
def test_a_record_may_have_the_id_of_a_document() -> None:
    write({"a.txt": "cats", "b.txt": "dogs", "rest.txt": "owls"})
    lines = [("a.txt#1", "first"), ("b.txt", "second"), ("./b.txt#1", "third")]
    write({"c.jsonl": "".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in lines)})
    records = {"a.txt#1", "b.txt", "./b.txt#1"}
    build(["c.jsonl"], INDEX)
    build(["a.txt", "b.txt", "rest.txt"], INDEX)
    assert open_store(INDEX).ids() == {*records, "./a.txt#1", "././b.txt#1", "rest.txt#1"}
    assert found("dogs") == ["././b.txt#1"]
    write({"b.txt": "zebras"})
    assert build(["b.txt", "c.jsonl"], INDEX).replaced == ("b.txt",)
    assert open_store(INDEX).ids() == {*records, "./a.txt#1", "././b.txt#1", "rest.txt#1"}
    assert IndexDocuments(INDEX).delete(["b.txt"]) == 1
    assert found("zebras") == ["././b.txt#1"]
    documents = Path("documents")
    build(["a.txt", "b.txt", "c.jsonl"], documents)
    assert open_store(documents).ids() == {
        "a.txt#1", "b.txt#1", "./b.txt#1", "c.jsonl#a.txt#1", "c.jsonl#b.txt",
    }  # fmt: skip


# ── kills, builders, readers ─────────────────────────────────────────────────────────────────────────

CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from rankrag.index import build
    module = sys.modules["rankrag.index.commits"]
    module.BATCH = 50
    left = int(sys.argv[1])
    def progress(done, total, unit):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    build(sys.argv[2:], Path("idx"), None, progress)
    """
)


def run_child(calls: int, *paths: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(calls), *paths])


@pytest.mark.slow
def test_a_killed_build_opens_searches_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    collection("big.jsonl", 500)
    write({f"docs/{n:03}.txt": f"document number {n}" for n in range(60)})
    assert run_child(4, "big.jsonl", "docs").wait() == -signal.SIGKILL

    store = open_store(INDEX)
    assert (len(store), store.last_record("big.jsonl")) == (200, 200)
    assert found("record 7 set")[0] == "r7"

    monkeypatch.setattr(sys.modules["rankrag.index.commits"], "BATCH", 50)
    calls: list[tuple[int, int, str]] = []
    report = build(["big.jsonl", "docs"], INDEX, None, lambda *call: calls.append(call))
    assert (len(report.added), report.n_passages) == (61, 560)
    assert open_store(INDEX).ids() == {f"r{n}" for n in range(500)} | {
        f"docs/{n:03}.txt#1" for n in range(60)
    }
    # 300 records were left: six commits and the end of the file; not the ten of the whole.
    big = Path("big.jsonl").stat().st_size
    assert len([done for done, _, unit in calls if unit == "bytes" and done <= big]) == 7
    assert build(["big.jsonl", "docs"], INDEX).added == ()


@pytest.mark.slow
def test_a_collection_that_changed_after_the_kill_is_read_anew() -> None:
    collection("big.jsonl", 500)
    assert run_child(4, "big.jsonl").wait() == -signal.SIGKILL
    collection("big.jsonl", 120, first=1000)
    report = build(["big.jsonl"], INDEX)
    assert (report.added, report.n_passages) == (("big.jsonl",), 120)
    assert open_store(INDEX).ids() == {f"r{n}" for n in range(1000, 1120)}


def test_a_kill_while_the_tables_are_made(folder: Path) -> None:
    write(DOCS)
    build(["docs"], INDEX)
    shutil.rmtree(INDEX / "passages.lance" / "_versions")
    with pytest.raises(InvalidInputError, match="first build was stopped before it began"):
        open_store(INDEX)
    assert build(["docs"], INDEX).n_passages == 2


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing() -> None:
    generator = random.Random(1)
    write({f"docs/{n:03}.txt": f"document number {n}" for n in range(400)})
    collection("big.jsonl", 3000)
    for turn in range(12):
        if turn % 4 == 3:
            write({f"docs/{n:03}.txt": f"document changed in turn {turn}" for n in range(turn, 400, 7)})
        child = run_child(10**9, "docs", "big.jsonl")
        time.sleep(generator.uniform(0.3, 4))
        child.kill()
        child.wait()
        if is_there(INDEX, "files"):  # the table that is made last
            assert len(open_store(INDEX).search_words("document record", 5)) in range(6)
    report = build(["docs", "big.jsonl"], INDEX)
    assert (report.failed, report.n_passages, report.n_files) == ((), 3400, 401)
    store = open_store(INDEX)
    assert len(store.ids()) == 3400
    texts = {hit.passage.id: hit.passage.text for hit in store.search_words("document", 400)}
    assert texts == {f"docs/{n:03}.txt#1": Path(f"docs/{n:03}.txt").read_text() for n in range(400)}


def test_one_builder_at_a_time_and_readers_beside_it() -> None:
    write(DOCS)
    build(["docs"], INDEX)
    collection("more.jsonl", 20)
    errors: list[str] = []
    seen: list[int] = []

    def meanwhile(done: int, total: int, unit: str) -> None:
        with pytest.raises(FailureError) as error:
            build(["docs"], INDEX)
        errors.append(str(error.value))
        seen.append(len(open_store(INDEX).search_words("cats", 5)))

    build(["more.jsonl"], INDEX, None, meanwhile)
    assert "found another build of idx running (process " in errors[0]
    assert set(seen) == {1}


def test_an_open_store_sees_what_a_later_build_adds() -> None:
    write(DOCS)
    build(["docs"], INDEX)
    store = open_store(INDEX)
    write({"docs/new.txt": "A zebra."})
    build(["docs"], INDEX)
    assert [hit.passage.id for hit in store.search_words("zebra", 5)] == ["docs/new.txt#1"]


# ── documents ────────────────────────────────────────────────────────────────────────────────────────


def test_documents_add_list_delete() -> None:
    write(DOCS)
    collection("c.jsonl", 3)
    documents: Documents = IndexDocuments(INDEX)
    files = ["docs/cats.md", "docs/deep/dogs.txt", "c.jsonl"]
    added = documents.add(files)
    assert [[d.id for d in added[file].documents] for file in files] == [
        ["docs/cats.md"], ["docs/deep/dogs.txt"], ["r0", "r1", "r2"],
    ]  # fmt: skip
    assert documents.list() == tuple(d for file in files for d in added[file].documents)
    assert {(file, d.path) for file in files for d in added[file].documents} == {(f, f) for f in files}
    assert documents.delete(["docs/cats.md", "r1", "unknown"]) == 2
    assert [d.id for d in documents.list()] == ["docs/deep/dogs.txt", "r0", "r2"]
    assert found("cats") == []
    assert read_manifest(INDEX).n_passages == 3
    again = documents.add(files)
    assert again["docs/cats.md"] == added["docs/cats.md"]
    assert [d.id for d in again["c.jsonl"].documents] == ["r0", "r2"]


def test_files_that_are_added_together_are_told_apart() -> None:
    write(DOCS | {"bad.txt": "", "cut.md": "cut \ufffd"})
    Path("latin.txt").write_bytes("Über Katzen und Öfen.".encode("latin-1"))
    added = IndexDocuments(INDEX).add(["bad.txt", "docs/cats.md", str(Path("latin.txt").absolute())])
    assert added["bad.txt"].problem == "it holds no text"
    assert added["bad.txt"].documents == ()
    assert [d.id for d in added["docs/cats.md"].documents] == ["docs/cats.md"]
    assert added["docs/cats.md"].notes == ()
    (latin,) = (file for path, file in added.items() if path.endswith("latin.txt"))
    assert latin.documents
    assert latin.problem == ""
    assert "encoding" in latin.notes[0] or "read as" in latin.notes[0]


def test_the_index_for_words_waits_for_the_files_that_follow() -> None:
    write(DOCS | {"a.txt": "owls", "b.txt": "bees"})
    build(["docs"], INDEX)
    IndexDocuments(INDEX).add(["a.txt"], more=True)
    assert open_store(INDEX).n_unindexed == 1
    assert found("owls") == ["a.txt#1"]
    IndexDocuments(INDEX).add(["b.txt"])
    assert open_store(INDEX).n_unindexed == 0
    assert (found("owls"), found("bees")) == (["a.txt#1"], ["b.txt#1"])


def test_few_new_passages_of_a_large_index_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["rankrag.index.build"], "_FEW", 2)
    write({f"docs/{n}.txt": f"owl number{n}" for n in range(10)})
    build(["docs"], INDEX)
    write({"docs/new.txt": "a new bee", "docs/3.txt": "owl changed"})
    build(["docs"], INDEX)
    assert open_store(INDEX).n_unindexed == 2
    assert (found("bee"), found("changed")) == (["docs/new.txt#1"], ["docs/3.txt#1"])
    assert found("number3") == []
    assert faults(INDEX) == []
    Path("docs/5.txt").unlink()
    build(["docs"], INDEX, Settings(prune=True))  # what is gone is not counted on
    assert open_store(INDEX).n_unindexed == 0
    write({"docs/new.txt": "a newer bee"})
    monkeypatch.setattr(lance, "_WAITING_PIECES", 1)
    build(["docs"], INDEX)
    assert open_store(INDEX).n_unindexed == 0


def test_old_versions_go_once_they_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def versions() -> int:
        return sum(1 for _ in INDEX.glob("passages.lance/_versions/*.manifest"))

    for n in range(4):
        write({"docs/cats.txt": f"cats {n}"})
        build(["docs"], INDEX)
    many = versions()
    monkeypatch.setattr(lance, "_OLD_VERSIONS", timedelta(milliseconds=1))
    write({"docs/cats.txt": "cats again"})
    build(["docs"], INDEX)
    assert versions() < many / 2
    assert found("again") == ["docs/cats.txt#1"]
    assert faults(INDEX) == []


def test_an_index_inside_of_a_folder_is_no_document() -> None:
    write({"notes/a.txt": "cats"})
    build(["."], INDEX)
    report = build(["."], INDEX)
    assert report.unchanged == ("notes/a.txt",)
    assert report.added == ()
    assert (str(INDEX), "an index") in report.passed_over
