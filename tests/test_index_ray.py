"""The Ray build against the local one, on a real cluster of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import eval_place
from cli_call import call
from letters import LetterEncoder
from mixed_corpus import assert_same, lines, write_corpus
from qdrant_small import small_qdrant
from rankrag.cli.asking import _worker
from rankrag.cli.search import _searcher
from rankrag.cli.systems import NamedSystem, assemble, for_workers
from rankrag.errors import FailureError, InvalidInputError
from rankrag.index import BuildReport, Settings, StorePlace, build, open_store
from rankrag.index.cluster import reader as ray_reader
from rankrag.index.cluster import spread
from rankrag.index.cluster.reader import scan
from rankrag.index.cluster.spread import Worker
from rankrag.index.manifest import read_manifest
from rankrag.index.reading import CollectionRecord, File, LineSpan, ReadSettings
from rankrag.index.reading.json_lines import json_lines
from rankrag.index.stores.store import StoredPassage
from rankrag.system import SystemSpec
from rankrag.types import Passage, Question
from serving import until

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'rankrag[ray]'")

# Ray Data touches options of its own that it has deprecated, and leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
INDEX = Path("idx")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Give the address of a cluster with two CPUs, of which nothing is left afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Workers find what the tests bring, too.
        places = [str(Path(__file__).parent), *filter(None, sys.path)]
        environment.setenv("PYTHONPATH", os.pathsep.join(places))
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=200 * 2**20,
            _system_config={
                "idle_worker_killing_time_threshold_ms": 600_000,  # for the next test
                "worker_register_timeout_seconds": 300,  # a busy machine takes its time to start one
                "memory_monitor_refresh_ms": 0,  # else workers are killed where others fill the memory
            },
        )
        session = Path(ray.get_runtime_context().worker.node.get_session_dir_path()).name
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()
    until(lambda: not any(session in line for line in processes()))


def processes() -> list[str]:
    return subprocess.run(["ps", "-Ao", "args"], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_reader, "PART_BYTES", 12_000)


# ── the same index ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoder", [None, LetterEncoder()])
def test_the_index_is_that_of_the_local_build(
    cluster: str, small_parts: None, encoder: LetterEncoder | None
) -> None:
    paths, settings = write_corpus(), Settings(encoder=encoder, words=40)
    calls: list[tuple[int, int, str]] = []
    local = build(paths, Path("local"), settings)
    spread_out = build(paths, INDEX, settings, lambda *call: calls.append(call), ray=cluster)
    assert spread_out == local
    # A file with a broken line or an id that comes twice is read, and tells of it.
    assert [name for name, _ in local.failed] == ["docs/empty.txt", "znone.jsonl"]
    assert {"twice.jsonl", "zbroken.jsonl"} <= {name for name, _ in local.notes}
    assert local.n_passages > 1500
    assert_same(Path("local"), INDEX)
    assert [done == total for done, total, unit in calls if unit == "bytes"][-1]

    Path("docs/007.txt").write_text("A lion instead.")
    Path("big.jsonl").write_text(lines(0, 50))
    Path("docs/deep/head.md").unlink()
    settings = Settings(encoder=encoder, words=40, prune=True)
    changed = build(paths, INDEX, settings, ray=cluster)
    assert (changed.replaced, changed.removed) == (("big.jsonl", "docs/007.txt"), ("docs/deep/head.md",))
    assert build(paths, Path("local"), settings) == changed
    assert_same(Path("local"), INDEX)
    assert [hit.passage.id for hit in open_store(INDEX).search_words("lion", 5)] == ["docs/007.txt#1"]


# ── workers and drivers that die ─────────────────────────────────────────────────────────────────────


class DyingEncoder(LetterEncoder):
    """Ends its process once, in the middle of the corpus; a file tells that it has."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self.marker = marker

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        if any("record 301 " in passage.text for passage in passages):
            end_once(self.marker)
        return super().encode_passages(passages)


def end_once(marker: Path) -> None:
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os._exit(1)


def test_an_encoder_that_dies_loses_nothing(cluster: str, small_parts: None, folder: Path) -> None:
    paths = write_corpus()
    build(paths, INDEX, Settings(encoder=DyingEncoder(folder / "died")), ray=cluster)
    assert Path("died").exists()
    build(paths, Path("local"), Settings(encoder=LetterEncoder()))
    assert_same(Path("local"), INDEX)


def numbers(marker: Path, first: int) -> Iterator[int]:
    for n in range(first, first + 10):
        if n == 25:
            end_once(marker)
        yield n


def test_a_task_that_dies_in_the_middle_is_done_again_and_nothing_comes_twice(
    cluster: str, folder: Path
) -> None:
    found = spread.in_tasks(range(0, 50, 10), partial(numbers, folder / "died"))
    assert list(found) == list(range(50))
    assert Path("died").exists()


CHILD = textwrap.dedent(
    """
    import os, signal, sys, warnings
    from pathlib import Path
    from letters import LetterEncoder
    from rankrag.index import Settings, build
    module = sys.modules["rankrag.index.commits"]
    module.BATCH_FROM_WORKERS = 50
    from rankrag.index.cluster import reader as ray_reader
    ray_reader.PART_BYTES = 12_000
    left = int(sys.argv[2])
    def progress(done, total, unit):
        global left
        left -= unit == "bytes"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    build(sys.argv[3:], Path("idx"), Settings(encoder=LetterEncoder()), progress, ray=sys.argv[1])
    """
)


def test_a_killed_driver_goes_on_where_it_was(cluster: str, small_parts: None) -> None:
    Path("big.jsonl").write_text(lines(0, 600))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, cluster, "4", "big.jsonl"],
        check=False,
        capture_output=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    begun = open_store(INDEX).last_record("big.jsonl")
    assert 0 < begun < 600
    calls: list[tuple[int, int, str]] = []
    encoder = Settings(encoder=LetterEncoder())
    report = build(["big.jsonl"], INDEX, encoder, lambda *call: calls.append(call), ray=cluster)
    assert (report.added, report.failed) == (("big.jsonl",), ())
    build(["big.jsonl"], Path("local"), encoder)
    assert_same(Path("local"), INDEX)


# ── searches ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_that_of_the_local_search(cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("big.jsonl").write_text(lines(0, 400))
    build(["big.jsonl"], INDEX)
    Path("questions.txt").write_text("\n".join(f"record {n} word" for n in range(0, 400, 5)) + "\n")
    command = ["search", "--index", "idx", "--questions", "questions.txt", "-k", "7", "--where", "kind=1"]
    call(capsys, *command, "--run", "local.run")
    call(capsys, *command, "--run", "spread.run", "--ray", cluster)
    assert Path("spread.run").read_bytes() == Path("local.run").read_bytes()
    assert len(Path("spread.run").read_text().splitlines()) == 80 * 7


def test_a_worker_with_another_index_is_refused() -> None:
    Path("big.jsonl").write_text(lines(0, 20))
    build(["big.jsonl"], INDEX)
    manifest = read_manifest(INDEX)
    search = _searcher(INDEX.absolute(), manifest, "bm25", 3, None)
    assert len(search([Question("1", "record 3")])[0]) == 3
    Path("big.jsonl").write_text(lines(0, 21))
    build(["big.jsonl"], INDEX)
    with pytest.raises(InvalidInputError, match=r"wanted that of .* \(20\): put the same index on every"):
        _searcher(INDEX.absolute(), manifest, "bm25", 3, None)


# ── another store ────────────────────────────────────────────────────────────────────────────────────


def test_passages_on_a_server_are_the_same(cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("big.jsonl").write_text(lines(0, 60))
    Path("questions.txt").write_text("\n".join(f"record {n} word" for n in range(0, 60, 5)) + "\n")
    with small_qdrant() as server:
        for name, address in (("local", None), ("idx", cluster)):
            place = StorePlace("qdrant", server.url, name)
            encoder = LetterEncoder()
            build(["big.jsonl"], Path(name), Settings(encoder=encoder, words=40, store=place), ray=address)
        rows = {name: content_on_server(Path(name)) for name in ("local", "idx")}
        assert len(rows["idx"]) > 60
        assert rows["idx"] == rows["local"]
        command = ["search", "--index", "idx", "--retriever", "bm25", "--questions", "questions.txt"]
        call(capsys, *command, "--run", "local.run")
        call(capsys, *command, "--run", "spread.run", "--ray", cluster)
    assert Path("spread.run").read_bytes() == Path("local.run").read_bytes()
    assert len(Path("spread.run").read_text().splitlines()) == 12 * 10


def content_on_server(index: Path) -> dict[str, tuple[StoredPassage, list[float]]]:
    found: dict[str, tuple[StoredPassage, list[float]]] = {}
    for rows, vectors in open_store(index).batches():
        assert vectors is not None
        for row, vector in zip(rows, vectors.round(6).tolist(), strict=True):
            found[row.passage.id] = (row, vector)
    return found


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────


def answers(folder: Path) -> list[dict[str, object]]:
    """Return the answers of a system without their times."""
    found = map(json.loads, (folder / "capitals" / "answers.jsonl").read_text().splitlines())
    return [{name: value for name, value in one.items() if name != "timings_s"} for one in found]


class DyingWorker:
    """Asks a system; ends its process once, at the fourth question."""

    def __init__(self, make: Callable[[], Worker[Question, object]], marker: Path) -> None:
        self.worker, self.marker = make(), marker

    def __call__(self, questions: list[Question]) -> list[object]:
        if any(question.id == "q3" for question in questions):
            end_once(self.marker)
        return self.worker(questions)


def test_answers_are_those_of_the_local_system_after_a_stop_and_a_death(
    cluster: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, out = eval_place.make(Path()), Path("out")
    call(capsys, *eval_place.predict(place, out, "local"))
    command = eval_place.predict(place, out, "spread", "--ray", cluster)
    call(capsys, *command, "-n", "2")
    assert len(answers(out / "spread")) == 2
    with (out / "spread" / "capitals" / "answers.jsonl").open("a") as stream:
        stream.write('{"id": "q')  # as a kill leaves it
    real = spread.in_actors

    def dying(
        items: Sequence[Question], make: Callable[[], Worker[Question, object]], **how: object
    ) -> Iterator[object]:
        return real(items, partial(DyingWorker, make, folder / "died"), **how)  # type: ignore[arg-type]

    monkeypatch.setattr(spread, "in_actors", dying)
    call(capsys, *command)
    assert Path("died").exists()
    assert answers(out / "spread") == answers(out / "local")


def test_a_worker_with_another_system_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    place, questions = eval_place.make(Path()), [Question("q0", "What is the capital of France?")]
    spec = SystemSpec(place / "index", model="fake", retrieve_k=5, read_k=1)
    named = for_workers(NamedSystem("x", spec, (str(place / "x.run"),)))
    facts = assemble(named).made_of("capitals")
    assert len(_worker(named, facts, "capitals", questions, 16)(questions)) == 1
    with (place / "x.run").open("a") as stream:
        stream.write("\nq9 Q0 p1 1 1 x")
    with pytest.raises(InvalidInputError, match="found another run 1 on a worker"):
        _worker(named, facts, "capitals", questions, 16)


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────


class OtherWeights(LetterEncoder):
    """Another encoder on every process but the one that made it."""

    def __reduce__(self) -> tuple[type[LetterEncoder], tuple[str]]:
        return LetterEncoder, ("other",)


def test_other_weights_on_a_worker_are_refused(cluster: str) -> None:
    Path("a.txt").write_text("some text")
    with pytest.raises(FailureError, match="found other weights of other on a worker"):
        build(["a.txt"], INDEX, Settings(encoder=OtherWeights()), ray=cluster)


class Echo:
    def __call__(self, found: list[int]) -> list[int]:
        return found


def test_a_cluster_of_one_cpu_has_none_left_to_read_for_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "_resource", lambda name: int(name == "CPU"))
    with pytest.raises(InvalidInputError, match="found one CPU in the Ray cluster"):
        list(spread.in_tasks_then_actors([1], partial(numbers, Path("died")), Echo))


def test_a_file_that_changes_after_its_digest_is_refused() -> None:
    Path("a.jsonl").write_text(lines(0, 3))
    file = File(Path("a.jsonl").absolute(), "a.jsonl", ".jsonl")
    wanted = ray_reader._wanted(0, file, 0, scan(file))
    Path("a.jsonl").write_text(lines(0, 4))
    sent = list(ray_reader._read(ReadSettings(100), wanted))
    assert [one.problem for one in sent] == ["it changed while it was being read: run the same command again"]


def read(file: File, after: int = 0, part: LineSpan | None = None) -> list[CollectionRecord]:
    return [
        item for item in json_lines(file.path, file.name, after, part) if isinstance(item, CollectionRecord)
    ]


def test_parts_hold_the_records_of_the_whole(small_parts: None) -> None:
    Path("a.jsonl").write_text("\n\n" + lines(0, 200) + "\n" + lines(300, 5).rstrip("\n"))
    file = File(Path("a.jsonl"), "a.jsonl", ".jsonl")
    whole = read(file)
    parts = scan(file).parts
    assert len(parts) > 5
    found = [record for part in parts for record in read(file, 0, part)]
    assert [(r.number, r.passage) for r in found] == [(r.number, r.passage) for r in whole]
    assert found[-1].read == file.size
    for after in (1, 2, 77, 202, 208):
        left = ray_reader._wanted(0, file, after, scan(file))
        found = [r for one in left for r in read(file, after, one.part)]
        assert [r.number for r in found] == [r.number for r in whole if r.number > after]


def test_addresses_that_cannot_be_joined() -> None:
    Path("a.txt").write_text("some text")
    with pytest.raises(InvalidInputError, match="wanted local, auto or HOST:PORT"):
        build(["a.txt"], INDEX, ray="ray://somewhere:10001")
    assert not INDEX.exists()
    assert isinstance(build(["a.txt"], INDEX), BuildReport)
