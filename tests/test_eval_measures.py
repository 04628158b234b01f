"""Measures of text, rankings, abstaining and citations, against other people's code where there is any."""

from __future__ import annotations

import random
import re
import string
import unicodedata
from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankrag.errors import InvalidInputError
from rankrag.eval.gold import Gold, GoldQuestion
from rankrag.eval.measures.abstention import aurc, risk_coverage
from rankrag.eval.measures.citations import citation_values
from rankrag.eval.measures.ranking import RETRIEVED, answer_recall, has_answer, judged, ranking_values
from rankrag.eval.measures.text import (
    ANSWER_MEASURES,
    answer_value,
    apart,
    choice,
    choice_accuracy,
    claim_accuracy,
    contained,
    declined,
    exact_match,
    f1,
    normalize,
    verdict,
)
from rankrag.eval.report.score_tables import BY_ANSWER, BY_GOLD
from rankrag.prompts import UNANSWERABLE
from rankrag.types import Answer, Citation, Hit, Passage, Question, Style

_ASIAN = "".join(
    map(chr, [*range(0x0E00, 0x0F00), *range(0x1000, 0x10A0), *range(0x1100, 0x1200), *range(0x1780, 0x1800)])
)

# ── words in common ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The  U.S. Army!", "us army"),
        ("an A-Team, the best", "ateam best"),
        ("The The", ""),
        ("Théâtre — «the» end", "théâtre — « » end"),
        ("theory of a man", "theory of man"),
        ("the-end", "theend"),  # punctuation goes first and leaves no space
    ],
)
def test_texts_are_normalised_as_by_squad(text: str, wanted: str) -> None:
    assert normalize(text) == wanted


def squad(text: str) -> str:
    """The official `normalize_answer` of SQuAD, v1.1 and v2.0, to the letter."""

    def remove_articles(text: str) -> str:
        return re.sub(r"\b(a|an|the)\b", " ", text)

    def remove_punc(text: str) -> str:
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return " ".join(remove_articles(remove_punc(text.lower())).split())


@given(st.text(st.characters(max_codepoint=0x2E7F, exclude_categories=["Cs"], exclude_characters=_ASIAN)))
def test_texts_of_alphabets_are_those_of_the_official_script(text: str) -> None:
    assert normalize(text) == squad(text)
    assert apart(text) == text


@pytest.mark.parametrize(
    ("text", "answers", "exact", "share", "inside"),
    [
        ("서울", ["서울"], 1, 1, 1),
        ("서울。", ["「서울」"], 1, 1, 1),
        ("서울이다.", ["서울"], 0, 2 * 2 / 6, 1),
        ("서울 특별시", ["서울특별시"], 1, 1, 1),
        (unicodedata.normalize("NFD", "서울"), ["서울"], 1, 1, 1),
        ("서우", ["서울"], 0, 0.5, 0),
        ("부산", ["서울"], 0, 0, 0),
        ("答:三天内。", ["三天内"], 1, 1, 1),
        ("员工须在三天内提交", ["三天内"], 0, 2 * 3 / 12, 1),
        ("１９４５年", ["1945 年"], 1, 1, 1),
        ("１９４５。", ["1945"], 1, 1, 1),
        ("iPhone를 샀다", ["iphone"], 0, 2 * 1 / 5, 1),
        ("วันจันทร์ถึงวันศุกร์", ["วันศุกร์"], 0, 2 * 8 / 28, 1),
        ("Seoul", ["서울"], 0, 0, 0),
    ],
)
def test_scripts_without_spaces_are_compared_sign_by_sign(
    text: str, answers: list[str], exact: float, share: float, inside: float
) -> None:
    assert exact_match(text, answers) == exact
    assert f1(text, answers) == pytest.approx(share)
    assert contained(text, answers) == inside


def test_passages_hold_answers_inside_a_run_of_signs() -> None:
    assert has_answer("대한민국의 수도는 서울이다. 한강이 흐른다.", ["서울"])
    assert not has_answer("서울은 크다", ["서우"])  # a syllable is not its first letters
    assert has_answer("员工请病假须在三天内提交医院证明。", ["医院证明"])
    assert not has_answer("员工请病假", ["病员"])


@pytest.mark.parametrize(
    ("text", "answers", "wanted"),
    [
        ("The Eiffel Tower.", ["eiffel tower"], 1.0),
        ("Eiffel", ["Eiffel Tower", "Eiffel"], 1.0),
        ("Answer: Paris", ["Paris"], 1.0),
        (" A: Paris", ["Paris"], 1.0),
        ("a: Paris", ["Paris"], 1.0),  # the article goes anyway
        ("Q: Paris", ["Paris"], 0.0),
        ("in Paris", ["Paris"], 0.0),
        ("Paris", [], 0.0),
    ],
)
def test_exact_match(text: str, answers: list[str], wanted: float) -> None:
    assert exact_match(text, answers) == wanted


@pytest.mark.parametrize(
    ("text", "answers", "wanted"),
    [
        ("in the year 1912", ["1912"], 0.5),
        ("Paris Paris", ["Paris"], 2 / 3),  # bags: the second has no partner
        ("red and blue", ["blue", "blue and red"], 1.0),
        ("London", ["Paris"], 0.0),
        ("the", ["a"], 1.0),  # no words on either side
        ("the", ["Paris"], 0.0),
        ("Answer: well-known", ["well known"], 0.0),  # ChatRAG-Bench: 1
        ("Paris", [], 0.0),
    ],
)
def test_f1(text: str, answers: list[str], wanted: float) -> None:
    assert f1(text, answers) == pytest.approx(wanted)


def official_f1(prediction: str, truth: str) -> float:
    """The steps of SQuAD's script, v2.0."""

    def words(text: str) -> list[str]:
        bare = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", bare).split()

    gold, said = words(truth), words(prediction)
    same = sum((Counter(gold) & Counter(said)).values())
    if len(gold) == 0 or len(said) == 0:
        return int(gold == said)
    if same == 0:
        return 0
    precision, recall = 1.0 * same / len(said), 1.0 * same / len(gold)
    return (2 * precision * recall) / (precision + recall)


PHRASES = st.lists(st.sampled_from("the a an art Mozart U.S. us , - blue Blue é 12".split()), max_size=6)
TEXTS = PHRASES.map(" ".join)


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_f1_is_that_of_squad(text: str, answers: list[str]) -> None:
    assert f1(text, answers) == pytest.approx(max((official_f1(text, one) for one in answers), default=0))


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_an_exact_match_is_right_by_the_other_measures_too(text: str, answers: list[str]) -> None:
    assert exact_match(text, answers) <= min(f1(text, answers), contained(text, answers))
    assert contained(f"before {text} after", [text]) == float(bool(normalize(text)))


@pytest.mark.parametrize(
    ("text", "answers", "wanted"),
    [
        ("It was Wolfgang Amadeus Mozart.", ["mozart"], 1.0),
        ("It was Mozart.", ["art"], 0.0),  # a raw substring
        ("He moved to the U.S. in 1912", ["US"], 1.0),
        ("He moved in 1912.", ["1812", "1912"], 1.0),
        ("seen by Beatles fans", ["The Beatles"], 1.0),
        ("The Band", ["The The"], 0.0),  # nothing is left of the answer
        ("", ["Paris"], 0.0),
    ],
)
def test_an_answer_is_contained_as_whole_words(text: str, answers: list[str], wanted: float) -> None:
    assert contained(text, answers) == wanted


# ── claims ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("True", "True"),
        ("FALSE.", "False"),
        ("Answer: False", "False"),
        ("A: True", "True"),
        ("**False**", "False"),
        ("'True'", "True"),
        ("Yes, it is.", "True"),
        ("No.", "False"),
        ("SUPPORTS", "True"),
        ("REFUTES", "False"),
        ("The claim is false because he was born in 1912.", "False"),
        ("The claim is correct, he was.", "True"),
        ("Not true", "False"),
        ("This is not entirely true.", "False"),
        ("The claim isn't true.", "False"),
        ("The claim isn’t correct.", "False"),
        ("It cannot be true.", "False"),
        ("The claim is not false.", "True"),
        ("incorrect", "False"),
        ("Untrue.", "False"),
        ("The passages do not support the claim.", "False"),
        ("The passages contradict the claim.", "False"),
        ("The claim is unsupported.", "False"),
        ("There is no evidence that the claim is true.", "False"),
        ("The claim that he did not win is true.", "True"),
        ("True or False? False", "False"),
        ("Is the claim true or false? It is true.", "True"),
        ("The claim 'Fargo is a true story' is false.", "False"),
        ('The claim "the moon isn\'t real" is wrong.', "False"),
        ("He had no children, so the claim is true.", "True"),
        ("NOT ENOUGH INFO", None),
        ("He was born in Truesdale.", None),
        ("Nobody knows.", None),
        ("True or False", None),
        ("", None),
    ],
)
def test_an_answer_to_a_claim_gives_a_verdict(text: str, wanted: str | None) -> None:
    assert verdict(text) == wanted


def test_claims_are_right_or_wrong() -> None:
    assert claim_accuracy("It is not true.", ["False"]) == 1.0
    assert claim_accuracy("It is not true.", ["True"]) == 0.0
    assert claim_accuracy("Who knows?", ["True"]) == 0.0


# ── multiple choice ──────────────────────────────────────────────────────────────────────────────────

DRUGS = {"A": "patient education", "B": "Aspirin", "C": "C. difficile colitis", "D": "beta blockers"}
MAYBE = {"A": "yes", "B": "no", "C": "maybe"}
ROMAN = {"A": "I", "B": "I, III", "C": "I, V"}


@pytest.mark.parametrize(
    ("text", "options", "wanted"),
    [
        ("B", DRUGS, "B"),
        ("b", DRUGS, "B"),
        ("a", DRUGS, "A"),
        ("(b)", DRUGS, "B"),
        ("B.", DRUGS, "B"),
        ("**B**", DRUGS, "B"),
        ("Answer: B", DRUGS, "B"),
        ("answer: (B)", DRUGS, "B"),
        ("A: B", DRUGS, "B"),
        ("A: yes", MAYBE, "A"),
        ("(B) Aspirin", DRUGS, "B"),
        ("B. Aspirin", DRUGS, "B"),
        ("B. aspirin", DRUGS, "B"),
        ("B: something else", DRUGS, "B"),
        ("B) because of the fever", DRUGS, "B"),
        ("B, since a fever is present", DRUGS, "B"),
        ("B\nThe fever fits.", DRUGS, "B"),
        ("B - Aspirin", DRUGS, "B"),
        ("B Aspirin", DRUGS, "B"),
        ("A patient education", DRUGS, "A"),
        ("A patient education is best", DRUGS, None),
        ("A patient with fever needs rest", DRUGS, None),  # an article
        ("A fever is present.", DRUGS, None),
        ("The answer is B", DRUGS, "B"),
        ("The correct answer is (B).", DRUGS, "B"),
        ("The answer is: D because the heart is fast", DRUGS, "D"),
        ("the best option is **D**", DRUGS, "D"),
        ("The answer is option D.", DRUGS, "D"),
        ("Option B: Aspirin", DRUGS, "B"),
        ("Option B is right", DRUGS, "B"),
        ("The fever fits. Answer: B", DRUGS, "B"),
        ("The answer is A patient with fever", DRUGS, None),
        ("The answer is aspirin.", DRUGS, "B"),
        ("The correct answer is yes", MAYBE, "A"),
        ("C. difficile colitis", DRUGS, "C"),
        ("C. difficile is the cause", DRUGS, None),
        ("The answer is C. difficile", DRUGS, None),
        ("The answer is B. no", MAYBE, "B"),
        ("The answer is the aspirin", DRUGS, "B"),
        ("Option B: I, III", ROMAN, "B"),
        ("B ↑ ↓", {"A": "↓ ↓", "B": "↑ ↓"}, "B"),
        ("↑ ↓", {"A": "↓ ↓", "B": "↑ ↓"}, "B"),
        ("9.3", {"A": "93", "B": "9.3"}, "B"),
        ("(A) 4.6", {"A": "4.6", "B": "4.6"}, "A"),
        ("I, III, because it fits", ROMAN, "B"),
        ("Choice of two", {"A": "one", "B": "Choice of two"}, "B"),
        ("yes", MAYBE, "A"),
        ("No.", MAYBE, "B"),
        ("Yes, because it was randomised.", MAYBE, "A"),
        ("No evidence of it", MAYBE, None),
        ("A or B", DRUGS, None),
        ("(A) or (B)", DRUGS, None),
        ("A, B", DRUGS, None),
        ("A and C are right", DRUGS, None),
        ("The answer is B or C", DRUGS, None),
        ("Option B is wrong, option C is right", DRUGS, "C"),
        ("same", {"A": "same", "B": "Same."}, None),
        ("B", {"A": "B", "B": "A"}, "B"),  # blood groups: the letter is meant
        ("A: B", {"A": "B", "B": "C"}, "A"),
        ("The answer is B.", {"A": "B", "B": "C"}, "B"),
        ("Option B is incorrect.", DRUGS, None),
        ("E", DRUGS, None),
        ("The patient should rest.", DRUGS, None),
        ("", DRUGS, None),
        ("B", {}, None),
        ("anything", {"A": ""}, None),
    ],
)
def test_an_answer_chooses_a_letter(text: str, options: dict[str, str], wanted: str | None) -> None:
    assert choice(text, options) == wanted


@given(
    st.sampled_from("ABCD"), st.sampled_from(["{}", "({})", "{}.", "{}) ", "Option {}", "**{}**", "{}: no"])
)
def test_every_letter_is_read_the_same(letter: str, form: str) -> None:
    assert choice(form.format(letter), dict.fromkeys("ABCD", "anything")) == letter
    assert choice_accuracy(form.format(letter), [letter], dict.fromkeys("ABCD", "anything")) == 1.0
    assert choice_accuracy(form.format(letter), ["E"], dict.fromkeys("ABCD", "anything")) == 0.0


# ── the measures that a benchmark names ──────────────────────────────────────────────────────────────


def item(*answers: str, style: Style = "phrase", **gold: Any) -> GoldQuestion:
    options = MAYBE if style == "choice" else {}
    return GoldQuestion(Question("q", "Where?", style=style, options=options), Gold(answers, **gold), "q")


def said(text: str, **fields: Any) -> Answer:
    return Answer(Question("q", "Where?"), text=text, **fields)


@pytest.mark.parametrize(
    ("name", "text", "asked", "wanted"),
    [
        ("EM", "Answer: Paris", item("Paris"), 1.0),
        ("EM", "in Paris", item("Paris"), 0.0),
        ("F1", "in Paris", item("Paris"), 2 / 3),
        ("Acc", "in Paris", item("Paris"), 1.0),
        ("Claim", "That is false.", item("False", style="true_false"), 1.0),
        ("Choice", "maybe", item("C", style="choice"), 1.0),
    ],
)
def test_a_measure_is_called_by_its_name(name: str, text: str, asked: GoldQuestion, wanted: float) -> None:
    assert answer_value(name, said(text), asked) == pytest.approx(wanted)


@pytest.mark.parametrize("name", ANSWER_MEASURES)
def test_nothing_said_is_worth_nothing(name: str) -> None:
    asked = item(" ", "the", "Paris", "context", "A", "True", style="choice")
    for answer in (said(""), said(" \n"), said("Paris", abstained=True), said(UNANSWERABLE)):
        assert answer_value(name, answer, asked) == 0.0


@pytest.mark.parametrize("name", ANSWER_MEASURES)
def test_what_cannot_be_answered_is_right_if_declined(name: str) -> None:
    asked = item(answerable=False)
    values = [
        answer_value(name, answer, asked)
        for answer in (said("Paris"), said(""), said("", abstained=True), said(UNANSWERABLE))
    ]
    assert values == [0.0, 0.0, 1.0, 1.0]


def test_the_stock_sentence_declines_whatever_stands_beside_it() -> None:
    assert declined(f"Answer: {UNANSWERABLE} But perhaps Paris.", abstained=False)
    assert not declined("I am sorry, the context does not say.", abstained=False)
    assert declined("sorry, i cannot find the answer based on context", abstained=False)


def test_an_unknown_answer_measure_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="found answer measure 'em', wanted one of EM, F1, Acc"):
        answer_value("em", said("Paris"), item("Paris"))


# ── answers in passages ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "answers", "wanted"),
    [
        ("He lived in Paris, France.", ["paris"], True),
        ("He lived in PARIS", ["Paris"], True),
        ("A Parisian life", ["Paris"], False),
        ("It was Mozart", ["art"], False),
        ("the answer is 42.5 percent", ["42.5"], True),
        ("the answer is 42, 5 percent", ["42.5"], False),  # another token between
        ("a well - known man", ["well-known"], True),  # spaces are no tokens
        ("snake_case", ["snake"], True),  # the underscore is a symbol
        ("seen by Beatles fans", ["The Beatles"], False),  # articles count
        ("14 December 1972", ["14 December, 1972"], False),  # punctuation counts
        ("$5 more", ["$5"], True),
        ("Beyonc\u00e9 sang", ["Beyonce\u0301"], True),  # composed and decomposed
        ("Beyonce\u0301 sang", ["Beyonc\u00e9"], True),
        ("Beyonc\u00e9 sang", ["Beyonce"], False),  # the mark belongs to the token
        ("Beyonce sang", ["Beyonc\u00e9"], False),
        ("हिन्दी भाषा", ["हिन्दी"], True),  # marks that have no composed form
        ("हिन्दी भाषा", ["हिन"], False),
        ("東京は首都", ["東京"], True),  # each sign a token, unlike in DPR
        ("x² + y", ["x²"], True),
        ("Ⅳ legion", ["ⅳ"], True),
        ("zero\u200bwidth", ["zero"], True),  # a format character parts tokens and is none
        ("soft\u00a0space", ["soft space"], True),
        ("nothing", [""], False),  # DPR: found everywhere
        ("nothing", ["\u200b"], False),
        ("nothing", [], False),
        ("", ["Paris"], False),
    ],
)
def test_a_passage_holds_an_answer_as_in_dpr(text: str, answers: list[str], wanted: bool) -> None:
    assert has_answer(text, answers) is wanted


CHARACTERS = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("aé\u0301Iİß _-.\n\u200bΣς²Ⅳक्")), max_size=12
)


@given(CHARACTERS, CHARACTERS)
def test_tokens_are_those_of_dpr(text: str, answer: str) -> None:
    regex = pytest.importorskip("regex")
    token = regex.compile(r"([\p{L}\p{N}\p{M}]+)|([^\p{Z}\p{C}])")

    def tokens(written: str) -> list[str]:
        # `regex` may know another Unicode than Python; what Python has not assigned is left out.
        known = [c for c in unicodedata.normalize("NFD", written) if unicodedata.category(c) != "Cn"]
        return [match.group().lower() for match in token.finditer("".join(known))]

    text, answer = (
        "".join(c for c in one if unicodedata.category(c) != "Cn") for one in (f"{text} {answer}!", answer)
    )
    wanted, searched = tokens(answer), tokens(text)
    places = range(len(searched) - len(wanted) + 1)
    assert has_answer(text, [answer]) is any(
        wanted and searched[i : i + len(wanted)] == wanted for i in places
    )


def hits(*texts: str, title: str = "") -> tuple[Hit, ...]:
    return tuple(Hit(Passage(text, text, title), 0.0) for text in texts)


def test_answer_recall_is_of_the_first_k_texts() -> None:
    found = hits("London.", "Rome.", "Paris is old.", title="Paris")
    assert [answer_recall(found, ["Paris"], k) for k in (1, 2, 3, 99)] == [0.0, 0.0, 1.0, 1.0]
    assert answer_recall((), ["Paris"], 5) == 0.0


# ── judged passages ──────────────────────────────────────────────────────────────────────────────────


def runs(seed: int, n: int = 12) -> tuple[dict[str, list[str]], dict[str, dict[str, int]]]:
    """Return random rankings, some short, some with nothing relevant, and graded judgements."""
    rng = random.Random(seed)
    ids = [f"d{i}" for i in range(30)]
    qrels = {
        f"q{i}": {id: rng.choice([0, 0, 1, 2, 3]) for id in rng.sample(ids, rng.randint(1, 15))}
        for i in range(n)
    }
    return {question: rng.sample(ids, rng.randint(1, 30)) for question in qrels}, qrels


DEPTHS = {
    "nDCG@10": "ndcg_cut_10",
    "R@5": "recall_5",
    "AP@20": "map_cut_20",
    "P@5": "P_5",
    "Success@1": "success_1",
}


@pytest.mark.parametrize("seed", range(5))
def test_judged_measures_are_those_of_trec_eval(seed: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    run, qrels = runs(seed)
    scores = {q: {id: 1 / (1 + place) for place, id in enumerate(ids)} for q, ids in run.items()}
    wanted = pytrec_eval.RelevanceEvaluator(qrels, set(DEPTHS.values())).evaluate(scores)
    found = judged(run, qrels, list(DEPTHS))
    for ours, theirs in DEPTHS.items():
        assert found[ours] == pytest.approx({question: wanted[question][theirs] for question in qrels})
    first_ten = {q: dict(list(of.items())[:10]) for q, of in scores.items()}
    for name, level in (("RR@10", 1), ("RR(rel=2)@10", 2)):
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}, relevance_level=level)
        wanted = {q: of["recip_rank"] for q, of in evaluator.evaluate(first_ten).items()}
        assert judged(run, qrels, [name])[name] == pytest.approx(wanted)


@pytest.mark.slow  # numba compiles for half a minute
@pytest.mark.filterwarnings("ignore")
def test_judged_measures_are_those_of_ranx() -> None:
    ranx = pytest.importorskip("ranx")
    compared = {"nDCG@10": "ndcg@10", "R@5": "recall@5", "RR@10": "mrr@10"}
    for seed in range(3):
        run, qrels = runs(seed)
        # ranx has no value for a question without relevant passages.
        qrels = {q: of for q, of in qrels.items() if any(of.values())}
        scores = {q: {id: 1 / (1 + place) for place, id in enumerate(run[q])} for q in qrels}
        theirs = ranx.Run(scores)
        ranx.evaluate(ranx.Qrels(qrels), theirs, list(compared.values()))
        found = judged(run, qrels, list(compared))
        for ours, name in compared.items():
            assert found[ours] == pytest.approx(dict(theirs.scores[name]))


def test_every_question_of_the_qrels_has_a_value() -> None:
    qrels = {"found": {"a": 1}, "empty": {"a": 1}, "absent": {"a": 1}, "hopeless": {"b": 0}, "unjudged": {}}
    run = {"found": ["b", "a"], "empty": [], "hopeless": ["b"], "stranger": ["a"], "unjudged": ["a"]}
    found = judged(run, qrels, ["RR@10", "nDCG@10", "R@1"])
    nothing = dict.fromkeys(("empty", "absent", "hopeless", "unjudged"), 0.0)
    assert found["RR@10"] == {"found": 0.5, **nothing}
    assert found["nDCG@10"] == pytest.approx({"found": 1 / np.log2(3), **nothing})
    assert found["R@1"] == {"found": 0.0, **nothing}
    assert judged({}, qrels, ["AP@5"]) == {"AP@5": dict.fromkeys(qrels, 0.0)}


def test_the_order_of_the_list_counts_and_not_the_scores() -> None:
    qrels = {"q": {"a": 1}}
    tied = [Hit(Passage(id, id), 0.5) for id in "cba"]
    rising = [Hit(Passage(id, id), score) for id, score in (("c", 0.1), ("b", 0.2), ("a", 0.9))]
    for ranking in (tied, rising):
        assert judged({"q": ranking}, qrels, ["RR@10"])["RR@10"]["q"] == pytest.approx(1 / 3)
        assert judged({"q": ranking[::-1]}, qrels, ["RR@10"])["RR@10"]["q"] == 1.0


@pytest.mark.parametrize("name", ["ndcg@10", "nDCG", "R@0", "R@x", "MRR@10", "nDCG(rel=2)@10", "R@5 ", ""])
def test_an_unknown_ranking_measure_is_refused(name: str) -> None:
    with pytest.raises(
        InvalidInputError, match=r"wanted one of AP, nDCG, P, R, RR, Success with a depth"
    ) as error:
        judged({"q": ["a"]}, {"q": {"a": 1}}, [name])
    assert repr(name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_passage_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="found passage 'b' twice in the ranking of question 'q'"):
        judged({"q": ["a", "b", "c", "b"]}, {"q": {"a": 1}}, ["R@5"])


def test_values_of_both_orders() -> None:
    retrieved = hits("London.", "Rome.", "Paris is old.")
    answer = said("", retrieved=retrieved, ranked=retrieved[::-1])
    found = ranking_values(answer, item("Paris", passages=frozenset({"Rome."})), [1, 2], by_answer=True)
    ranked = {name: value for name, value in found.items() if not name.startswith(RETRIEVED)}
    before = {name.removeprefix(RETRIEVED): value for name, value in found.items() if name not in ranked}
    assert ranked == pytest.approx(
        {"answer-R@1": 1, "answer-R@2": 1, "R@1": 0, "R@2": 1, "nDCG@10": 1 / np.log2(3), "RR@10": 0.5}
    )
    assert before == pytest.approx({**ranked, "answer-R@1": 0, "answer-R@2": 0})


def test_values_that_do_not_apply_are_left_out() -> None:
    answer = said("", ranked=hits("Paris."))
    assert ranking_values(answer, item("True", style="true_false"), [1], by_answer=False) == {}
    assert ranking_values(answer, item(answerable=False), [1], by_answer=True) == {}
    judged_only = ranking_values(answer, item(grades={"Paris.": 0}), [1], by_answer=True)
    assert judged_only == {"nDCG@10": 0.0, f"{RETRIEVED}nDCG@10": 0.0}, "a judged question counts"
    assert set(ranking_values(answer, item("Paris"), [1, 5], by_answer=True)) == {
        *("answer-R@1", "answer-R@5", "retrieved answer-R@1", "retrieved answer-R@5")
    }


@pytest.mark.parametrize(
    "text",
    [
        "The passage does not say the claim is true.",
        "I cannot say that it is true",
        "It doesn't clearly show whether this is correct.",
    ],
)
def test_what_is_not_said_is_no_verdict(text: str) -> None:
    assert verdict(text) is None
    assert verdict("True. " + text) == "True"
    assert verdict(text + " So it is false.") is None


def test_a_question_without_an_answer_counts_zero() -> None:
    asked = item("Paris", passages=frozenset({"Paris."}))
    found = ranking_values(said(""), asked, [1, 5], by_answer=True)
    assert len(found) == 12
    assert set(found.values()) == {0.0}


def test_grades_count_as_they_are() -> None:
    asked = item(passages=frozenset({"good"}), grades={"good": 3, "fair": 1, "bad": 0})
    found = ranking_values(said("", ranked=hits("bad", "fair", "good")), asked, [2], by_answer=True)
    gains, ideal = 1 / np.log2(3) + 3 / np.log2(4), 3 + 1 / np.log2(3)
    assert found["nDCG@10"] == pytest.approx(gains / ideal)
    # What is gold decides the measures that know no grades: here grade 3 alone, which stands third.
    assert [found["R@2"], found["RR@10"]] == pytest.approx([0.0, 1 / 3])


def test_the_report_knows_the_names() -> None:
    asked = item("Paris", passages=frozenset({"Paris."}))
    found = ranking_values(said("", ranked=hits("Paris.")), asked, [1, 5, 10, 20], by_answer=True)
    plain = {name.removeprefix(RETRIEVED) for name in found}
    assert plain <= {*BY_ANSWER, *BY_GOLD}
    assert len(found) == 2 * len(plain)


# ── abstaining ───────────────────────────────────────────────────────────────────────────────────────


def test_risk_grows_with_coverage() -> None:
    coverages, risks = risk_coverage([0.9, 0.1, 0.5, 0.7], [1, 0, 0.5, 1])
    assert coverages.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risks == pytest.approx([0, 0, 0.5 / 3, 1.5 / 4])
    assert aurc([0.9, 0.1, 0.5, 0.7], [1, 0, 0.5, 1]) == pytest.approx((0.5 / 3 + 1.5 / 4) / 4)


CONFIDENT = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=5)


@given(CONFIDENT)
def test_ties_are_worth_the_mean_of_all_their_orders(pairs: list[tuple[float, bool]]) -> None:
    wanted = aurc(*zip(*pairs, strict=True))
    orders = [sorted(order, key=lambda pair: -pair[0]) for order in permutations(pairs)]
    # Confidences that fall strictly along each order: no ties are left.
    untied = [aurc(range(len(pairs), 0, -1), [right for _, right in order]) for order in orders]
    assert np.mean(untied) == pytest.approx(wanted)
    assert aurc(*zip(*pairs[::-1], strict=True)) == pytest.approx(wanted)


def test_the_area_lies_between_the_best_and_the_worst_order() -> None:
    right = [1.0] * 6 + [0.0] * 4
    falling = np.linspace(1, 0, 10).tolist()
    best, none, worst = aurc(falling, right), aurc([0.5] * 10, right), aurc(falling[::-1], right)
    assert best < none < worst
    assert none == pytest.approx(0.4)  # a confidence that says nothing: the error over all
    assert best == pytest.approx(sum((n - 6) / n for n in range(7, 11)) / 10)


@pytest.mark.slow  # scikit-learn takes seconds to import
@pytest.mark.parametrize("seed", range(3))
def test_selective_accuracy_is_the_precision_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    sure, right = rng.integers(0, 8, 50) / 8, rng.integers(0, 2, 50)
    coverages, risks = risk_coverage(sure.tolist(), right.tolist())
    precision, _, thresholds = metrics.precision_recall_curve(right, sure)
    for wanted, threshold in zip(precision, thresholds, strict=False):
        kept = int((sure >= threshold).sum())
        assert coverages[kept - 1] == pytest.approx(kept / 50)
        assert 1 - risks[kept - 1] == pytest.approx(wanted)


@pytest.mark.parametrize(("sure", "right"), [([], []), ([0.5], [1, 0]), ([float("nan")], [1])])
def test_confidences_that_cannot_be_ordered_are_refused(sure: list[float], right: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="wanted one of each"):
        aurc(sure, right)


# ── citations ────────────────────────────────────────────────────────────────────────────────────────

TEXT = "He was born in Ulm. He died in 1955.\n* * *\nHe was a physicist."
GOLD = frozenset({"born"})
READ = (
    Hit(Passage("born", "A boy was born."), 0.9),
    Hit(Passage("other", "The town of Ulm is old."), 0.8),
    Hit(Passage("wrong", "Nothing of it."), 0.7),
)


def citing(*places: tuple[str, str], text: str = TEXT, **fields: Any) -> Answer:
    """Return an answer that cites passages for pieces of its text."""
    spans = [(text.index(piece), text.index(piece) + len(piece), id) for piece, id in places]
    cited = tuple(Citation(start, end, id, 0.9) for start, end, id in spans)
    return said(text, ranked=READ, read_k=3, citations=cited, **fields)


def values(precision: float, recall: float) -> dict[str, float]:
    return {"citation_precision": precision, "citation_recall": recall}


def test_a_citation_is_correct_if_its_passage_is_gold_or_holds_an_answer() -> None:
    asked = item("Ulm", passages=GOLD)
    born, died, was = "He was born in Ulm.", "He died in 1955.", "He was a physicist."
    cases = [
        (citing((born, "born"), (died, "born"), (was, "born")), values(1, 1)),
        (citing((born, "born")), values(1, 1 / 3)),  # the line of stars is no sentence
        (citing((born, "other")), values(1, 1 / 3)),
        (citing((born, "born"), (born, "wrong")), values(0.5, 1 / 3)),
        (citing((born, "wrong"), (died, "absent")), values(0, 0)),
        (citing(("born in Ulm", "born"), ("Ulm. He died", "born")), values(1, 2 / 3)),  # spans overlap
    ]
    for answer, wanted in cases:
        assert citation_values(answer, asked) == pytest.approx(wanted)


def test_an_answer_that_cites_nothing_has_no_precision() -> None:
    assert citation_values(citing(), item("Ulm", passages=GOLD)) == {"citation_recall": 0.0}


def test_verdicts_and_letters_are_not_looked_for_in_passages() -> None:
    true = Hit(Passage("true", "It is true."), 0.9)
    answer = said("True", ranked=(true,), citations=(Citation(0, 4, "true", 0.9),))
    assert citation_values(answer, item("True", style="true_false", passages=GOLD)) == values(0, 0)
    assert citation_values(answer, item("True", passages=GOLD)) == values(1, 1)


def test_citations_of_what_was_not_answered_are_not_measured() -> None:
    cited = ("He was born in Ulm.", "born")
    assert citation_values(citing(cited), item("Ulm")) == {}
    assert citation_values(citing(cited), item(answerable=False, passages=GOLD)) == {}
    assert citation_values(citing(cited, abstained=True), item("Ulm", passages=GOLD)) == {}
    assert citation_values(said(UNANSWERABLE), item("Ulm", passages=GOLD)) == {}
    assert citation_values(said(""), item("Ulm", passages=GOLD)) == {}
    assert citation_values(said("…"), item("Ulm", passages=GOLD)) == {}
