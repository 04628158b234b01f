"""Measures of an answer's text against the gold of its question.

Exact match and F1 are those of SQuAD's official script, max over the accepted answers; the paper's other
measures follow arXiv 2407.02485, section 5.1. A label before the answer (`Answer:`, `A:`) does not count.
`ANSWER_MEASURES` holds the measures that a benchmark may name.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from ...errors import InvalidInputError
from ...prompts import FALSE, TRUE, UNANSWERABLE
from ...types import Answer
from ..gold import GoldQuestion

AnswerMeasure = Callable[[Answer, GoldQuestion], float]
"""What an answer is worth for an item, in 0..1."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_LABEL = re.compile(r"\s*(?:(?i:answer)|A|답변?|정답|答案?|回答|คำตอบ)\s*[:：]")
_ALONE_IN_SPACE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u1100-\u11ff\u3005-\u3007\u3040-\u31ff\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_WIDE = re.compile("[\u3000-\u303f\uff00-\uffef]")


# ── words in common ──────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=1 << 14)  # every measure of an answer asks for the same few texts
def normalize(text: str) -> str:
    """Return a text in lower case without punctuation, articles and superfluous spaces, in this order.

    The `normalize_answer` of https://rajpurkar.github.io/SQuAD-explorer (v1.1, the same in v2.0): only the
    punctuation of ASCII is taken out, and it leaves no space, so that `U.S.` is `us`. In a text with signs of
    East or South-East Asia each sign is a word of its own, and all punctuation goes (`apart`).
    """
    if _ALONE_IN_SPACE.search(text) or _WIDE.search(text):
        text = "".join(sign for sign in apart(text) if unicodedata.category(sign)[0] != "P")
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def apart(text: str) -> str:
    """Return a text of a script without spaces (or with spaces where its writers please) sign by sign.

    Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese signs get spaces around them, so that measures
    that compare words compare signs there: an answer is found inside a run of them, and F1 counts them, as
    in MLQA (arXiv 1910.07475) for Chinese and KorQuAD (arXiv 1909.07005) for Korean. Full-width forms become
    those of ASCII (NFKC). Other texts come back as they are.
    """
    if not (_ALONE_IN_SPACE.search(text) or _WIDE.search(text)):
        return text
    return _ALONE_IN_SPACE.sub(r" \g<0> ", unicodedata.normalize("NFKC", text))


def exact_match(text: str, answers: Sequence[str]) -> float:
    """Return 1 if the text is one of the answers after normalisation, else 0; 0 where there are none."""
    said = normalize(_unlabelled(text))
    return float(any(said == normalize(answer) for answer in answers))


def f1(text: str, answers: Sequence[str]) -> float:
    """Return the highest F1 of the text's words against those of an answer, as bags; 0 without answers.

    As in SQuAD v2.0, where one of the two has no words left the value is 1 if neither has any, else 0.
    For conversations ChatRAG-Bench (https://huggingface.co/datasets/nvidia/ChatRAG-Bench) also takes the
    best answer, but puts a space in the place of punctuation: there `well-known` is two words, here one. Of
    322 INSCIT references scored against the others of their turn the mean is 43.8 here and 44.1 there.
    """
    said = normalize(_unlabelled(text)).split()
    return max((_overlap(said, normalize(answer).split()) for answer in answers), default=0.0)


def _overlap(said: Sequence[str], wanted: Sequence[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    common = (Counter(said) & Counter(wanted)).total()
    return 2 * common / (len(said) + len(wanted))  # 2PR / (P + R) with P = common / said, R = common / wanted


def contained(text: str, answers: Sequence[str]) -> float:
    """Return 1 if an answer stands in the text as whole words after normalisation, else 0.

    The paper's Acc on TriviaQA and PopQA follows Self-RAG (arXiv 2310.11511, `match`) and Mallen et al.
    (arXiv 2212.10511), who look for the raw string. Ours differs in two ways: `art` is not found in
    `Mozart`, and case, punctuation and articles do not matter. Never below `exact_match`.
    """
    said = normalize(_unlabelled(text))
    wanted = [normalize(answer) for answer in answers]
    return float(any(said == answer or (answer and f" {answer} " in f" {said} ") for answer in wanted))


def _unlabelled(text: str) -> str:
    label = _LABEL.match(text)
    return text[label.end() :] if label else text


# ── claims ───────────────────────────────────────────────────────────────────────────────────────────

_ECHO = re.compile(r"true or false", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|‘[^’]*’|(?<!\w)'.+?'(?!\w)", re.DOTALL)
_AT_THE_START = re.compile(r"\W*(?:(?P<true>yes|right)|(?P<false>no))\b", re.IGNORECASE)
_VERDICT = re.compile(
    r"(?P<negated>(?:\b(?:not|never|cannot)|n['’]t)\s+(?:(?:be|been|a|an|the|quite|\w+ly)\s+)*)?"
    r"\b(?:(?P<true>true|correct|accurate|support(?:s|ed)?)"
    r"|(?P<false>false|untrue|incorrect|inaccurate|wrong|refute[sd]?|contradict(?:s|ed)?"
    r"|unsupported|no\s+(?:evidence|proof|support)))\b",
    re.IGNORECASE,
)
_UNSAID = re.compile(
    r"(?:\b(?:not|cannot)|n['’]t)\s+(?:\w+\s+){0,2}?(?:say|state|show|tell|know|determine|mention|indicate|clear)\b"
    r"[^.!?]*$",
    re.IGNORECASE,
)


def verdict(text: str) -> str | None:
    """Return which label an answer gives a claim, `True` or `False`; None where it gives neither.

    The rules, in this order:

    1. the words "true or false" are passed over, and so is what stands in quotation marks (the claim said
       again), unless there is no verdict outside them;
    2. `yes`, `right` or `no` count as the first word of the answer only;
    3. otherwise the first of true, correct, accurate, supports; false, untrue, incorrect, inaccurate, wrong,
       refutes, contradicts, unsupported, no evidence; in any case and form. `not` (n't, never, cannot)
       turns the word round, if only adverbs, articles and `be` stand between: not entirely true. After
       "cannot say", "does not show" and the like in the same sentence there is no verdict.
    """
    said = _ECHO.sub(" ", _unlabelled(text))
    for words in (_QUOTED.sub(" ", said), said):
        if match := _AT_THE_START.match(words) or _VERDICT.search(words):
            if _UNSAID.search(words[: match.start()]):
                return None
            groups = match.groupdict()
            return TRUE if (groups["true"] is not None) != bool(groups.get("negated")) else FALSE
    return None


def claim_accuracy(text: str, answers: Sequence[str]) -> float:
    """Return 1 if the verdict of the text is among the answers (`True`, `False`), else 0."""
    return float(verdict(text) in answers)


# ── multiple choice ──────────────────────────────────────────────────────────────────────────────────

_OPENS = r"[\s:(\[*\"']*"
# What may follow a letter that is an answer. After `C.` a small letter makes it an initial: C. difficile.
_ENDS = r"(?:\W*$|[):\],;]|\.(?!\s*[a-z])|\s*\n|\s+[-–—]\s|\*\*)"
_ALONE = r"(?!\W*(?:(?:and|or)\W+)?[A-Z](?:\W*$|[).:,/]|\s+(?:and|or)\b))"
_LEAD = re.compile(
    rf"{_OPENS}(?:so,? |therefore,? )?(?:the )?(?:\w+ )?\b(?:answer|option|choice)\b(?:\s+is\b)?{_OPENS}",
    re.I,
)
_LETTER = re.compile(r"(?:A:)?\W*([A-Za-z])\W*")
_LETTER_AND_TEXT = re.compile(rf"{_OPENS}([A-Z])(\s+|[\s.:,)\]*]+)(\S.*)", re.DOTALL)
_FIRST = re.compile(rf"{_OPENS}([A-Z]){_ENDS}{_ALONE}")
_NAMED = re.compile(
    r"(?i:\b(?:answer|option|choice)\b)(?:\s+(?:is|would be|must be|should be))?(?:\s+option)?"
    rf"{_OPENS}\b([A-Z])(?:{_ENDS}|\s+(?:because|since|as|for)\b|\s+is\b(?! not\b| wrong| incorrect)){_ALONE}"
)


def choice(text: str, options: Mapping[str, str]) -> str | None:
    """Return the letter that an answer chooses; None where it chooses none or more than one.

    `options` maps capital letters to their texts. An opening like `The correct answer is` or `Option` is
    passed over. Then the first rule that finds anything decides:

    1. a capital with the text of its own option: `B. Aspirin`; with no more than a space between them nothing
       may follow, so that `A patient` is A only where that is the whole answer and option A is "patient";
    2. a letter alone, whatever stands around it, in either case: `B`, `(b)`, `**B.**`, `A: B`;
    3. the text of exactly one option alone: `No.`, `pneumonia`; if none is the same but for case and
       punctuation at its ends, one that is the same after `normalize`;
    4. a capital at the start before `.`, `:`, `)`, `,`, a dash or the end of its line: `B) as it has fever`.
       An article is never followed by one of these; `C. difficile` is no answer C;
    5. anywhere, a capital after the word answer, option or choice, if the phrase ends there or goes on with
       `is`, `because`, `since`, `as`, `for`: `I think option B is right`, not `option B is wrong`;
    6. the longest option that the answer begins with, before punctuation: `Yes, because it was randomised`.

    Two letters side by side (`A or B`, `A, B`) are no choice. A text that only mentions an option is none.
    """
    said = text.strip()
    lead = _LEAD.match(said)
    rest = said[lead.end() :] if lead else said
    for letters in _readings(said, rest, options):
        if chosen := {letter for letter in letters if letter in options}:
            return chosen.pop() if len(chosen) == 1 else None
    return None


def choice_accuracy(text: str, answers: Sequence[str], options: Mapping[str, str]) -> float:
    """Return 1 if the letter that the text chooses is among the answers, else 0."""
    return float(choice(text, options) in answers)


def _readings(said: str, rest: str, options: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """Yield what each rule of `choice` finds, in their order; `rest` is what was said after an opening."""
    yield _with_its_text(rest, options)
    yield _letters(_LETTER.fullmatch(rest))
    yield next((same for form in (_plain, normalize) if (same := _same(form, (said, rest), options))), [])
    yield _letters(_FIRST.match(rest))
    yield _NAMED.findall(said)
    yield _beginning(rest, options)


def _letters(match: re.Match[str] | None) -> list[str]:
    return [match[1].upper()] if match else []


def _with_its_text(said: str, options: Mapping[str, str]) -> list[str]:
    match = _LETTER_AND_TEXT.match(said)
    option = _plain(options.get(match[1], "")) if match else ""
    if not match or not option:
        return []
    words = _plain(match[3])
    return [match[1]] if words == option or (match[2].strip() and words.startswith(f"{option} ")) else []


def _same(form: Callable[[str], str], texts: Sequence[str], options: Mapping[str, str]) -> list[str]:
    said = {form(text) for text in texts} - {""}
    return [letter for letter, option in options.items() if form(option) in said]


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .,;:!*\"'")


def _beginning(said: str, options: Mapping[str, str]) -> list[str]:
    """Return the letters of the longest option texts that stand at the start, before punctuation."""
    begun = [
        (len(option.strip()), letter)
        for letter, option in options.items()
        if option.strip() and re.match(rf"{re.escape(option.strip())}\s*[.,;:!\n]", said, re.IGNORECASE)
    ]
    return [letter for length, letter in begun if length == max(begun)[0]]


# ── the measures that a benchmark names ──────────────────────────────────────────────────────────────


def declined(text: str, abstained: bool) -> bool:
    """Say whether a question was declined: the system abstained, or the text says the stock sentence.

    The stock sentence is the `UNANSWERABLE` that the model was taught. Saying it counts whatever else is
    said, on every question alike, so adding it to each answer gains nothing. A refusal in other words
    does not count (ChatRAG-Bench accepts 37 phrases, "there is no" among them, which answers also use).
    """
    return abstained or contained(text, (UNANSWERABLE,)) == 1.0


def _measured(of: Callable[[str, GoldQuestion], float]) -> AnswerMeasure:
    def value(answer: Answer, item: GoldQuestion) -> float:
        is_declined = declined(answer.text, answer.abstained)
        if not item.gold.answerable:
            return float(is_declined)
        if is_declined or not answer.text.strip():
            return 0.0
        return of(answer.text, item)

    return value


ANSWER_MEASURES: dict[str, AnswerMeasure] = {
    "EM": _measured(lambda text, item: exact_match(text, item.gold.answers)),
    "F1": _measured(lambda text, item: f1(text, item.gold.answers)),
    "Acc": _measured(lambda text, item: contained(text, item.gold.answers)),
    "Claim": _measured(lambda text, item: claim_accuracy(text, item.gold.answers)),
    "Choice": _measured(lambda text, item: choice_accuracy(text, item.gold.answers, item.question.options)),
}
"""Name to measure. A declined or empty answer is worth 0; where no answer exists, declining is worth 1."""


def answer_value(name: str, answer: Answer, item: GoldQuestion) -> float:
    """Return the value of the measure `name`, in 0..1; raises InvalidInputError for another name."""
    if name not in ANSWER_MEASURES:
        raise InvalidInputError(
            f"found answer measure {name!r}, wanted one of {', '.join(ANSWER_MEASURES)}: choose one of them"
        )
    return ANSWER_MEASURES[name](answer, item)
