"""After `rankrag model pull` everything runs with the network cut."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PAGES = {
    "finally.txt": "The finally clause of a try statement is always executed before leaving the statement.",
    "with.md": "# With\n\nThe with statement wraps a block with the methods of a context manager.",
    "tuple.rst": "A tuple is immutable. A list can be changed in place after it was made.",
}
QUESTION = "When is the finally clause executed?"


@cache
def namespaces_work() -> bool:
    """Say whether this user may start a process in a network namespace of its own."""
    try:
        return subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class Cut:
    """Runs Python without a network: in an empty network namespace, or with sockets that refuse."""

    def __init__(self, way: str, folder: Path) -> None:
        self.prefix = ["unshare", "-rn"] if way == "namespace" else []
        blocker = {"PYTHONPATH": str(Path(__file__).parent / "no_network")} if way == "sockets" else {}
        self.environment = {**os.environ, **blocker}
        self.folder = folder

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self.prefix, sys.executable, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.folder, env=self.environment
        )

    def rankrag(self, *arguments: str) -> dict[str, object]:
        run = self.python("-m", "rankrag", *arguments, "--output", "json")
        assert run.returncode == 0, run.stderr
        answer = json.loads(run.stdout)
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def cut(tmp_path: Path) -> Cut:
    """Return the stronger way that this machine allows, beside some documents."""
    (tmp_path / "pages").mkdir()
    for name, text in PAGES.items():
        (tmp_path / "pages" / name).write_text(text, encoding="utf-8")
    lines = [json.dumps({"id": name, "text": text}) for name, text in PAGES.items()]
    (tmp_path / "passages.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return Cut("namespace" if namespaces_work() else "sockets", tmp_path)


@pytest.mark.parametrize("way", ["namespace", "sockets"])
def test_the_network_is_really_cut(way: str, tmp_path: Path) -> None:
    """192.0.2.1 is set aside for documentation: nothing answers there, and here it is refused at once."""
    if way == "namespace" and not namespaces_work():
        pytest.skip("needs a user who may make a network namespace")
    cut = Cut(way, tmp_path)
    for call in ("create_connection(('192.0.2.1', 80), 9)", "getaddrinfo('example.invalid', 80)"):
        run = cut.python(
            "-c", f"import socket\ntry: socket.{call}\nexcept OSError as e: print(type(e).__name__)"
        )
        assert run.stdout.strip() in ("OSError", "gaierror"), run.stderr


def use_everything(cut: Cut, model: str, encoder: str, retrievers: list[str]) -> None:
    """Index, search, ask and rank; the right page has to be found where words alone tell it."""
    cut.rankrag("index", "pages", "--index", "index", "--encoder", encoder)
    for retriever in retrievers:
        found = cut.rankrag("search", QUESTION, "--index", "index", "--retriever", retriever)
        assert "finally.txt" in json.dumps(found["hits"])
    # A phrase is at most 32 tokens: long enough to see that the model writes.
    answer = cut.rankrag("ask", QUESTION, "--index", "index", "--model", model, "--style", "phrase")
    assert answer["text"]
    assert len(answer["ranked"]) == len(answer["retrieved"]) > 0  # type: ignore[arg-type]
    ranked = cut.rankrag("rank", QUESTION, "--passages", "passages.jsonl", "--model", model)
    assert len(ranked["ranked"]) == len(PAGES)  # type: ignore[arg-type]


@pytest.mark.slow
def test_everything_without_weights_runs_offline(cut: Cut) -> None:
    cut.environment["RANKRAG_CACHE"] = str(cut.folder / "no-models")
    use_everything(cut, "fake", "none", ["bm25"])


@pytest.mark.model
def test_everything_with_the_default_models_runs_offline(cut: Cut) -> None:
    use_everything(cut, "smollm2-135m", "minilm-l6", ["bm25", "dense", "hybrid"])


def test_a_missing_model_is_an_error_not_a_download(cut: Cut) -> None:
    cut.environment["RANKRAG_CACHE"] = str(cut.folder / "no-models")
    run = cut.python("-m", "rankrag", "rank", QUESTION, "--passages", "passages.jsonl")
    assert run.returncode == 3
    assert "rankrag model pull" in run.stderr
    assert "Traceback" not in run.stderr
