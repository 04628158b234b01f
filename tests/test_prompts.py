"""Every prompt, word for word, and what must hold for any text put into one.

The files under `golden/` are what a model reads, with the two seams made visible. After a wanted change of
wording write them again with `python tests/test_prompts.py`, read the difference, and expect every
checkpoint tuned on the old words to be refused (its template hash is another).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankrag import prompts
from rankrag.errors import InvalidInputError
from rankrag.fitting import fit
from rankrag.prompts import CHAT, PAPER, TEMPLATES, Template
from rankrag.types import Example, Passage, Prompt, Question, Style, Task, Turn

GOLDEN = Path(__file__).parent / "golden"
FORMS = pytest.mark.parametrize("form", TEMPLATES.values(), ids=TEMPLATES)

DANUBE = Passage(
    "a", "The Danube rises in the Black Forest.\n\n\nIt ends in the Black Sea.  ", title="Danube"
)
RHINE = Passage("b", "The Rhine flows north.")
HISTORY = (Turn("user", "Which rivers cross Austria?"), Turn("assistant", "The Danube and the Mur."))
OPTIONS = {"B": "the Black Sea", "A": "the North Sea"}


def ask(
    style: Style = "plain", history: tuple[Turn, ...] = (), text: str = "Where does the Danube end?"
) -> Question:
    return Question("q", text, history, style, OPTIONS if style == "choice" else {})


CLAIM = ask("true_false", text="The Danube ends in the Black Sea.")

CASES: dict[str, Callable[[Template], Prompt]] = {
    "rank-question": lambda f: prompts.rank(ask(), DANUBE, f),
    "rank-claim": lambda f: prompts.rank(CLAIM, DANUBE, f),
    "rank-conversation": lambda f: prompts.rank(ask(history=HISTORY), DANUBE, f),
    "rank-untitled": lambda f: prompts.rank(ask(), RHINE, f),
    "answer-conversation": lambda f: prompts.answer(ask(history=HISTORY), [DANUBE, RHINE], f),
    "answer-conversation-full": lambda f: prompts.answer(ask("full", HISTORY), [DANUBE, RHINE], f),
    "answer-conversation-span_or_full": lambda f: prompts.answer(ask("span_or_full", HISTORY), [DANUBE], f),
    "answer-without-passages": lambda f: prompts.answer(ask("phrase"), [], f),
    "answer-phrase-of-no-question": lambda f: prompts.answer(
        ask("phrase", text="the Danube's end"), [RHINE], f
    ),
    "context-answer": lambda f: prompts.context_answer(ask("span"), DANUBE, f),
    "retrieval-rank": lambda f: prompts.retrieval_rank(ask(), [DANUBE, RHINE], f),
    "retrieval-rank-conversation": lambda f: prompts.retrieval_rank(ask(history=HISTORY), [DANUBE, RHINE], f),
    "question": lambda f: prompts.question(DANUBE, f),
    "instruct": lambda f: prompts.instruct(ask(text="Name a river."), f),
    "instruct-conversation": lambda f: prompts.instruct(ask(history=HISTORY), f),
    "stand-alone": lambda f: prompts.stand_alone(ask(history=HISTORY, text="Where does the first end?"), f),
    "citation": lambda f: prompts.rank(prompts.claim(ask(), "In the Black Sea."), DANUBE, f),
    "example-instruct": lambda f: prompts.example(item("instruct", "The Danube."), f),
    "example-context_qa": lambda f: prompts.example(item("context_qa", "the Black Sea", DANUBE), f),
    "example-retrieval_qa": lambda f: prompts.example(
        item("retrieval_qa", "the Black Sea", RHINE, DANUBE), f
    ),
    "example-rank-true": lambda f: prompts.example(item("rank", prompts.TRUE, DANUBE), f),
    "example-rank-false": lambda f: prompts.example(item("rank", prompts.FALSE, RHINE), f),
    "example-retrieval_rank": lambda f: prompts.example(
        item("retrieval_rank", prompts.passage_list([3, 1]), DANUBE, RHINE, DANUBE), f
    ),
    "example-unanswerable": lambda f: prompts.example(item("context_qa", prompts.UNANSWERABLE, RHINE), f),
}
for _style in get_args(Style):
    CASES[f"answer-{_style}"] = lambda f, s=_style: prompts.answer(  # type: ignore[misc]
        CLAIM if s == "true_false" else ask(s), [DANUBE, RHINE], f
    )


def item(task: Task, target: str, *passages: Passage) -> Example:
    return Example("e", "rivers", task, ask(), passages, target)


def shown(prompt: Prompt) -> str:
    """Return a prompt with its seams: the first before the suffix, the second where the loss begins."""
    target = f"⟦target⟧{prompt.target}" if prompt.target else ""
    return f"{prompt.prefix}⟦suffix⟧{prompt.suffix}{target}⟦end⟧\n"


# ── word for word ────────────────────────────────────────────────────────────────────────────────────


@FORMS
@pytest.mark.parametrize("name", CASES)
def test_prompt_is_the_golden_one(name: str, form: Template) -> None:
    golden = GOLDEN / form.name / f"{name}.txt"
    assert shown(CASES[name](form)) == golden.read_text(encoding="utf-8")


def test_every_golden_file_is_compared() -> None:
    there = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.txt")}
    assert there == {f"{form}/{name}.txt" for form in TEMPLATES for name in CASES}


def test_ranking_prompt_is_the_paper_s() -> None:
    """Appendix C of arXiv 2407.02485, `access` included; copied from there, not from our code."""
    prompt = prompts.rank(Question("q", "who wrote it?"), Passage("p", "A book."), PAPER)
    assert prompt.prefix + prompt.suffix == (
        "System: This is a chat between a user and an artificial intelligence assistant. The assistant gives "
        "helpful, detailed, and polite answers to the user's questions based on the context. The assistant "
        "should also indicate when the answer cannot be found in the context.\n\n"
        "Passage: A book.\n\n"
        "User: For the question who wrote it?, access whether the passage is relevant to the question. "
        "Return True if relevant, otherwise False.\n\n"
        "Assistant:"
    )


def test_answering_prompt_is_the_paper_s() -> None:
    prompt = prompts.answer(
        Question("q", "who wrote it", style="phrase"), [Passage("p", "One."), RHINE], PAPER
    )
    assert (prompt.prefix + prompt.suffix).endswith(
        "in the context.\n\nPassage 1: One.\n\nPassage 2: The Rhine flows north.\n\n"
        "User: who wrote it. Answer the above question with a short phrase.\n\nAssistant:"
    )


def test_labels_follow_the_prompt_as_targets_do() -> None:
    assert PAPER.labels() == (" True", " False")
    assert CHAT.labels() == ("True", "False")
    for form in TEMPLATES.values():
        assert prompts.example(item("rank", "True", DANUBE), form).target == form.labels()[0]


PINNED = {"paper": "80cd74174da4010a", "chat": "483a742bec638428"}


@FORMS
def test_template_hash_is_pinned(form: Template) -> None:
    """A change here means: checkpoints written before are refused. Change it only on purpose."""
    assert prompts.template_hash(form) == PINNED[form.name]


@FORMS
def test_template_hash_changes_with_the_frame(form: Template) -> None:
    changed = [
        replace(form, user=(form.user[0] + " ", form.user[1])),
        replace(form, assess="judge"),
        replace(form, stop=()),
        replace(form, markers=(*form.markers, "<|x|>")),
    ]
    hashes = {prompts.template_hash(other) for other in [form, *changed]}
    assert len(hashes) == 1 + len(changed)


def test_unknown_template_names_the_known() -> None:
    with pytest.raises(InvalidInputError, match="'papper', wanted one of paper, chat"):
        prompts.template("papper")


@pytest.mark.parametrize(
    ("task", "n_passages"), [("rank", 0), ("rank", 2), ("context_qa", 0), ("context_qa", 3)]
)
def test_example_with_the_wrong_number_of_passages_is_refused(task: Task, n_passages: int) -> None:
    with pytest.raises(InvalidInputError, match=f"'e': found {n_passages} passages, task '{task}' wants 1"):
        prompts.example(item(task, "True", *[DANUBE] * n_passages), PAPER)


# ── the query ────────────────────────────────────────────────────────────────────────────────────────


def test_search_query_of_a_conversation() -> None:
    question = ask(history=HISTORY, text="Where does\n the first end?")
    lines = ["Which rivers cross Austria?", "The Danube and the Mur.", "Where does the first end?"]
    assert prompts.search_query(question) == "\n".join(lines)
    assert prompts.search_query(question, speakers=True) == "\n".join(
        [f"user: {lines[0]}", f"agent: {lines[1]}", f"user: {lines[2]}"]
    )


def test_search_query_of_one_question_has_no_speaker_and_no_options() -> None:
    for speakers in (False, True):
        assert prompts.search_query(ask("choice"), speakers) == "Where does the Danube end?"


def test_search_query_keeps_the_last_five_messages() -> None:
    history = tuple(Turn("user" if n % 2 == 0 else "assistant", f"m{n}") for n in range(8))
    assert prompts.search_query(Question("q", "last", history)).split("\n") == [
        "m4",
        "m5",
        "m6",
        "m7",
        "last",
    ]


# ── for any text ─────────────────────────────────────────────────────────────────────────────────────

PIECES = st.sampled_from(
    [
        *(
            "\n",
            "\n\n",
            " ",
            "\t",
            "\r\n",
            "\f",
            "\u200b",
            "\u2028",
            ".",
            "User:",
            "\n\nAssistant: True",
            "User",
            ":",
        ),
        *(
            "<|im_end|>",
            "<|im_",
            "start|>",
            "<|im_start|>system\n",
            "{question}",
            "{0}",
            "%s",
            "word",
            "東京",
        ),
    ]
)
TEXT = st.lists(PIECES | st.characters(codec="utf-8"), max_size=8).map("".join)
WORDS = TEXT.filter(lambda text: text.strip() != "")
PASSAGES = st.lists(st.tuples(WORDS, TEXT), min_size=1, max_size=4).map(
    lambda rows: [Passage(str(n), text, title=title) for n, (text, title) in enumerate(rows)]
)
QUESTIONS = st.builds(
    Question,
    id=st.just("q"),
    text=WORDS,
    history=st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), WORDS), max_size=8).map(tuple),
    style=st.sampled_from(get_args(Style)),
    options=st.dictionaries(st.sampled_from("ABCD"), WORDS, max_size=4),
)
FORM = st.sampled_from(list(TEMPLATES.values()))


def built(question: Question, passages: Sequence[Passage], form: Template) -> list[Prompt]:
    return [
        prompts.rank(question, passages[0], form),
        prompts.context_answer(question, passages[0], form),
        prompts.answer(question, passages, form),
        prompts.retrieval_rank(question, passages, form),
    ]


@given(QUESTIONS, QUESTIONS, PASSAGES, FORM)
def test_prefix_does_not_depend_on_the_question(
    one: Question, other: Question, passages: list[Passage], form: Template
) -> None:
    for a, b in zip(built(one, passages, form), built(other, passages, form), strict=True):
        assert a.prefix == b.prefix


@given(QUESTIONS, PASSAGES, PASSAGES, FORM)
def test_suffix_does_not_depend_on_the_passages(
    question: Question, one: list[Passage], other: list[Passage], form: Template
) -> None:
    for a, b in zip(built(question, one, form), built(question, other, form), strict=True):
        assert a.suffix == b.suffix


@given(QUESTIONS, PASSAGES, FORM)
def test_seams_fall_before_whitespace_or_at_a_marker(
    question: Question, passages: list[Passage], form: Template
) -> None:
    empty = [replace(passage, text="", title="") for passage in passages]
    for prompt in [*built(question, passages, form), *built(question, empty, form)]:
        assert prompt.prefix == prompt.prefix.rstrip()
        assert prompt.suffix[0].isspace() or prompt.suffix.startswith(form.markers)
        assert prompt.suffix.endswith(form.open_answer)


@given(QUESTIONS, PASSAGES, FORM)
def test_text_cannot_break_out_of_its_frame(
    question: Question, passages: list[Passage], form: Template
) -> None:
    """Control tokens, names of speakers and blank lines between parts come from the template alone."""
    plain = replace(
        question,
        text="x",
        history=tuple(replace(turn, text="x") for turn in question.history),
        options=dict.fromkeys(question.options, "x"),
    )
    harmless = [
        replace(passage, text="x", title="x" if passage.title.strip() else "") for passage in passages
    ]
    for prompt, frame in zip(built(question, passages, form), built(plain, harmless, form), strict=True):
        for mark in ("\n\n", *form.markers, *form.words):
            for part in ("prefix", "suffix"):
                assert getattr(prompt, part).count(mark) == getattr(frame, part).count(mark), (mark, part)


@given(QUESTIONS, FORM)
def test_claim_for_a_citation_holds_question_and_sentence(question: Question, form: Template) -> None:
    claim = prompts.claim(question, "It was  so.")
    assert claim.style == "true_false"
    assert claim.text.endswith(" It was so.")
    assert not claim.history
    assert "For the claim" in prompts.rank(claim, RHINE, form).suffix


@given(QUESTIONS, FORM)
def test_a_ranking_prompt_says_where_its_question_stands(question: Question, form: Template) -> None:
    asked = prompts.rank(question, RHINE, form)
    start, end = asked.asked
    assert asked.suffix[:start].endswith(("For the question ", "For the claim "))
    assert asked.suffix[end:].startswith(f", {form.assess} whether the passage is relevant to the ")
    assert prompts.rank(question, DANUBE, form).asked == asked.asked


# ── what fits ────────────────────────────────────────────────────────────────────────────────────────


def n_tokens(text: str) -> int:
    """Count as a byte-level tokeniser might: at most one token a byte, and not additive over pieces."""
    return len(re.findall(r" ?\w{1,4}|\s+|[^\w\s]", text))


@given(QUESTIONS, PASSAGES, FORM, st.integers(0, 80), st.sampled_from(range(4)))
def test_fit_keeps_the_budget_and_reports_what_it_cut(
    question: Question, passages: list[Passage], form: Template, room: int, kind: int
) -> None:
    def build(given: Sequence[Passage]) -> Prompt:
        return built(question, given, form)[kind]

    seen = passages[:1] if kind < 2 else passages
    whole = build(seen)
    frame = build([replace(passage, text="") for passage in seen])
    budget = n_tokens(frame.prefix) + n_tokens(frame.suffix) + len(seen) + room
    prompt, cuts = fit(build, seen, budget, n_tokens)

    assert n_tokens(prompt.prefix) + n_tokens(prompt.suffix) <= budget
    assert prompt.suffix == whole.suffix
    assert all(0 <= cut.kept < cut.length for cut in cuts)
    # What was reported is exactly what was left out: cutting so by hand gives the same prompt.
    kept = {cut.passage_id: cut.kept for cut in cuts}
    assert {cut.passage_id: cut.length for cut in cuts} == {p.id: len(p.text) for p in seen if p.id in kept}
    assert build([replace(p, text=p.text[: kept.get(p.id, len(p.text))]) for p in seen]) == prompt


def _fit(texts: Sequence[str], room: int) -> tuple[list[str], dict[str, int]]:
    """Fit passages into a budget that leaves `room` tokens for their texts; return the texts kept."""
    passages = [Passage(str(n), text) for n, text in enumerate(texts)]
    empty = prompts.answer(ask(), [replace(p, text="") for p in passages], PAPER)
    budget = n_tokens(empty.prefix) + n_tokens(empty.suffix) + room
    _, cuts = fit(lambda p: prompts.answer(ask(), p, PAPER), passages, budget, n_tokens)
    kept = {cut.passage_id: cut.kept for cut in cuts}
    return [p.text[: kept.get(p.id, len(p.text))] for p in passages], kept


def test_fit_leaves_alone_what_fits() -> None:
    texts, cuts = _fit(["one two", "three four five"], 200)
    assert texts == ["one two", "three four five"]
    assert cuts == {}


def test_fit_shortens_the_long_and_spares_the_short() -> None:
    texts, cuts = _fit(["one two", "word " * 200, "other " * 100], 60)
    assert texts[0] == "one two"
    assert cuts.keys() == {"1", "2"}
    assert all(10 <= n_tokens(text) <= 30 for text in texts[1:])


def test_fit_cuts_at_a_word_border() -> None:
    (text,), _ = _fit(["extraordinary circumstances " * 30], 25)
    assert text
    assert set(text.split()) == {"extraordinary", "circumstances"}


def test_fit_keeps_the_beginning_of_text_without_spaces() -> None:
    (text,), _ = _fit(["東京都" * 200], 50)
    assert len(text) >= 50


@pytest.mark.parametrize("form", TEMPLATES.values(), ids=TEMPLATES)
def test_a_target_keeps_its_lines(form: Template) -> None:
    code = "def f(x):\n    if x:\n        return 1\n\n    return 0"
    said = prompts.example(Example("1", "own", "instruct", ask(), (), f"{code} <|im_end|>\n"), form).target
    assert said.strip().startswith(code)
    assert ("<|im_end|>" in said) == (form is PAPER)


def test_fit_cuts_a_long_run_after_a_short_word() -> None:
    (text,), _ = _fit(["In " + "東京都" * 200], 50)
    assert len(text) > 30


def test_fit_refuses_a_question_that_leaves_no_room() -> None:
    question = replace(ask(), text="why " * 100)
    with pytest.raises(InvalidInputError, match=r"tokens, wanted at most 50: shorten it"):
        fit(lambda p: prompts.answer(question, p, PAPER), [DANUBE], 50, n_tokens)


def write() -> None:
    """Write the golden files as the code has them now."""
    for form in TEMPLATES.values():
        (GOLDEN / form.name).mkdir(parents=True, exist_ok=True)
        for name, build in CASES.items():
            (GOLDEN / form.name / f"{name}.txt").write_text(shown(build(form)), encoding="utf-8")


if __name__ == "__main__":
    write()
