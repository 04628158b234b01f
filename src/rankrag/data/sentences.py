"""Full sentences as targets, for questions of which a source has a short answer alone.

People ask in style `plain` and want a sentence that repeats what was asked. It is made of the question, where
its form allows that without a grammar (`declarative`), or it is the sentence of the passage that holds the
answer, where that says enough alone (`evidence`). Where neither is safe there is none.
"""

from __future__ import annotations

import re

from .. import spans
from .matching import contains_answer, words

_NOTE = re.compile(r"\s*\[(?:citation needed|note \d+|\d+|[a-z]|clarification needed|when\?|who\?)\]")
_LEANS = frozenset(
    "he she it they this that these those his her its their there here however but and or so also thus "
    "therefore moreover furthermore additionally such another other both then later meanwhile similarly "
    "although though while who which whose as".split()
)
"""First words of a sentence that leans on the one before it."""
_PLAIN = frozenset(
    "a an the of in on at to for from by with and or as is are was were be been being do does did has have "
    "had what which who whom whose when where why how that this these those it its his her their there many "
    "much name named called can could will would should may might into than about not no".split()
)
_AUXILIARY = frozenset(
    "is are was were be do does did has have had can could will would should may might must shall "
    "isn't aren't wasn't weren't didn't doesn't else all".split()
)
_UNSAID = re.compile(r"[ˈˌː]|\(/| --|\w ' \w|<\w+>")
"""Signs of pronunciation and what is left of tokens or markup: nobody says them."""
_FEWEST, _MOST = 6, 40
"""Words of a sentence that is taught as an answer."""
_SHARED = 0.45
"""Share of the question's telling words that the sentence (or its answer) must repeat."""


def sentences(text: str) -> list[str]:
    """Return the sentences of a passage, without notes in brackets."""
    plain = " ".join(_NOTE.sub("", text).split())
    return [plain[start:end] for start, end in spans.sentences(plain)]


def full_sentence(question: str, answer: str, text: str) -> str:
    """Return a sentence that answers a question with what a passage says; empty where none can be had."""
    return declarative(question, answer, text) or evidence(question, answer, text)


def evidence(question: str, answer: str, text: str) -> str:
    """Return the sentence of a passage that holds the answer and says enough alone, else nothing.

    It is whole, names what it speaks of, and repeats half of the question's telling words.
    """
    asked = telling(question) - telling(answer)
    best, most = "", 0.0
    for sentence in sentences(text):
        if not (_stands_alone(sentence) and contains_answer(sentence, [answer])):
            continue
        shared = len(asked & telling(sentence)) / max(1, len(asked))
        if shared > most:
            best, most = sentence, shared
    return best if most >= _SHARED else ""


def declarative(question: str, answer: str, text: str) -> str:
    """Return a question turned into a statement of its answer, where its words may stay as they are.

    `Who wrote Faust?` and `Goethe` give `Goethe wrote Faust.`; `What is the capital of Peru?` and `Lima`
    give `The capital of Peru is Lima.`; `When was the bridge opened?` gives `The bridge was opened in 1894.`
    with the preposition that the passage has. A question in lower case gives nothing: its names
    would be misspelt.
    """
    asked = " ".join(question.split()).rstrip("?").strip()
    said = " ".join(answer.split()).strip(" .,;:")
    if not _tidy_question(asked) or not said or len(said.split()) > 9:
        return ""
    made = _who(asked, said) or _what(asked, said) or _when(asked, said, text)
    return f"{made[0].upper()}{made[1:]}." if made else ""


def telling(text: str) -> set[str]:
    """Return the words of a text that say what it is about, each reduced to its first five letters."""
    return {word[:5] for word in words(text) if word not in _PLAIN}


def _stands_alone(sentence: str) -> bool:
    said = sentence.split()
    whole = sentence[:1].isupper() and sentence.endswith((".", '."', ".'")) and not _UNSAID.search(sentence)
    balanced = sentence.count('"') % 2 == 0 and sentence.count("(") == sentence.count(")")
    first = words(said[0])[:1] if said else []
    return whole and balanced and _FEWEST <= len(said) <= _MOST and not set(first) & _LEANS


def _tidy_question(asked: str) -> bool:
    """Say whether a question is one plain clause in the case that people write."""
    return bool(re.fullmatch(r"[A-Z][^,;:?!]*", asked)) and any(c.isupper() for c in asked[1:])


def _who(asked: str, said: str) -> str:
    match = re.fullmatch(
        r"Who (\w+(?:ed|ote|ade|ave|ook|ent|old|eld|ought|an|et|ew|ove|oke|ose|aid|ame|ead|id|on|ang|uilt"
        r"|ound)) (.+)",
        asked,
    )
    if not match or match[1] in _AUXILIARY or re.search(r"\b(?:and|or|who)\b", match[2]):
        return ""
    return f"{said} {match[1]} {match[2]}"


def _what(asked: str, said: str) -> str:
    match = re.fullmatch(r"What (is|was|are|were) ((?:the|a|an) .+)", asked)
    if not match or not said[0].isalnum():
        return ""
    last = match[2].split()[-1].lower()
    clause = re.search(
        r"\b(?:that|which|who|when|where|is|was|are|were|did|does|had|has|used|known|called|made|given)\b",
        match[2],
    )
    if clause or last.endswith(("ed", "ing")) or last in _PREPOSITIONS:
        return ""
    return f"{match[2]} {match[1]} {said}"


_PREPOSITIONS = frozenset(
    "in on at by from during since near for of to with as about until after before".split()
)


def _when(asked: str, said: str, text: str) -> str:
    match = re.fullmatch(
        r"(?:When|Where|In what year|In which year|What year) (was|were) (.+) "
        r"(\w+ed|born|built|held|found|made|won|sold|begun|written|sent|taken|chosen|shown)",
        asked,
    )
    if not match or re.search(r"\b(?:and|or|that|which|who|is|was|were)\b", match[2]):
        return ""
    preposition = re.search(rf"\b(in|on|at|near|from|since|during|until) (?:the )?{re.escape(said)}\b", text)
    if not preposition or len(match[2].split()) > 8:
        return ""
    between = preposition[0].split()[: -len(said.split())]
    return f"{match[2]} {match[1]} {match[3]} {' '.join(between)} {said}"
