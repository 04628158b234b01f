"""What others install from: one version, extras that exist, workflows, the image and what it starts."""

from __future__ import annotations

import json
import re
import shutil
import socket
import stat
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
import yaml

import container
import rankrag
import release

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, BUILD = PYPROJECT["project"], PYPROJECT["tool"]["hatch"]["build"]["targets"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMPOSE = sorted(ROOT.glob("compose*.yaml"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


# ── the package ──────────────────────────────────────────────────────────────────────────────────────


def test_the_version_is_that_of_the_tag_and_stands_nowhere_else() -> None:
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert version("rankrag") == rankrag.__version__
    assert not [
        path
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"__version__\s*=\s*[\"']", path.read_text(encoding="utf-8"))
    ]


def test_earlier_runs_of_a_checkpoint_stay_out_of_the_wheel() -> None:
    (pattern,) = BUILD["wheel"]["exclude"]
    left_out = {path.name for path in ROOT.glob(pattern.removeprefix("/"))}
    assert "round1.manifest.json" in left_out
    for folder in (ROOT / "src" / "rankrag" / "checkpoints").iterdir():
        record = json.loads((folder / "rankrag-model.json").read_text(encoding="utf-8"))
        assert set(record["files"]) & left_out == set()


def test_classifiers_begin_where_requires_python_does_and_ci_tries_each() -> None:
    pattern = r"Programming Language :: Python :: (3\.\d+)"
    named = [found[1] for line in PROJECT["classifiers"] if (found := re.fullmatch(pattern, line))]
    assert f">={named[0]}" == PROJECT["requires-python"]
    minors = [int(name.removeprefix("3.")) for name in named]
    assert minors == list(range(minors[0], minors[0] + len(minors)))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_extras_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"(?:rankrag|[\"' ]\.)\[([a-z]+(?:,[a-z]+)*)\]", text)
    named = {extra for group in found for extra in group.split(",")}
    assert named - set(PROJECT["optional-dependencies"]) == set()


def test_the_command_of_the_package_can_be_imported() -> None:
    module, _, name = PROJECT["scripts"]["rankrag"].partition(":")
    assert callable(getattr(import_module(module), name))


# ── a release ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    changes = (
        "## [Unreleased]\n\n- later\n\n## [{}] - 2026-12-01\n\n- `ask`\n\n## [0.0.1] - 2026-01-01\n\n- old\n"
    )
    (tmp_path / "CHANGELOG.md").write_text(changes.format("0.1.0"), encoding="utf-8")
    return tmp_path


def test_notes_are_the_section_of_the_tag(tree: Path) -> None:
    assert release.notes(tree, "v0.1.0") == "- `ask`"


def test_a_tag_that_is_no_version_is_no_release(tree: Path) -> None:
    with pytest.raises(SystemExit, match=r"found the tag v1, wanted a version like v0\.1\.0"):
        release.notes(tree, "v1")


@pytest.mark.parametrize(
    "changes", ["## [Unreleased]\n\n- all\n", "## [{}] - soon\n\n- all\n", "## [{}] - 2026-12-01\n"]
)
def test_a_version_without_a_dated_section_is_no_release(tree: Path, changes: str) -> None:
    (tree / "CHANGELOG.md").write_text(changes.format("0.1.0"), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"found nothing dated for .* wanted a section"):
        release.notes(tree, "v0.1.0")


def test_a_stamped_tree_leads_to_its_repository_and_nothing_else_changes(tree: Path) -> None:
    release.stamp(tree, "https://example.org/a/b", "v1.2.3")
    stamped = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert stamped["urls"]["Changelog"] == "https://example.org/a/b/blob/v1.2.3/CHANGELOG.md"
    assert stamped["urls"]["Paper"] == PROJECT["urls"]["Paper"]
    assert stamped | {"urls": 0} == PROJECT | {"urls": 0}
    links = re.findall(r"\]\(([^)\s]+)\)", (tree / "README.md").read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_links_of_a_page_become_absolute_and_pictures_raw() -> None:
    page = "[a](a.md#x) ![p](p.png) [w](https://w.org) [h](#here)"
    assert release.absolute(page, "https://e.org/r", "v1") == (
        "[a](https://e.org/r/blob/v1/a.md#x) ![p](https://e.org/r/raw/v1/p.png) [w](https://w.org) [h](#here)"
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_parses_and_runs_files_that_are_there(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    assert all("timeout-minutes" in job for job in jobs.values())
    needed = {name for job in jobs.values() for name in _names(job.get("needs", []))}
    assert needed <= set(jobs)
    files = re.findall(r"(?<!/)\btools/\w+\.py", " ".join(step.get("run", "") for step in steps))
    assert files
    assert all((ROOT / file).is_file() for file in files)


def _names(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_only_jobs_that_publish_may_write() -> None:
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    assert flow["permissions"] == {"contents": "read"}
    writing = {name for name, job in flow["jobs"].items() if "write" in job.get("permissions", {}).values()}
    assert writing == {"image", "publish", "docs", "announce"}
    assert flow["jobs"]["publish"]["permissions"] == {"id-token": "write"}


# ── the image ────────────────────────────────────────────────────────────────────────────────────────


def test_the_dockerfile_copies_what_is_there_and_what_its_ignore_file_lets_through() -> None:
    copied = [
        name for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    ]
    let_through = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    assert sorted(copied) == sorted(let_through)
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_as_a_user_and_starts_what_is_tested_here() -> None:
    assert re.search(r"^USER rankrag$", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["python", "/app/tools/container.py"]' in DOCKERFILE
    (extras,) = re.findall(r'pip install "\.\[([a-z,]+)\]"', DOCKERFILE)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_what_the_image_starts_is_a_command_with_these_options() -> None:
    from rankrag.cli.app import app

    known = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {name for parameter in known.params for name in parameter.opts}
    started = container.command([], {"RANKRAG_API_KEY_FILE": "/keys"})
    assert started[:2] == ["rankrag", "serve"]
    assert {word for word in started if word.startswith("--")} | set(container.OWN_KEYS) <= options


def test_the_first_start_makes_a_key_and_prints_it_and_the_next_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"RANKRAG_DATA": str(tmp_path), "RANKRAG_API_KEY": ""}
    path = container.key_file(environment)
    key = path.read_text(encoding="utf-8").strip()
    assert path == tmp_path / "keys"
    assert key in capsys.readouterr().err
    assert container.key_file(environment).read_text(encoding="utf-8").strip() == key
    assert key not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="has no rights of this kind")
def test_a_key_that_was_made_is_its_owners(tmp_path: Path) -> None:
    assert stat.S_IMODE(container.key_file({"RANKRAG_DATA": str(tmp_path)}).stat().st_mode) == 0o600


def test_keys_of_the_environment_are_what_the_server_reads(tmp_path: Path) -> None:
    from rankrag.cli.serve import _keys

    given = {"RANKRAG_DATA": str(tmp_path), "RANKRAG_API_KEY": "first-key-of-some, second-key-of-some"}
    path = container.key_file(given)
    assert _keys(path) == ("first-key-of-some", "second-key-of-some")
    assert list(tmp_path.iterdir()) == []  # nothing of it stays on the volume
    path.unlink()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["index", "/documents"], ["rankrag", "index", "/documents"]),
        (["--no-key", "--no-rank"], [*container.SERVE, "--no-key", "--no-rank"]),
        (["--api-key-file=/k"], [*container.SERVE, "--api-key-file=/k"]),
        (["--read-only"], [*container.SERVE, "--api-key-file", "/run/secrets/keys", "--read-only"]),
    ],
)
def test_arguments_of_the_image(arguments: list[str], wanted: list[str]) -> None:
    assert container.command(arguments, {"RANKRAG_API_KEY_FILE": "/run/secrets/keys"}) == wanted


def test_without_a_server_the_container_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(container, "READY", f"http://127.0.0.1:{taken.getsockname()[1]}/readyz")
        assert not container.is_healthy()


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_a_compose_file_parses_and_names_its_volumes(path: Path) -> None:
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    mounted = {
        volume.split(":")[0]
        for service in written["services"].values()
        for volume in service.get("volumes", [])
    }
    assert mounted == set(written["volumes"])


@pytest.mark.slow
def test_compose_takes_both_files_and_wants_a_key_for_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("needs docker-compose")

    def config(*names: str) -> subprocess.CompletedProcess[str]:
        files = [word for name in names for word in ("--file", str(ROOT / name))]
        return subprocess.run([compose, *files, "config"], capture_output=True, text=True, check=False)

    monkeypatch.delenv("RANKRAG_API_KEY", raising=False)
    alone = config("compose.yaml")
    assert alone.returncode == 0, alone.stderr
    assert "RANKRAG_API_KEY" in config("compose.yaml", "compose.open-webui.yaml").stderr
    monkeypatch.setenv("RANKRAG_API_KEY", "of-no-use-elsewhere")
    both = yaml.safe_load(config("compose.yaml", "compose.open-webui.yaml").stdout)["services"]
    assert both["open-webui"]["environment"]["OPENAI_API_KEY"] == "of-no-use-elsewhere"
    assert {port["host_ip"] for service in both.values() for port in service["ports"]} == {"127.0.0.1"}


def test_open_webui_is_given_names_that_the_server_has() -> None:
    from rankrag.model.store.named_models import DEFAULTS
    from rankrag.server.routes.chat import PLAIN

    both = [
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("compose.yaml", "compose.open-webui.yaml")
    ]
    given = both[1]["services"]["open-webui"]["environment"]
    assert given["DEFAULT_MODELS"] == given["RAG_RERANKING_MODEL"] == DEFAULTS["language_model"]
    assert given["TASK_MODEL_EXTERNAL"] == PLAIN
    assert given["RAG_EMBEDDING_MODEL"] == DEFAULTS["encoder"]
    service = next(iter(both[0]["services"]))
    assert set(both[1]["services"]["open-webui"]["depends_on"]) == {service}
    urls = [value for name, value in given.items() if name.endswith("_URL")]
    assert all(url.startswith(f"http://{service}:8000/v1") for url in urls)


def test_librechat_is_given_a_whole_file_with_names_that_the_server_has() -> None:
    from rankrag.model.store.named_models import DEFAULTS
    from rankrag.server.routes.chat import PLAIN

    page = (ROOT / "docs" / "integrations" / "librechat.md").read_text(encoding="utf-8")
    written = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert isinstance(written["version"], str)  # without one LibreChat refuses the file
    (endpoint,) = written["endpoints"]["custom"]
    assert endpoint["titleModel"] == PLAIN
    assert endpoint["models"]["default"] == [DEFAULTS["language_model"]]


# ── Windows ──────────────────────────────────────────────────────────────────────────────────────────


class Locking:
    """The lock of Windows, which begins where the file stands."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.at: list[int] = []

    def locking(self, descriptor: int, mode: int, n_bytes: int) -> None:
        import os

        self.at.append(os.lseek(descriptor, 0, os.SEEK_CUR))


def test_a_lock_on_windows_leaves_the_file_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rankrag.files import whole

    windows = Locking()
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    with (tmp_path / "lock").open("a+", encoding="ascii") as stream:
        assert whole._locked_on_windows(stream.fileno())
        stream.truncate(0)
        stream.write("17\n")
    assert windows.at == [2**20]
    assert (tmp_path / "lock").read_bytes() == b"17\n"
