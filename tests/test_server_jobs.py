"""What was accepted is indexed in the end or its fault is told: through crashes, locks, and other servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from rankrag.errors import FailureError, InUseError
from rankrag.index import IndexDocuments
from rankrag.index.manifest import building
from rankrag.server import job_files, job_register, jobs, owners
from rankrag.server.job_files import Job, read_job, write_job
from rankrag.server.jobs import Jobs
from rankrag.server.upload_folder import Uploads
from serving import PATIENCE_S, client, jobs_of, live, make_app, make_index, until


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path)


@pytest.fixture
def folder(index: Path) -> Path:
    """The folder of uploads, as a process left it."""
    (index / "uploads" / ".jobs").mkdir(parents=True)
    return index / "uploads"


def job_of(http: TestClient, name: str) -> dict[str, Any]:
    return dict(http.get(f"/v1/jobs/{name}").json()["job"])


def over(http: TestClient, name: str) -> dict[str, Any]:
    until(lambda: (job := jobs_of(http).known.get(name)) is not None and job.is_over)
    return job_of(http, name)


def send(http: TestClient, name: str, text: str) -> str:
    response = http.post("/v1/documents", files={"file": (name, text.encode())})
    assert response.status_code == 202, response.text
    return str(response.json()["job"]["id"])


def found(http: TestClient, words: str) -> list[str]:
    hits = http.post("/v1/search", json={"question": words}).json()["data"]
    return [Path(hit["source"]).name for hit in hits]


# ── processes that end ───────────────────────────────────────────────────────────────────────────────


def left(folder: Path, ended: int, at: tuple[str, ...] = ("bad.md",), **more: Any) -> Job:
    """Write the job of a process that was killed while `at` went in, as often before as `ended` says."""
    for name in ("bad.md", "good.md"):
        (folder / name).write_text(f"A {name.removesuffix('.md')} owl flies.")
    job = Job(
        "a1", ("bad.md", "good.md"), 1.0, "running", at=at, ended={"bad.md": ended}, owner="gone", **more
    )
    write_job(folder / ".jobs", job)
    return job


def test_what_was_going_in_once_when_the_process_ended_is_tried_again(index: Path, folder: Path) -> None:
    left(folder, ended=0)
    with client(make_app(index)) as http:
        assert over(http, "a1")["problems"] == []
        assert set(found(http, "owl")) == {"bad.md", "good.md"}


def test_what_was_going_in_twice_is_left_out_and_the_others_go_in(index: Path, folder: Path) -> None:
    left(folder, ended=1)
    with client(make_app(index)) as http:
        job = over(http, "a1")
        (problem,) = job["problems"]
        assert problem["path"] == "bad.md"
        assert "the server ended 2 times while this file went in" in problem["reason"]
        assert job["status"] == "done"
        assert found(http, "owl") == ["good.md"]
        assert not {"at", "together", "owner", "ended"} & job.keys()  # nobody's business
    with client(make_app(index)) as http:
        assert job_of(http, "a1")["status"] == "done"  # and it is not tried again
        assert found(http, "owl") == ["good.md"]


def test_a_job_of_one_file_that_ended_its_process_twice_has_failed(index: Path, folder: Path) -> None:
    (folder / "bad.md").write_text("An owl flies.")
    write_job(folder / ".jobs", Job("b2", ("bad.md",), 1.0, "running", at=("bad.md",), ended={"bad.md": 1}))
    for _ in range(2):
        with client(make_app(index)) as http:
            assert over(http, "b2")["status"] == "failed"
            assert found(http, "owl") == []


def test_a_file_that_waits_is_not_at_fault(index: Path, folder: Path) -> None:
    left(folder, ended=1, at=())  # the process ended while nothing of it went in
    with client(make_app(index)) as http:
        assert over(http, "a1")["problems"] == []


# ── files of jobs ────────────────────────────────────────────────────────────────────────────────────


def test_broken_job_files_are_kept_and_named_and_their_upload_goes_in(index: Path, folder: Path) -> None:
    (folder / "late.md").write_text("Owls fly at night.")
    broken = {
        f"c{n}.json": text for n, text in enumerate(("", '{"id": "x', "[]", "{}", '{"format": "x"}', '"x"'))
    }
    for name, text in broken.items():
        (folder / ".jobs" / name).write_text(text)
    with client(make_app(index)) as http:
        unread = {problem["path"] for problem in http.get("/v1/jobs").json()["unread"]}
        assert unread == {f"{name}.broken" for name in broken}
        (job,) = jobs_of(http).known.list()
        assert over(http, job.id)["status"] == "done"
        assert found(http, "owls") == ["late.md"]
    for name, text in broken.items():
        assert (folder / ".jobs" / f"{name}.broken").read_text() == text


def test_a_job_of_a_newer_version_is_left_alone_and_named(index: Path, folder: Path) -> None:
    (folder / "late.md").write_text("Owls fly at night.")
    content = json.dumps({"format": job_files.FORMAT + 1, "something": "else"})
    (folder / ".jobs" / "d4.json").write_text(content)
    with client(make_app(index)) as http:
        (unread,) = http.get("/v1/jobs").json()["unread"]
        assert unread["path"] == "d4.json"
        assert "update rankrag" in unread["reason"]
        assert http.get("/v1/jobs/d4").status_code == 404
    assert (folder / ".jobs" / "d4.json").read_text() == content
    assert (folder / "late.md").exists()


def test_a_job_file_of_the_first_version_is_read(index: Path, folder: Path) -> None:
    (folder / "old.md").write_text("Owls fly at night.")
    old = {"id": "e5", "files": ["old.md"], "created": 1.0, "status": "queued", "done": 0, "total": 0}
    old |= {"unit": "bytes", "problems": [], "documents": []}
    (folder / ".jobs" / "e5.json").write_text(json.dumps(old))
    with client(make_app(index)) as http:
        assert over(http, "e5")["status"] == "done"


def test_a_job_file_of_the_second_version_names_what_was_going_in(index: Path, folder: Path) -> None:
    (folder / "old.md").write_text("Owls fly at night.")
    old = {"format": 2, "id": "e6", "files": ["old.md"], "created": 1.0, "status": "running", "done": 0}
    old |= {"total": 0, "unit": "bytes", "problems": [], "documents": [], "at": "old.md"}
    (folder / ".jobs" / "e6.json").write_text(json.dumps(old | {"ended": {"old.md": 1}}))
    (folder / ".jobs" / "e7.json").write_text(
        json.dumps(old | {"id": "e7", "at": "", "ended": {"old.md": 1}})
    )
    with client(make_app(index)) as http:
        assert over(http, "e6")["status"] == "failed"  # the process ended at it a second time
        assert over(http, "e7")["status"] == "done"


def test_a_job_file_is_old_or_new_at_any_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = folder / ".jobs"
    write_job(states, Job("f6", ("a.md",), 1.0))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("RANKRAG_SYNC", "on")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_job(states, Job("f6", ("a.md",), 1.0, "done"))
    assert read_job(states / "f6.json").status == "queued"
    assert [path.name for path in states.iterdir()] == ["f6.json"]


# ── an index that another process changes ────────────────────────────────────────────────────────────


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PAUSE_S", 0.02)
    monkeypatch.setattr(jobs, "PATIENCE_S", 0.1)
    monkeypatch.setattr(jobs, "LOOK_S", 0.1)


@pytest.fixture
def held(index: Path) -> Iterator[threading.Event]:
    """The index in the hands of another builder, until the event is set."""
    go, there = threading.Event(), threading.Event()

    def build() -> None:
        with building(index):
            there.set()
            go.wait(PATIENCE_S)

    thread = threading.Thread(target=build)
    thread.start()
    assert there.wait(PATIENCE_S)
    yield go
    go.set()
    thread.join()


def test_an_upload_waits_for_another_build(index: Path, held: threading.Event, quick: None) -> None:
    with client(make_app(index)) as http:
        name = send(http, "late.md", "Owls fly at night.")
        until(lambda: job_of(http, name)["waits_for"] == "another process is changing the index")
        file, at_rest = index / "uploads" / ".jobs" / f"{name}.json", ("running", (), ())
        # Nothing of it is going in, so nothing is at fault should the process end here.
        until(lambda: (job := read_job(file)).waits_for and (job.status, job.problems, job.at) == at_rest)
        held.set()
        assert over(http, name)["status"] == "done"
        assert job_of(http, name)["waits_for"] == ""
        assert found(http, "owls") == ["late.md"]


def test_a_deletion_is_told_to_come_back(index: Path, held: threading.Event, quick: None) -> None:
    with client(make_app(index)) as http:
        document = http.get("/v1/documents").json()["data"][0]["id"]
        busy = http.delete(f"/v1/documents/{document}")
        assert busy.status_code == 429
        assert "another process is changing the index" in busy.json()["error"]["message"]
        held.set()
        until(lambda: http.delete(f"/v1/documents/{document}").status_code == 200)


def test_closing_does_not_wait_for_another_build(index: Path, held: threading.Event, quick: None) -> None:
    with client(make_app(index)) as http:
        name = send(http, "late.md", "Owls fly at night.")
        until(lambda: jobs_of(http).known.list()[0].waits_for)
    assert not held.is_set()
    held.set()
    with client(make_app(index)) as http:
        assert over(http, name)["status"] == "done"


@pytest.mark.slow
def test_two_servers_on_one_index_lose_nothing(index: Path, quick: None) -> None:
    with client(make_app(index)) as one, client(make_app(index)) as two:
        for http in (
            one,
            two,
        ):  # their routes, which they share in this process, are made one after the other
            send(http, "both.md", "An owl that both have.")

        def send_all(http: TestClient, who: str) -> list[str]:
            return [send(http, f"{who}{n}.md", f"Owl {who}{n} flies.") for n in range(4)]

        with ThreadPoolExecutor(2) as pool:
            names = [pool.submit(send_all, http, who) for http, who in ((one, "one"), (two, "two"))]
            for name in (name for sent in names for name in sent.result()):
                assert over(one, name)["status"] == "done"  # either knows the jobs of both
                assert over(two, name)["problems"] == []
        documents = {Path(one["path"]).name for one in one.get("/v1/documents").json()["data"]}
        assert {f"{who}{n}.md" for who in ("one", "two") for n in range(4)} <= documents


@pytest.mark.slow
def test_a_server_takes_over_what_another_left(index: Path, folder: Path, quick: None) -> None:
    with client(make_app(index)) as http:
        owner = owners.enter(folder / ".jobs")  # another server, that still lives
        (folder / "late.md").write_text("Owls fly at night.")
        part = folder / f".{owner.name}-x.part"
        part.touch()
        write_job(folder / ".jobs", Job("a1", ("late.md",), 1.0, owner=owner.name))
        with client(make_app(index)) as second:
            assert job_of(second, "a1")["status"] == "queued"
            assert part.exists()  # its upload is coming in
            assert second.post("/v1/jobs/a1/cancel").status_code == 429
        owner.stream.close()  # killed
        assert over(http, "a1")["status"] == "done"
        assert not owners.is_alive(folder / ".jobs", owner.name)


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have files go in only once the event is set, telling all the time how far they are."""
    go = threading.Event()
    add = IndexDocuments.add

    def wait(self: IndexDocuments, paths: Any, progress: Any = None, more: bool = False) -> Any:
        while not go.wait(0.01):
            progress(1, 10, "bytes")
        return add(self, paths, progress, more)

    monkeypatch.setattr(IndexDocuments, "add", wait)
    return go


def test_a_job_can_be_cancelled(index: Path, slow: threading.Event) -> None:
    with client(make_app(index)) as http:
        first, second = send(http, "a.md", "An owl flies."), send(http, "b.md", "An owl sleeps.")
        until(lambda: jobs_of(http).known.list()[-1].status == "running")
        assert http.post(f"/v1/jobs/{second}/cancel").json()["job"]["status"] == "cancelled"
        http.post(f"/v1/jobs/{first}/cancel")
        assert over(http, first)["status"] == "cancelled"
        slow.set()
        third = send(http, "c.md", "An owl eats.")
        assert over(http, third)["status"] == "done"
        assert found(http, "owl") == ["c.md"]
        assert http.post(f"/v1/jobs/{third}/cancel").json()["job"]["status"] == "done"  # too late
        assert http.post("/v1/jobs/none/cancel").status_code == 404
    left_over = {path.name for path in (index / "uploads").iterdir()}
    assert left_over == {".jobs", "c.md"}  # what was cancelled leaves no file
    with client(make_app(index)) as http:
        assert job_of(http, first)["status"] == "cancelled"
        assert found(http, "owl") == ["c.md"]


def test_a_cancelled_replacement_keeps_the_file_of_what_is_in_the_index(
    index: Path, slow: threading.Event
) -> None:
    slow.set()
    with client(make_app(index)) as http:
        over(http, send(http, "a.md", "An owl flies."))
        slow.clear()
        name = send(http, "a.md", "An owl sleeps.")
        http.post(f"/v1/jobs/{name}/cancel")
        assert over(http, name)["status"] == "cancelled"
        assert (index / "uploads" / "a.md").exists()


# ── files that go in together ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the files that go in, for each change of the index."""
    names: list[list[str]] = []
    add = IndexDocuments.add

    def noted(self: IndexDocuments, paths: Any, progress: Any = None, more: bool = False) -> Any:
        names.append([Path(path).name for path in paths] + ["..."] * more)
        if "crash.md" in names[-1]:
            raise ZeroDivisionError
        return add(self, paths, progress, more)

    monkeypatch.setattr(IndexDocuments, "add", noted)
    return names


def wait_in_line(folder: Path, texts: dict[str, str], **more: Any) -> None:
    """Let a job for each text wait for the next server."""
    for n, (name, text) in enumerate(texts.items()):
        (folder / name).write_text(text)
        write_job(folder / ".jobs", Job(f"w{n}", (name,), float(n), owner="gone", **more))


def owls(count: int) -> dict[str, str]:
    return {f"{n:03}.md": f"Owl number {n} flies." for n in range(count)}


def test_small_files_that_wait_go_in_together(index: Path, folder: Path, added: list[list[str]]) -> None:
    wait_in_line(folder, owls(70))
    with client(make_app(index)) as http:
        assert over(http, "w69")["status"] == "done"
        assert over(http, "w0") | {"created": 0} == job_of(http, "w0") | {"created": 0}
        for n in range(70):
            job = job_of(http, f"w{n}")
            assert (job["status"], job["done"], job["problems"]) == ("done", job["total"], [])
            assert [Path(one["path"]).name for one in job["documents"]] == [f"{n:03}.md"]
        assert found(http, "69") == ["069.md"]
    names = list(owls(70))
    assert added == [[*names[:64], "..."], names[64:]]


def test_the_oldest_of_many_finished_jobs_are_forgotten(
    index: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_in_line(folder, owls(3))
    monkeypatch.setattr(job_register, "KEPT", 2)
    with client(make_app(index)) as http:
        over(http, "w2")
        until(lambda: http.get("/v1/jobs/w0").status_code == 404)
        assert [job["id"] for job in http.get("/v1/jobs").json()["data"]] == ["w2", "w1"]
        assert len(found(http, "owl")) == 3


def test_large_files_go_in_by_themselves(
    index: Path, folder: Path, added: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "TOGETHER_BYTES", 200)
    wait_in_line(
        folder, {"a.md": "An owl. " * 10, "b.md": "An owl. " * 10, "c.md": "An owl. " * 20, "d.md": "Owl."}
    )
    with client(make_app(index)) as http:
        assert over(http, "w3")["status"] == "done"
    assert added == [["a.md", "b.md", "..."], ["c.md", "d.md"]]


def test_a_fault_among_many_is_told_to_its_own_job(index: Path, folder: Path, added: list[list[str]]) -> None:
    wait_in_line(
        folder, {"a.md": "An owl flies.", "empty.md": "", "crash.md": "Owl.", "gone.md": "", "b.md": "Owls."}
    )
    (folder / "gone.md").unlink()
    with client(make_app(index)) as http:
        jobs = [over(http, f"w{n}") for n in range(5)]
        assert set(found(http, "owl")) == {"a.md", "b.md"}
    assert [job["status"] for job in jobs] == ["done", "failed", "failed", "failed", "done"]
    reasons = [job["problems"][0]["reason"] if job["problems"] else "" for job in jobs]
    assert reasons[1:3] == ["it holds no text", "the server failed on this file; its log says why"]
    assert reasons[3].startswith("found nothing at gone.md")
    assert added[1:] == [
        ["a.md", "..."],
        ["empty.md", "..."],
        ["crash.md", "..."],
        ["gone.md", "..."],
        ["b.md"],
    ]


def test_one_of_many_can_be_cancelled(index: Path, folder: Path, slow: threading.Event) -> None:
    wait_in_line(folder, owls(3))
    with client(make_app(index)) as http:
        until(lambda: read_job(folder / ".jobs" / "w2.json").at == ("002.md",))
        http.post("/v1/jobs/w1/cancel")
        assert over(http, "w1")["status"] == "cancelled"
        slow.set()
        assert [over(http, name)["status"] for name in ("w0", "w2")] == ["done", "done"]
        assert set(found(http, "owl")) == {"000.md", "002.md"}
    assert not (folder / "001.md").exists()


def test_a_file_of_two_jobs_goes_in_once(index: Path, folder: Path, added: list[list[str]]) -> None:
    wait_in_line(folder, {"a.md": "An owl flies."})
    write_job(folder / ".jobs", Job("x", ("a.md",), 9.0, owner="gone"))
    with client(make_app(index)) as http:
        first, second = over(http, "w0"), over(http, "x")
        assert first["documents"] == second["documents"] != []
    assert added == [["a.md"]]


def test_after_a_kill_each_of_many_goes_in_alone_and_who_ends_it_again_is_left_out(
    index: Path, folder: Path, added: list[list[str]]
) -> None:
    texts = owls(3)
    wait_in_line(folder, texts)
    for n, name in enumerate(
        texts
    ):  # a process ended while the three went in together, another at the second
        job = Job(f"w{n}", (name,), float(n), "running", at=(name,) if n != 2 else (), owner="gone")
        job = replace(job, together=n == 0)
        write_job(folder / ".jobs", replace(job, ended={name: 1} if n == 1 else {}))
    write_job(folder / ".jobs", Job("later", ("003.md",), 9.0, owner="gone"))
    (folder / "003.md").write_text("Owl number 3 flies.")
    with client(make_app(index)) as http:
        assert over(http, "later")["status"] == "done"
        assert [job_of(http, f"w{n}")["status"] for n in range(3)] == ["done", "failed", "done"]
    assert added == [["000.md", "..."], ["002.md", "003.md"]]


@pytest.mark.slow
def test_kills_while_many_go_in_are_counted_against_none_of_them(index: Path, folder: Path) -> None:
    going = Job("k1", ("000.md",), 1.0, "running", at=("000.md",), together=True, owner="gone")
    for ended in range(3):
        (folder / "000.md").write_text(f"Owl number {ended} flies.")
        write_job(folder / ".jobs", replace(going, ended={"000.md": 0} if ended else {}))
        with client(make_app(index)) as http:
            assert over(http, "k1")["problems"] == []
            assert found(http, f"number {ended}") == ["000.md"]


def test_many_that_a_closing_server_left_go_in_alone(
    index: Path, folder: Path, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "CLOSING_S", 0.05)
    wait_in_line(folder, owls(2))
    with client(make_app(index)):
        until(lambda: read_job(folder / ".jobs" / "w1.json").at == ("001.md",))
    slow.set()
    with client(make_app(index)) as http:
        assert [over(http, name)["problems"] for name in ("w0", "w1")] == [[], []]
        assert read_job(folder / ".jobs" / "w1.json").ended == {"001.md": 0}


# ── what a client is told ────────────────────────────────────────────────────────────────────────────


def test_a_failure_says_nothing_of_the_machine(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: IndexDocuments, paths: Any, progress: Any = None, more: bool = False) -> Any:
        (path,) = paths
        raise FailureError(f"found {path} in {index} locked (process 4711), wanted it free")

    monkeypatch.setattr(IndexDocuments, "add", fail)
    with client(make_app(index)) as http:
        (problem,) = over(http, send(http, "a.md", "An owl flies."))["problems"]
    assert problem["reason"] == "found a.md in the index locked, wanted it free"


def test_the_lock_of_the_index_is_an_error_of_its_own(index: Path, held: threading.Event) -> None:
    with pytest.raises(InUseError), building(index):
        pass


@pytest.mark.slow
def test_forty_uploads_to_two_servers_behind_ports(index: Path) -> None:
    with live(make_app(index)) as one, live(make_app(index)) as two, ThreadPoolExecutor(8) as pool:

        def upload(n: int) -> str:
            files = {"file": (f"{n}.md", f"Owl number {n} flies.".encode())}
            sent = httpx.post(f"{(one, two)[n % 2]}/v1/documents", files=files, timeout=PATIENCE_S)
            assert sent.status_code == 202
            return str(sent.json()["job"]["id"])

        def get(path: str) -> Any:
            return httpx.get(path, timeout=PATIENCE_S).json()

        for name in pool.map(upload, range(40)):
            until(lambda name=name: get(f"{one}/v1/jobs/{name}")["job"]["status"] == "done")
        listed = get(f"{two}/v1/documents")["data"]
        assert {f"{n}.md" for n in range(40)} <= {Path(document["path"]).name for document in listed}


def test_the_state_of_a_killed_job_is_on_disk_before_its_file_goes_in(
    index: Path, slow: threading.Event
) -> None:
    with client(make_app(index)) as http:
        name = send(http, "a.md", "An owl flies.")
        state = index / "uploads" / ".jobs" / f"{name}.json"
        until(lambda: read_job(state).at == ("a.md",))
        assert read_job(state).status == "running"
        slow.set()
        over(http, name)
        assert read_job(state).at == ()


def test_a_file_that_says_nothing_until_the_server_ended_is_counted(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that never comes back must not hold up the queue after every start."""
    monkeypatch.setattr(jobs, "CLOSING_S", 0.05)
    go = threading.Event()
    add = IndexDocuments.add
    monkeypatch.setattr(IndexDocuments, "add", lambda *_: go.wait(PATIENCE_S) and ())
    with client(make_app(index)) as http:
        name = send(http, "a.md", "An owl flies.")
        until(lambda: jobs_of(http).known.list()[0].status == "running")
    with client(make_app(index)) as http:
        until(lambda: jobs_of(http).known.list()[0].status == "running")
    monkeypatch.setattr(IndexDocuments, "add", add)
    with client(make_app(index)) as http:
        assert over(http, name)["status"] == "failed"
    go.set()


def test_jobs_without_a_start_have_no_owner(folder: Path, index: Path) -> None:
    (folder / "late.md").write_text("Owls fly at night.")
    job = Jobs(Uploads(folder, IndexDocuments(index))).submit(
        ["late.md"]
    )  # nobody works: the process ended here
    with client(make_app(index)) as http:
        assert over(http, job.id)["status"] == "done"
