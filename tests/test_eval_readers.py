"""Benchmarks from files: every format on a few lines, and the official excerpts against the neutral files."""

from __future__ import annotations

import csv
import json
import lzma
from pathlib import Path

import pytest

from rankrag.errors import FormatError, InvalidInputError, NotFoundError
from rankrag.eval.benchmarks import BENCHMARKS, PAPER
from rankrag.eval.gold import GoldQuestion
from rankrag.eval.load import at_hand, load_benchmark, official_questions
from rankrag.eval.readers.detect import READERS, detect
from rankrag.prompts import UNANSWERABLE

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data beside the project")


def lines(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def load(name: str, path: Path) -> tuple[GoldQuestion, ...]:
    return load_benchmark(name, path=path).questions


# ── the table ────────────────────────────────────────────────────────────────────────────────────────


def test_the_paper_s_fourteen_in_its_order() -> None:
    assert [*PAPER] == [
        *("nq", "triviaqa", "popqa", "hotpotqa", "2wiki", "fever", "doc2dial", "topiocqa", "inscit"),
        *("mmlu_med", "pubmedqa", "bioasq", "medqa", "medmcqa"),
    ]
    sizes = {name: one.paper.size for name, one in PAPER.items() if one.paper}
    assert (sizes["nq"], sizes["fever"], sizes["inscit"], sizes["medmcqa"]) == (2837, 10444, 502, 4183)
    # 32 tokens for open questions, 128 for conversations, 8 for the others (arXiv 2407.02485, section 5.1).
    limits = {one.family: one.max_tokens for one in PAPER.values()}
    assert limits == {"open": 32, "fact": 8, "conversation": 128, "biomedical": 8}
    assert all(name == one.name for name, one in BENCHMARKS.items())
    known = {*READERS}
    assert {kind for one in BENCHMARKS.values() for _, kind in one.files} <= known


def test_an_official_set_goes_before_a_part_of_it(tmp_path: Path) -> None:
    lines(tmp_path / "eval" / "nq.jsonl", {"id": "part", "question": "Why?", "answers": ["x"]})
    assert load_benchmark("nq", tmp_path).questions[0].question.id == "part"
    lines(tmp_path / "nq-dev-kilt.jsonl", {"id": "full", "input": "Why?", "output": [{"answer": "x"}]})
    loaded = load_benchmark("nq", tmp_path)
    assert loaded.questions[0].question.id == "full"
    assert Path(loaded.path).name == "nq-dev-kilt.jsonl"
    rows = {row.benchmark.name: row for row in at_hand(tmp_path)}
    assert rows["nq"].questions == 1
    assert rows["fever"].path == ""


def test_what_is_not_there_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file of medqa below .*wanted one of benchmark.json.*MIRAGE"):
        load_benchmark("medqa", tmp_path)
    with pytest.raises(NotFoundError, match="without --data-root"):
        load_benchmark("medqa")
    with pytest.raises(InvalidInputError, match="found 'medqaa', wanted one of nq, triviaqa"):
        load_benchmark("medqaa", tmp_path)


# ── a few lines of each format ───────────────────────────────────────────────────────────────────────


def test_neutral_and_a_user_s_own(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "mine.jsonl",
        {
            "id": "a",
            "question": "Who?",
            "answers": ["Ann", "Anna"],
            "passages": [{"id": "p", "text": "Ann.", "relevant": True}, {"id": "r", "text": "Bo."}],
        },
        {"id": "b", "question": "Who else?", "answers": [], "answerable": False},
        {"id": "c", "question": "And?", "answers": ["C"], "conversation": 7},
        {"id": "d", "question": "Nothing is known?", "answers": []},
    )
    loaded = load_benchmark(str(path))
    a, b, c = loaded.questions
    assert (a.gold.answers, set(a.gold.passages), a.unit) == (("Ann", "Anna"), {"p"}, "passage p")
    assert (b.gold.answerable, b.gold.answers, b.unit) == (False, (), "b")
    assert c.unit == "7"
    assert loaded.dropped == {"no gold answer": 1}
    assert (loaded.benchmark.name, loaded.benchmark.measures) == ("mine", ("EM", "F1", "Acc"))
    assert a.question.style == "phrase"


def test_a_user_s_own_choices(tmp_path: Path) -> None:
    record = {
        "id": "a",
        "question": "Which?",
        "style": "choice",
        "options": {"A": "x", "B": "y"},
        "answer": "B",
    }
    loaded = load_benchmark(str(lines(tmp_path / "mine.jsonl", record)))
    assert loaded.questions[0].gold.answers == ("B",)
    assert (loaded.benchmark.style, loaded.benchmark.measures, loaded.benchmark.max_tokens) == (
        *("choice", ("Choice",)),
        8,
    )
    with pytest.raises(FormatError, match=r"mine\.jsonl:1: found answer 'C', wanted one of A, B"):
        load_benchmark(str(lines(tmp_path / "mine.jsonl", record | {"answer": "C"})))
    plain = {"id": "b", "question": "Who?", "answers": ["z"]}
    with pytest.raises(InvalidInputError, match="styles choice, phrase, wanted one"):
        load_benchmark(str(lines(tmp_path / "mine.jsonl", record, plain)))


def test_kilt(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "x.jsonl",
        {
            "id": "1",
            "input": "Who?",
            "output": [{"answer": "Ann"}, {"answer": "Anna", "provenance": []}, {"provenance": [{}]}],
        },
        {"id": "2", "input": "Only a test?", "output": [{"provenance": []}]},
    )
    (item,) = load("nq", path)
    assert item.gold.answers == ("Ann", "Anna")
    assert load_benchmark("nq", path=path).dropped == {"no gold answer": 1}
    claim = {"id": "3", "input": "Ann sings.", "output": [{"answer": "REFUTES"}]}
    (item,) = load("fever", lines(tmp_path / "f.jsonl", claim))
    assert (item.gold.answers, item.question.style) == (("False",), "true_false")


def test_dpr(tmp_path: Path) -> None:
    path = tmp_path / "nq-test.qa.csv"
    path.write_text("who is it\t[\"Ann's cat\", 'Bo \"B\" Bell']\nwhat\t['x']\n")
    first, second = load("nq", path)
    assert first.gold.answers == ("Ann's cat", 'Bo "B" Bell')
    assert second.question.text == "what"
    assert first.question.id != second.question.id
    path.write_text("who is it, Ann\n")
    with pytest.raises(FormatError, match=r"csv:1: found no list of answers"):
        load("nq", path)


def test_chatrag(tmp_path: Path) -> None:
    def said(*texts: str) -> list[dict[str, str]]:
        return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]

    rows = [
        {"messages": said("First?"), "answers": ["One", UNANSWERABLE], "ctxs": []},
        {"messages": said("First?", "One", "Then?"), "answers": [UNANSWERABLE]},
    ]
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(rows))
    first, second = load("inscit", path)
    assert first.gold.answers == ("One",)
    assert first.gold.answerable
    assert not second.gold.answerable
    assert [turn.text for turn in second.question.history] == ["First?", "One"]
    assert first.unit == second.unit
    path.write_text(json.dumps([{"messages": said("First?", "One"), "answers": ["x"]}]))
    with pytest.raises(FormatError, match=r"dev\.json:1: found no messages that end with the user's"):
        load("inscit", path)


def test_inscit_s_own_file_has_the_name_of_chatrag_s(tmp_path: Path) -> None:
    turn = {"context": ["First?"], "labels": [{"response": "One"}]}
    (tmp_path / "inscit").mkdir()
    path = tmp_path / "inscit" / "dev.json"
    path.write_text(json.dumps({"dialogue": {"turns": [turn]}}))
    for loaded in (load_benchmark("inscit", tmp_path), load_benchmark("inscit", path=path)):
        (item,) = loaded.questions
        assert (item.gold.answers, item.unit) == (("One",), "dialogue")


def test_mirage(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    tasks = {
        "medqa": {"0": {"question": "Which?", "options": {"A": "x", "B": "y"}, "answer": "B"}},
        "mmlu": {"anatomy-0": {"question": "Where?", "options": {"A": "x", "B": "y"}, "answer": "A"}},
    }
    path.write_text(json.dumps(tasks))
    (item,) = load_benchmark("medqa", tmp_path).questions
    assert (item.question.id, item.gold.answers, item.question.options["B"]) == ("medqa-0", ("B",), "y")
    (item,) = load("mmlu_med", path)
    assert item.question.id == "mmlu_med-anatomy-0"
    with pytest.raises(FormatError, match="found no task 'bioasq'"):
        load("bioasq", path)
    with pytest.raises(InvalidInputError, match="MIRAGE's file for nq"):
        load("nq", path)


def test_broken_files_are_named_with_their_place(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", {"id": "a", "question": "?", "answers": ["x"]})
    path.write_text(path.read_text() * 1 + '\n{"id": "a", "question": "?", "answers": ["x"]}')
    with pytest.raises(FormatError, match="found the id 'a' twice"):
        load("nq", path)
    path.write_text('{"id": "a", "question": "?", "answers": ["x"]}\n{"id": ')
    with pytest.raises(FormatError, match=r"x\.jsonl:2: found broken JSON"):
        load("nq", path)
    with pytest.raises(FormatError, match="found a, wanted question and answers"):
        detect(str(lines(tmp_path / "y.jsonl", {"a": 1})))
    broken = tmp_path / "dev.json"
    broken.write_text('[{"messages": ')
    with pytest.raises(FormatError, match=r"dev\.json:1: found broken JSON"):
        load("inscit", broken)
    with pytest.raises(FormatError, match="found no question with gold"):
        load("nq", lines(tmp_path / "z.jsonl", {"question": "?", "answers": []}))


# ── ranking collections ──────────────────────────────────────────────────────────────────────────────


def test_a_collection_in_beir_s_layout(tmp_path: Path) -> None:
    folder = tmp_path / "nf"
    lines(folder / "queries.jsonl", {"_id": "q1", "text": "cats"}, {"_id": "q2", "text": "dogs"})
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\r\nq1\td1\t2\r\nq1\td2\t0\r\n")
    loaded = load_benchmark("nf", tmp_path)
    (item,) = loaded.questions
    assert item.gold.grades == {"d1": 2, "d2": 0}
    assert set(item.gold.passages) == {"d1"}
    assert loaded.dropped == {"not judged": 1}
    assert loaded.benchmark.family == "ranking"
    (folder / "qrels" / "test.tsv").write_text("q1 0 d1 1\nq1 0 d1 2\n")
    with pytest.raises(FormatError, match="found 'd1' judged twice"):
        load_benchmark(str(folder))
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(NotFoundError, match="no qrels"):
        load_benchmark(str(folder))


# ── the real files ───────────────────────────────────────────────────────────────────────────────────

EXCERPTS = {
    "nq": "nq_open/NQ-open.dev.jsonl.xz",
    "fever": "fever/paper_dev_excerpt.jsonl.xz",
    "hotpotqa": "hotpotqa/hotpot_dev_fullwiki_excerpt.json.xz",
    "musique": "musique/musique_ans_dev_excerpt.jsonl.xz",
    "topiocqa": "topiocqa/topiocqa_dev_excerpt.json.xz",
    "inscit": "inscit/dev.json.xz",
    "doc2dial": "doc2dial/doc2dial_rc_val_excerpt.csv.xz",
    "pubmedqa": "pubmedqa/ori_pqal.json.xz",
    "medqa": "mirage/benchmark_excerpt.json.xz",
    "mmlu_med": "mirage/benchmark_excerpt.json.xz",
    "medmcqa": "mirage/benchmark_excerpt.json.xz",
    "bioasq": "mirage/benchmark_excerpt.json.xz",
}


def shape(item: GoldQuestion) -> tuple[object, ...]:
    """Return what has to agree between two files of the same questions, whatever their ids."""
    question = item.question
    said = [turn.text.split() for turn in question.history]
    answers = tuple(" ".join(text.split()) for text in item.gold.answers)
    return question.text.split(), said, dict(question.options), answers, item.gold.answerable


def asked(item: GoldQuestion) -> str:
    turns = [turn.text for turn in item.question.history]
    return " ".join(" ".join([*turns, item.question.text]).split())


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", EXCERPTS)
def test_official_excerpts_agree_with_the_neutral_files(name: str) -> None:
    official = load(name, DATA / "raw" / EXCERPTS[name])
    neutral = load_benchmark(name, DATA).questions
    assert len(official) > 20
    known = {asked(item): item for item in neutral}
    missing, different = 0, []
    for item in official:
        twin = known.get(asked(item))
        if twin is None:
            missing += 1
        elif shape(twin) != shape(item):
            different.append((shape(twin), shape(item)))
    assert missing <= len(official) * 0.02, f"{missing} of {len(official)}"
    assert len(different) <= len(official) * 0.05, different[:2]


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(set(EXCERPTS.values())))
def test_official_excerpts_give_the_questions_to_keep_out_of_training(path: str) -> None:
    names = [name for name, file in EXCERPTS.items() if file == path]
    found = official_questions(str(DATA / "raw" / path)) or []
    scored = [item.question.text for name in names for item in load(name, DATA / "raw" / path)]
    assert set(scored) <= set(found)
    assert len(found) > 20


@needs_data
def test_ranking_collections_at_hand() -> None:
    corpus = load_benchmark(str(DATA / "eval" / "nfcorpus"))
    assert len(corpus.questions) == 323
    deep = load_benchmark(str(DATA / "eval" / "trec_dl19"))
    assert len(deep.questions) == 43
    assert max(deep.questions[0].gold.grades.values()) == 3


def test_doc2dial_csv_and_compression(tmp_path: Path) -> None:
    path = tmp_path / "rc.csv.xz"
    with lzma.open(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", "question", "context", "answers"])
        writer.writeheader()
        said = "user:And then? \tagent:Go on \tuser:What now"
        writer.writerow({"id": "d_3", "question": said, "context": "c", "answers": "{'text': ['Wait. ']}"})
    (item,) = load("doc2dial", path)
    assert item.question.text == "And then?"
    assert [turn.text for turn in item.question.history] == ["What now", "Go on"]
    assert (item.gold.answers, item.unit) == (("Wait.",), "doc2dial-d")
