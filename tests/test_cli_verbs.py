"""What each verb does on real files, with the weightless model: its text and its JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cli_call import call
from rankrag import prompts
from rankrag.cli import served
from rankrag.cli.app import run

PAGES = {
    "nairobi.md": "# Nairobi\n\nIt is the capital of Kenya. Nairobi was founded in 1899 as a depot.\n",
    "snowdrop.txt": "The snowdrop flowers in January, often through the snow. It is up to 20 cm tall.\n",
    "harbours/mombasa.txt": "Mombasa is a port of Kenya on the Indian Ocean.\n",
}
CAPITALS = [
    {"_id": "ke", "title": "Kenya", "text": "The capital is Nairobi.", "metadata": {"continent": "Africa"}},
    {"_id": "pe", "title": "Peru", "text": "The capital is Lima.", "metadata": {"continent": "America"}},
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("verbs")
    for name, text in PAGES.items():
        (folder / "pages" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pages" / name).write_text(text, encoding="utf-8")
    lines = "".join(json.dumps(record) + "\n" for record in CAPITALS)
    (folder / "pages" / "capitals.jsonl").write_text(lines, encoding="utf-8")
    assert run(["index", str(folder / "pages"), "--index", str(folder / "index"), "--encoder", "none"]) == 0
    return str(folder / "index")


Document = dict[str, Any]


class Tool:
    """Runs a command in this process and returns what it wrote to standard output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.err = ""

    def text(self, *arguments: str, code: int = 0) -> str:
        out, self.err = call(self.capsys, *arguments, code=code)
        return out

    def json(self, *arguments: str, code: int = 0) -> Document:
        document: Document = json.loads(self.text(*arguments, "--output", "json", code=code))
        assert isinstance(document, dict)
        return document


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    return Tool(capsys)


# ── ask ──────────────────────────────────────────────────────────────────────────────────────────────

ASK = ("ask", "When was Nairobi founded?", "--model", "fake", "--index")


def test_ask_prints_the_answer_with_marks_and_its_sources(tool: Tool, index: str) -> None:
    out = tool.text(*ASK, index)
    answer, sources = out.split("Sources")
    assert "1899" in answer
    assert "[1]" in answer
    assert "Nairobi  " in sources
    assert "nairobi.md" in sources
    assert "retrieve" in out.splitlines()[-1]
    assert tool.err.count("\n") == 1
    assert "fake has no weights" in tool.err


def test_ask_as_json_holds_the_whole_trace(tool: Tool, index: str) -> None:
    answer = tool.json(*ASK, index, "--retrieve-k", "3", "--read-k", "2")
    assert answer["question"] == "When was Nairobi founded?"
    assert answer["abstained"] is False
    assert answer["read_k"] == 2
    retrieved, ranked, citations = (answer[name] for name in ("retrieved", "ranked", "citations"))
    assert {hit["id"] for hit in retrieved} == {hit["id"] for hit in ranked}
    assert {"id", "score", "title", "text", "source"} <= ranked[0].keys()
    wanted = {"start", "end", "passage_id", "source", "source_start", "source_end", "relevance"}
    assert citations[0].keys() == wanted
    assert answer["timings_s"].keys() == {"retrieve", "rank", "generate", "cite"}


def test_ask_reads_no_more_than_it_retrieves(tool: Tool, index: str) -> None:
    assert tool.json(*ASK, index, "--retrieve-k", "2")["read_k"] == 2


def test_ask_reads_the_question_from_standard_input(
    tool: Tool, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("When was Nairobi\nfounded?\n"))
    assert "1899" in tool.json("ask", "-", "--model", "fake", "--index", index)["text"]


def test_ask_with_a_history_searches_for_the_conversation(tool: Tool, index: str, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "What is Nairobi?"}, {"role": "assistant", "content": "A capital."}]
    (tmp_path / "history.json").write_text(json.dumps(turns))
    answer = tool.json(
        "ask",
        "When was it founded?",
        "--model",
        "fake",
        "--index",
        index,
        "--history",
        str(tmp_path / "history.json"),
    )
    assert "Nairobi" in answer["query"]


def test_ask_without_ranking_shows_no_arrows(tool: Tool, index: str) -> None:
    out = tool.text(*ASK, index, "--no-rank")
    assert not set("▲▼") & set(out)


def test_ask_says_plainly_that_nothing_was_found(tool: Tool, index: str) -> None:
    out = tool.text(*ASK, index, "--path", "nowhere/*")
    assert prompts.UNANSWERABLE in out
    assert "Nothing was found" in out
    assert tool.json(*ASK, index, "--path", "nowhere/*")["abstained"] is True


# ── search ───────────────────────────────────────────────────────────────────────────────────────────


def test_search_prints_hits_with_their_text(tool: Tool, index: str) -> None:
    out = tool.text("search", "snowdrop", "--index", index, "-k", "1")
    assert "snowdrop.txt" in out
    assert "flowers in January" in out
    assert "[2]" not in out


def test_search_as_json_names_query_and_retriever(tool: Tool, index: str) -> None:
    found = tool.json("search", "snowdrop", "--index", index)
    assert found["retriever"] == "bm25"
    assert found["query"] == "snowdrop"
    assert "January" in found["hits"][0]["text"]


def test_search_keeps_to_attributes_and_paths(tool: Tool, index: str) -> None:
    def ids(*options: str) -> list[str]:
        hits = tool.json("search", "capital port Kenya", "--index", index, *options)["hits"]
        return [hit["title"] for hit in hits]

    assert ids("--where", "continent=America") == ["Peru"]
    assert ids("--where", "continent=America", "--where", "continent=Asia") == []
    assert len(ids("--path", "*.md")) == 1


def test_search_writes_a_run_for_a_file_of_questions(tool: Tool, index: str, tmp_path: Path) -> None:
    (tmp_path / "questions.tsv").write_text("q1\tcapital of Kenya\nq2\tsnowdrop\n")
    run_file = tmp_path / "run.txt"
    questions = ("search", "--questions", str(tmp_path / "questions.tsv"), "--index", index)
    out = tool.text(*questions, "--run", str(run_file), "-k", "2")
    lines = [line.split() for line in run_file.read_text().splitlines()]
    assert {line[0] for line in lines} == {"q1", "q2"}
    assert all(len(line) == 6 and line[1] == "Q0" for line in lines)
    assert f"{len(lines)} lines" in out
    assert tool.text(*questions, "-k", "2") == run_file.read_text()
    rankings = tool.json(*questions)["rankings"]
    assert [ranking["id"] for ranking in rankings] == ["q1", "q2"]


# ── rank ─────────────────────────────────────────────────────────────────────────────────────────────


def test_rank_orders_passages_without_an_index(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "passages.txt").write_text("Rain is wet.\nNairobi was founded in 1899.\n")
    arguments = (
        "rank",
        "When was Nairobi founded?",
        "--passages",
        str(tmp_path / "passages.txt"),
        "--model",
        "fake",
    )
    ranked = tool.json(*arguments)["ranked"]
    assert [hit["id"] for hit in ranked] == ["2", "1"]
    out = tool.text(*arguments)
    assert out.index("1899") < out.index("wet")
    assert "▲1" in out
    assert "wet" not in tool.text(*arguments, "-k", "1")


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are made otherwise there")
def test_rank_reads_a_pipe_of_the_shell(tool: Tool, tmp_path: Path) -> None:
    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=("Rain is wet.\nNairobi was founded in 1899.\n",))
    writer.start()
    told = tool.json("rank", "When was Nairobi founded?", "--passages", str(pipe), "--model", "fake")
    writer.join()
    assert [hit["id"] for hit in told["ranked"]] == ["2", "1"]


def test_a_budget_ends_ranking_and_says_what_it_left(tool: Tool, tmp_path: Path) -> None:
    lines = [*(f"Nairobi was founded in {year}." for year in range(1900, 1910)), "Nairobi.", "Rain."]
    (tmp_path / "passages.txt").write_text("\n".join(lines))
    given = ("--passages", str(tmp_path / "passages.txt"), "--model", "fake")
    arguments = ("rank", "When was Nairobi founded?", *given)
    found = tool.json(*arguments, "--rank-k", "3")
    assert found["n_scored"] == 3
    assert [hit["id"] for hit in found["ranked"]][3:] == [str(n) for n in range(4, 13)]
    assert [hit.get("scored", True) for hit in found["ranked"]] == [True] * 3 + [False] * 9
    assert [hit["score"] is None for hit in found["ranked"]] == [False] * 3 + [True] * 9
    assert "12 passages · 3 of 12 passages scored · rank " in tool.text(*arguments, "--rank-k", "3")
    for unspent in (("--time-budget", "1000"), ("--rank-k", "12"), ("--rank-patience", "9"), ()):
        whole = tool.json(*arguments, *unspent)
        assert "n_scored" not in whole
        assert all("scored" not in hit for hit in whole["ranked"])
    (tmp_path / "passages.txt").write_text("\n".join([lines[0], *lines[10:] * 6]))
    assert tool.json(*arguments, "--rank-patience", "3", "-k", "1")["n_scored"] == 8


def test_ask_within_a_budget(tool: Tool, index: str) -> None:
    found = tool.json(*ASK, index, "--rank-k", "1", "--retrieve-k", "3", "--read-k", "2")
    assert found["n_scored"] == 1
    assert [hit.get("scored", True) for hit in found["ranked"]] == [True, False]
    assert [hit["id"] for hit in found["ranked"]] == [hit["id"] for hit in found["retrieved"]]
    assert all(hit["score"] > 0 for hit in found["retrieved"])
    assert "n_scored" not in tool.json(*ASK, index)
    text = tool.text(*ASK, index, "--rank-k", "1", "--retrieve-k", "3", "--read-k", "2")
    assert "[2]     – " in text
    assert "1 of 2 passages scored" in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--time-budget", "0"), "found a time budget of 0 seconds"),
        (("--time-budget", "nan"), "found a time budget of nan seconds"),
        (("--rank-k", "0"), "--rank-k"),
        (("--rank-patience", "2", "--no-rank"), "found a budget for ranking beside --no-rank"),
    ],
)
def test_a_budget_that_is_none_is_refused(tool: Tool, index: str, more: tuple[str, ...], said: str) -> None:
    tool.text(*ASK, index, *more, code=2)
    assert said in tool.err


# ── documents ────────────────────────────────────────────────────────────────────────────────────────


def test_documents_are_listed_and_deleted(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Apples are red.")
    (tmp_path / "b.txt").write_text("Bananas are yellow.")
    place = str(tmp_path / "index")
    report = tool.json(
        "index", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), "--index", place, "--encoder", "none"
    )
    assert len(report["added"]) == 2
    listed = tool.json("documents", "list", "--index", place)["documents"]
    assert [document["n_passages"] for document in listed] == [1, 1]
    assert "2 documents, 2 passages" in tool.text("documents", "list", "--index", place)
    gone = next(document["id"] for document in listed if "a.txt" in document["path"])
    assert tool.json("documents", "delete", gone, "--index", place)["deleted"] == 1
    assert "Apples" not in tool.text("search", "apples bananas", "--index", place)
    tool.text("documents", "delete", gone, "--index", place, code=4)
    assert f"found no {gone!r} in {place}, wanted ids of documents that are there" in tool.err


# ── index ────────────────────────────────────────────────────────────────────────────────────────────


def test_one_of_a_thing_is_no_plural(tool: Tool, tmp_path: Path) -> None:
    page, questions, index = tmp_path / "snow" / "a.txt", tmp_path / "white.txt", str(tmp_path / "index")
    page.parent.mkdir()
    page.write_text("Snow is white.")
    questions.write_text("What is white?\n")
    said = tool.text("index", str(page), "--index", index, "--encoder", "none")
    name = tool.json("documents", "list", "--index", index)["documents"][0]["id"]
    for code, *command in (
        (0, "ask", "What is white?", "--model", "fake"),
        (0, "search", "white", "--rank", "--model", "fake"),
        (0, "search", "--questions", str(questions), "--run", str(tmp_path / "white.run")),
        (0, "documents", "list"),
        (0, "documents", "check"),
        (7, "documents", "check", str(tmp_path)),
        (0, "documents", "copy", str(tmp_path / "copy")),
        (0, "documents", "delete", name),
        (4, "documents", "delete", name),
    ):
        said += tool.text(*command, "--index", index, code=code) + tool.err
    said += tool.text("rank", "What is white?", "--passages", str(page), "--model", "fake")
    assert {"1 file", "1 passage", "1 line", "1 document"} <= {*re.findall(r"\b1 \w+", said)}
    assert not re.findall(r"(?<![\d.,])1 (?!is\b|was\b)\w+s\b", said)


def test_indexing_again_changes_nothing_and_a_changed_file_is_replaced(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    for name in "ab":
        (tmp_path / "pages" / f"{name}.txt").write_text(f"Page {name}.")
    build = ("index", str(tmp_path / "pages"), "--index", str(tmp_path / "index"), "--encoder", "none")
    assert len(tool.json(*build)["added"]) == 2
    assert len(tool.json(*build)["unchanged"]) == 2
    (tmp_path / "pages" / "a.txt").write_text("Another page.")
    (tmp_path / "pages" / "b.txt").unlink()
    report = tool.json(*build, "--prune")
    assert [len(report[change]) for change in ("replaced", "removed", "unchanged")] == [1, 1, 0]


def test_files_that_cannot_be_read_are_named_and_the_others_go_in(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Good.")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    build = ("index", str(tmp_path), "--index", str(tmp_path / "index"), "--encoder", "none")
    out = tool.text(*build, code=7)
    assert "broken.pdf" in out + tool.err
    assert "rankrag: error: " in tool.err
    report = tool.json(*build, code=7)
    assert len(report["unchanged"]) == 1
    assert "broken.pdf" in report["failed"][0]["path"]
    assert report["failed"][0]["reason"]


def test_a_long_build_says_first_what_it_takes(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rankrag.cli import index as verb

    (tmp_path / "page.txt").write_text("Snow is white.")
    monkeypatch.setattr(verb, "LONG_S", 0)
    out = tool.text("index", str(tmp_path / "page.txt"), "--index", str(tmp_path / "i"), "--encoder", "none")
    assert "About 1 passage: from nothing that takes about 0 minutes" in tool.err
    assert "About" not in out


def test_an_index_has_a_default_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snow.txt").write_text("Snow is white in winter.")
    call(capsys, "index", "snow.txt", "--encoder", "none")
    assert (tmp_path / "rankrag.index" / "manifest.json").is_file()
    assert "Snow is white" in call(capsys, "search", "snow")[0]
    monkeypatch.setenv("RANKRAG_INDEX", "other")
    call(capsys, "index", "snow.txt", "--encoder", "none")
    assert (tmp_path / "other" / "manifest.json").is_file()
    assert served.default_index() == Path("other")
    monkeypatch.delenv("RANKRAG_INDEX")
    assert served.default_index() == Path("rankrag.index")
