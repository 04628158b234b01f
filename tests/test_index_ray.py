"""The Ray build against the local one, on a real cluster of this machine."""

from __future__ import annotations

import gzip
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
from rankrag.errors import FailureError, InvalidInputError
from rankrag.index import Report, Settings, build, open_store, ray_reader, spread
from rankrag.index.manifest import read_manifest
from rankrag.index.ray_reader import scan
from rankrag.index.records import records
from rankrag.index.spread import Worker
from rankrag.index.stores import make_store
from rankrag.index.walk import File
from rankrag.types import Passage, Question

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
    """Give the address of a cluster with two CPUs."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    # Workers find what the tests bring, too.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 2**20,
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_reader, "PART_BYTES", 4000)


def lines(first: int, count: int) -> str:
    texts = {n: f"record {n} " + "word " * (n % 150) for n in range(first, first + count)}
    rows = ({"_id": f"r{n}", "title": f"T{n}", "text": text, "kind": n % 2} for n, text in texts.items())
    return "\n".join(map(json.dumps, rows)) + "\n"


def write_corpus() -> list[str]:
    Path("docs/deep").mkdir(parents=True)
    for n in range(90):
        Path(f"docs/{n:03}.txt").write_text(f"Document {n}.\n\n" + f"It says zebra {n}. " * (n * 3 + 1))
    Path("docs/deep/head.md").write_text("# Head\n\nText under it.")
    Path("docs/long.txt").write_text("A sentence of five words. " * 2500)
    Path("docs/empty.txt").write_text("")
    Path("big.jsonl").write_text(lines(0, 600))
    Path("last.jsonl").write_text(lines(1000, 30).rstrip("\n"))
    with gzip.open("packed.jsonl.gz", "wt") as stream:
        stream.write(lines(2000, 300))
    Path("rows.csv").write_text('id,text,lang\nc1,"two\nlines",en\nc2,more,de\n')
    Path("twice.jsonl").write_text(lines(3000, 200) + lines(5, 1) + lines(4000, 300))
    Path("zbroken.jsonl").write_text(lines(5000, 100) + "{no json\n" + lines(6000, 100))
    Path("znone.jsonl").write_text("")
    return ["docs", *sorted(path.name for path in Path().glob("*.*"))]


def content(index: Path) -> tuple[list[dict[str, object]], np.ndarray | None, dict[str, tuple[str, bool]]]:
    """Return all rows in the order of the table, the vectors, and the files."""
    store = make_store(index, read_manifest(index))
    table = store._passages.search().to_arrow() if hasattr(store, "_passages") else None
    assert table is not None
    files = {name: (row.sha256, row.complete) for name, row in store.files().items()}
    if "vector" not in table.column_names:
        return table.to_pylist(), None, files
    vectors = np.asarray(table["vector"].to_pylist())
    return table.drop_columns(["vector"]).to_pylist(), vectors, files


def assert_same(one: Path, other: Path) -> None:
    (rows, vectors, files), (other_rows, other_vectors, other_files) = content(one), content(other)
    assert rows == other_rows
    assert files == other_files
    assert (vectors is None) == (other_vectors is None)
    if vectors is not None and other_vectors is not None:
        np.testing.assert_allclose(vectors, other_vectors, atol=1e-6)


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
    assert [name for name, _ in local.failed] == [
        "docs/empty.txt", "twice.jsonl", "zbroken.jsonl", "znone.jsonl"
    ]  # fmt: skip
    assert local.n_passages > 1500
    assert_same(Path("local"), INDEX)
    assert [done == total for done, total, unit in calls if unit == "bytes"][-1]

    again = build(paths, INDEX, settings, ray=cluster)
    assert (again.added, again.replaced) == ((), ())
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
    module = sys.modules["rankrag.index.build"]
    module.BATCH_FROM_WORKERS = 50
    from rankrag.index import ray_reader
    ray_reader.PART_BYTES = 4000
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


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────


def answers(folder: Path) -> list[dict[str, object]]:
    """Return the answers of a system without their times."""
    found = map(json.loads, (folder / "capitals" / "answers.jsonl").read_text().splitlines())
    return [{name: value for name, value in one.items() if name != "timings_s"} for one in found]


def test_answers_are_those_of_the_local_system_and_go_on_after_a_stop(
    cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place, out = eval_place.make(Path()), Path("out")
    call(capsys, *eval_place.predict(place, out, "local"))
    call(capsys, *eval_place.predict(place, out, "spread", "-n", "2", "--ray", cluster))
    assert len(answers(out / "spread")) == 2
    call(capsys, *eval_place.predict(place, out, "spread", "--ray", cluster))
    assert answers(out / "spread") == answers(out / "local")
    _, err = call(
        capsys, *eval_place.predict(place, out, "both", "--ray", cluster, "--parallel", "2"), code=2
    )
    assert "leave --parallel out" in err


class DyingWorker:
    """Asks a system; ends its process once, at the fourth question."""

    def __init__(self, make: Callable[[], Worker[Question, object]], marker: Path) -> None:
        self.worker, self.marker = make(), marker

    def __call__(self, questions: list[Question]) -> list[object]:
        if any(question.id == "q3" for question in questions):
            end_once(self.marker)
        return self.worker(questions)


def test_a_worker_that_dies_loses_no_answer(
    cluster: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, out = eval_place.make(Path()), Path("out")
    call(capsys, *eval_place.predict(place, out, "local"))
    real = spread.in_actors

    def dying(
        items: Sequence[Question], make: Callable[[], Worker[Question, object]], **how: object
    ) -> Iterator[object]:
        return real(items, partial(DyingWorker, make, folder / "died"), **how)  # type: ignore[arg-type]

    monkeypatch.setattr(spread, "in_actors", dying)
    call(capsys, *eval_place.predict(place, out, "spread", "--ray", cluster))
    assert Path("died").exists()
    assert answers(out / "spread") == answers(out / "local")


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────


class OtherWeights(LetterEncoder):
    """Another encoder on every process but the one that made it."""

    def __reduce__(self) -> tuple[type[LetterEncoder], tuple[str]]:
        return LetterEncoder, ("other",)


def test_other_weights_on_a_worker_are_refused(cluster: str) -> None:
    Path("a.txt").write_text("some text")
    with pytest.raises(FailureError, match="found other weights of other on a worker"):
        build(["a.txt"], INDEX, Settings(encoder=OtherWeights()), ray=cluster)


def test_a_file_that_changes_after_its_digest_is_refused() -> None:
    Path("a.jsonl").write_text(lines(0, 3))
    file = File(Path("a.jsonl").absolute(), "a.jsonl", ".jsonl")
    wanted = ray_reader._wanted(0, file, 0, scan(file))
    Path("a.jsonl").write_text(lines(0, 4))
    sent = list(ray_reader._read(100, wanted))
    assert [one.problem for one in sent] == ["it changed while it was being read: run the same command again"]


def test_parts_hold_the_records_of_the_whole(small_parts: None) -> None:
    Path("a.jsonl").write_text("\n\n" + lines(0, 200) + "\n" + lines(300, 5).rstrip("\n"))
    file = File(Path("a.jsonl"), "a.jsonl", ".jsonl")
    whole = list(records(file.path, file.name, file.kind))
    parts = scan(file).parts
    assert len(parts) > 5
    found = [record for part in parts for record in records(file.path, file.name, file.kind, 0, part)]
    assert [(r.number, r.passage) for r in found] == [(r.number, r.passage) for r in whole]
    assert found[-1].read == file.size
    for after in (1, 2, 77, 202, 208):
        left = ray_reader._wanted(0, file, after, scan(file))
        found = [r for one in left for r in records(file.path, file.name, file.kind, after, one.part)]
        assert [r.number for r in found] == [r.number for r in whole if r.number > after]


def test_addresses_that_cannot_be_joined() -> None:
    Path("a.txt").write_text("some text")
    with pytest.raises(InvalidInputError, match="wanted local, auto or HOST:PORT"):
        build(["a.txt"], INDEX, ray="ray://somewhere:10001")
    assert not INDEX.exists()
    assert isinstance(build(["a.txt"], INDEX), Report)
