"""`rankrag data questions`: questions on one's own passages, and the blend that is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import rankrag
from cli_call import call
from rankrag.cli.questions import drawn, question_on
from rankrag.index import build, open_store
from rankrag.model import FakeLanguageModel
from rankrag.prompts import PAPER
from rankrag.system import RAG, Engine
from rankrag.types import Passage, Prompt

RECIPE = str(Path(__file__).parents[1] / "recipes" / "own-documents.yaml")

ANIMALS = ("cat", "whale", "otter", "heron", "lynx", "badger")


def text(animal: str, feet: int) -> str:
    words = " ".join(f"Sentence {n} of the {animal} page is here." for n in range(6))
    return f"A {animal} has {feet} toes. {words}"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    (folder / "documents").mkdir()
    for feet, animal in enumerate(ANIMALS, 10):
        (folder / "documents" / f"{animal}.md").write_text(text(animal, feet))
    (folder / "documents" / "short.md").write_text("Too short to ask about.")
    build([str(folder / "documents")], folder / "index")
    return folder / "index"


@dataclass(frozen=True)
class Writer(FakeLanguageModel):
    """Writes one question, whatever it reads."""

    words: str = ""

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        yield self.words


def writer(words: str) -> Engine:
    return Engine(Writer(words=words), PAPER, trained=False, threshold=None)


@pytest.fixture
def rag(index: Path) -> RAG:
    return rankrag.load(index=index, model="fake", retrieve_k=5, read_k=2)


def passage_of(index: Path, animal: str) -> Passage:
    return next(one for one in drawn(open_store(index), 10, 0) if animal in one.text)


def test_a_question_that_comes_back_is_kept_with_its_near_misses(index: Path, rag: RAG) -> None:
    passage = passage_of(index, "otter")
    item = question_on(passage, rag, writer("How many toes has an otter?\nAnd more."))
    assert isinstance(item, dict)
    assert item["question"] == "How many toes has an otter?"
    passages = item["passages"]
    assert isinstance(passages, list)
    assert [one["id"] for one in passages if one["relevant"]] == [passage.id]
    assert len(passages) > 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("The otter?", "no question"),
        ("How many toes has a whale?", "its passage is not found again"),
    ],
)
def test_what_does_not_come_back_is_dropped(index: Path, rag: RAG, words: str, reason: str) -> None:
    rag = replace(rag, pipeline=replace(rag.pipeline, read_k=1))
    assert question_on(passage_of(index, "otter"), rag, writer(words)) == reason


def test_passages_are_drawn_by_the_seed_and_are_long_enough(index: Path) -> None:
    store = open_store(index)
    assert [one.id for one in drawn(store, 3, 1)] == [one.id for one in drawn(store, 3, 1)]
    assert [one.id for one in drawn(store, 3, 1)] != [one.id for one in drawn(store, 3, 2)]
    assert len(drawn(store, 100, 1)) == len(ANIMALS)


def test_what_was_dropped_is_told(capsys: pytest.CaptureFixture[str], index: Path, tmp_path: Path) -> None:
    to = tmp_path / "questions.jsonl"
    command = ("data", "questions", "--to", str(to), "--index", str(index), "--model", "fake", "-n", "4")
    out, _ = call(capsys, *command, "--output", "json")
    told = json.loads(out)
    assert (told["passages"], told["kept"] + sum(told["dropped"].values())) == (4, 4)
    assert to.exists()


def test_the_recipe_makes_a_blend_of_them(
    capsys: pytest.CaptureFixture[str], index: Path, rag: RAG, tmp_path: Path
) -> None:
    items = [
        question_on(passage_of(index, animal), rag, writer(f"How many toes has the {animal}?"))
        for animal in ANIMALS
    ]
    lines = [json.dumps(item) for item in items if isinstance(item, dict)]
    assert len(lines) >= 4
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    build_it = ("data", "build", RECIPE, "--data-root", str(tmp_path), "--out", str(tmp_path / "blend"))
    call(capsys, *build_it, "--set", "blend.held_out=0")
    examples = [json.loads(line) for line in (tmp_path / "blend" / "examples.jsonl").read_text().splitlines()]
    assert {"rank", "context_qa"} <= {example["task"] for example in examples}
    assert {"True", "False"} <= {one["target"] for one in examples if one["task"] == "rank"}
