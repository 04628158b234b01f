"""What a person sees: colours, the growing answer, the conversation, bars."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rankrag.cli import answer_view, console, progress
from rankrag.cli.app import run
from rankrag.system import RAG, Retrieval, SystemSpec, open_system
from rankrag.types import Answer, Citation, Cut, Hit, Passage, Question, Source, Usage
from serving import until

PASSAGES = [
    Passage(f"p{n}", f"Text {n}.", title=f"Title {n}", source=Source("book.pdf", page=n)) for n in range(4)
]
HITS = tuple(Hit(passage, 1.0 - n / 10) for n, passage in enumerate(PASSAGES))
ANSWER = Answer(
    Question("q", "Why?"),
    retrieved=HITS,
    ranked=(HITS[2], HITS[0], HITS[1], HITS[3]),
    read_k=3,
    text="Because. Yes.",
    citations=(Citation(9, 13, "p0", 0.9), Citation(0, 8, "p2", 0.8)),
    usage=Usage(100, 4),
    timings_s={"retrieve": 0.01, "rank": 1.5},
    done=True,
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rich believe that both streams are a terminal with colours."""
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def drawn(answer: Answer, width: int = 80) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False
    )
    answer_view.show_answer(answer, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.usefixtures("terminal")
def test_an_error_breaks_between_words_and_keeps_a_command_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = (
        f"found {'some words ' * 7}here, make one with `rankrag index PATH --index /tmp/a/folder`, or not"
    )
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    console.error(message)
    lines = capsys.readouterr().err.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(lines) == f"rankrag: error: {message}"
    assert lines[-1] == "`rankrag index PATH --index /tmp/a/folder`, or not"


def test_what_is_wider_than_the_terminal_stays_one_text() -> None:
    command = f"`rankrag index {'a' * 90}`"
    assert console.broken(f"run {command} now", 80) == f"run\n{command}\nnow"


@pytest.mark.usefixtures("terminal")
def test_a_warning_stands_above_what_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    def shown() -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)

    with console.working("loading fake"):
        until(lambda: "loading fake" in shown())
        console.warn("no weights")
        # Rich goes to the beginning of the line and empties it first.
        assert "\r\x1b[2Krankrag: warning: no weights\n" in shown()
    with progress.reporting() as report:
        report(1, 2, "files")
        until(lambda: "1 of 2 files" in shown())
        console.warn("left out")
        assert "\r\x1b[2Krankrag: warning: left out\n" in shown()
    shown()
    console.warn("later")
    assert shown() == "rankrag: warning: later\n"


@pytest.mark.usefixtures("terminal")
def test_a_table_cuts_no_address(capsys: pytest.CaptureFixture[str]) -> None:
    address = "dl.example.com/" + "a" * 100 + ".jsonl"
    console.table([["nq", address]])
    shown = capsys.readouterr().out
    assert "".join(shown.split()) == f"nq{address}"


def test_marks_follow_the_sentences_and_number_the_sources() -> None:
    assert answer_view.marked(ANSWER).plain == "Because. [1] Yes. [2]"


def test_sources_show_relevance_moves_title_path_and_page() -> None:
    lines = [line.split() for line in drawn(ANSWER).splitlines() if line.startswith("[")]
    assert lines[0] == ["[1]", "0.800", "▲2", "Title", "2", "book.pdf,", "page", "2"]
    assert [line[2] for line in lines] == ["▲2", "▼1", "▼1"]
    assert "rank 1.50 s · 100 + 4 tokens" in drawn(ANSWER)


UNDERLINED = "=====\nToes\n=====\n\nFeet\n----\nA cat has eighteen toes.\n\n==== ====\nhind 8\n==== ===="


def test_no_line_that_is_drawn_is_shown_of_a_source() -> None:
    hit = replace(HITS[0], passage=replace(PASSAGES[0], text=UNDERLINED))
    shown = drawn(replace(ANSWER, retrieved=(hit,), ranked=(hit,), text="Eighteen.", citations=()))
    assert "… A cat has eighteen toes. hind 8" in shown
    assert not re.search("[=-]{3}", shown)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_no_line_that_is_drawn_is_shown_of_a_hit(is_terminal: bool) -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=is_terminal, color_system=None)
    hit = replace(HITS[0], passage=replace(PASSAGES[0], text=UNDERLINED))
    answer_view.show_hits([hit], out, Question("q", "toes"))
    assert isinstance(out.file, io.StringIO)
    assert "Toes Feet A cat has eighteen toes. hind 8" in out.file.getvalue()
    assert not re.search("[=-]{3}", out.file.getvalue())


def test_unscored_hits_abstentions_and_cuts_are_said() -> None:
    unscored = replace(HITS[2], scored=False)
    shown = drawn(replace(ANSWER, ranked=(unscored, *ANSWER.ranked[1:]), cuts=(Cut("p2", 3, 7),)))
    assert "[1]     – ▲2" in shown
    assert "p2 did not fit: 3 of 7 characters were read" in shown
    assert "3 of 4 passages scored · retrieve 0.01 s" in shown
    assert "scored" not in drawn(ANSWER)
    abstained = drawn(replace(ANSWER, abstained=True, citations=()))
    assert "Closest passages, not read" in abstained
    assert "No passage was relevant enough" in abstained


def test_each_source_leads_with_what_matters_and_says_how_relevant_it_is() -> None:
    text = "Nothing of it is here. The old bridge was built in 1894. " + "Much else was said. " * 30
    hit = Hit(Passage("b", text, title="Bridges", source=Source("bridges.md")), 0.27)
    asked = Question("q", "When was the bridge built?")
    answer = replace(ANSWER, question=asked, text="1894.", citations=(), ranked=(hit,), retrieved=(hit,))
    lines = [" ".join(line.split()) for line in drawn(answer).splitlines()]
    source = next(n for n, line in enumerate(lines) if line.startswith("[1]"))
    assert lines[source] == "[1] 0.270 Bridges bridges.md"
    assert lines[source + 1].startswith("… The old bridge was built in 1894.")
    assert "[1] 0.270 high" in drawn(replace(answer, calibrated=True))


def test_the_place_of_a_source_is_shown_in_its_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = [f"Line {n} is about nothing." for n in range(1, 31)]
    lines[19] = "Nairobi was founded in 1899."
    (tmp_path / "nairobi.txt").write_text("\n".join(lines))
    index = str(tmp_path / "i")
    assert run(["index", str(tmp_path / "nairobi.txt"), "--index", index, "--encoder", "none"]) == 0
    typed = "/open 1\nWhen was Nairobi founded?\n/open 1\n/open 9\n/quit\n"
    assert talk(typed, index, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "Nothing was asked yet." in out
    assert "20  Nairobi was founded in 1899." in out
    assert "12  Line 12 is about nothing." in out
    assert "There is no source 9" in out
    (tmp_path / "nairobi.txt").write_text("Something else.")
    assert talk("When was Nairobi founded?\n/open 1\n/quit\n", index, monkeypatch) == 0
    assert "cannot be shown as it was indexed" in capsys.readouterr().out


def test_search_can_rank(capsys: pytest.CaptureFixture[str], index: str) -> None:
    assert run(["search", "When was Nairobi founded?", "--rank", "--model", "fake", "--index", index]) == 0
    assert "Nairobi was founded" in capsys.readouterr().out
    asked = ["search", "--questions", "none.txt", "--rank", "--index", index]
    assert run(asked) == 2
    assert "--rank beside --questions" in capsys.readouterr().err


def test_no_line_is_wider_than_the_terminal() -> None:
    long = Passage("x", "Text.", title="A very long title " * 9, source=Source("folder/" * 30 + "file.txt"))
    answer = replace(
        ANSWER, text="Word " * 200, citations=(), ranked=(Hit(long, 1.0),), retrieved=(Hit(long, 1.0),)
    )
    assert max(map(len, drawn(answer, width=40).splitlines())) <= 40


def test_an_answer_longer_than_the_window_shows_its_end_while_it_grows() -> None:
    drawn_so_far = io.StringIO()
    console = Console(file=drawn_so_far, width=40, height=10, force_terminal=True, color_system=None)
    text = " ".join(f"word{n}" for n in range(300))

    def steps() -> Iterator[Answer]:
        yield replace(ANSWER, ranked=(), n_ranked=2, text="", done=False)
        until(lambda: "ranking 2 of 4" in drawn_so_far.getvalue())  # twelve times a second it is drawn
        yield replace(ANSWER, text="", done=False)
        yield replace(ANSWER, text=text)

    assert answer_view.watch(steps(), console).text == text
    assert "word299" in drawn_so_far.getvalue()
    assert "word0 " not in drawn_so_far.getvalue()


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("terminal")
def test_the_loss_mask_is_in_colour_and_no_color_is_respected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["prompt", "show"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[36mSystem: " in out
    assert "\x1b[1;30;42m True\x1b[0m" in out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["prompt", "show"]) == 0
    assert "\x1b[3" not in capsys.readouterr().out


def test_a_pipe_gets_no_escapes_and_no_broken_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    (tmp_path / "passages.txt").write_text("A long passage " * 30 + "\n")
    assert run(["rank", "What?", "--passages", str(tmp_path / "passages.txt"), "--model", "fake"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert any("A long passage " * 29 in line for line in out.splitlines())
    assert all(line == line.rstrip() for line in out.splitlines())


# ── the conversation ─────────────────────────────────────────────────────────────────────────────────


class Keyboard(io.StringIO):
    """A terminal on which these lines are typed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "nairobi.txt").write_text("Nairobi was founded in 1899. Its river gave it the name.")
    assert run(["index", str(folder / "nairobi.txt"), "--index", str(folder / "i"), "--encoder", "none"]) == 0
    return str(folder / "i")


def talk(lines: str, index: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr("sys.stdin", Keyboard(lines))
    return run(["ask", "--model", "fake", "--index", index, *options])


def test_a_conversation_answers_shows_sources_and_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    typed = "\n/sources\nWhen was Nairobi founded?\n/sources\n/what\n/open x\n/open 7\n/quit\nnever asked\n"
    assert talk(typed, index, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "Nothing was asked yet." in out
    assert "Nairobi was founded in 1899. [1]" in out
    assert "nairobi.txt" in out
    assert "There is no /what." in out
    assert "Give the number of a source after /open" in out
    assert "There is no source 7: the model read 1 passage." in out
    assert out.count("retrieve ") == 1


def test_a_conversation_ends_at_the_end_of_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    assert talk("When was Nairobi founded?\n", index, monkeypatch) == 0
    assert "1899" in capsys.readouterr().out


def test_a_conversation_remembers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: str, tmp_path: Path
) -> None:
    seen: list[Question] = []
    real = answer_view.watch

    def watch(steps: Iterator[Answer], console: Console) -> Answer:
        answer = real(steps, console)
        seen.append(answer.question)
        return answer

    monkeypatch.setattr(answer_view, "watch", watch)
    (tmp_path / "history.jsonl").write_text('{"role": "user", "content": "Hello."}\n')
    options = ("--history", str(tmp_path / "history.jsonl"), "--style", "phrase")
    assert talk("When was Nairobi founded?\nAnd its river?\n", index, monkeypatch, *options) == 0
    assert [[turn.text for turn in question.history] for question in seen] == [
        ["Hello."],
        ["Hello.", "When was Nairobi founded?", "Nairobi was founded in 1899."],
    ]
    assert {question.style for question in seen} == {"phrase"}


def test_ctrl_c_stops_an_answer_and_not_the_conversation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    real, seen = answer_view.watch, list[Question]()

    def watch(steps: Iterator[Answer], console: Console) -> Answer:
        if not seen:
            seen.append(next(steps).question)
            raise KeyboardInterrupt
        answer = real(steps, console)
        seen.append(answer.question)
        return answer

    monkeypatch.setattr(answer_view, "watch", watch)
    assert talk("When was it founded?\nWhen was Nairobi founded?\n", index, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "Stopped." in out
    assert "Nairobi was founded in 1899. [1]" in out
    assert seen[1].history == ()  # what was stopped is not remembered


def test_ctrl_c_at_the_prompt_throws_the_line_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    typed: Iterator[str | type[BaseException]] = iter(
        [KeyboardInterrupt, "When was Nairobi founded?", EOFError]
    )

    def line(_: str) -> str:
        if isinstance(text := next(typed), str):
            return text
        raise text

    monkeypatch.setattr("builtins.input", line)
    assert talk("", index, monkeypatch) == 0
    assert "1899" in capsys.readouterr().out


def test_weak_evidence_and_a_rewritten_question_are_said() -> None:
    found = (replace(HITS[2], score=0.026),)
    shown = drawn(replace(ANSWER, retrieved=found, ranked=found, citations=(), weak=True))
    assert "weak evidence: the best passage has a relevance of 0.026 (low)" in shown
    assert "searched for: Why is it so?" in drawn(replace(ANSWER, rewritten="Why is it so?"))
    assert "weak" not in drawn(ANSWER)


def test_what_was_found_is_shown_before_a_model_is_loaded(
    index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rankrag.cli import ask

    opened: list[SystemSpec] = []

    def counted(spec: SystemSpec, shelf: Retrieval | None) -> RAG:
        opened.append(spec)
        return open_system(spec, shelf)

    monkeypatch.setattr(ask, "open_system", counted)
    stream = ask._answering(SystemSpec(index=Path(index), model="fake"))
    steps = stream(Question("q", "When was Nairobi founded?"), {})
    first = next(steps)
    assert first.retrieved
    assert not opened
    *_, last = steps
    assert last.retrieved == first.retrieved
    assert [*stream(last.question, {})][-1].text == last.text
    assert len(opened) == 1


# ── bars ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("terminal")
def test_a_bar_shows_counts_and_rate_and_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.reporting() as report:
        report(0, 2_000_000_000, "bytes fetched")
        report(1_000_000_000, 2_000_000_000, "bytes fetched")
        report(1, 0, "passages")
    out, err = capsys.readouterr()
    assert out == ""
    assert "1,000 of 2,000 MB fetched" in err
    assert "1 passages" in err


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 5.0, 12.0, 13.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with progress.reporting() as report:
        for done in (50, 120, 130):
            report(done, 1000, "passages")
    assert capsys.readouterr().err == "120 of 1,000 passages · 10/s · 0:01:28 left\n"


def test_what_was_done_before_is_no_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 21.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with progress.reporting() as report:
        report(500, 510, "questions")
        report(504, 510, "questions")
    assert capsys.readouterr().err == "504 of 510 questions · 5 s each · 0:00:30 left\n"


def test_the_same_work_once_more_has_a_speed_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.0, 7000.0, 7020.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with progress.reporting() as report:
        for done in (1, 9, 1, 11):
            report(done, 37, "batches")
    assert capsys.readouterr().err.splitlines() == [
        "1 of 37 batches",
        "11 of 37 batches · 2 s each · 0:00:52 left",
    ]


@pytest.mark.usefixtures("terminal")
def test_a_bar_goes_back_for_the_same_work_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.reporting() as report:
        for done in (9, 37, 1):
            report(done, 37, "batches")
    assert "1 of 37 batches" in capsys.readouterr().err


def test_tracked_items_come_through_in_order() -> None:
    assert [*progress.track("abc", 3, "letters")] == ["a", "b", "c"]


@pytest.mark.usefixtures("terminal")
def test_a_terminal_obeys_nothing_that_a_document_says(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "Cats \x1b[2J\x1b]52;c;cm0=\x07 sleep\x9b5m\u202e all day.\n\tYes."
    hit = replace(HITS[0], passage=replace(PASSAGES[0], text=evil, title=evil, id=evil))
    answer_view.show_answer(
        replace(ANSWER, ranked=(hit,), retrieved=(hit,), text=evil, citations=()), console.out()
    )
    console.say(evil)
    shown = capsys.readouterr().out
    assert "sleep" in shown
    assert not set("\x07\x9b\u202e") & set(shown)
    assert not re.search(r"\x1b(?!\[[\d;]*m)", shown)  # the colours are our own
