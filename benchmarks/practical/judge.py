"""The fixed rule: whether an answer is right, by key facts and contradictions, and whether it refuses.

No model judges. The same answer gets the same verdict on every machine, and the page of answers shows why.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from questions import KeyFact, Practical
from rankrag.eval.measures.text import declined
from rankrag.spans import telling

Ruling = Literal["right", "partial", "wrong", "contradicts", "refused", "empty", "answered"]
"""What an answer is.

Of a question that the documents answer: `right` (all key facts, nothing against), `partial` (some of the
facts), `wrong` (none), `contradicts` (something against, whatever else it says), `refused`, `empty`. Of one
that they do not: `right` (it refuses), `answered` (it does not), `empty`.
"""

PATTERN = "re:"
"""With this a wording is a regular expression."""

_TELLS = "say|state|mention|contain|cover|answer|provide|include|describe|explain|discuss|specify|give|tell"
_TOLD = "mentioned|covered|stated|described|discussed|given|found|specified|provided|answered|explained"
_TEXTS = "(?:documents?|documentation|docs|context|passages?|texts?|sources?|pages?|excerpts?|manuals?)"
_THESE = rf"(?:the|these|this|your|provided|given|(?:any|none) of the) (?:\w+ )?{_TEXTS}"
_NONE = "(?:no|nothing|not any|not enough|insufficient)"

REFUSALS = (
    r"\b(?:i|we) (?:can|could|was|am|were|are) ?(?:not|unable to) (?:able to )?"
    r"(?:find|locate|answer|determine|tell)\b",
    r"\b(?:i|we) did not find\b",
    r"\bi do not (?:know|have (?:enough |any |that |the )?(?:information|details?))\b",
    r"\b(?:can|could) not (?:be )?(?:find|found|answer|answered|determine|determined)\b"
    rf".{{0,40}}\b{_TEXTS}\b",
    rf"\b{_THESE}(?: \w+){{0,3}} (?:do|does|did) not (?:\w+ )?(?:{_TELLS})\b",
    rf"\bnone of the (?:\w+ )?{_TEXTS} (?:{_TELLS})\w*\b",
    rf"\b(?:is|are|was|were) not (?:\w+ )?(?:{_TOLD})\b(?: \w+)?(?: in| by| within) {_THESE}\b",
    rf"\bthere (?:is|are|was|were) {_NONE}\b(?: \w+){{0,6}} (?:in|within) {_THESE}\b",
    rf"\b{_TEXTS} (?:\w+ )?(?:contains?|provides?|gives?|says?|has|have) {_NONE}\b",
    r"\b(?:not enough|insufficient) information\b",
    rf"\bno (?:relevant )?(?:information|answer|mention|details?)\b(?: \w+){{0,8}} {_TEXTS}\b",
    rf"\bnot in the (?:\w+ )?{_TEXTS}\b",
    r"\b(?:unanswerable|not answerable)\b",
    r"\b(?:outside|beyond|out of) (?:of )?(?:the )?scope\b",
)
"""What counts as saying that the documents do not answer, in the words of `normalised`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer is, the names of the key facts that it lacks, and the contradiction that it holds."""

    ruling: Ruling
    missing: tuple[str, ...] = ()
    against: str = ""


def judged(asked: Practical, text: str, abstained: bool = False) -> Verdict:
    """Return the verdict on an answer to a question."""
    refuses = refused(text, abstained)
    if not text.strip() and not refuses:
        return Verdict("empty", tuple(fact.name for fact in asked.facts))
    if not asked.answerable:
        return Verdict("right" if refuses else "answered")
    if refuses:
        return Verdict("refused")
    plain = normalised(text)
    missing = tuple(fact.name for fact in asked.facts if not holds(plain, fact))
    if against := next((found for wording in asked.against if (found := _found(plain, wording))), ""):
        return Verdict("contradicts", missing, against)
    if not missing:
        return Verdict("right")
    return Verdict("partial" if len(missing) < len(asked.facts) else "wrong", missing)


def refused(text: str, abstained: bool = False) -> bool:
    """Say whether an answer says that the documents do not hold it, by flag or in words."""
    plain = normalised(text)
    return declined(text, abstained) or any(re.search(phrase, plain) for phrase in REFUSALS)


def holds(plain: str, fact: KeyFact) -> bool:
    """Say whether a normalised text has any wording of a key fact."""
    return any(_found(plain, wording) for wording in fact.wordings)


def supports(asked: Practical, sentence: str, quoted: str) -> bool:
    """Say whether the words that a citation points at hold the key facts of the sentence that it stands for.

    Those are the key facts of the question that the sentence states. If it states none (it is wrong, or the
    documents do not answer), they are the words that it tells beyond the question, or all that it tells where
    it only repeats the question; a sentence that tells nothing ("Yes.") is supported by nothing.
    """
    said, there = normalised(sentence), normalised(quoted)
    if stated := [fact for fact in asked.facts if holds(said, fact)]:
        return all(holds(there, fact) for fact in stated)
    told = telling(said)
    wanted = told - telling(normalised(asked.question)) or told
    return bool(wanted) and wanted <= telling(there)


def is_evidence(asked: Practical, text: str) -> bool:
    """Say whether a passage holds a question's evidence: one of its phrases, wherever it was cut."""
    return has_evidence(asked, normalised(text))


def has_evidence(asked: Practical, plain: str) -> bool:
    """Say the same of a normalised text."""
    return any(normalised(one.phrase) in plain for one in asked.evidence)


def normalised(text: str) -> str:
    """Return a text as it is compared: one case, one kind of apostrophe, no marks of code or emphasis.

    Negations are written out ("can't" and "cannot" are "can not"), and digits lose the commas between them.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub("[\u2018\u2019\u00b4]", "'", plain)
    plain = re.sub('["`*\u201c\u201d]', "", plain)
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", plain)
    plain = re.sub(r"\bcan(?:'t|not)\b", "can not", plain)
    plain = re.sub(r"\bwon't\b", "will not", plain)
    plain = re.sub(r"n't\b", " not", plain)
    return " ".join(plain.split())


def patterns(wordings: Iterable[str]) -> list[re.Pattern[str]]:
    """Return the wordings compiled; raises re.error for one that is no regular expression."""
    return [_pattern(wording) for wording in wordings]


def _found(plain: str, wording: str) -> str:
    found = _pattern(wording).search(plain)
    return (found[0] or wording) if found else ""


@cache
def _pattern(wording: str) -> re.Pattern[str]:
    if wording.startswith(PATTERN):
        return re.compile(wording.removeprefix(PATTERN))
    return re.compile(rf"(?<!\w){re.escape(normalised(wording))}(?!\w)")
