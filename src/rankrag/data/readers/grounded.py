"""Claims, yes-or-no questions, replies in whole sentences, questions without an answer, with passages.

The files are neutral ones; what is particular to each source is said at its reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ...files import rows
from ...prompts import FALSE, TRUE
from ...types import Passage, Question
from ..item import Dropped, Item
from ..matching import contains_answer, tidy, words
from .neutral import item_of, passage_of

_VERDICTS = {"SUPPORTS": TRUE, "REFUTES": FALSE}
_YES_NO = {"YES": "Yes", "NO": "No"}
_FOLLOWED = re.compile(
    r"(?:anything else|what else|would you|do you|should i|shall i|can i|may i|could i|is there|let me"
    r"|will that|how about|does that|is that|are you|did you|want me|welcome|happy to|have a|please)",
    re.IGNORECASE,
)
"""What an assistant that books adds to its answer: it answers nothing."""

_TOKENS = re.compile(r"\s['’]\s|\w['’]\s+\w+['’]|\s[.,;:!?]|[a-z][.][A-Z]")
"""What is left of tokens, or of a sentence that was glued to another: nothing to be taught."""
_LONGEST = 70
"""Words of a reply that is taught."""


def claims(path: str) -> Iterator[Item | Dropped]:
    """Yield FoolMeTwice and VitaminC: a claim, `label`, evidence; what is neither true nor false is left out.

    Evidence is a sentence a passage, and claims that rest on several are left out, as one gold passage goes
    in. VitaminC's texts are tokens. Evidence that nobody judged stands among the negatives, as it is of the
    same page.
    """
    for row in rows(path):
        verdict = _VERDICTS.get(row.text("label"))
        judged = row.rows("passages")
        gold = [passage for passage in judged if passage.values.get("relevant") is True]
        if verdict is None or len(gold) != 1:
            yield Dropped("neither true nor false" if verdict is None else "evidence in several places")
            continue
        others = tuple(
            _tidied(passage_of(passage)) for passage in judged if passage.values.get("relevant") is not True
        )
        claim = tidy(row.text("question").strip()).replace(" .", ".").strip()
        question = Question(row.text("id"), claim, style="true_false")
        yield Item(question.id, question, verdict, (), (_tidied(passage_of(gold[0])),), others)


def yes_no(path: str) -> Iterator[Item | Dropped]:
    """Yield CondaQA's questions with the answer yes or no, in style `phrase`."""
    for row in rows(path):
        item = item_of(row, "")
        if isinstance(item, Dropped) or not item.answerable:
            yield item if isinstance(item, Dropped) else replace(item, question=_phrase(item.question))
            continue
        answer = _YES_NO.get(item.answers[0])
        if answer is None:
            yield Dropped("neither yes nor no")
            continue
        yield replace(item, question=_phrase(item.question), target=answer, answers=())


def replies(path: str) -> Iterator[Item | Dropped]:
    """Yield DSTC9, DSTC11, CLAP NQ and ASQA: what people wrote as a reply, in whole sentences.

    The shortest reply is taught, without the question that an assistant adds. Passages that nobody judged
    (ASQA's) are what the reply was written from.
    """
    for row in rows(path):
        item = item_of(row, "")
        if isinstance(item, Dropped) or not item.answerable:
            yield item
            continue
        said = [text for answer in item.answers if (text := _said(answer))]
        if not said:
            yield Dropped("no whole sentence")
            continue
        gold = item.gold or tuple(map(passage_of, row.rows("passages") if row.has("passages") else []))
        asked = replace(item.question, text=_asked(item.question.text))
        reply = min(said, key=len)
        yield replace(
            item,
            question=asked,
            target=reply,
            answers=(),
            gold=tuple(map(_mended, gold)),
            negatives=tuple(map(_mended, item.negatives)),
        )


def squad2(path: str) -> Iterator[Item | Dropped]:
    """Yield SQuAD with questions that cannot be answered, whose part says what they are asked of.

    The part is `sentence`, `lower` (a paragraph in lower case) or `cased`. The questions come in lower case,
    which would tell them from the others: names get the case of the paragraph, and a capital begins them.
    """
    for row in rows(path):
        item = item_of(row, "")
        if isinstance(item, Dropped) or not item.gold:
            yield item
            continue
        text = item.gold[0].text
        cased = text != text.lower()
        part = "sentence" if row.optional("unit") == "sentence" else "cased" if cased else "lower"
        question = item.question
        if part == "cased" and question.text == question.text.lower():
            question = replace(question, text=truecased(question.text, text))
        answers = tuple(_found(answer, text) for answer in item.answers) if cased else item.answers
        yield replace(item, question=question, answers=answers, part=part)


def spans(path: str) -> Iterator[Item | Dropped]:
    """Yield CANARD's turns whose answer stands word for word in a passage."""
    for row in rows(path):
        item = item_of(row, "")
        if isinstance(item, Item) and item.answerable:
            gold = tuple(passage for passage in item.gold if contains_answer(passage.text, item.answers))
            yield replace(item, gold=gold) if gold else Dropped("no passage with the answer")
        else:
            yield item


def truecased(question: str, text: str) -> str:
    """Return a question in lower case with the case of a text, of the words that this has in one case."""
    seen: dict[str, set[str]] = {}
    for match in re.finditer(r"(?<![.!?] )(?<!^)\b[^\W_]+", text):
        seen.setdefault(match[0].lower(), set()).add(match[0])
    mended = re.sub(
        r"[^\W_]+", lambda m: next(iter(seen[m[0]])) if len(seen.get(m[0], ())) == 1 else m[0], question
    )
    return mended[:1].upper() + mended[1:]


def _found(answer: str, text: str) -> str:
    match = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE)
    return match[0] if match else answer


def _phrase(question: Question) -> Question:
    return replace(question, style="phrase")


def _tidied(passage: Passage) -> Passage:
    return Passage(passage.id, tidy(passage.text).replace(" .", ".").strip(" *"), passage.title)


def _mended(passage: Passage) -> Passage:
    return Passage(passage.id, tidy(_readable(passage.text)), passage.title)


def _readable(text: str) -> str:
    """Return a text whose apostrophes were read in the wrong encoding as it was written."""
    if "‚Ä" not in text:
        return text
    try:
        return text.encode("mac_roman").decode("utf-8")
    except UnicodeError:
        return text


def _said(answer: str) -> str:
    """Return a reply up to the question that follows it; empty where no sentence is left."""
    parts = re.split(r"(?<=[.!?])\s+", " ".join(_readable(answer).split()))
    while parts and (parts[-1].endswith("?") or _FOLLOWED.match(parts[-1])):
        parts.pop()
    said = " ".join(parts)
    whole = said[:1].isupper() or said[:1].isdigit()
    clean = not _TOKENS.search(said) and len(words(said)) >= 4 and len(said.split()) <= _LONGEST
    return said if whole and clean and said.endswith((".", "!")) else ""


def _asked(question: str) -> str:
    return question[:1].upper() + question[1:]
