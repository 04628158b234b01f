"""Answers on disk: kills, resumption, other systems; and the relevances that are kept."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rankrag.errors import FailureError, FormatError, InvalidInputError, NotFoundError
from rankrag.eval.answers import AnswerFile, Facts, read_answers, read_others
from rankrag.eval.gold import Gold, GoldQuestion, sample
from rankrag.eval.predict import in_threads, predict
from rankrag.eval.relevance_cache import CachedRanker, RelevanceCache
from rankrag.eval.results import System
from rankrag.types import Answer, Citation, Hit, Passage, Question, Source, Turn

SYSTEM = System("bm25", "bm25", "wiki", 20, 5, None, "fake", facts={"template": "paper"})
FACTS = Facts(SYSTEM, "nq", "nq.jsonl", "abc", 100, seed=0, n=3)
PASSAGES = tuple(
    Passage(f"p{n}", f"Text {n}.", f"T{n}", Source("a.pdf", 2, n, n + 7) if n else None) for n in range(4)
)
ITEMS = [GoldQuestion(Question(f"q{n}", f"Question {n}?"), Gold(("x",)), f"q{n}") for n in range(8)]


def answered(question: Question) -> Answer:
    hits = tuple(Hit(passage, 1.0 / place) for place, passage in enumerate(PASSAGES, 1))
    return Answer(
        question,
        query=question.text,
        retrieved=hits,
        ranked=(*hits[::-1][:3], replace(hits[0], scored=False)),
        read_k=2,
        text=f"Answer to {question.text}",
        citations=(Citation(0, 6, "p3", 0.5),),
        timings_s={"retrieve": 0.5},
        done=True,
    )


def silent(done: int, of: int) -> None: ...


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    with AnswerFile(tmp_path, FACTS) as file:
        predict(ITEMS[:3], partial(in_threads, answered, 1), file, silent)
    given = read_answers(tmp_path)
    assert given.facts == FACTS
    assert [*given.answers] == ["q0", "q1", "q2"]
    assert given.answers["q1"] == answered(ITEMS[1].question)
    assert len((tmp_path / "passages.jsonl").read_text().splitlines()) == len(PASSAGES)


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    asked: list[str] = []

    def dies_at_q2(question: Question) -> Answer:
        if question.id == "q2":
            raise FailureError("the server is gone")
        asked.append(question.id)
        return answered(question)

    with pytest.raises(FailureError), AnswerFile(tmp_path, FACTS) as file:
        predict(ITEMS[:4], partial(in_threads, dies_at_q2, 1), file, silent)
    for name in ("answers.jsonl", "passages.jsonl"):
        with (tmp_path / name).open("a") as stream:
            stream.write('{"id": "q2", "ques')
    reported: list[tuple[int, int]] = []
    with AnswerFile(tmp_path, replace(FACTS, n=8, device="another")) as file:
        predict(
            ITEMS[:8], partial(in_threads, answered, 1), file, lambda done, of: reported.append((done, of))
        )
    assert asked == ["q0", "q1"]
    assert reported[:2] == [(2, 8), (3, 8)]
    assert reported[-1] == (8, 8)
    assert [*read_answers(tmp_path).answers] == [item.question.id for item in ITEMS]


def test_answers_of_another_system_are_not_mixed_in(tmp_path: Path) -> None:
    with AnswerFile(tmp_path, FACTS):
        pass
    other = replace(FACTS, system=replace(SYSTEM, retrieve_k=30))
    with pytest.raises(InvalidInputError, match="answers of another system: found system"):
        AnswerFile(tmp_path, other)
    with pytest.raises(InvalidInputError, match="found sha256 'abc', wanted 'changed'"):
        AnswerFile(tmp_path, replace(FACTS, sha256="changed"))


def test_a_folder_is_open_for_one_process(tmp_path: Path) -> None:
    """Scripts that are stopped without what they started go on beside their successors."""
    script = (
        "import pathlib, sys, time; from rankrag.eval import answers; "
        "held = answers._locked(pathlib.Path(sys.argv[1])); print('open', flush=True); time.sleep(999)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(InvalidInputError, match="open in another process"):
            AnswerFile(tmp_path, FACTS)
        other.kill()  # the lock does not outlive it
    for _ in range(2):
        with AnswerFile(tmp_path, FACTS):
            pass


def test_a_refused_question_is_kept_as_failed(tmp_path: Path) -> None:
    def refuses(question: Question) -> Answer:
        if question.id == "q1":
            raise InvalidInputError("found a question of 9,000 tokens")
        return answered(question)

    with AnswerFile(tmp_path, FACTS) as file:
        assert predict(ITEMS[:3], partial(in_threads, refuses, 1), file, silent) == 1
    given = read_answers(tmp_path)
    assert [*given.answers] == ["q0", "q2"]
    assert given.failed == {"q1": "found a question of 9,000 tokens"}
    with AnswerFile(tmp_path, FACTS) as file:
        told = predict(
            ITEMS[:3], lambda questions: [pytest.fail(f"{q.id} asked again") for q in questions], file, silent
        )
    assert told == 1, "what was refused before is still told"


def test_questions_asked_at_a_time_are_written_in_order(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=120)

    def waits_for_others(question: Question) -> Answer:
        if question.id in ("q0", "q1", "q2"):
            together.wait()
        return answered(question)

    with AnswerFile(tmp_path, FACTS) as file:
        predict(ITEMS, partial(in_threads, waits_for_others, 3), file, silent)
    assert [*read_answers(tmp_path).answers] == [item.question.id for item in ITEMS]


def test_answers_that_are_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no facts\.json"):
        read_answers(tmp_path)
    with AnswerFile(tmp_path, FACTS) as file:
        file.add(answered(ITEMS[0].question))
    (tmp_path / "answers.jsonl").write_text('{"id": "q0", "question": "?", "query": ""}\n')
    with pytest.raises(FormatError, match=r"answers\.jsonl:1: found no 'retrieved'"):
        read_answers(tmp_path)
    (tmp_path / "facts.json").write_text("[]")
    with pytest.raises(FormatError, match="found no facts"):
        read_answers(tmp_path)


def test_answers_of_other_systems_are_read(tmp_path: Path) -> None:
    path = tmp_path / "given.jsonl"
    lines = [
        {"id": "a", "text": "one"},
        {"question_id": "b", "prediction": "two"},
        {"_id": 3, "output": [{"answer": "three"}]},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read_others(str(path)) == {"a": "one", "b": "two", "3": "three"}
    path.write_text('{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}')
    with pytest.raises(FormatError, match=r"given.jsonl:2: found a second answer to 'a'"):
        read_others(str(path))
    path.write_text('{"id": "a", "score": 1}')
    with pytest.raises(FormatError, match="found no id or no text"):
        read_others(str(path))


def test_a_smaller_sample_begins_a_larger_one() -> None:
    small, large = sample(ITEMS, 3), sample(ITEMS, 6)
    assert large[:3] == small
    assert sample(ITEMS[::-1], 6) == large, "the order of the file does not matter"
    assert sample(ITEMS, 6, seed=1) != large
    assert sample(ITEMS, 3, skip=3) == large[3:], "what was not looked at before"
    assert sorted(item.question.id for item in sample(ITEMS, None)) == [f"q{n}" for n in range(8)]


# ── relevances that are kept ─────────────────────────────────────────────────────────────────────────


class Counting:
    """Ranks by the digits of the id and remembers what it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        self.asked += [hit.passage.id for hit in hits]
        scored = [replace(hit, score=int(hit.passage.id[1:]) / 10, scored=True) for hit in hits]
        return sorted(scored, key=lambda hit: -hit.score)


def test_no_pair_is_ranked_twice(tmp_path: Path) -> None:
    hits = [Hit(passage, 0.0) for passage in PASSAGES]
    question = Question("q", "Why?")
    inner = Counting()
    first = CachedRanker(inner, RelevanceCache(tmp_path / "r.sqlite"), "model-1")
    alone = first.rank(question, hits[:2])
    assert [hit.passage.id for hit in alone] == ["p1", "p0"]
    assert first.reused == set()
    again = CachedRanker(inner, RelevanceCache(tmp_path / "r.sqlite"), "model-1")
    assert again.rank(question, hits) == Counting().rank(question, hits)
    assert inner.asked == ["p0", "p1", "p2", "p3"]
    assert again.reused == {"q"}


@pytest.mark.parametrize(
    ("identity", "question"),
    [
        ("model-2", Question("q", "Why?")),
        ("model-1", Question("q", "Why not?")),
        ("model-1", Question("q", "Why?", style="true_false")),
        ("model-1", Question("q", "Why?", history=(Turn("user", "So?"),))),
    ],
)
def test_anything_that_changes_a_relevance_asks_anew(
    tmp_path: Path, identity: str, question: Question
) -> None:
    hits = [Hit(PASSAGES[0], 0.0)]
    inner, cache = Counting(), RelevanceCache(tmp_path / "r.sqlite")
    CachedRanker(inner, cache, "model-1").rank(Question("q", "Why?"), hits)
    CachedRanker(inner, cache, identity).rank(question, hits)
    assert len(inner.asked) == 2
    changed = [Hit(replace(PASSAGES[0], text="Other."), 0.0)]
    CachedRanker(inner, cache, "model-1").rank(Question("q", "Why?"), changed)
    assert len(inner.asked) == 3
