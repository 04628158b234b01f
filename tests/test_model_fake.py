"""The model without weights: deterministic, within its limits, and good enough to run the house."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rankrag import prompts
from rankrag.errors import InvalidInputError
from rankrag.model import FakeLanguageModel
from rankrag.types import LanguageModel, Passage, Prompt, Question

CURIE = Passage(
    "c", "Her father taught. Marie Curie was born in Warsaw in 1867. She moved.", title="Marie Curie"
)
OWLS = Passage("o", "Owls hunt at night. They eat mice.")
QUESTION = Question("q", "Where was Marie Curie born?")
FORMS = list(prompts.TEMPLATES.values())


def said(lm: LanguageModel, prompt: Prompt, max_tokens: int = 100, stop: Sequence[str] = ()) -> list[str]:
    return list(lm.generate(prompt, max_tokens, stop))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_labels_are_probabilities_that_follow_the_shared_words(form: prompts.Template) -> None:
    asked = [prompts.rank(QUESTION, passage, form) for passage in (CURIE, OWLS)]
    logprobs = FakeLanguageModel().logprobs(asked, form.labels())
    assert logprobs.dtype == np.float64
    assert np.exp(logprobs).sum(axis=1) == pytest.approx([1.0, 1.0])
    assert np.exp(logprobs[:, 0]) == pytest.approx([0.99, 0.01])


def test_half_of_the_words_is_half_of_the_way() -> None:
    half = prompts.rank(Question("q", "Marie Skłodowska"), CURIE, prompts.PAPER)
    assert np.exp(FakeLanguageModel().logprobs([half], [" True"])[0, 0]) == pytest.approx(0.5)


def test_no_prompts_is_an_empty_table() -> None:
    assert FakeLanguageModel().logprobs([], [" True", " False"]).shape == (0, 2)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_answer_is_the_sentence_with_most_words_of_the_question(form: prompts.Template) -> None:
    pieces = said(FakeLanguageModel(), prompts.answer(QUESTION, [OWLS, CURIE], form))
    assert "".join(pieces) == "Marie Curie was born in Warsaw in 1867."
    assert pieces[:2] == ["Marie", " Curie"]


def test_nothing_in_common_is_said() -> None:
    assert "".join(said(FakeLanguageModel(), prompts.answer(QUESTION, [OWLS], prompts.PAPER))) == (
        prompts.UNANSWERABLE
    )


def test_the_answer_keeps_its_limit_and_ends_before_a_stop() -> None:
    prompt = prompts.answer(QUESTION, [CURIE], prompts.PAPER)
    assert "".join(said(FakeLanguageModel(), prompt, 2)) == "Marie Curie"
    assert "".join(said(FakeLanguageModel(), prompt, stop=["saw", "in W"])) == "Marie Curie was born"


def test_a_prompt_that_is_too_long_is_refused() -> None:
    lm = FakeLanguageModel(context_length=10)
    prompt = prompts.rank(QUESTION, CURIE, prompts.PAPER)
    with pytest.raises(InvalidInputError, match="wanted at most 10"):
        lm.logprobs([prompt], [" True"])
    with pytest.raises(InvalidInputError, match="wanted at most 10"):
        said(lm, prompt)
