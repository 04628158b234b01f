"""What goes wrong: one line that says what was found, wanted and to be done, and the right exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rankrag import errors
from rankrag.cli import app as room
from rankrag.cli.app import run


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("errors")
    (folder / "page.txt").write_text("Nairobi was founded in 1899.")
    assert (
        run(["index", str(folder / "page.txt"), "--index", str(folder / "index"), "--encoder", "none"]) == 0
    )
    return str(folder / "index")


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command that fails; return its code and its one line, with nothing on standard output."""
    capsys.readouterr()
    code = run(arguments)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("rankrag: warning: ")]
    assert out == ""
    assert len(lines) == 1, err
    assert lines[0].startswith("rankrag: error: ")
    assert "Traceback" not in err
    return code, lines[0]


ASK = ("ask", "Why?", "--model", "fake", "--index")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--retrieve-k", "3", "--read-k", "4"], "read_k 4 and retrieve_k 3"),
        (["--read-k", "-1"], "--read-k"),
        (["--retrieve-k", "0"], "greater than or equal to 1"),
        (["--where", "topic"], "wanted KEY=VALUE"),
        (["--where", "=law"], "wanted KEY=VALUE"),
        (["--retriever", "colbert"], "'bm25', 'dense', 'hybrid'"),
        (["--style", "rhyme"], "'plain'"),
        (["--output", "xml"], "'json'"),
        (["--no-such-option"], "--no-such-option"),
        (["--model", "no such model"], "smollm2-135m"),
        (["--model", "gpt-4"], "one behind a server (openai:gpt-4@URL)"),
    ],
)
def test_wrong_arguments_exit_with_2(
    capsys: pytest.CaptureFixture[str], index: str, options: list[str], said: str
) -> None:
    code, line = fails(capsys, *ASK, index, *options)
    assert code == 2
    assert said in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--read-k", "0"], "'--read-k': wanted a number greater than or equal to 1"),
        (["--read-k", "two"], "'--read-k': wanted a whole number"),
        (["--time-budget", "long"], "'--time-budget': wanted a valid number"),
        (["--retriever", "colbert"], "'--retriever': 'colbert' is not one of 'bm25', 'dense', 'hybrid'."),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(
    capsys: pytest.CaptureFixture[str], index: str, options: list[str], said: str
) -> None:
    line = fails(capsys, *ASK, index, *options)
    assert line == (2, f"rankrag: error: Invalid value for {said}")


@pytest.mark.parametrize("question", ["", "  \n "])
@pytest.mark.parametrize("verb", [["ask", "--model", "fake"], ["search"]])
def test_an_empty_question_exits_with_2(
    capsys: pytest.CaptureFixture[str], index: str, verb: list[str], question: str
) -> None:
    code, line = fails(capsys, verb[0], question, *verb[1:], "--index", index)
    assert code == 2
    assert "empty question" in line


def test_asking_nothing_without_a_terminal_exits_with_2(
    capsys: pytest.CaptureFixture[str], index: str
) -> None:
    for options in ([], ["--output", "json"]):
        code, line = fails(capsys, "ask", "--model", "fake", "--index", index, *options)
        assert code == 2
        assert "no question" in line


@pytest.mark.parametrize(
    "arguments", [["search", "--index", "x"], ["search", "a", "--questions", "b", "--index", "x"]]
)
def test_search_wants_a_question_or_a_file(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, line = fails(capsys, *arguments)
    assert code == 2
    assert "either" in line


def test_unknown_verbs_and_missing_options_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "answer")[0] == 2
    assert fails(capsys, "train", "recipe.yaml")[0] == 2
    assert fails(capsys, "prompt", "show", "--template", "poem") == (
        2,
        "rankrag: error: found template 'poem', wanted one of paper, chat: choose one of them",
    )


@pytest.mark.parametrize("name", ["nosuch.jsonl", "folder/nosuch"])
def test_a_benchmark_s_file_that_is_not_there_exits_with_4(
    capsys: pytest.CaptureFixture[str], index: str, tmp_path: Path, name: str
) -> None:
    options = ("--index", index, "--name", "x", "--out", str(tmp_path / "out"), "--model", "fake")
    for given in (options, ()):  # also where an option is missing that is wanted
        code, line = fails(capsys, "eval", "predict", name, *given)
        assert code == 4
        assert line.startswith(f"rankrag: error: found no such file: {name}, wanted one with question and")


def test_a_benchmark_s_file_below_the_data_root_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "own.jsonl").write_text("")
    line = fails(capsys, "eval", "predict", "own.jsonl", "--data-root", str(tmp_path))
    assert line == (2, "rankrag: error: Missing option '--out' / '-o'.")


def test_a_missing_model_exits_with_3(
    capsys: pytest.CaptureFixture[str], index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path))
    code, line = fails(capsys, "ask", "Why?", "--index", index)
    assert code == 3
    assert "rankrag model pull rankrag-135m" in line
    assert fails(capsys, "model", "path", "minilm-l6")[0] == 3
    assert fails(capsys, "model", "verify")[0] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "Why?", "--model", "fake", "--index", "nowhere"],
        ["search", "Why?", "--index", "nowhere"],
        ["documents", "list", "--index", "nowhere"],
        ["index", "no-such-file.txt", "--index", "new", "--encoder", "none"],
        ["rank", "Why?", "--model", "fake", "--passages", "nowhere.txt"],
        ["ask", "Why?", "--model", "/no/such/folder", "--index", "nowhere"],
    ],
)
def test_missing_files_and_indexes_exit_with_4(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, line = fails(capsys, *arguments)
    assert code == 4
    assert re.search("no(where|-such| )", line)
    assert list(tmp_path.iterdir()) == []


def test_missing_files_beside_an_index_exit_with_4(capsys: pytest.CaptureFixture[str], index: str) -> None:
    assert fails(capsys, *ASK, index, "--history", "nowhere.json")[0] == 4
    assert fails(capsys, "search", "--questions", "nowhere.txt", "--index", index)[0] == 4


def test_broken_lines_exit_with_5_and_name_file_and_line(
    capsys: pytest.CaptureFixture[str], index: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "1", "text": "Fine."}\n{"id": "2", "text": \n')
    for arguments in (
        ("rank", "Why?", "--model", "fake", "--passages", str(broken)),
        ("search", "--index", index, "--questions", str(broken)),
    ):
        code, line = fails(capsys, *arguments)
        assert code == 5
        assert f"{broken}:2: found broken JSON" in line
    code, line = fails(capsys, *ASK, index, "--history", str(broken))
    assert code == 5
    assert "broken.jsonl" in line


def test_unusable_input_exits_with_5(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = ("--index", str(tmp_path / "index"), "--encoder", "none")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("Mine.")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / "nothing.txt").write_text("\n")
    assert fails(capsys, "index", str(tmp_path / "empty"), *place)[0] == 5
    assert fails(capsys, "index", str(tmp_path / "image.png"), *place)[0] == 5
    assert fails(capsys, *ASK, str(tmp_path / "other"))[0] == 5
    note = str(tmp_path / "other" / "notes.txt")
    assert fails(capsys, "index", note, "--index", str(tmp_path / "other"), "--encoder", "none")[0] == 5
    assert Path(note).read_text() == "Mine."
    assert (
        fails(capsys, "rank", "Why?", "--model", "fake", "--passages", str(tmp_path / "nothing.txt"))[0] == 5
    )


def test_a_corrupted_index_exits_with_5(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("Nairobi was founded in 1899.")
    place = tmp_path / "index"
    assert run(["index", str(tmp_path / "page.txt"), "--index", str(place), "--encoder", "none"]) == 0
    for name in ("*.lance/_versions/*", "manifest.json"):
        for path in place.glob(name):
            path.write_bytes(b"rubbish")
        code, line = fails(capsys, *ASK, str(place))
        assert code == 5
        assert "broken" in line


def test_vectors_that_are_not_there_exit_with_5(capsys: pytest.CaptureFixture[str], index: str) -> None:
    code, line = fails(capsys, *ASK, index, "--retriever", "dense")
    assert code == 5
    assert "without vectors" in line


# ── the frame around every verb ──────────────────────────────────────────────────────────────────────


def test_the_codes_follow_the_tree_of_errors() -> None:
    tree: dict[type[errors.RankRAGError], int] = {
        errors.MissingModelError: 3,
        errors.NotFoundError: 4,
        errors.FormatError: 5,
        errors.FailureError: 6,
        errors.PartialError: 7,
    }
    for kind, code in tree.items():
        found = next(c for known, c in room.EXIT_CODES.items() if issubclass(kind, known))
        assert found == code


def test_a_bug_is_one_line_and_its_traceback_is_shown_on_demand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: bool) -> None:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr("rankrag.cli.console.emit", broken)
    code, line = fails(capsys, "prompt", "list", "--output", "json")
    assert code == 6
    assert "a bug in rankrag (ZeroDivisionError: oh no)" in line
    assert "RANKRAG_DEBUG=1" in line
    monkeypatch.setenv("RANKRAG_DEBUG", "1")
    assert run(["prompt", "list", "--output", "json"]) == 6
    assert "Traceback" in capsys.readouterr().err


def test_version_help_and_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    import rankrag

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"rankrag {rankrag.__version__}\n"
    assert run(["--help"]) == 0
    help_text = capsys.readouterr().out
    verbs = ("index", "ask", "search", "rank", "documents", "model", "prompt", "doctor")
    assert all(re.search(rf"\b{verb}\b", help_text) for verb in verbs)


@pytest.mark.slow
def test_a_closed_pipe_is_quiet() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rankrag", "prompt", "show", "--output", "json"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1


def test_ctrl_c_is_one_line_and_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rankrag.cli.console.emit", interrupted)
    assert fails(capsys, "prompt", "list", "--output", "json") == (130, "rankrag: error: interrupted")


@pytest.mark.slow
def test_json_is_one_document_whatever_the_verb(capsys: pytest.CaptureFixture[str], index: str) -> None:
    for arguments in (
        ["model", "list"],
        ["doctor"],
        ["documents", "list", "--index", index],
        ["ask", "Why Nairobi?", "--model", "fake", "--index", index],
    ):
        assert run([*arguments, "--output", "json"]) in (0, 3)
        assert isinstance(json.loads(capsys.readouterr().out), dict)
