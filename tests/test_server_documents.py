"""Documents that come and go while the server runs, and what is not let in."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from rankrag.errors import InvalidInputError
from rankrag.files import summed
from rankrag.index import READABLE, IndexDocuments
from rankrag.server import Limits, ServerSettings
from rankrag.server.job_files import Job
from rankrag.server.job_register import JobRegister
from rankrag.server.jobs import Jobs
from rankrag.server.safety.uploads import check_content, safe_name
from rankrag.server.upload_folder import Uploads
from serving import PATIENCE_S, client, jobs_of, live, make_app, make_index, until


def upload(http: TestClient, *files: tuple[str, bytes]) -> dict[str, Any]:
    response = http.post("/v1/documents", files=[("file", one) for one in files])
    assert response.status_code == 202, response.text
    return finished(http, response.json()["job"]["id"])


def finished(http: TestClient, name: str) -> dict[str, Any]:
    until(lambda: (job := jobs_of(http).known.get(name)) is not None and job.is_over)
    return dict(http.get(f"/v1/jobs/{name}").json()["job"])


def paths(http: TestClient) -> list[str]:
    return [Path(one["path"]).name for one in http.get("/v1/documents").json()["data"]]


def test_upload_search_replace_delete(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    with client(make_app(index)) as http:
        job = upload(
            http, ("zebra.md", b"# Zebras\n\nZebras have stripes."), ("b.txt", b"A bee has six legs.")
        )
        assert job["status"] == "done"
        assert job["done"] == job["total"] > 0
        assert [Path(one["path"]).name for one in job["documents"]] == ["zebra.md", "b.txt"]
        assert http.get("/v1/info").json()["index"]["n_documents"] == 5
        (hit,) = http.post("/v1/search", json={"question": "zebras stripes"}).json()["data"]
        assert "stripes" in hit["text"]
        upload(http, ("zebra.md", b"# Zebras\n\nZebras have spots."))
        (hit,) = http.post("/v1/search", json={"question": "zebras"}).json()["data"]
        assert "spots" in hit["text"]
        assert (index / "uploads" / "zebra.md").read_bytes().endswith(b"spots.")

        listed = http.get("/v1/documents").json()["data"]
        (zebra,) = [one for one in listed if one["path"].endswith("zebra.md")]
        assert zebra["uploaded"]
        assert http.delete(f"/v1/documents/{zebra['id']}").json() == {"id": zebra["id"], "deleted": True}
        assert not (index / "uploads" / "zebra.md").exists()
        assert http.post("/v1/search", json={"question": "zebras"}).json()["data"] == []
        assert http.delete(f"/v1/documents/{zebra['id']}").status_code == 404

        (cats,) = [one for one in listed if one["path"].endswith("cats.md")]
        assert not cats["uploaded"]
        http.delete(f"/v1/documents/{cats['id']}")
        assert (tmp_path / "documents" / "cats.md").exists()  # not ours to delete
        assert paths(http) == ["tea.md", "whales.md", "b.txt"]


def test_documents_in_pages(tmp_path: Path) -> None:
    with client(make_app(make_index(tmp_path))) as http:
        first = http.get("/v1/documents?limit=2").json()
        assert first["has_more"]
        rest = http.get("/v1/documents", params={"limit": 2, "after": first["data"][-1]["id"]}).json()
        assert not rest["has_more"]
        assert len(first["data"]) + len(rest["data"]) == 3


@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_a_problem_of_its_own(tmp_path: Path) -> None:
    with client(make_app(make_index(tmp_path))) as http:
        job = upload(http, ("bad.pdf", b"%PDF-1.4 broken"), ("good.md", b"Good words."))
        assert job["status"] == "done"
        (problem,) = job["problems"]
        assert problem["path"] == "bad.pdf"
        assert str(tmp_path) not in problem["reason"]
        assert "good.md" in paths(http)
        assert upload(http, ("bad.pdf", b"%PDF-1.4 broken"))["status"] == "failed"


def test_jobs_survive_a_restart(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    folder = index / "uploads"
    folder.mkdir()
    jobs = Jobs(Uploads(folder, IndexDocuments(index)))
    (folder / ".jobs").mkdir()
    (folder / "late.md").write_text("Owls fly at night.")
    waiting = jobs.submit(["late.md"])  # nobody works: the process ended here
    running = json.loads((folder / ".jobs" / f"{waiting.id}.json").read_text())
    (folder / ".jobs" / f"{waiting.id}.json").write_text(json.dumps(summed({**running, "status": "running"})))
    (folder / ".jobs" / "half.json").write_text('{"id": "ha')
    with client(make_app(index)) as http:
        job = finished(http, waiting.id)
        assert job["status"] == "done"
        assert http.post("/v1/search", json={"question": "owls"}).json()["data"]
    assert (folder / ".jobs" / "half.json.broken").exists()
    with client(make_app(index)) as http:  # and what is done is still known
        assert [one["id"] for one in http.get("/v1/jobs").json()["data"]] == [waiting.id]


def test_what_is_uploaded_is_found_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    with client(make_app(make_index(tmp_path))) as http:
        first = http.post("/v1/documents", files={"file": ("a.md", b"One.")}).json()["job"]["id"]
        second = http.post("/v1/documents", files={"file": ("b.md", b"Two.")}).json()["job"]["id"]
        finished(http, second)
        assert finished(http, first)["status"] == "done"
        assert [one["id"] for one in http.get("/v1/jobs").json()["data"]] == [second, first]
        assert http.get("/v1/jobs/none").status_code == 404


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.md", "a.md"),
        ("../../etc/a.md", "a.md"),
        ("..\\..\\a.md", "a.md"),
        ("C:\\x\\a.MD", "a.MD"),
        ("/abs/ü ber.pdf", "ü ber.pdf"),
        (".hidden.md", "hidden.md"),
        ("a\x00b\n.md", "ab.md"),
        ("x" * 300 + ".md", "x" * 197 + ".md"),
        ("<script>.md", "script.md"),
    ],
)
def test_names_are_made_safe(given: str, kept: str) -> None:
    assert safe_name(given, READABLE) == kept


@pytest.mark.parametrize("given", [None, "", "..", "../", "._.", "///"])
def test_names_without_letters_are_refused(given: str | None) -> None:
    with pytest.raises((InvalidInputError, HTTPException)):
        safe_name(given, READABLE)


def test_kinds_that_the_index_does_not_read_are_refused(tmp_path: Path) -> None:
    with client(make_app(make_index(tmp_path))) as http:
        for name, content in (
            ("a.exe", b"MZ"),
            ("a.md.gz", b"\x1f\x8b"),
            ("a.docx.gz", gzip.compress(b"x")),
            ("a.tar.gz", gzip.compress(b"x")),
            ("a.gz", gzip.compress(b"a\0b")),
            ("a.xz", b"no xz"),
            ("program", b"a\0b"),
            ("a.pdf", b"MZ no pdf"),
            ("a.md", b"a\0b"),
            ("a.docx", b"no archive"),
        ):
            response = http.post("/v1/documents", files={"file": (name, content)})
            assert response.status_code == 415, name
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert (
            http.post("/v1/documents", files=[("file", (f"{n}.md", b"x")) for n in range(101)]).status_code
            == 413
        )
        assert http.post("/v1/documents", data={"x": "y"}).status_code == 400
        assert len(paths(http)) == 3
        assert [p.name for p in (tmp_path / "index" / "uploads").iterdir()] == [".jobs"]


def documents(http: TestClient, end: str) -> list[dict[str, Any]]:
    return [one for one in http.get("/v1/documents").json()["data"] if one["path"].endswith(end)]


def test_a_file_goes_with_the_last_of_its_records(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    records = "".join(json.dumps({"id": f"r{n}", "text": f"Record {n} of owls."}) + "\n" for n in range(2))
    with client(make_app(index)) as http:
        assert upload(http, ("recs.jsonl", records.encode()))["n_documents"] == 2
        first, second = documents(http, "recs.jsonl")
        http.delete(f"/v1/documents/{first['id']}")
        assert (index / "uploads" / "recs.jsonl").exists()
        assert [one["uploaded"] for one in documents(http, "recs.jsonl")] == [True]
        http.delete(f"/v1/documents/{second['id']}")
        assert not (index / "uploads" / "recs.jsonl").exists()


def test_compressed_text_and_text_without_an_ending_are_read(tmp_path: Path) -> None:
    with client(make_app(make_index(tmp_path))) as http:
        job = upload(
            http,
            ("FAQ.gz", gzip.compress(b"Zebras have stripes.")),
            ("bees.md.xz", lzma.compress(b"# Bees\n\nA bee has six legs.")),
            ("README", b"Moles dig tunnels."),
        )
        assert (job["status"], job["problems"]) == ("done", [])
        for words, name in (("zebras stripes", "FAQ.gz"), ("bee legs", "bees.md.xz"), ("moles", "README")):
            (hit,) = http.post("/v1/search", json={"question": words}).json()["data"]
            assert hit["source"].endswith(name)


def test_a_file_of_the_same_name_elsewhere_is_another(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    with client(make_app(index)) as http:
        upload(http, ("cats.md", b"Cats that were sent."))
        (own,) = [one for one in documents(http, "cats.md") if not one["uploaded"]]
        assert len(documents(http, "cats.md")) == 2
        http.delete(f"/v1/documents/{own['id']}")
        assert (index / "uploads" / "cats.md").exists()
        assert [one["uploaded"] for one in documents(http, "cats.md")] == [True]


def test_an_upload_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    with client(make_app(index)) as http:
        upload(http, ("good.md", b"Old words."))
        both = [("file", ("good.md", b"New words.")), ("file", ("bad.pdf", b"MZ no pdf"))]
        assert http.post("/v1/documents", files=both).status_code == 415
        twice = [("file", ("a.md", b"One.")), ("file", ("x/a.md", b"Two."))]
        refused = http.post("/v1/documents", files=twice)
        assert (refused.status_code, "two files named 'a.md'" in refused.text) == (400, True)
        kept = {path.name for path in (index / "uploads").iterdir()}
        assert kept == {".jobs", "good.md"}
        assert (index / "uploads" / "good.md").read_bytes() == b"Old words."


@pytest.mark.slow
def test_two_uploads_of_one_name_at_once_do_not_mix(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    contents = [f"{word} ".encode() * 400_000 for word in ("owl", "fox")]  # over a megabyte: read in threads
    with live(make_app(index)) as url, ThreadPoolExecutor(2) as pool:

        def send(content: bytes) -> int:
            files = {"file": ("same.md", content)}
            return httpx.post(f"{url}/v1/documents", files=files, timeout=PATIENCE_S).status_code

        assert list(pool.map(send, contents)) == [202, 202]
        assert (index / "uploads" / "same.md").read_bytes() in contents


def test_a_full_disk_fails_one_job_and_not_those_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make_index(tmp_path)
    with client(make_app(index)) as http:
        with monkeypatch.context() as full:
            note = JobRegister.note

            def no_room(jobs: JobRegister, job: Job) -> Job:
                if job.status == "running":
                    raise OSError(28, "No space left on device")
                return note(jobs, job)

            full.setattr(JobRegister, "note", no_room)
            assert upload(http, ("a.md", b"One."))["status"] == "failed"
        assert upload(http, ("b.md", b"Two."))["status"] == "done"


def test_a_deletion_does_not_wait_long_for_a_file_that_goes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankrag.server.jobs.PATIENCE_S", 0.05)
    app = make_app(make_index(tmp_path))
    with client(app) as http, app.state.rankrag.jobs.changing:
        busy = http.delete("/v1/documents/" + http.get("/v1/documents").json()["data"][0]["id"])
        assert busy.status_code == 429
        assert int(busy.headers["retry-after"]) >= 0
        assert "taking in a file" in busy.json()["error"]["message"]


def test_closing_does_not_wait_for_a_file_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankrag.server.jobs.CLOSING_S", 0.05)
    go = threading.Event()
    monkeypatch.setattr(IndexDocuments, "add", lambda *_: go.wait(PATIENCE_S) and ())
    index = make_index(tmp_path)
    with client(make_app(index)) as http:
        name = http.post("/v1/documents", files={"file": ("a.md", b"One.")}).json()["job"]["id"]
        until(lambda: jobs_of(http).known.list()[0].status == "running")
    assert json.loads((index / "uploads" / ".jobs" / f"{name}.json").read_text())["status"] == "running"
    go.set()


@pytest.mark.slow
def test_a_list_of_jobs_counts_their_documents(tmp_path: Path) -> None:
    with client(make_app(make_index(tmp_path))) as http:
        assert len(upload(http, ("a.md", b"One."))["documents"]) == 1
        (job,) = http.get("/v1/jobs").json()["data"]
        assert (job["n_documents"], job["n_passages"], "documents" in job) == (1, 1, False)


def bomb(size: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * size)
    return packed.getvalue()


@pytest.mark.slow
def test_archives_that_would_burst_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(bomb(17_000))
    with pytest.raises(HTTPException) as refusal:
        check_content(path, path.name, 1000)
    assert refusal.value.status_code == 413
    path.write_bytes(bomb(15_000))
    check_content(path, path.name, 1000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n in range(10_001):
            archive.writestr(str(n), b"")
    path.write_bytes(packed.getvalue())
    with pytest.raises(HTTPException, match="too many files"):
        check_content(path, path.name, 1000)
    index = make_index(tmp_path / "i")
    with client(make_app(index, settings=ServerSettings(Limits(upload_bytes=100_000)))) as http:
        assert http.post("/v1/documents", files={"file": ("b.docx", bomb(2_000_000))}).status_code == 413


def test_an_index_may_be_only_read(tmp_path: Path) -> None:
    with client(make_app(make_index(tmp_path), uploads=False)) as http:
        assert http.get("/v1/info").json()["upload"] is None
        assert len(http.get("/v1/documents").json()["data"]) == 3
        assert http.post("/v1/documents", files={"file": ("a.md", b"x")}).status_code == 403
        assert http.delete("/v1/documents/x").status_code == 403
        assert http.get("/v1/jobs").json()["data"] == []


def test_the_content_of_every_kind_is_looked_at(tmp_path: Path) -> None:
    """Archives are archives, older spreadsheets their container, and wide text is text."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("content.xml", "<p/>")
    good = {
        ".xlsx": packed.getvalue(),
        ".epub": packed.getvalue(),
        ".xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
        ".txt": "Überall".encode("utf-16"),
        ".csv": b"a,b\n1,2\n",
        ".csv.gz": gzip.compress(b"a,b\n1,2\n"),
        ".xz": lzma.compress("Überall".encode()),
        "": b"text",
    }
    for suffix, content in good.items():
        path = tmp_path / f"good{suffix}"
        path.write_bytes(content)
        check_content(path, path.name, 2**20)
    for suffix, content in ((".xlsx", b"text"), (".xls", b"text"), (".txt", b"a\0b"), (".epub", b"\0")):
        path = tmp_path / f"bad{suffix}"
        path.write_bytes(content)
        with pytest.raises(HTTPException) as refused:
            check_content(path, path.name, 2**20)
        assert refused.value.status_code == 415


def test_lines_that_were_passed_over_are_told(tmp_path: Path) -> None:
    lines = b'{"_id": "1", "text": "Owls hoot."}\nno json\n{"_id": "2", "text": "Dogs bark."}\n'
    with client(make_app(make_index(tmp_path))) as http:
        job = upload(http, ("animals.jsonl", lines))
    assert job["status"] == "done"
    reasons = [problem["reason"] for problem in job["problems"]]
    assert reasons == ["passed over animals.jsonl:2: found broken JSON (Expecting value at column 1)"]
