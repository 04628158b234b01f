"""Every word that the model reads or is taught to write.

Training and serving take their prompts from here, so they cannot drift apart. The wording is that of the
paper (arXiv 2407.02485, appendix C); docs/prompt-decisions.md lists every place where the paper is silent and
what was decided. Passages come before the question: the `prefix` of a `Prompt` is the same for every
question, so an engine may compute its keys and values once.

Text that comes from users and documents is made harmless first: a marker of the template inside it is
broken, and so is what opens or ends a turn of a foreign frame without markers; blank lines, which separate
the parts of a prompt, become single line breaks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .errors import InvalidInputError
from .types import Example, Passage, Prompt, Question, Speaker, Style, Turn

TRUE, FALSE = "True", "False"
"""The two labels of ranking; relevance is the probability of the first."""

UNANSWERABLE = "Sorry. I cannot find the answer based on the context."
"""What the model is taught to say, and `ask` says, when the passages do not hold the answer."""

HISTORY_MESSAGES = 6
"""Messages of history that a prompt keeps: ChatRAG-Bench gives a model the last 7, the question included."""

SYSTEM = (
    "This is a chat between a user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions based on the context. "
    "The assistant should also indicate when the answer cannot be found in the context."
)

REWRITER = (
    "You are given a conversation. Rewrite the user's last message as one question that can be understood "
    "without the conversation: put names in place of words such as it, he, there or that one, and say what a "
    "short question leaves out. Keep all else. Reply with the question alone."
)
_REWRITTEN: tuple[tuple[tuple[Turn, ...], str], ...] = (
    (
        (
            Turn("user", "Which rivers cross Austria?"),
            Turn("assistant", "The Danube and the Mur."),
            Turn("user", "Where does the second one end?"),
        ),
        "Where does the river Mur end?",
    ),
    (
        (
            Turn("user", "How do I renew my passport?"),
            Turn("assistant", "By post or at an office. Do you still have the old passport?"),
            Turn("user", "Yes, but it is damaged. What does it cost then?"),
        ),
        "What does it cost to renew a damaged passport?",
    ),
)
"""Conversations with what their last message is when it stands alone: small models need to be shown."""

SHOWN_REWRITTEN = tuple(rewritten for _, rewritten in _REWRITTEN)


@dataclass(frozen=True, slots=True)
class Template:
    """How the parts of a prompt are put on paper: what stands before and after each turn.

    `assess` is the verb of the ranking prompt: the paper's own has the misspelling `access`, kept where
    a model was or will be tuned on it, corrected for models that never saw it. `markers` are the control
    tokens of the frame, `words` what opens or ends a turn without one: no text from outside may have either.
    """

    name: str
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    assess: str
    markers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()

    @property
    def open_answer(self) -> str:
        """What the prompt ends with; for plain text the space after the colon belongs to the target."""
        return self.assistant[0].rstrip(" ")

    def labels(self) -> tuple[str, str]:
        """Return the True and False labels exactly as they follow the prompt."""
        return self.target(TRUE), self.target(FALSE)

    def target(self, text: str) -> str:
        """Return an answer as it follows the prompt: with the space that `open_answer` left out."""
        return self.assistant[0][len(self.open_answer) :] + text


PAPER = Template(
    name="paper",
    system=("System: ", ""),
    user=("\n\nUser: ", ""),
    assistant=("\n\nAssistant: ", ""),
    assess="access",
    stop=("\n\nUser:", "\n\nSystem:", "\n\nPassage", "\n\nAssistant:"),
)
"""The paper's plain text (separators as in NVIDIA's released ChatQA code: blank lines).

`User:` in a passage stays: broken (`User :`), a faked turn ranked above the right passage for 13 of 20
questions in place of 8 (`benchmarks/quality/hostile.py` with `rankrag-135m`).
"""

CHAT = Template(
    name="chat",
    system=("<|im_start|>system\n", "<|im_end|>\n"),
    user=("<|im_start|>user\n", "<|im_end|>\n"),
    assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
    assess="assess",
    markers=("<|im_start|>", "<|im_end|>"),
    stop=("<|im_end|>",),
)
"""ChatML, for instruct models that this project never tuned."""

TEMPLATES: dict[str, Template] = {t.name: t for t in (PAPER, CHAT)}

_INSTRUCTIONS: dict[Style, str] = {
    "plain": "{question}",
    "phrase": "{sentence} Answer the above question with a short phrase.",
    "span": "Answer the following question with a short span. {question}",
    "full": "Please give a full and complete answer for the question. {question}",
    "number": (
        "Answer the following question with a number from the context or through math arithmetic. {question}"
    ),
    "span_or_full": (
        "Answer the following question with a short span, or a full and complete answer. {question}"
    ),
    "true_false": "Answer the following question with True or False. Is the claim '{question}' correct?",
    "choice": ("Answer the following question with the letter of the correct option. {question}\n{options}"),
}

_FIRST_TURN_STYLES: frozenset[Style] = frozenset({"full"})
"""Styles whose instruction stands in the first user turn, as ChatRAG-Bench does for Doc2Dial and INSCIT."""

_RANK = (
    "For the {noun} {text}, {assess} whether the passage is relevant to the {noun}. "
    "Return True if relevant, otherwise False."
)
_RETRIEVAL_RANK = (
    "For the question {text}, {assess} whether the above passages are relevant to the question. "
    "Return all the relevant passage id."
)
_QUESTION = "Write one short question that the passage answers. Return only the question."


def template(name: str) -> Template:
    """Return the template of that name."""
    if name not in TEMPLATES:
        raise InvalidInputError(
            f"found template {name!r}, wanted one of {', '.join(TEMPLATES)}: choose one of them"
        )
    return TEMPLATES[name]


# ── the five prompts ─────────────────────────────────────────────────────────────────────────────────


def rank(question: Question, passage: Passage, form: Template) -> Prompt:
    """Return the prompt after which the model says whether one passage is relevant.

    A claim (style `true_false`) is called a claim; history turns stand before the question, as the
    paper has them for conversational benchmarks.
    """
    noun = "claim" if question.style == "true_false" else "question"
    text = _clean(question.text, form)
    words = _RANK.format(noun=noun, text=text, assess=form.assess)
    context = f"Passage: {_body(passage, form)}"
    prompt = _prompt(form, context, [*_history(question, form), ("user", words)])
    start = prompt.suffix.rindex(words) + words.index(text)
    return replace(prompt, asked=(start, start + len(text)))


ECHOES = tuple(f"\n\nPassage {n}: " for n in range(1, 10))
"""Where an answer stops to be one: a small model that quotes a passage may go on with the next."""


def answer(question: Question, passages: Sequence[Passage], form: Template) -> Prompt:
    """Return the prompt that the model answers from several passages (or none)."""
    context = "\n\n".join(f"Passage {n}: {_body(passage, form)}" for n, passage in enumerate(passages, 1))
    return _prompt(form, context, _asked(question, form))


def context_answer(question: Question, passage: Passage, form: Template) -> Prompt:
    """Return the prompt of context-rich question answering: one gold passage, without a number."""
    return _prompt(form, f"Passage: {_body(passage, form)}", _asked(question, form))


def retrieval_rank(question: Question, passages: Sequence[Passage], form: Template) -> Prompt:
    """Return the prompt after which the model lists the relevant ones of several passages."""
    listed = answer(question, passages, form)
    words = _RETRIEVAL_RANK.format(text=_clean(question.text, form), assess=form.assess)
    return replace(listed, suffix=_turns(form, [*_history(question, form), ("user", words)]))


def instruct(question: Question, form: Template) -> Prompt:
    """Return the prompt of plain instruction following (stage one): no passages."""
    return _prompt(form, "", _asked(question, form))


def question(passage: Passage, form: Template) -> Prompt:
    """Return the prompt after which a model writes a question that a passage answers.

    No model of the paper's is taught this: it makes training questions on passages that have none.
    """
    return _prompt(form, f"Passage: {_body(passage, form)}", [("user", _QUESTION)])


def example(item: Example, form: Template) -> Prompt:
    """Return the prompt of a training example, with its target: the one way from `Example` to tokens."""
    several: dict[str, Callable[[Question, Sequence[Passage], Template], Prompt]] = {
        "instruct": lambda q, _, f: instruct(q, f),
        "context_qa": lambda q, p, f: context_answer(q, p[0], f),
        "retrieval_qa": answer,
        "rank": lambda q, p, f: rank(q, p[0], f),
        "retrieval_rank": retrieval_rank,
    }
    if item.task in ("context_qa", "rank") and len(item.passages) != 1:
        raise InvalidInputError(
            f"example {item.id!r}: found {len(item.passages)} passages, task {item.task!r} wants 1"
        )
    prompt = several[item.task](item.question, item.passages, form)
    return replace(prompt, target=form.target(_broken(item.target, form.markers).strip()))


def passage_list(numbers: Sequence[int]) -> str:
    """Return the target of retrieval-augmented ranking: the numbers (from 1) of the relevant passages.

    The paper does not print this string; naming the passages as the context does was decided here.
    """
    return ", ".join(f"Passage {n}" for n in sorted(numbers))


# ── the query that a retriever sees ──────────────────────────────────────────────────────────────────

QUERY_MESSAGES = 5
"""Messages, the question included, that make a search query (the dragon-multiturn convention)."""


def search_query(question: Question, speakers: bool = False) -> str:
    """Return what to search for: the question, after the last turns of its conversation.

    With `speakers` each line is prefixed `user: ` or `agent: `, as nvidia/dragon-multiturn expects;
    without, lines stand alone, which suits BM25 and single-turn encoders. Options are never included.
    """
    turns = [*question.history, Turn("user", question.text)][-QUERY_MESSAGES:]
    if not speakers:
        return "\n".join(_spaces(turn.text) for turn in turns)
    if len(turns) == 1:
        return _spaces(question.text)
    names: dict[Speaker, str] = {"user": "user", "assistant": "agent"}
    return "\n".join(f"{names[turn.role]}: {_spaces(turn.text)}" for turn in turns)


def about(question: Question, topic: str) -> Question:
    """Return what to search for where a benchmark says which page a conversation is about.

    ChatQA's retriever was asked so on TopiOCQA and INSCIT (arXiv 2401.10225): the last three messages, the
    topic named before each of the user's.
    """
    said = f"this is a question about {topic}. "
    turns = (
        Turn(turn.role, f"{said}{turn.text}") if turn.role == "user" else turn
        for turn in question.history[-2:]
    )
    return replace(question, text=said + question.text, history=tuple(turns))


def stand_alone(question: Question, form: Template) -> Prompt:
    """Return the prompt after which a model rewrites the last question of a conversation to stand alone."""
    shown = [turn for turns, rewritten in _REWRITTEN for turn in _rewriting(turns, form, rewritten)]
    turns = [*question.history, Turn("user", question.text)][-QUERY_MESSAGES:]
    frame = _turns(form, shown).removesuffix(form.open_answer)
    suffix = _turns(form, _rewriting(turns, form)).removeprefix(form.system[1])
    return Prompt(prefix=form.system[0] + REWRITER + frame, suffix=suffix, markers=form.markers)


def _rewriting(turns: Sequence[Turn], form: Template, rewritten: str = "") -> list[tuple[Speaker, str]]:
    names: dict[Speaker, str] = {"user": "User", "assistant": "Assistant"}
    said = "\n".join(f"{names[turn.role]}: {_spaces(_clean(turn.text, form))}" for turn in turns)
    asked: list[tuple[Speaker, str]] = [("user", f"{said}\nThe last message as a question of its own?")]
    return [*asked, ("assistant", rewritten)] if rewritten else asked


def claim(question: Question, sentence: str) -> Question:
    """Return a sentence of an answer as a claim to rank passages against, for citations.

    A short answer says little alone, so the question stands before it.
    """
    text = f"{_sentence(_spaces(question.text))} {_spaces(sentence)}"
    return Question(id=question.id, text=text, style="true_false")


# ── the identity of a template ───────────────────────────────────────────────────────────────────────


def template_hash(form: Template) -> str:
    """Return 16 hex digits that change whenever a template would write anything differently.

    It covers every prompt of a fixed set of questions, not this file's text, so that comments and
    refactoring leave it alone and a changed word does not.
    """
    passages = [Passage("a", "First.\n\nSecond.", title="Title"), Passage("b", "Third.")]
    history = (Turn("user", "Before?"), Turn("assistant", "Yes."))
    written: list[Prompt] = [instruct(Question("q", "Why?"), form)]
    for style in _INSTRUCTIONS:
        for turns in ((), history):
            question = Question("q", "Why?", turns, style, {"A": "one", "B": "two"})
            written += [
                rank(question, passages[0], form),
                answer(question, passages, form),
                context_answer(question, passages[0], form),
                retrieval_rank(question, passages, form),
            ]
    parts = [[p.prefix, p.suffix, *p.markers] for p in written]
    words = [*form.labels(), form.target(UNANSWERABLE), passage_list([1, 2]), *form.stop]
    return hashlib.sha256(json.dumps([parts, words]).encode()).hexdigest()[:16]


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


def _prompt(form: Template, context: str, turns: Sequence[tuple[Speaker, str]]) -> Prompt:
    blocks = [SYSTEM, context] if context else [SYSTEM]
    return Prompt(
        prefix=(form.system[0] + "\n\n".join(blocks)).rstrip(),  # an empty passage leaves "Passage: "
        suffix=_turns(form, turns),
        markers=form.markers,
    )


def _turns(form: Template, turns: Sequence[tuple[Speaker, str]]) -> str:
    frames = {"user": form.user, "assistant": form.assistant}
    said = "".join(frames[role][0] + text + frames[role][1] for role, text in turns)
    return form.system[1] + said + form.open_answer


def _asked(question: Question, form: Template) -> list[tuple[Speaker, str]]:
    """Return the turns with the instruction of the question's style in its place."""
    turns = [*_history(question, form), ("user", _clean(question.text, form))]
    first = question.style in _FIRST_TURN_STYLES
    users = [n for n, (role, _) in enumerate(turns) if role == "user"]
    instructed = users[0] if first else users[-1]
    turns[instructed] = ("user", _instruction(question, turns[instructed][1], form))
    return turns


def _instruction(question: Question, text: str, form: Template) -> str:
    options = "\n".join(
        f"{_clean(letter, form)}. {_clean(option, form)}"
        for letter, option in sorted(question.options.items())
    )
    words = _INSTRUCTIONS[question.style]
    return words.format(question=text, sentence=_sentence(text), options=options)


def _history(question: Question, form: Template) -> list[tuple[Speaker, str]]:
    kept = question.history[-HISTORY_MESSAGES:]
    return [(turn.role, _clean(turn.text, form)) for turn in kept]


def _body(passage: Passage, form: Template) -> str:
    """Return a passage as the model reads it: its title, if it has one, on a line of its own."""
    text = _clean(passage.text, form)
    return f"{_clean(passage.title, form)}\n{text}".strip() if passage.title else text


def _sentence(text: str) -> str:
    """Return a text that ends as a sentence does; the paper writes `{Question}.` before its instruction."""
    return text if text.endswith((".", "?", "!")) else text + "."


def _clean(text: str, form: Template) -> str:
    """Return a text without blank lines, edges of whitespace, or what frames the turns of the template."""
    return re.sub(r"\s*\n\s*", "\n", _broken(text, (*form.markers, *form.words))).strip()


def _broken(text: str, marks: Sequence[str]) -> str:
    for mark in marks:
        text = text.replace(mark, apart(mark))
    return text


def apart(mark: str) -> str:
    """Return what frames a turn with a space in it, so that it frames none: `<| im_end|>`, `User :`."""
    at = len(mark) - 1 if mark[0].isalnum() else 2
    return f"{mark[:at]} {mark[at:]}"


def _spaces(text: str) -> str:
    return " ".join(text.split())
