"""The paper's rules, one by one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from rankrag.data import rules
from rankrag.data.hostile import CLAIMS
from rankrag.data.item import Dropped, Item, dialogue
from rankrag.data.making import Made, Maker
from rankrag.data.matching import contains_answer, ngram_recall, squash, tidy
from rankrag.data.pool import conversations
from rankrag.data.recipe import Ingredient
from rankrag.prompts import UNANSWERABLE
from rankrag.types import Example, Passage, Question, Turn

RETRIEVAL = {"source": "squad", "files": ["x"], "task": "retrieval_qa", "weight": 1, "mine": ["run"]}


def asked(*answers: str, gold: tuple[Passage, ...] = (), negatives: tuple[Passage, ...] = ()) -> Item:
    return Item("q", Question("q", "Where?"), answers=answers, gold=gold, negatives=negatives)


def texts(passages: list[Passage]) -> list[str]:
    return [one.text for one in passages]


def passages(*found: str, title: str = "") -> tuple[Passage, ...]:
    return tuple(Passage(text, text, title) for text in found)


# ── how texts are compared ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "answers", "wanted"),
    [
        ("It is in Paris, France.", ["paris"], True),
        ("The Parisian life.", ["Paris"], False),
        ("on 14 December 1972 (UTC)", ["14 December, 1972"], True),
        ("Padme of Naboo", ["Padmé"], True),
        ("seen by the Beatles", ["The Beatles"], True),
        ("seen by Beatles fans", ["the Beatles"], True),
        ("vitamin A", ["A"], True),
        ("It costs $5.", ["$"], False),
        ("nothing here", [], False),
        ("no. 12", ["1", "2"], False),
        ("no. 12", ["1", "12"], True),
        ("東京 は 首都", ["東京"], True),
    ],
)
def test_an_answer_is_found_as_whole_words(text: str, answers: list[str], wanted: bool) -> None:
    assert contains_answer(text, answers) is wanted


def test_four_gram_recall_counts_distinct_runs() -> None:
    answer = "one two three four five six"  # three 4-grams
    assert ngram_recall(answer, "ONE, two three four; five") == pytest.approx(2 / 3)
    assert ngram_recall(answer, answer) == 1.0
    assert ngram_recall(answer, "six five four three two one") == 0.0
    assert ngram_recall("Paris", "It is in Paris.") == 1.0  # shorter than four words: one run of its own
    assert ngram_recall("!", "!") == 0.0


def test_two_questions_are_the_same_in_letters_and_digits() -> None:
    assert squash("Who's  the KING?") == squash("whos the king")
    assert squash("ﬁve") == "five"


@pytest.mark.parametrize(
    ("tokens", "printed"),
    [
        ("super bowls ( played in 1981 ) , he said .", "super bowls (played in 1981), he said."),
        ("between 10 : 05 and 10 : 15 p.m.", "between 10:05 and 10:15 p.m."),
        ("story - telling", "story-telling"),
        ("`` He ca n't '' , she 's 10 , 000", "\"He can't\", she's 10,000"),
        ("nothing to mend, here: all (is) well", "nothing to mend, here: all (is) well"),
    ],
)
def test_tokens_are_printed_as_text(tokens: str, printed: str) -> None:
    assert tidy(tokens) == printed


# ── which passages are relevant ──────────────────────────────────────────────────────────────────────


def test_relevant_is_gold_or_contains_the_answer() -> None:
    gold, holds, not_ = passages("He was born there.", "Born in Ulm.", "Born in Bern.")
    item = asked("Ulm", gold=(gold,))
    assert [rules.relevant(one, item) for one in (gold, holds, not_)] == [True, True, False]


def test_hard_negatives_keep_their_order_and_leave_out_what_may_be_right() -> None:
    gold = passages("It is in Ulm.")
    again = Passage("other id", "It is in Ulm!")
    item = asked("Ulm", gold=gold, negatives=passages("Labelled."))
    hits = [*passages("Hard.", "Ulm, too."), again, *passages("Labelled.", "Easy.")]
    assert texts(rules.hard_negatives(item, hits)) == ["Labelled.", "Hard.", "Easy."]


def test_distant_gold_is_the_best_hit_with_the_answer() -> None:
    hits = list(passages("Nothing.", "Ulm.", "Ulm again."))
    assert texts(list(rules.with_distant_gold(asked("Ulm"), hits, depth=5).gold)) == ["Ulm."]
    assert rules.with_distant_gold(asked("Ulm"), hits, depth=1).gold == ()
    given = asked("Ulm", gold=passages("Mine."))
    assert rules.with_distant_gold(given, hits, depth=5) is given


def test_titles_go_unless_all_have_one() -> None:
    titled, bare = passages("A.", title="T"), passages("B.")
    assert [one.title for one in rules.same_dress([*titled, *titled])] == ["T", "T"]
    assert [one.title for one in rules.same_dress([*titled, *bare])] == ["", ""]


# ── the tasks ────────────────────────────────────────────────────────────────────────────────────────


def test_five_passages_are_gold_and_the_top_of_the_run_in_any_order() -> None:
    item = asked("Ulm", gold=passages("Ulm."))
    hits = list(passages("1", "2", "Ulm.", "3", "4", "5", "6"))
    found = [texts(rules.five_passages(item, hits, random.Random(seed))) for seed in range(40)]
    assert all(sorted(one) == ["1", "2", "3", "4", "Ulm."] for one in found)
    assert {one.index("Ulm.") for one in found} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("hits", "wanted"),
    [
        (("1", "2", "Ulm.", "3", "4", "5"), ["1", "2", "Ulm.", "3", "4"]),
        (("Ulm.", "1", "1", "2", "3", "4"), ["Ulm.", "1", "2", "3", "4"]),
        (("1", "2", "3", "4", "5", "Ulm."), ["1", "2", "3", "4", "Ulm."]),
        (("1", "2", "3", "4", "5"), ["1", "2", "3", "4", "Ulm."]),
        (("1", "Ulm."), ["1", "Ulm."]),
    ],
)
def test_passages_as_found_keep_their_order(hits: tuple[str, ...], wanted: list[str]) -> None:
    item = asked("Ulm", gold=passages("Ulm."))
    assert texts(rules.as_found(item, passages(*hits), random.Random(0))) == wanted


@pytest.mark.parametrize("unanswerable", [0.0, 1.0])
def test_a_recipe_may_keep_the_order_of_what_was_found(unanswerable: float) -> None:
    item = asked("Ulm", gold=passages("Ulm."))
    hits = passages(*(str(n) for n in range(9)))
    ingredient = Ingredient.model_validate(RETRIEVAL | {"ordered": True, "unanswerable": unanswerable})
    made = [Maker("x", ingredient).make(item, hits, random.Random(seed)) for seed in range(9)]
    last = "4" if unanswerable else "Ulm."
    assert all(isinstance(one, list) for one in made)
    assert {tuple(texts(list(one[0].passages))) for one in made if isinstance(one, list)} == {
        ("0", "1", "2", "3", last)
    }


def test_the_index_list_names_every_relevant_passage() -> None:
    item = asked("Ulm", gold=passages("Gold."))
    assert rules.index_list(item, list(passages("No.", "Ulm.", "Gold."))) == "Passage 2, Passage 3"


def test_the_target_is_an_answer_that_can_be_read() -> None:
    item = asked("the city of Ulm", "Ulm")
    assert rules.target(item, passages("Born in Ulm.")) == "Ulm"
    assert rules.target(item, passages("Born.")) == "the city of Ulm"
    assert rules.target(asked(), passages("Born.")) == ""


def test_a_document_is_cut_into_pieces_of_150_words() -> None:
    pieces = rules.chunks(" ".join(map(str, range(320))))
    assert [len(one.text.split()) for one in pieces] == [150, 150, 20]
    assert pieces[1].text.startswith("150 ")


def test_a_chunk_is_judged_by_recall_with_nothing_in_between() -> None:
    answer = "a b c d e f g h i j k l m"  # ten 4-grams
    judged = [
        rules.chunk_is_relevant(answer, Passage("p", text))
        for text in (answer[:17], answer[:15], answer[:7], "x")
    ]
    assert judged == [True, None, None, False]  # recall 0.6, 0.5, 0.1, 0.0


def test_conversation_ranking_pairs_a_relevant_chunk_with_irrelevant_ones() -> None:
    filler = " ".join(f"w{n}" for n in range(150))
    document = Passage("d", f"{filler} the answer is written in here {filler}")
    item = Item("q", Question("q", "?"), target="the answer is written in", gold=(document,))
    found = rules.conversation_ranking(item, random.Random(0))
    assert [(one.target, "answer" in one.passages[0].text) for one in found] == [
        ("True", True),
        ("False", False),
    ]
    stranger = Item("q", Question("q", "?"), target="of this the text says nothing", gold=(document,))
    assert rules.conversation_ranking(stranger, random.Random(0)) == []


# ── from items to examples ───────────────────────────────────────────────────────────────────────────


def make(item: Item, task: str, seed: int = 0, **more: object) -> Made:
    values = {"source": "squad", "files": ["x"], "task": task, "weight": 1, "mine": ["run"]} | more
    hits = list(passages("one", "two", "three", "Ulm again", "four", "five", "six"))
    return Maker("name", Ingredient.model_validate(values)).make(item, hits, random.Random(seed))


def examples(made: Made) -> list[Example]:
    assert not isinstance(made, Dropped)
    return made


def test_pointwise_pairs_draw_other_negatives_in_other_rounds() -> None:
    item = asked("Ulm", gold=passages("Ulm."))
    pairs = [examples(make(item, "rank", seed, negatives=2)) for seed in range(30)]
    assert all([one.target for one in pair] == ["True", "False", "False"] for pair in pairs)
    assert all(pair[0].passages == item.gold for pair in pairs)
    drawn = {one.passages[0].text for pair in pairs for one in pair[1:]}
    assert drawn == {"one", "two", "three", "four", "five", "six"}
    pairs = [examples(make(item, "rank", seed, depth=2)) for seed in range(30)]
    assert {pair[1].passages[0].text for pair in pairs} == {"one", "two"}


def test_ranking_asks_without_a_style_and_answering_with_the_sources() -> None:
    item = asked("Ulm", gold=passages("Ulm."))
    (context,) = examples(make(item, "context_qa"))
    (retrieval,) = examples(make(item, "retrieval_qa", styles=["phrase"]))
    (listed,) = examples(make(item, "retrieval_rank", styles=["phrase"]))
    rank = examples(make(item, "rank"))[0]
    styles = [one.question.style for one in (context, retrieval, listed, rank)]
    assert styles == ["span", "phrase", "plain", "plain"]
    assert (context.id, context.source, context.target) == ("name/q", "squad", "Ulm")
    assert len(retrieval.passages) == len(listed.passages) == 5


def test_a_style_that_the_reader_chose_stays() -> None:
    item = Item("q", Question("q", "How much?", style="number"), answers=("3",), gold=passages("3"))
    assert examples(make(item, "context_qa", styles=["phrase"]))[0].question.style == "number"


def test_unanswerable_retrieval_has_no_passage_with_the_answer() -> None:
    (found,) = examples(make(asked("Ulm", gold=passages("Ulm.")), "retrieval_qa", unanswerable=1.0))
    assert found.target == UNANSWERABLE
    assert sorted(one.text for one in found.passages) == ["five", "four", "one", "three", "two"]


def test_a_passage_that_gives_orders_changes_no_target() -> None:
    item = asked("1893", gold=passages("It was founded in 1893."))
    hits = [Passage(str(n), f"Rome has {n} hills. Ulm has none.", f"Title {n}") for n in range(2, 8)]
    plain, ordered = (
        [Maker("name", ingredient).make(item, hits, random.Random(seed)) for seed in range(30)]
        for ingredient in (
            Ingredient.model_validate(RETRIEVAL | {"hostile": share, "ordered": True}) for share in (0.0, 1.0)
        )
    )
    said = set()
    for before, after in zip(plain, ordered, strict=True):
        ((one,), (other,)) = examples(before), examples(after)
        assert one.target == other.target == "1893"
        (at,) = [n for n, (a, b) in enumerate(zip(one.passages, other.passages, strict=True)) if a != b]
        hostile = other.passages[at]
        assert hostile.title == one.passages[at].title
        assert not contains_answer(hostile.text, ["1893"])
        said.add(hostile.text)
    assert len(said) > 20


def test_a_ranker_learns_that_orders_are_irrelevant_and_nothing_about_claims() -> None:
    item = asked("Ulm", gold=passages("It is in Ulm."), negatives=passages(*(f"No {n}." for n in range(20))))
    how = RETRIEVAL | {"task": "rank", "hostile": 1.0}
    found = [
        example
        for seed in range(60)
        for example in examples(
            Maker("name", Ingredient.model_validate(how)).make(item, (), random.Random(seed))
        )
    ]
    orders = [one.passages[0].text for one in found if one.target == "False"]
    assert len(orders) == 60
    assert all("No " in text and len(text) > len("No 10.") for text in orders)
    claims = [words.partition("{")[0] for words in CLAIMS if not words.startswith("{")]
    assert not any(claim in text for text in orders for claim in claims)
    assert all(one.passages[0].text == "It is in Ulm." for one in found if one.target == "True")


def test_what_a_task_cannot_use_says_why() -> None:
    alone = asked("Nowhere")
    impossible = Item("q", Question("q", "?"), target=UNANSWERABLE, gold=passages("Text."), answerable=False)
    cases = [
        (alone, "rank", "no passage with the answer"),
        (alone, "context_qa", "no gold passage"),
        (impossible, "rank", "cannot be answered"),
        (impossible, "retrieval_qa", "cannot be answered"),
        (asked(gold=passages("G")), "retrieval_rank", "no answer"),
        (asked("Ulm", gold=passages("Ulm.")), "retrieval_qa", "fewer than 9 passages"),
        (asked(gold=passages("G")), "instruct", "no reply"),
        (asked(" ", gold=passages("G")), "context_qa", "no answer"),
    ]
    for item, task, reason in cases:
        assert make(item, task, passages=9) == Dropped(reason)
    assert examples(make(impossible, "context_qa"))[0].target == UNANSWERABLE


def test_gold_of_two_passages_is_read_as_one() -> None:
    (found,) = examples(make(asked("b", gold=passages("a", "b")), "context_qa"))
    assert [one.text for one in found.passages] == ["a\nb"]


# ── conversations ────────────────────────────────────────────────────────────────────────────────────


def test_conversations_are_built_of_questions_on_the_same_paragraph() -> None:
    gold = passages("Ann saw Bob in Rome.")
    items = [
        Item(name, Question(name, f"{name}?"), answers=(answer,), gold=gold)
        for name, answer in [("who", "Ann"), ("whom", "Bob"), ("where", "Rome")]
    ]
    lone = Item("x", Question("x", "x?"), answers=("x",), gold=passages("x"))
    found = list(conversations([*items, lone], "seed", most_turns=2))
    assert [one.id for one in found] == ["who#conversation", "whom#conversation", "where#conversation"]
    assert found[0].search_id == "who"
    answers = {item.question.text: item.answers[0] for item in items}
    for one in found:
        turns = one.question.history
        pairs = list(zip(turns[::2], turns[1::2], strict=True))
        assert 1 <= len(pairs) <= 2
        assert all(answers[said.text] == reply.text for said, reply in pairs)
        assert one.question.text not in [said.text for said, _ in pairs]
    assert found == list(conversations([*items, lone], "seed", most_turns=2))


def test_a_dialogue_ends_with_the_assistant() -> None:
    turns = [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", " ")]
    item = dialogue("x", turns)
    assert isinstance(item, Item)
    assert (item.question.text, item.question.history, item.target) == ("a", (), "b")
    assert dialogue("x", [Turn("assistant", "b")]) == Dropped("no reply to a question")


def test_all_gold_goes_in_or_nothing() -> None:
    item = asked(gold=passages("a", "b"), negatives=passages("c", "d"))
    chosen = rules.five_passages(item, passages("e"), random.Random(0), 4, all_gold=True)
    assert sorted(texts(chosen)) == ["a", "b", "c", "e"]
    assert rules.five_passages(item, (), random.Random(0), 1, all_gold=True) == []


def test_words_shared_with_gold_are_those_that_tell_something() -> None:
    item = Item("q", Question("q", "Who built the old bridge of Ulm?"), answers=("Max",))
    gold = passages("Max built a bridge.", title="Kiel")
    assert rules.shared_words(replace(item, gold=gold)) == pytest.approx(2 / 4)
    assert rules.shared_words(replace(item, question=Question("q", "Who was it?"), gold=gold)) == 1.0


@pytest.mark.parametrize(("least", "most", "kept"), [(0.0, 1.0, True), (0.6, 1.0, False), (0.0, 0.4, False)])
def test_gold_that_shares_too_few_or_too_many_words_is_left_out(
    least: float, most: float, kept: bool
) -> None:
    item = Item(
        "q",
        Question("q", "Who built the old bridge of Ulm?"),
        answers=("Max",),
        gold=passages("Max built a bridge."),
    )
    how = Ingredient(source="squad", files=["f"], task="rank", weight=1, least_shared=least, most_shared=most)
    made = Maker("i", how).make(item, passages("Ann."), random.Random(0))
    assert isinstance(made, Dropped) is not kept
