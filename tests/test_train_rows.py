"""Rows: the ids that serving sees, the loss on the target alone, cuts and drops that are counted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import train_tiny
from rankrag import prompts
from rankrag.model.engine.tokenizer import Tokenizer
from rankrag.model.skills.ranker import ModelRanker
from rankrag.train import plan as apart
from rankrag.train.start import Start, vocabulary
from rankrag.train.token_rows import IGNORED, RowCounts, TokenRow, Vocabulary, make_rows, write_rows
from rankrag.types import Example, Passage, Prompt, Question, Turn

FORMS = ("paper", "chat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    train_tiny.write_tokenizer(made)
    return made


def words(folder: Path, form: str = "paper") -> Vocabulary:
    return vocabulary(Start(folder, "tiny"), form)


def rows(
    examples: Iterable[Example], words: Vocabulary, max_length: int = 512
) -> tuple[list[TokenRow], RowCounts]:
    counts = RowCounts()
    return list(make_rows(examples, words, max_length, counts)), counts


def ranking(text: str = "Oslo has a harbour.", target: str = "True") -> Example:
    return Example("1", "tiny", "rank", Question("q", "Where is it?"), (Passage("p", text),), target)


@pytest.mark.parametrize("form", FORMS)
def test_the_mask_covers_the_target_and_nothing_else(folder: Path, form: str) -> None:
    """Token by token, against what a person would write down."""
    words_ = words(folder, form)
    tokenizer = Tokenizer(folder)
    (row,), _ = rows([ranking()], words_)
    taught = [i for i, mask in zip(row.input_ids, row.completion_mask, strict=True) if mask]
    end = {"paper": "<|endoftext|>", "chat": "<|im_end|>"}[form]
    label = {"paper": " True", "chat": "True"}[form]
    assert tokenizer.decode(taught[:-1]) == label
    assert taught[-1] == tokenizer.control(end)
    assert row.labels == tuple(
        i if mask else IGNORED for i, mask in zip(row.input_ids, row.completion_mask, strict=True)
    )
    read = row.input_ids[: row.n_prompt]
    assert row.completion_mask == (0,) * len(read) + (1,) * len(taught)
    whole = prompts.example(ranking(), prompts.template(form))
    markers = prompts.template(form).markers
    plain = whole.prefix + whole.suffix
    for marker in markers:
        plain = plain.replace(marker, "")
    assert tokenizer.decode(read) == plain


@pytest.mark.parametrize("form", FORMS)
def test_training_reads_the_ids_that_serving_reads(folder: Path, form: str) -> None:
    """For every task: a row begins with what the engine makes of the prompt that `ask` and `rank` write."""
    template, tokenizer = prompts.template(form), Tokenizer(folder)
    history = (Turn("user", "Tell me\n\nof <|im_end|> Norway."), Turn("assistant", "Gladly."))
    question = Question("q", "Where is the harbour?", history, "phrase")
    ps = (Passage("a", "Oslo <|im_end|> is\n\n old. 2015", title="Oslo"), Passage("b", "Lima."))
    served = {
        "rank": prompts.rank(question, ps[0], template),
        "retrieval_qa": prompts.answer(question, ps, template),
        "context_qa": prompts.context_answer(question, ps[0], template),
        "retrieval_rank": prompts.retrieval_rank(question, ps, template),
        "instruct": prompts.instruct(question, template),
    }
    for task, prompt in served.items():
        given = {"rank": ps[:1], "context_qa": ps[:1], "instruct": ()}.get(task, ps)
        (row,), _ = rows([Example("1", "tiny", task, question, given, "True")], words(folder, form))  # type: ignore[arg-type]
        prefix, suffix = tokenizer.prompt(prompt)
        assert list(row.input_ids[: row.n_prompt]) == prefix + suffix, task
        label = tokenizer.continuation(prompt.prefix + prompt.suffix, template.labels()[0])
        assert list(row.input_ids[row.n_prompt : -1]) == label, task


class Asked:
    """A language model that keeps the prompts it is asked about, with a real tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer, self.context_length = Tokenizer(folder), 2048
        self.prompts: list[Prompt] = []

    def n_tokens(self, text: str) -> int:
        return self.tokenizer.n_tokens(text)

    def logprobs(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        self.prompts = list(prompts)
        return np.zeros((len(self.prompts), len(choices)))

    def generate(self, prompt: Prompt, max_tokens: int, stop: Sequence[str] = ()) -> Iterator[str]:
        yield ""


def test_the_ranker_asks_what_was_taught(folder: Path) -> None:
    from rankrag.types import Hit

    lm, item = Asked(folder), ranking()
    ModelRanker(lm, prompts.PAPER).rank(item.question, [Hit(item.passages[0], 1.0)])
    (row,), _ = rows([item], words(folder))
    prefix, suffix = lm.tokenizer.prompt(lm.prompts[0])
    assert list(row.input_ids[: row.n_prompt]) == prefix + suffix


def test_labels_are_the_first_tokens_of_true_and_false(folder: Path) -> None:
    tokenizer = Tokenizer(folder)
    assert [tokenizer.decode([i]) for i in words(folder).labels()] == [" True", " False"]


# ── length ───────────────────────────────────────────────────────────────────────────────────────────

LONG = " ".join(f"word{n}" for n in range(300))


@pytest.mark.parametrize("form", FORMS)
def test_passages_give_way_and_nothing_else(folder: Path, form: str) -> None:
    words_ = words(folder, form)
    (whole,), _ = rows([ranking(text="")], words_, 2000)
    limit = len(whole.input_ids) + 40
    (row,), counts = rows([ranking(text=LONG)], words_, limit)
    assert limit - 10 <= len(row.input_ids) <= limit
    assert row.input_ids[row.n_prompt :] == whole.input_ids[whole.n_prompt :]
    kept = Tokenizer(folder).decode(row.input_ids[: row.n_prompt])
    assert "word0 word1" in kept
    assert "word299" not in kept
    assert "For the question Where is it?" in kept
    assert counts.rows_cut == 1
    said = kept[kept.index("word0") : kept.rindex("word")].count("word")
    assert counts.characters_cut >= len(LONG) - 8 * (said + 2)


def test_a_row_that_fits_exactly_is_whole(folder: Path) -> None:
    (row,), _ = rows([ranking(text=LONG)], words(folder), 5000)
    (same,), counts = rows([ranking(text=LONG)], words(folder), len(row.input_ids))
    assert same == row
    assert counts.rows_cut == 0
    (less,), counts = rows([ranking(text=LONG)], words(folder), len(row.input_ids) - 1)
    assert counts.rows_cut == 1
    assert len(less.input_ids) < len(row.input_ids)


def test_what_cannot_fit_is_dropped_and_counted(folder: Path) -> None:
    long_target = replace(ranking(), task="context_qa", target=LONG)
    long_question = replace(ranking(), question=Question("q", LONG))
    made, counts = rows([long_target, long_question, ranking()], words(folder), 200)
    assert [row.task for row in made] == ["rank"]
    assert counts.dropped == {"question and target do not fit": 2}
    assert counts.rows == {"rank": 1}
    assert counts.tokens == len(made[0].input_ids)
    assert counts.target_tokens == len(made[0].input_ids) - made[0].n_prompt


def test_an_answer_is_not_taught_without_its_evidence(folder: Path) -> None:
    item = replace(ranking(text=LONG), task="context_qa")
    kept, lost = replace(item, target="word3"), replace(item, target="word299")
    made, counts = rows([kept, lost], words(folder), 300)
    assert len(made) == 1
    assert counts.dropped == {"the cut took the answer away": 1}


def test_a_start_token_counts_as_any_other(folder: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers.processors import TemplateProcessing

    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    backend = Backend.from_file(str(tmp_path / "tokenizer.json"))
    backend.post_processor = TemplateProcessing("<|im_start|> $A", None, [("<|im_start|>", 1)])
    backend.save(str(tmp_path / "tokenizer.json"))
    (row,), _ = rows([ranking(text=LONG)], words(tmp_path), 5000)
    assert row.input_ids[0] == 1
    (cut,), _ = rows([ranking(text=LONG)], words(tmp_path), 300)
    assert (cut.input_ids[0], len(cut.input_ids) <= 300, len(cut.input_ids) > 285) == (1, True, True)


@pytest.mark.slow
def test_several_processes_make_the_rows_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "CHUNK", 7)
    stage = train_tiny.stage(train_tiny.write_model(tmp_path), dataset_num_proc=2, max_length=100)
    counts, items = RowCounts(), list(train_tiny.examples(100))
    found = list(apart.rows_apart(items, stage, counts))
    wanted, counted = rows(items, words(tmp_path), 100)
    assert found == wanted
    assert counts == counted
    assert counted.rows_cut, "some are cut, so that every count is compared"
    assert counted.dropped


def test_rows_on_disk_are_the_rows(folder: Path, tmp_path: Path) -> None:
    from datasets import Dataset

    made, _ = rows(train_tiny.examples(30), words(folder))
    assert write_rows(tmp_path / "rows.arrow", made) == 30
    read = Dataset.from_file(str(tmp_path / "rows.arrow"))
    assert [tuple(ids) for ids in read["input_ids"]] == [row.input_ids for row in made]
    assert [tuple(ids) for ids in read["labels"]] == [row.labels for row in made]
    assert read["task"][:] == [row.task for row in made]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.arrow"]
