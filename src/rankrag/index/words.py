"""How a text becomes the words of a lexical index: the home of every word that is indexed or searched for.

Text and query are brought to one form (NFKC, folded case) and split the same way, word by word as the script
of each asks for, so a passage in two languages is found in both. Every store is given the words as they come
out here, and has no say in them.

- Words of alphabets are stemmed by the language of the index where they are in its script, otherwise by the
  language that their script stands for (`_BY_SCRIPT`). What is joined by marks (`node.js`, `O'Brien`,
  `snake_case`, `getName`, a word broken at the end of a line) gives its parts and the whole.
- Chinese and Japanese give pairs of signs that stand side by side, Thai and its neighbours pairs of clusters.
  A text also gives each Chinese character alone, for queries of one.
- Korean gives pairs of syllables and the first syllable of a word, particles and endings taken off.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain, pairwise

from .one_form import one_form

# The store's own list also stops `and as for if in is no not or with`: in technical text those are what
# people ask about. Without them and with question words instead, answers are found as often (hit@20 of
# 1,000 training questions: TriviaQA 55.9 and 55.9, WebQuestions 52.5 and 52.6 percent).
STOP_WORDS = tuple(
    (
        "a an are at be but by did do does how into it of on such that the their then there these they this "
        "to was what when where which who whom whose why will"
    ).split()
)

LONGEST = 256
"""Characters of a word that count: a longer one is known by its beginning."""

_KNOWN = 400_000
"""Spellings whose words are kept in memory, some 60 MB."""

_CAMELS = 8
"""Humps up to which a word is split at its capitals: one with more is no name but a code."""

# ── words ────────────────────────────────────────────────────────────────────────────────────────────


def words(text: str, language: str) -> list[str]:
    """Return the words of a passage, folded and stemmed, without stop words.

    `language` is one of `settings.LANGUAGES`.
    """
    return _words(text, language, query=False)


def query_words(query: str, language: str) -> list[str]:
    """Return the words by which passages are searched; they are among those of a passage with this text."""
    return _words(query, language, query=True)


def _words(text: str, language: str, query: bool) -> list[str]:
    form = one_form(text)
    if form.isascii() or not _WITHOUT_SPACES.search(form):
        return _spelled([between.strip(_AROUND) for between in form.split()], language)
    words: list[str] = []
    spelled: list[str] = []
    for match in _patterns().any.finditer(form):
        split = _SPLITTERS.get(match.lastgroup or "")
        if split:
            words += split(match[0].casefold())
        elif match.lastgroup == "han":
            words += _han(match[0].casefold(), query)
        else:
            spelled.append(match[0])
    return _spelled(spelled, language) + words


_AROUND = ",.;:!?()[]\"'"
"""Signs that stand around words; without them there are half as many spellings to remember."""


def _spelled(spelled: list[str], language: str) -> list[str]:
    """Return the words of what stands between spaces, in their order; each is looked at once."""
    known = _MEMORY.setdefault(language, {})
    try:
        return [*chain.from_iterable(map(known.__getitem__, spelled))]
    except KeyError:
        pass
    with _LOCK:  # another thread may forget all of them between a look and the next
        if len(known) > _KNOWN:
            known.clear()
        missing = [*{spelling for spelling in spelled if spelling not in known}]
        known.update(zip(missing, _analysed(missing, language), strict=True))
        return [*chain.from_iterable(map(known.__getitem__, spelled))]


_LOCK = threading.Lock()

_MEMORY: dict[str, dict[str, tuple[str, ...]]] = {}
"""By language, the words of spellings that were met."""


def _analysed(spelled: Sequence[str], language: str) -> list[tuple[str, ...]]:
    """Return what each spelling gives: its parts and the whole, stemmed; nothing for a stop word."""
    forms = [[form for word in _alphabets(spelling) for form in _forms(word)] for spelling in spelled]
    stems = _stems({form for each in forms for form in each}, language)
    return [tuple(stems[form] for form in each if stems[form]) for each in forms]


def _alphabets(spelling: str) -> list[str]:
    """Return what stands in letters of alphabets and digits, whole where marks join it."""
    return (_ASCII if spelling.isascii() else _patterns().alphabetic).findall(spelling)


_JOINED = re.compile(r"([^'._@:&,-]+)(['._@:&,-]*)")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_POSSESSIVE = re.compile(r"(?i)'s$")


def _forms(spelling: str) -> Iterator[str]:
    """Yield the parts of what marks join, and the whole without the marks.

    Dots and colons between digits stay in the whole, and hyphens in what is all digits: 1.5 is not 15. The
    possessive 's is no word.
    """
    parts = _JOINED.findall(_POSSESSIVE.sub("", spelling))
    for part, _ in parts:
        yield from _humps(part)
    if len(parts) > 1:
        yield _folded("".join(_kept(parts)))
        if _GROUPS.fullmatch(spelling):
            yield spelling.replace(".", "").replace("-", "")


_GROUPS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d+(?:-\d+){3,}")
"""Thousands, and numbers of books and accounts, which are written without marks as well."""


def _kept(parts: list[tuple[str, str]]) -> Iterator[str]:
    numeric = all(part.isdigit() for part, _ in parts)
    for (part, mark), (after, _) in zip(parts, [*parts[1:], ("", "")], strict=True):
        yield part
        digits = part[-1:].isdigit() and after[:1].isdigit()
        if digits and (mark in (".", ":") or (numeric and mark == "-")):
            yield mark


def _humps(part: str) -> Iterator[str]:
    """Yield the pieces of a word with capitals inside, if it has any, and the word itself."""
    if not (part.islower() or part.isupper() or part[1:].islower()):
        pieces = _HUMP.split(part)
        if 1 < len(pieces) <= _CAMELS:
            yield from (_folded(piece) for piece in pieces if len(piece) > 1)
    yield _folded(part)


def _folded(word: str) -> str:
    return word.casefold()[:LONGEST]


# ── stems, by the script of each word ────────────────────────────────────────────────────────────────

_SCRIPT_OF = {"Greek": "Greek", "Russian": "Cyrillic", "Arabic": "Arabic", "Tamil": "Tamil"}
"""The scripts of the languages that have a stemmer; those not named here are written in Latin letters."""

_BY_SCRIPT = {
    "Latin": "English",
    "Greek": "Greek",
    "Cyrillic": "Russian",
    "Arabic": "Arabic",
    "Tamil": "Tamil",
}
"""By which language words of a script are stemmed where nobody asked for another."""


def _stems(forms: set[str], language: str) -> dict[str, str]:
    """Return the stem of each word; an empty one for a stop word."""
    groups: dict[str | None, list[str]] = {}
    languages: dict[str, str] = {}
    if language != "any":
        languages = {**_BY_SCRIPT, _SCRIPT_OF.get(language, "Latin"): language}
    for form in forms:
        groups.setdefault(languages.get(script_of(form[0])), []).append(form)
    return {form: stem for name, group in groups.items() for form, stem in _stemmed(group, name)}


def _stemmed(forms: list[str], language: str | None) -> Iterator[tuple[str, str]]:
    import lancedb

    stopped = set(STOP_WORDS) if language == "English" else set()
    # Positions count from the first token that is no stop word: a number is none in any language.
    tokens = lancedb.tokenize(
        " ".join(["0", *forms]),
        base_tokenizer="whitespace",
        language=language or "English",
        max_token_length=None,
        stem=language is not None,
        remove_stop_words=language not in (None, "English"),
    )
    stems = {token.position: token.text for token in tokens}
    for n, form in enumerate(forms, 1):
        yield form, "" if form in stopped else stems.get(n, "")


# ── scripts without spaces ───────────────────────────────────────────────────────────────────────────


def _han(run: str, query: bool) -> Iterator[str]:
    """Yield pairs of Chinese and Japanese signs, across the ends of lines.

    A query of a Chinese character with nothing or Japanese syllables beside it also means that one alone.
    """
    signs = "".join(run.split())
    yield from (signs[n : n + 2] for n in range(len(signs) - 1))
    if len(signs) == 1:
        yield signs
        return
    for part in _IDEOGRAPHS.findall(signs):
        if not query:
            yield from part
        elif len(part) == 1:
            yield part


_IDEOGRAPHS = re.compile("[\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


def _clusters(run: str) -> Iterator[str]:
    """Yield pairs of clusters (a letter with the marks on it) of scripts that write no spaces."""
    signs = _patterns().cluster.findall("".join(run.split()))
    yield from ([signs[n] + signs[n + 1] for n in range(len(signs) - 1)] or signs)


# Measured on the headings of two Korean manuals, searched for in their texts (125 of the Debian FAQ, 45 of
# the GIMP help), found among the first ten: pairs 59 and 71 %, with particles and endings off and the first
# syllable 67 and 73 %, the morphemes of kiwipiepy 66 and 76 % (145 MB, ten to thirty times as slow).
_ENDINGS = sorted(
    (
        "은 는 이 가 을 를 의 에 로 와 과 도 만 나 요 서 며 고 면 지 게 다 한 할 된 "
        "될 에서 에게 으로 에는 에도 이나 까지 부터 보다 처럼 라도 이란 란 입니까 입니다 "
        "인가요 인가 나요 습니까 습니다 합니까 합니다 하는 하기 하고 하여 해서 한다 됩니다 되는 "
        "된다 있나요 인지 에서는 에서의 으로는 으로의 로는 로의 들은 들이 들을 들의 이다 였다 "
        "하였다 이며 이고 와의 과의 적인"
    ).split(),
    key=len,
    reverse=True,
)


def _hangul(run: str) -> Iterator[str]:
    """Yield pairs of syllables and the first of each word; lines may break anywhere, so pairs go across."""
    lines = run.split()
    for word in lines:
        stem = _without_ending(word)
        yield stem[0]
        yield from (stem[n : n + 2] for n in range(len(stem) - 1))
    for before, after in pairwise(lines):
        yield before[-1] + after[0]


@lru_cache(maxsize=1 << 16)
def _without_ending(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            return word.removesuffix(ending)
    return word


_SPLITTERS = {"hangul": _hangul, "clusters": _clusters}


# ── where words begin and end ────────────────────────────────────────────────────────────────────────

_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7ff"
_HAN = (
    "\u3005-\u3007\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
)
_HAN_BEYOND = "\U00020000-\U0003ffff"
_NO_SPACES = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\u1780-\u17dd"
_LAST_LETTER = 0x1FFFF
"""Beyond this there are Chinese characters, and no letters of alphabets."""

# A comma joins the thousands of a number.
_MARKS = r"(?:['.@&-]|::?|_+|(?<=\d),(?=(?:\d\d,)*\d{3}(?!\d)))"
_WITHOUT_SPACES = re.compile(f"[{_HAN}{_HAN_BEYOND}{_HANGUL}{_NO_SPACES}]")


class _Patterns:
    """The compiled patterns, made at first use: looking at every letter of Unicode takes 40 ms."""

    def __init__(self) -> None:
        letters, marks = _letters()
        self.alphabetic = re.compile(_alphabetic(letters))
        han = f"[{_HAN}{_HAN_BEYOND}]"
        self.any = re.compile(
            f"(?P<han>{han}(?: {{1,2}}{han}(?!{han}))+|{_over_lines(han)})"  # the first in a heading set wide
            f"|(?P<hangul>{_over_lines(f'[{_HANGUL}]')})"
            f"|(?P<clusters>{_over_lines(f'[{_NO_SPACES}]')})"
            f"|{_alphabetic(letters)}"
        )
        self.cluster = re.compile(f"[^{marks}][{marks}]*|[{marks}]+")


@cache
def _patterns() -> _Patterns:
    return _Patterns()


def _over_lines(signs: str) -> str:
    return f"{signs}+(?:[ \t]*\r?\n[ \t]*{signs}+)*"


def _alphabetic(letters: str) -> str:
    return f"[{letters}]+(?:{_MARKS}[{letters}]+)*"


_ASCII = re.compile(_alphabetic("0-9A-Za-z"))
"""The same for ASCII alone: a question in English does not wait for the letters of Unicode."""


def _letters() -> tuple[str, str]:
    """Return the letters, digits and marks that words of alphabets are made of, and all marks, as ranges."""
    letters, marks = [], []
    for number in range(_LAST_LETTER + 1):
        sign = chr(number)
        kind = unicodedata.category(sign)[0]
        if kind == "M":
            marks.append(number)
        if kind in "LNM" and not _WITHOUT_SPACES.match(sign):
            letters.append(number)
    return _ranges(letters), _ranges(marks)


def _ranges(numbers: list[int]) -> str:
    starts = [n for n, number in enumerate(numbers) if n == 0 or numbers[n - 1] != number - 1]
    ends = [*(n - 1 for n in starts[1:]), len(numbers) - 1]
    return "".join(
        f"{re.escape(chr(numbers[a]))}-{re.escape(chr(numbers[b]))}"
        for a, b in zip(starts, ends, strict=True)
    )


# ── scripts ──────────────────────────────────────────────────────────────────────────────────────────

_NAMES = {"Cjk": "Han", "Hiragana": "Kana", "Katakana": "Kana", "Ideographic": "Han"}
_SHARE = 10
"""A text is written in the scripts that each have at least one in this many of its letters."""

_BEYOND_LATIN = re.compile("[^\\x00-\u024f\u1e00-\u1eff\u2000-\u2bff]")


@lru_cache(maxsize=1 << 16)
def script_of(sign: str) -> str:
    """Return the script of a letter (Latin, Cyrillic, Han, Kana, Hangul, ...), as Unicode names it."""
    if sign.isascii():
        return "Latin"
    name = re.split("[ -]", unicodedata.name(sign, "other"), maxsplit=1)[0].capitalize()
    return _NAMES.get(name, name)


def scripts(text: str) -> set[str]:
    """Return the scripts that a text is written in; none for one without letters."""
    if not _BEYOND_LATIN.search(text):
        return {"Latin"} if any(map(str.isalpha, text)) else set()
    counts: Counter[str] = Counter()
    for sign, count in Counter(one_form(text)).items():
        if sign.isalpha():
            counts[script_of(sign)] += count
    return {name for name, count in counts.items() if count * _SHARE >= counts.total()}
