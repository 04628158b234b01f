"""`rankrag calibrate`: labelled pairs in, a calibration out, and a checkpoint that is used with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import model_tiny
from cli_call import call
from rankrag import prompts
from rankrag.cli.calibrate import read_judged
from rankrag.errors import FormatError, InvalidInputError
from rankrag.model import FakeLanguageModel, ModelRanker
from rankrag.model.skills.calibrated import (
    FILE,
    CalibratedRanker,
    Calibration,
    check_calibration,
    read_calibration,
    weights_mark,
    write_calibration,
)
from rankrag.model.store.checkpoint import Checkpoint, write_checkpoint
from rankrag.system import load, open_engine
from rankrag.system.rankers import calibrated
from rankrag.types import Hit, Passage, Question

RIVERS = ("Danube", "Rhine", "Elbe", "Oder", "Main", "Isar", "Inn", "Lech", "Spree", "Havel")
TOWNS = (
    "Ulm",
    "Basel",
    "Dresden",
    "Breslau",
    "Frankfurt",
    "Munich",
    "Passau",
    "Augsburg",
    "Berlin",
    "Potsdam",
)


def write_lines(path: Path, records: Sequence[object]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return str(path)


def neutral(n: int) -> list[dict[str, object]]:
    """Return questions with one relevant passage (by words), three others, and one without a judgement."""
    found: list[dict[str, object]] = []
    for number in range(n):
        river, town = RIVERS[number % 10], TOWNS[(number + number // 10) % 10]
        texts = [
            (f"The {river} flows through {town}, the chronicle {number} says.", True),
            (f"The {river} is long.", False),
            (f"Chronicle {number} is lost.", False),
            ("Bees dance.", False),
            (f"{town} lies by the {river}.", None),
        ]
        passages = [{"id": "p", "title": "", "text": text, "relevant": label} for text, label in texts]
        question = f"Which town does the {river} flow through in chronicle {number}?"
        found.append({"id": f"q{number}", "question": question, "answers": [town], "passages": passages})
    return found


def example(number: int, text: str, target: str, task: str = "rank") -> dict[str, object]:
    question = {"id": f"q{number}", "text": f"Where does the {RIVERS[number % 10]} rise?"}
    passage = {"id": "x", "text": text}
    return {"id": f"{number}/{text}", "source": "own", "task": task, "question": question} | {
        "passages": [passage],
        "target": target,
    }


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    return write_lines(tmp_path / "pairs.jsonl", neutral(40))


# ── the verb ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_relevance_becomes_a_probability(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, pairs: str, method: str
) -> None:
    arguments = ("--pairs", pairs, "--model", "fake", "--method", method, "--precision", "0.8")
    out, err = call(capsys, "calibrate", *arguments, "--out", str(tmp_path / "c"), "--output", "json")
    found = json.loads(out)
    assert (found["questions"], found["pairs"], found["relevant"]) == (40, 160, 40)
    assert "label more" not in err
    written = read_calibration(tmp_path / "c" / FILE)
    assert found["file"] == str(tmp_path / "c" / FILE)
    assert written.kind == method
    assert (written.n_pairs, written.precision) == (160, 0.8)
    assert written.template_hash == prompts.template_hash(prompts.PAPER)
    assert len(written.data_sha256) == 64
    assert written.ece is not None
    assert written.brier is not None
    assert written.ece[1] < written.ece[0]
    assert written.brier[1] < written.brier[0]
    assert written.threshold == found["threshold"]["value"]
    assert found["threshold"]["precision"] >= found["threshold"]["at_least"] >= 0.8
    assert 0 < found["threshold"]["recall"] <= 1


def test_the_table_says_before_and_after(capsys: pytest.CaptureFixture[str], pairs: str) -> None:
    out, _ = call(capsys, "calibrate", "--pairs", pairs, "-m", "fake", "--precision", "0.8")
    heads, first, second, threshold, last = out.splitlines()
    assert heads.split() == ["before", "after,", "unseen", "questions"]
    assert (first.split()[0], second.split()[:2]) == ("ECE", ["Brier", "score"])
    assert threshold.startswith("threshold 0.")
    assert "of all relevant ones" in threshold
    assert last.startswith("nothing was written")


@pytest.mark.parametrize("output", ["text", "json"])
def test_relevance_is_put_right_without_a_threshold(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, output: str
) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", neutral(40))
    # No threshold reaches this precision (below), which stops a fit only where one is looked for.
    arguments = ("--pairs", pairs, "-m", "fake", "--precision", "0.999", "--no-threshold")
    out, _ = call(capsys, "calibrate", *arguments, "-o", str(tmp_path), "--output", output)
    written = read_calibration(tmp_path / FILE)
    assert (written.threshold, written.precision, written.n_pairs) == (None, None, 160)
    assert json.loads(out)["threshold"] is None if output == "json" else "it does not abstain" in out


def test_same_pairs_same_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, pairs: str) -> None:
    for name in ("a", "b"):
        call(capsys, "calibrate", "--pairs", pairs, "-m", "fake", "-n", "30", "-o", str(tmp_path / name))
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()
    assert read_calibration(tmp_path / "a" / FILE).n_pairs == 120


def test_few_pairs_are_warned_about(capsys: pytest.CaptureFixture[str], pairs: str) -> None:
    _, err = call(capsys, "calibrate", "--pairs", pairs, "-m", "fake", "-n", "10", "--precision", "0.3")
    assert "found 40 pairs: below 100 a fit may be chance" in err


def one_class(records: list[dict[str, object]]) -> list[dict[str, object]]:
    text = json.dumps(records).replace('"relevant": true', '"relevant": null')
    found: list[dict[str, object]] = json.loads(text)
    return found


@pytest.mark.parametrize(
    ("records", "arguments", "code", "words"),
    [
        (one_class(neutral(5)), [], 5, "found 0 relevant pairs among 15, wanted both kinds"),
        (neutral(40), ["--precision", "0.999"], 5, "found no threshold with 0.999 as bound of its precision"),
        (neutral(1), [], 5, "found 4 pairs of 1 question,"),
        ([{"id": "a", "question": "Why?", "answers": ["x"]}], [], 5, "found no labelled pairs"),
        (neutral(5), ["--write"], 2, "found --write for fake, which has no folder"),
        (neutral(5), ["--write", "--out", "x"], 2, "found --write and --out"),
        (neutral(5), ["--precision", "1.5"], 2, "wanted a number less than or equal to 1"),
        (neutral(5), ["--method", "magic"], 2, "'magic'"),
    ],
)
def test_what_is_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    records: list[dict[str, object]],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    path = write_lines(tmp_path / "p.jsonl", records)
    out, err = call(capsys, "calibrate", "--pairs", path, "-m", "fake", *arguments, code=code)
    assert out == ""
    assert words in err.splitlines()[-1]


# ── pairs ────────────────────────────────────────────────────────────────────────────────────────────


def test_passages_without_a_judgement_are_left_out(pairs: str) -> None:
    first, *others = read_judged(pairs)
    assert first.question.text.startswith("Which town does the Danube")
    assert [label for _, label in first.passages] == [True, False, False, False]
    assert len(others) == 39


def test_examples_of_a_blend_are_pairs(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "heldout.jsonl",
        [
            example(1, "Far away.", "True"),
            example(1, "Nowhere.", "False"),
            example(1, "Far away.", "True"),  # drawn twice
            example(2, "In the hills.", "True"),
            example(2, "In the hills.", "In the hills.", task="context_qa"),
            example(3, "A long answer.", "A long answer.", task="context_qa"),
        ],
    )
    one, two = read_judged(path)
    assert [(passage.text, label) for passage, label in one.passages] == [
        ("Far away.", True),
        ("Nowhere.", False),
    ]
    assert [(passage.text, label) for passage, label in two.passages] == [("In the hills.", True)]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (neutral(1)[0] | {"passages": [{"text": "x", "relevant": "yes"}]}, ":2: found relevant = 'yes'"),
        (neutral(1)[0] | {"passages": ["x"]}, ":2: found passages that are no objects"),
        (example(1, "Far.", "Maybe"), ":2: found target 'Maybe', wanted True or False"),
    ],
)
def test_a_wrong_label_is_named(tmp_path: Path, record: dict[str, object], words: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", [*neutral(1), record])
    with pytest.raises(FormatError, match=words):
        list(read_judged(path))


# ── the ranker ───────────────────────────────────────────────────────────────────────────────────────

MAP = Calibration("temperature", ((0.5, -1.0),))
QUESTION = Question("1", "What do bees dance about?")


def hits() -> list[Hit]:
    texts = ("Bees dance.", "Bees.", "Owls hunt.", "Owls sleep.", "Dance about bees.")
    return [Hit(Passage(str(n), text), 0.0) for n, text in enumerate(texts)]


def test_the_order_is_the_rankers_and_the_relevance_is_not() -> None:
    raw = ModelRanker(FakeLanguageModel(), prompts.PAPER)
    before, after = raw.rank(QUESTION, hits()), CalibratedRanker(raw, MAP).rank(QUESTION, hits())
    assert [hit.passage for hit in after] == [hit.passage for hit in before]
    odds = [hit.score / (1 - hit.score) for hit in before]
    assert [hit.score for hit in after] == pytest.approx([o**0.5 / (o**0.5 + np.e) for o in odds])
    assert CalibratedRanker(raw, MAP).rank(QUESTION, []) == []


def test_hits_that_were_not_scored_stay_as_they_are() -> None:
    class Half:
        """Scores the first two hits, as a budget would have it."""

        def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
            scored = [replace(hit, score=0.9 - n / 10) for n, hit in enumerate(hits[:2])]
            return scored + [replace(hit, score=17.0, scored=False) for hit in hits[2:]]

    found = CalibratedRanker(Half(), MAP).rank(QUESTION, hits())
    assert [(hit.score, hit.scored) for hit in found[2:]] == [(17.0, False)] * 3
    assert found[1].score < found[0].score < 0.9


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────────

FULL = Calibration(
    "isotonic",
    ((0.1, 0.0), (0.4, 0.25), (0.5, 0.25), (0.9, 1.0)),
    *(0.6, 0.9, 120, "ab" * 32, (0.2, 0.05), (0.3, 0.2), "0123", "4567"),
)


@pytest.mark.parametrize("made", [FULL, MAP], ids=["full", "bare"])
def test_what_is_written_is_read(tmp_path: Path, made: Calibration) -> None:
    path = write_calibration(tmp_path / "new", made)
    assert read_calibration(path) == made
    assert [one.name for one in path.parent.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "magic"}, "kind: found 'magic', wanted one of temperature, isotonic"),
        ({"points": [[0.5, 0.4], [0.1, 0.9]]}, "does not rise"),
        ({"points": [[0.1, 0.9], [0.5, 0.4]]}, "does not rise"),
        ({"points": [[0.1, 0.2], [0.5, 1.4]]}, "does not rise"),
        ({"points": [[0.1, 0.2]]}, "does not rise"),
        ({"kind": "temperature", "points": [[-1.0, 0.0]]}, "does not rise"),
        ({"kind": "temperature"}, "does not rise"),
        ({"points": [[0.1, 0.2], [0.5, float("nan")]]}, "not numbers"),
        ({"points": [0.1, 0.2]}, "found no calibration"),
        ({"threshold": 1.5}, "threshold 1.5, wanted a number in 0..1"),
        ({"threshold": "high"}, "found no calibration"),
        ({"colour": "red"}, "wanted exactly kind, points"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = write_calibration(tmp_path, FULL)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInputError, match=words):
        read_calibration(path)


def test_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[")
    with pytest.raises(InvalidInputError, match="rankrag calibrate --write"):
        read_calibration(tmp_path / FILE)


def test_a_calibration_of_other_weights_or_words_is_refused(tmp_path: Path) -> None:
    check_calibration(tmp_path / FILE, FULL, "0123", "4567", 0.0)
    with pytest.raises(InvalidInputError, match="fitted with weights 0123, wanted abcd: make it again"):
        check_calibration(tmp_path / FILE, FULL, "abcd", "4567", 0.0)
    with pytest.raises(InvalidInputError, match="fitted with template 4567, wanted abcd"):
        check_calibration(tmp_path / FILE, FULL, "0123", "abcd", 0.0)
    with pytest.raises(InvalidInputError, match=r"fitted with query_likelihood 0\.0, wanted 0\.2"):
        check_calibration(tmp_path / FILE, FULL, "0123", "4567", 0.2)


def test_the_mark_changes_with_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(np.random.default_rng(0).bytes(300_000))
    mark = weights_mark([tmp_path])
    assert len(mark) == 16
    (tmp_path / FILE).write_text("{}")
    assert weights_mark([tmp_path]) == mark
    content = bytearray(weights.read_bytes())
    for place in (0, 150_000 // 4096 * 4096, 299_999):
        changed = content.copy()
        changed[place : place + 20_000] = bytes(len(changed[place : place + 20_000]))
        weights.write_bytes(changed)
        assert weights_mark([tmp_path]) != mark
    weights.write_bytes(content + b"x")
    assert weights_mark([tmp_path]) != mark
    assert weights_mark([]) == weights_mark([tmp_path / "nothing"])


# ── a checkpoint ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("checkpoint")
    model_tiny.write(folder, model_tiny.config("llama", max_position_embeddings=1024))
    write_checkpoint(Checkpoint(folder, "paper", trained=True, threshold=0.01))
    return folder


@pytest.mark.slow
def test_a_checkpoint_is_used_with_its_calibration(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, tmp_path: Path
) -> None:
    bare = open_engine(str(checkpoint))
    assert (bare.calibration, bare.threshold) == (None, 0.01)
    ranker = ModelRanker(bare.lm, bare.form)
    assert calibrated(ranker, bare) is ranker

    # Random weights know nothing, so the labels are made of what they say: relevant is what they put first.
    records = []
    for number in range(12):
        asked = Question(str(number), f"Where does the {RIVERS[number % 10]} rise?")
        passages = [
            Passage(str(n), f"The {RIVERS[(number + n) % 10]} rises near {TOWNS[n]}.") for n in range(5)
        ]
        best = ranker.rank(asked, [Hit(passage, 0.0) for passage in passages])[:2]
        liked = {hit.passage.text for hit in best}
        judged = [{"id": p.id, "text": p.text, "relevant": p.text in liked} for p in passages]
        records.append({"id": asked.id, "question": asked.text, "passages": judged})
    pairs = write_lines(tmp_path / "pairs.jsonl", records)
    fit = ("calibrate", "--pairs", pairs, "-m", str(checkpoint), "--precision", "0.3", "--write")
    out, _ = call(capsys, *fit)
    assert out.splitlines()[-1] == str(checkpoint / FILE)

    engine = open_engine(str(checkpoint))
    assert engine.calibration == read_calibration(checkpoint / FILE)
    assert engine.threshold == engine.calibration.threshold != 0.01
    rag = load(model=str(checkpoint))
    question, texts = "Where does the Rhine rise?", ["The Rhine rises in the Alps.", "Owls hunt at night."]
    raw = ranker.rank(Question("1", question), [Hit(Passage(str(n), t), 0.0) for n, t in enumerate(texts, 1)])
    found = rag.rank(question, texts)
    assert [hit.passage.id for hit in found] == [hit.passage.id for hit in raw]
    mapped = engine.calibration.apply(np.array([hit.score for hit in raw]))
    assert [hit.score for hit in found] == pytest.approx(mapped.tolist(), rel=1e-4)
    assert rag.pipeline.min_relevance == engine.threshold

    weights = checkpoint / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-8] + bytes(8))  # as if it had been trained on
    with pytest.raises(InvalidInputError, match="found a calibration fitted with weights"):
        open_engine(str(checkpoint))
    call(capsys, *fit)  # which mends it
    assert open_engine(str(checkpoint)).calibration != engine.calibration
