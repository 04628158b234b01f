"""What training and benchmarks must not share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankrag.data.decontamination import Benchmarks, Passages, Questions
from rankrag.data.item import Item
from rankrag.errors import FormatError
from rankrag.eval.load import official_questions
from rankrag.types import Passage, Question, Turn

TEXT = (
    "Early during the Taiping Rebellion, Qing forces suffered a series of disastrous defeats culminating in "
    "the loss of the regional capital city of Nanjing in 1853."
)
OTHER = (
    "The oboe is a woodwind with a double reed, and because its pitch is hard to change it gives the note to "
    "which the whole orchestra tunes before the concert begins."
)


def item(text: str, *before: str, gold: str = "") -> Item:
    history = tuple(turn for said in before for turn in (Turn("user", said), Turn("assistant", "Yes.")))
    passages = (Passage("p", gold),) if gold else ()
    return Item(text, Question(text, text, history), answers=("a",), gold=passages)


@pytest.fixture
def benchmarks(tmp_path: Path) -> Benchmarks:
    records: list[dict[str, object]] = [
        {"id": "1", "question": "Who wrote the Brothers Karamazov?", "answers": ["x"]},
        {"id": "0", "question": "Yes.", "answers": []},
        {
            "id": "2",
            "question": "When was it lost?",
            "passages": [
                {"id": "a", "title": "", "text": TEXT, "relevant": True},
                {"id": "b", "title": "", "text": OTHER, "relevant": False},
            ],
        },
    ]
    (tmp_path / "bench.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    (tmp_path / "queries.jsonl").write_text('{"_id": "3", "text": "how long do swifts fly"}\n')
    found = Benchmarks()
    found.add(str(tmp_path / "bench.jsonl"))
    found.add(str(tmp_path / "queries.jsonl"))
    return found


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (item("who wrote THE brothers karamazov"), "is a benchmark question"),
        (item("How long do swifts fly?"), "is a benchmark question"),
        (item("And then?", "Who wrote the Brothers Karamazov?"), "is a benchmark question"),
        (item("And what of licences?", "Yes."), None),
        (item("Yes.", "Do I have to renew my licence?"), None),
        (item("Yes."), "is a benchmark question"),
        (item("Answer this. Who wrote the Brothers Karamazov? Be short."), "contains a benchmark question"),
        (item("Tell me: When was it lost? Thanks."), None),  # four words would be found by chance
        (item("Who wrote the Brothers Grimm?"), None),
        (item("Who led the army?", gold=TEXT), "reads a benchmark passage"),
        (
            item("Who led the army?", gold=f"{TEXT} And more that was written afterwards."),
            "reads a benchmark passage",
        ),
        (item("Who plays it?", gold=OTHER), None),
    ],
)
def test_what_speaks_against_an_item(benchmarks: Benchmarks, one: Item, reason: str | None) -> None:
    assert benchmarks.reason_against(one) == reason
    assert benchmarks.reason_against(one) == reason  # the second time from memory


OFFICIAL = {
    "nq-dev-kilt.jsonl": '{"id": "1", "input": "Who dug the lake?", "output": [{"answer": "Ann"}]}',
    "test.json": '[{"messages": [{"role": "user", "content": "Who dug the lake?"}], "answers": ["Ann"]}]',
    "topiocqa_dev.json": (
        '[{"Conversation_no": 1, "Turn_no": 1, "Question": "Who dug the lake?", "Answer": "Ann"}]'
    ),
    "paper_dev.jsonl": '{"id": 1, "claim": "Who dug the lake?", "label": "REFUTES"}',
    "nq-test.qa.csv": "who dug the lake?\t['Ann']",
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_files_are_read_as_they_are_scored(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(OFFICIAL[name] + "\n")
    found = Benchmarks(official_questions)
    found.add(str(tmp_path / name))
    assert len(found.questions) == 1
    assert found.reason_against(item("Who dug the lake?")) == "is a benchmark question"


def test_mirage_s_file_is_five_benchmarks(tmp_path: Path) -> None:
    tasks = ("mmlu", "medqa", "medmcqa", "pubmedqa", "bioasq")
    made = {
        name: {"0": {"question": f"Which {name}?", "options": {"A": "a"}, "answer": "A"}} for name in tasks
    }
    (tmp_path / "benchmark.json").write_text(json.dumps(made))
    assert sorted(official_questions(str(tmp_path / "benchmark.json")) or ()) == sorted(
        f"Which {name}?" for name in tasks
    )


def test_neutral_files_keep_their_passages_beside_official_ones(tmp_path: Path) -> None:
    row = {"id": "1", "question": "Who?", "answers": ["x"], "passages": [{"text": TEXT, "relevant": True}]}
    (tmp_path / "bench.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "3", "text": "how long do swifts fly"}\n')
    (tmp_path / "table.csv").write_text("id,question\n1,Where do swifts sleep?\n")
    found = Benchmarks(official_questions)
    for path in tmp_path.iterdir():
        found.add(str(path))
    assert (len(found.questions), found.passages.n_passages) == (3, 1)


def test_benchmarks_are_counted(benchmarks: Benchmarks) -> None:
    assert (len(benchmarks.questions), benchmarks.passages.n_passages) == (4, 1)


def test_a_benchmark_file_without_questions_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bench.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(FormatError, match=r"bench\.jsonl:1: "):
        Benchmarks().add(str(tmp_path / "bench.jsonl"))


def test_overlap_is_the_share_of_a_text() -> None:
    known = Passages([TEXT])
    assert known.overlap(TEXT) == 1.0
    assert known.overlap(OTHER) == 0.0
    assert 0.0 < known.overlap(f"{TEXT} {OTHER}") < 1.0
    assert not known.same(f"{TEXT} {OTHER} {OTHER[::-1]} {OTHER.replace('e', 'o')}")
    assert known.overlap("") == 0.0
    assert Passages(["Too short."]).same("too short")


def test_no_questions_hold_nothing() -> None:
    assert not Questions().contained(TEXT)
    assert not Questions(["", "?"]).same("")
