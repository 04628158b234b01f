"""Citations: only passages that were read, only with their names and numbers, at the right characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rankrag import prompts
from rankrag.model.skills.citer import ModelCiter, place
from rankrag.types import Hit, Passage, Question, Source

QUESTION = Question("q", "Where was Marie Curie born?")
WARSAW = Passage(
    "w",
    "Her father taught physics. Marie Curie was born in Warsaw in 1867. She had four siblings.",
    source=Source("curie.txt", start=100, end=189),
)
PARIS = Passage("p", "Marie Curie moved to Paris in 1891 to study.")


class WordRanker:
    """Relevance = share of the claim's words that a passage holds; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Question, tuple[str, ...]]] = []

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        self.asked.append((question, tuple(hit.passage.id for hit in hits)))
        words = question.text.lower().replace(".", " ").replace("?", " ").split()
        scored = [
            replace(hit, score=sum(w in hit.passage.text.lower() for w in words) / len(words)) for hit in hits
        ]
        return sorted(scored, key=lambda hit: -hit.score)


def test_a_sentence_is_cited_with_the_span_of_the_closest_sentence_of_the_source() -> None:
    (citation,) = ModelCiter(WordRanker()).cite(QUESTION, "She was born in Warsaw in 1867.", [PARIS, WARSAW])
    assert citation.passage_id == "w"
    assert (citation.start, citation.end) == (0, 31)
    assert citation.source == "curie.txt"
    assert citation.source_start is not None
    assert citation.source_end is not None
    inside = WARSAW.text[citation.source_start - 100 : citation.source_end - 100]
    assert inside == "Marie Curie was born in Warsaw in 1867."


def test_the_model_is_asked_with_the_claim_form_and_the_question() -> None:
    ranker = WordRanker()
    ModelCiter(ranker).cite(QUESTION, "Warsaw", [WARSAW])
    assert ranker.asked == [(Question("q", "Where was Marie Curie born? Warsaw", style="true_false"), ("w",))]


def test_a_passage_without_the_number_or_the_name_is_never_cited() -> None:
    citer = ModelCiter(WordRanker(), threshold=0.0)
    assert citer.cite(QUESTION, "Marie Curie was born in Warsaw in 1868.", [WARSAW, PARIS]) == ()
    assert citer.cite(QUESTION, "Marie Curie was born in Krakow.", [WARSAW, PARIS]) == ()
    assert [c.passage_id for c in citer.cite(QUESTION, "In 1891 Marie Curie moved.", [WARSAW, PARIS])] == [
        "p"
    ]


def test_grouped_digits_are_the_same_number() -> None:
    passage = Passage("n", "The town has 12,500 people.")
    citer = ModelCiter(WordRanker(), threshold=0.0)
    assert citer.cite(Question("q", "How many?"), "About 12500 people.", [passage])
    assert not citer.cite(Question("q", "How many?"), "About 2500 people.", [passage])


def test_each_sentence_is_cited_on_its_own_and_spans_are_exact() -> None:
    text = "Marie Curie was born in Warsaw. She moved to Paris in 1891.\nHer dog was Rex."
    citations = ModelCiter(WordRanker(), threshold=0.1).cite(QUESTION, text, [WARSAW, PARIS])
    assert [(text[c.start : c.end], c.passage_id) for c in citations] == [
        ("Marie Curie was born in Warsaw.", "w"),
        ("She moved to Paris in 1891.", "p"),
    ]


def test_relevance_below_the_threshold_cites_nothing() -> None:
    assert ModelCiter(WordRanker(), threshold=0.99).cite(QUESTION, "Warsaw it may be", [WARSAW]) == ()


def test_no_passage_no_text_and_a_refusal_cite_nothing() -> None:
    citer = ModelCiter(WordRanker(), threshold=0.0)
    assert citer.cite(QUESTION, "Warsaw.", []) == ()
    assert citer.cite(QUESTION, "", [WARSAW]) == ()
    assert citer.cite(QUESTION, " … ", [WARSAW]) == ()
    assert citer.cite(QUESTION, prompts.UNANSWERABLE, [WARSAW]) == ()


def test_a_passage_without_offsets_is_cited_without_them() -> None:
    (citation,) = ModelCiter(WordRanker(), threshold=0.0).cite(QUESTION, "Paris.", [PARIS])
    assert (citation.source, citation.source_start, citation.source_end) == ("", None, None)


def test_a_sentence_that_shares_no_word_with_a_passage_is_not_about_it() -> None:
    citer = ModelCiter(WordRanker(), threshold=0.0)
    assert citer.cite(QUESTION, "it depends entirely.", [WARSAW, PARIS]) == ()
    assert citer.cite(QUESTION, "Yes.", [WARSAW])


def test_a_hard_wrapped_sentence_is_cited_as_one_and_points_at_one() -> None:
    hall = Passage(
        "v",
        "Odin rules from his high seat. The great hall where Odin\nhouses those who were\nSlain in battle "
        "stands in Asgard. It has many doors.",
        title="Valhalla",
    )
    text = "The hall where Odin houses those\nSlain in battle stands in\nAsgard (Valhalla)."
    (citation,) = ModelCiter(WordRanker(), threshold=0.0).cite(
        Question("q", "Where is Valhalla?"), text, [hall]
    )
    assert (citation.start, citation.end) == (0, len(text))
    span = place(hall, text, "Where is Valhalla?")
    assert span is not None
    assert hall.text[slice(*span)].startswith("The great hall")


def test_yes_does_not_point_at_half_a_sentence_about_something_else() -> None:
    aside = Passage("c", "If you really want such a conversion, you have to write it out.")
    told = Passage("t", "A string and a number can be compared with == and are never equal.")
    question = "Can a string be compared with a number?"
    assert place(aside, "Yes.", question) is None
    assert place(told, "Yes.", question) == (0, len(told.text))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("when the loop is left early", "The else of a loop is skipped when a break ends it."),
        ("Yes.", "A loop and its body are one block; an else may follow an if."),
    ],
)
def test_a_place_that_says_half_is_no_place(answer: str, text: str) -> None:
    question = "Does the else of a loop run after a break?"
    assert place(Passage("p", text), answer, question) is None
    assert place(
        Passage("p", f"{text} The else does not run after a break left the loop early."), answer, question
    )


def test_a_place_is_about_what_was_asked_or_its_title_is() -> None:
    passage = Passage("p", "They are kept for 40 days. Nobody knows why.")
    question = "How long does Borg keep archives?"
    assert place(passage, "40 days", question) is None
    assert place(replace(passage, title="Borg › Retention"), "40 days", question) == (0, 26)


def test_a_place_begins_with_words_and_not_with_a_line_under_a_heading() -> None:
    passage = Passage("p", "--------\nBorg keeps archives for 40 days.\n========\nNobody knows why.")
    assert place(passage, "40 days", "How long does Borg keep archives?") == (9, 41)


def test_it_takes_the_sentence_before_to_say_what_it_is() -> None:
    passage = Passage("p", "Then came the index. Borg writes archives into a repository. It keeps 7 of them.")
    span = place(passage, "7", "How many archives does Borg keep?")
    assert span is not None
    assert passage.text[slice(*span)] == "Borg writes archives into a repository. It keeps 7 of them."
