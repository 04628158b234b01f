"""The one form in which texts are compared, whatever Unicode, a keyboard or a line end made of them."""

from __future__ import annotations

import re
import unicodedata

# Signs that show nothing: joiners, marks of direction, variants of a character (as in Japanese names).
_INVISIBLE = (
    "\u00ad \u034f \u061c \u180b-\u180e \u200b-\u200f \u202a-\u202e \u2060-\u2069 \ufe00-\ufe0f \ufeff "
    "\U000e0100-\U000e01ef"
).split(" ")
# Marks that texts for beginners, prayers and encyclopedias have and no query: points of Hebrew, vowels and
# the long stroke of Arabic, stress on letters of which Unicode has no composed form.
_POINTS = (
    "\u0300-\u036f \u0483-\u0487 \u0591-\u05bd \u05bf \u05c1-\u05c2 \u05c4-\u05c5 \u05c7 \u0640 "
    "\u064b-\u065f \u0670 \u06d6-\u06dc \u06df-\u06e8 \u06ea-\u06ed"
).split(" ")
_SAME = {"‐": "-", "‑": "-", "־": "-", "İ": "i", "ё": "е", "Ё": "Е"}
_SAME |= dict.fromkeys("’‘‛ʼʻʽʾʿʹˈ′׳՚ꞌ", "'")
_SAME |= {"ک": "ك", "ی": "ي", "ى": "ي"} | dict.fromkeys("أإآٱ", "ا")  # Persian on a keyboard of Arabic; hamza
_SAME |= {"٫": ".", "٬": ","}
_SAME |= {
    "ൺ": "ണ്",
    "ൻ": "ന്",
    "ർ": "ര്",
    "ൽ": "ല്",
    "ൾ": "ള്",
    "ൿ": "ക്",
}  # Malayalam before and after Unicode 5.1
_ZEROS = "٠۰߀०০੦૦୦௦౦೦൦෦๐໐༠၀႐០᠐᥆᧐᪀᪐᭐᮰᱀᱐꘠꣐꤀꧐꧰꩐꯰"
_SAME |= {chr(ord(zero) + n): str(n) for zero in _ZEROS for n in range(10)}
# Radicals that PDFs have in place of the characters that look alike; NFKC knows the others.
_RADICALS = (
    "⺁厂⺇几⺌小⺎兀⺒巳⺓幺⺘手⺜日⺝月⺠民⺧牛⺩王⺫目⺬示⺯糸⺶羊⺷羊⺹老⺼肉⺽臼⻁虎⻄西⻅见⻆角⻉贝⻋车⻑長⻓长⻔门⻗雨⻘青"
    "⻙韦⻚页⻛风⻜飞⻝食⻟食⻢马⻣骨⻤鬼⻥鱼⻦鸟⻧卤⻨麦⻩黄⻫斉⻬齐⻭歯⻮齿⻯竜⻰龙⻱龜⻲亀"
)
_SAME |= dict(zip(_RADICALS[::2], _RADICALS[1::2], strict=True))


def _accented(numbers: range) -> dict[str, str]:
    """Return the accented letters of a part of Unicode, and each without its accents."""
    bare = {chr(number): unicodedata.normalize("NFD", chr(number)) for number in numbers}
    return {letter: parts[0] for letter, parts in bare.items() if len(parts) > 1}


_SAME |= _accented(range(0x370, 0x400)) | _accented(range(0x1F00, 0x2000))  # Greek has none in capitals
_ONE_FORM = str.maketrans(_SAME) | {
    number: None for ends in (*_INVISIBLE, *_POINTS) for number in range(ord(ends[0]), ord(ends[-1]) + 1)
}
_GROUPED = re.compile("[\xa0\u2007\u2009\u202f](?<=\\d.)(?=\\d{3}(?!\\d))")
"""A space that holds the thousands of a number together."""

_LETTERS_WITH_SPACES = "[^\\W\u0e00-\u109f\u1780-\u17ff\u3000-\u9fff]"
_PARTS = re.compile(
    '\u200c(?<=[\u0600-\u06ff].)(?=[\u0600-\u06ff])|["״](?<=[\u05d0-\u05ea].)(?=[\u05d0-\u05ea])'
    f"|\u200b(?<={_LETTERS_WITH_SPACES}.)(?={_LETTERS_WITH_SPACES})"
)
"""What parts a word of Persian, a Hebrew acronym, a long name: its parts and the whole are words."""

# A line end or a space after a hyphen joins, so that a word broken there is indexed joined as well; its parts
# always go in too, so where it is no such word nothing is lost.
_BROKEN = re.compile("(?<=\\w)-(?:[ \\t]*(?:\r?\n|\u2028)[ \\t]*(?=\\w)|[ ](?=[a-z]))")
_SOFT_BREAK = re.compile("[\u00ad\u00ac][ \\t]*(?:\r?\n|\u2028)[ \\t]*")
# Accents of TeX; letters lose theirs when they are stemmed.
_TEX = re.compile(
    r"""\{\\["'`^~=.]\{?([A-Za-z])\}?\}|\\["'`^~=.]\{([A-Za-z])\}|(?<=[A-Za-z])\\["'^]([A-Za-z])"""
)
_MAY_BREAK = re.compile("-[ \\t\r\n\u2028]")


def one_form(text: str) -> str:
    """Return a text in the form in which words are compared, but for its case.

    That is NFKC, with one sign for apostrophes and one for hyphens, and without the line ends in words that
    they broke.
    """
    if not text.isascii():
        text = _GROUPED.sub(",", _SOFT_BREAK.sub("", text))
        text = text.replace("´", "'")  # of which NFKC would make a space and a mark
        text = _PARTS.sub("-", unicodedata.normalize("NFKC", text)).translate(_ONE_FORM)
    if "\\" in text:
        text = _TEX.sub(lambda accented: accented[accented.lastindex or 0], text)
    return _BROKEN.sub("-", text) if _MAY_BREAK.search(text) else text


def spellings(text: str) -> list[str]:
    """Return the ways in which Unicode may have stored a name: as given, composed, and decomposed."""
    if text.isascii():
        return [text]
    return [*dict.fromkeys([text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))])]
