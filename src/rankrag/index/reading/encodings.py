"""Bytes to text: byte order mark, UTF-8, or the encoding that makes the likeliest text of them.

UTF-8 with a few stray bytes stays UTF-8; each of them becomes U+FFFD. For what is neither, chardet says how
well the bytes fit the letter pairs of a language in each of `_CANDIDATES`. Signs inside words, capitals after
small letters and letters of two scripts in one word speak against a reading. What fits nothing is refused.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from ...errors import InvalidInputError, amount

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks; the four bytes of UTF-32 begin with the two of UTF-16, so they are tried first."""

_WIDE_MARKS = tuple(mark for mark, encoding in _MARKS.items() if encoding != "utf-8")

_CANDIDATES = (
    "iso8859-1 cp1252 iso8859-15 mac-roman cp437 cp850 cp1250 iso8859-2 cp852 cp1257 iso8859-13 cp1254 "
    "iso8859-9 cp857 cp1251 koi8-r koi8-u iso8859-5 cp866 mac-cyrillic cp1253 iso8859-7 cp737 cp1255 "
    "iso8859-8 cp862 cp1256 iso8859-6 cp874 cp1258 cp949 euc_kr johab iso2022_kr cp932 euc_jis_2004 "
    "iso2022_jp_2 iso2022_jp_ext gb18030 big5hkscs utf-16-le utf-16-be utf-32-le utf-32-be"
).split()
"""What is considered. The more there are, the more often a short text fits a wrong one."""

_USUAL = {
    **{"iso8859-1": "cp1252", "iso8859-8": "cp1255", "iso8859-9": "cp1254", "euc_kr": "cp949"},
    **{"euc_jis_2004": "euc_jp", "big5hkscs": "big5", "iso2022_jp_2": "iso2022_jp"},
}
"""Encodings in whose place the more usual one is taken, if it too can hold the text."""

_ENOUGH = 0.02
"""The least fit (0 to 1) that is believed: a word or two fit with 0.05, a page with 0.3."""

_LIKELIER = 0.01
"""Added to how well Western European fits, which is the most usual, and twice that if it has the letters of
German, French and Spanish alone: it decides where nothing else does."""

_WESTERN = re.compile("[\x00-\x7fäöüßéèêàâçñíóúÄÖÜÉ–—’‘“”„«»…\xa0€]*")

_CONTRADICTED = 2
"""How many times better a text must fit another encoding than the one that it is said to be in: of texts that
say what is wrong three in four are found out, of those that say what is right 7 in 1,000 are not believed."""

_AS_BROWSERS = {
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "iso-8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    **dict.fromkeys(("utf-16", "utf-16le", "utf-16be", "utf8"), "utf-8"),
}
"""Encodings that are named and browsers read as a larger one; in UTF-16 the name could not be read."""

_SAMPLE = 2**14
"""Bytes of lines with other characters than ASCII that are judged; they come from the whole file."""

_LOOKED_AT = 4000
"""Characters of those that are looked at one by one."""

_WEIGHT = 8
"""How many times the share of odd signs lessens a fit."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_ESCAPE = b"\x1b$"
"""With this the encodings of seven bits for Japanese and Korean say what follows."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text, and the encoding that it was read in, with a note where that was a guess."""

    text: str
    encoding: str
    note: str = ""


def decode(data: bytes, said: str = "") -> Decoded:
    """Return bytes as text; `said` is the encoding that they are said to be in, which holds if it can.

    Raises InvalidInputError for bytes that are no text, and for text whose encoding is uncertain.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return Decoded(_strictly(data[len(mark) :], encoding), encoding)
    decoded = (said and _as_said(data, said.lower())) or _decoded(data)
    if len(_CONTROL.findall(decoded.text)) > len(decoded.text) // 100:
        raise InvalidInputError("it is binary, not text")
    if n_nul := decoded.text.count("\0"):
        notes = (decoded.note, f"{_bytes(n_nul)} NUL: read as U+FFFD")
        return replace(
            decoded, text=decoded.text.replace("\0", "\ufffd"), note=", ".join(filter(None, notes))
        )
    return decoded


def _bytes(number: int) -> str:
    return f"{amount(number, 'byte')} {'is' if number == 1 else 'are'}"


def _decoded(data: bytes) -> Decoded:
    with contextlib.suppress(UnicodeDecodeError):
        if _ESCAPE not in data and b"\0" not in data:
            return Decoded(data.decode("utf-8"), "utf-8")
    encoding, note = encoding_of([data])
    return Decoded(data.decode(encoding, "replace"), encoding, note)


def as_browsers(said: str) -> str:
    """Return the encoding as which browsers read text that is said to be in one."""
    return _AS_BROWSERS.get(said.lower(), said)


def _as_said(data: bytes, said: str) -> Decoded | None:
    """Return bytes in the encoding that is named for them; None where they are in another."""
    try:
        said = codecs.lookup(as_browsers(said)).name
        text = data.decode(said)
    except (LookupError, ValueError):
        return None
    if said == "utf-8" or data.isascii():
        return Decoded(text, said)
    with contextlib.suppress(UnicodeDecodeError):
        data.decode("utf-8")
        return None
    if said in {codecs.lookup(name).name for name in (*_CANDIDATES, *_USUAL.values())}:
        lines = [line for line in data.splitlines(keepends=True) if not line.isascii()]
        sample = _TAGS.sub(b" ", b"".join(_spread(lines, _SAMPLE)))
        readings = _readings(sample)
        fits, _ = readings.get(_usual(sample, said)[1], (0.0, ""))
        best, _ = _best(readings)[0]
        if best >= _ENOUGH and best > _CONTRADICTED * fits:
            return None
    return Decoded(text, said)


def encoding_of(blocks: Iterable[bytes]) -> tuple[str, str]:
    """Return the encoding of a text given piece by piece, and what to tell of it.

    Raises InvalidInputError where it is uncertain.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    stray = proper = 0
    escapes = False
    sample: list[bytes] = []
    held = 0
    for number, block in enumerate(blocks):
        if number == 0 and (encoding := _wide(block)):
            return encoding, "" if block.startswith(_WIDE_MARKS) else f"read as {encoding}"
        if _is_plain(block) and not stray:
            continue
        text = decoder.decode(block)
        stray += len(_STRAY.findall(text))
        proper += len(_PROPER.findall(text))
        escapes = escapes or _ESCAPE in block
        if held < _SAMPLE:
            lines = [line for line in block.splitlines(keepends=True) if not _is_plain(line)]
            piece = b"".join(_spread(lines, _SAMPLE - held))
            sample.append(piece)
            held += len(piece)
    stray += len(_STRAY.findall(decoder.decode(b"", final=True)))
    if escapes and not (stray or proper) and (encoding := _escaped(b"".join(sample))):
        return encoding, f"read as {encoding}"
    if not stray:
        return "utf-8", ""
    if proper >= 3 * stray:
        return "utf-8", f"{_bytes(stray)} not UTF-8: read as U+FFFD"
    encoding = _guess(_TAGS.sub(b" ", b"".join(sample)).replace(b"\0", b""))
    return encoding, f"read as {encoding}"


_TAGS = re.compile(b"<[^<>]{1,500}>")
"""Marks of HTML, which are English whatever the text between them is."""

_STRAY = re.compile("[\udc80-\udcff]")
_PROPER = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")


def _is_plain(data: bytes) -> bool:
    return data.isascii() and _ESCAPE not in data


def _spread(lines: list[bytes], most: int) -> Iterator[bytes]:
    """Yield lines from all over a file, of so many bytes in sum, in their order."""
    total = sum(map(len, lines))
    step = max(1, -(-total // max(1, most)))
    for line in lines[::step]:
        yield line[:most]


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"its byte order mark says {encoding}, its bytes do not ({error.reason})"
        ) from error


# ── guessing ─────────────────────────────────────────────────────────────────────────────────────────


def _fits(data: bytes) -> list[tuple[str, float]]:
    """Return the encodings that bytes may be in, the likeliest first, with how well they fit, 0..1."""
    from chardet import detect_all

    guesses = detect_all(data, ignore_threshold=True, compat_names=False, include_encodings=_CANDIDATES)
    return [(item["encoding"], item["confidence"]) for item in guesses if item["encoding"]]


def _escaped(data: bytes) -> str:
    """Return the encoding of seven bits that a text is in; "" for other text with escape signs."""
    return next((_usual(data, name)[0] for name, _ in _fits(data) if name.startswith("iso2022")), "")


def _wide(data: bytes) -> str:
    """Return by its beginning which UTF-16 or UTF-32 a text is; "" for any other.

    Without a byte order mark, spaces and line ends tell the order of the bytes.
    """
    if data.startswith(_WIDE_MARKS):
        return _MARKS[next(mark for mark in _MARKS if data.startswith(mark))][:6]
    if b"\0" not in data[:_SAMPLE] or _has_few_nul(data):
        return ""
    data = data[: _SAMPLE // 4 * 4]
    fits = (name for name, _ in _fits(data))
    likely = next((name for name in fits if name.startswith(("utf-16", "utf-32"))), "")
    orders = {
        name: data.decode(name, "replace") for name in (likely[:6] + end for end in ("-le", "-be") if likely)
    }
    return max(orders, key=lambda name: (len(_BLANK.findall(orders[name])), name == likely), default="")


_BLANK = re.compile("[ \\n\\t]")


def _has_few_nul(data: bytes) -> bool:
    """Say whether bytes with NUL among them are text of one byte or several a character all the same.

    Of UTF-16 and UTF-32 with as few, half of the bytes are signs of control, or no UTF-8 and no letters.
    """
    if data.count(0) * 10 > len(data):
        return False
    text = data.decode("utf-8", "replace")
    odd = len(_CONTROL.findall(text)) - text.count("\0") + text[:-4].count("\ufffd")
    return odd * 100 <= len(text) or len(_LETTERS.findall(data)) > len(data) * 2 // 3


_LETTERS = re.compile(b"[ -~]")


def _guess(data: bytes) -> str:
    western = _usual(data, "cp1252")[1]
    if western and _SIGNS_ALONE.fullmatch(western):
        return "cp1252"
    best = _best(_readings(data))
    if best[0][0] >= _ENOUGH:
        encoding = best[0][1]
        return "cp1252" if western and western == _usual(data, encoding)[1] else encoding
    likely = ", ".join(encoding for _, encoding in best if encoding)
    if not likely:
        raise InvalidInputError(
            "it is binary, or text in an encoding that is not known here: save it as UTF-8"
        )
    raise InvalidInputError(f"its encoding is uncertain (is it {likely}?): save it as UTF-8")


def _readings(data: bytes) -> dict[str, tuple[float, str]]:
    """Return the texts that bytes may be, each with how well it fits and its encoding."""
    readings: dict[str, tuple[float, str]] = {}
    for name, fit in _fits(data):
        encoding, text = _usual(data, name)
        if encoding == "cp1252":
            fit += _LIKELIER * (2 if _WESTERN.fullmatch(text) else 1)
        if text.isupper():  # letter pairs are those of small letters
            fit = max(fit, dict(_fits(text.lower().encode(encoding, "ignore"))).get(name, 0.0))
        if text and fit > readings.get(text, (0.0, ""))[0]:
            readings[text] = (fit, encoding)
    return readings


def _best(readings: dict[str, tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the two encodings that fit best, lessened by what is odd about their texts."""
    best: list[tuple[float, str]] = [(0.0, "")] * 2
    for text, (fit, encoding) in sorted(readings.items(), key=lambda item: -item[1][0]):
        if fit <= best[1][0]:
            break  # looked at or not, it does not get better
        judged = fit * (1 - _WEIGHT * _odd(text[:_LOOKED_AT], encoding))
        best = sorted([*best, (judged, encoding)], reverse=True)[:2]
    return best


_QUOTES = "–—’‘“”„«»…"
_SIGNS_ALONE = re.compile(
    rf"(?:[\x00-\x7f{_QUOTES}]|(?<![^\x00-\x7f{_QUOTES}])[\xa0•€£°§©®™·×÷±½¿¡](?![^\x00-\x7f{_QUOTES}])"
    r"(?:(?<![A-Za-z].)|(?![A-Za-z])))*",
    re.DOTALL,
)
"""Text whose only signs beyond ASCII are quotation marks, dashes and the like."""


def _usual(data: bytes, encoding: str) -> tuple[str, str]:
    """Return the encoding, or the more usual one in its place, and the text; "" where it is none."""
    for name in (_USUAL.get(encoding, encoding), encoding):
        try:
            return name, data.decode(name)
        except UnicodeDecodeError as error:
            # The sample ends between lines, so only a character cut short at its end may fail.
            if error.start >= len(data) - 3 and len(data) > _SAMPLE // 2:
                return name, data[: error.start].decode(name)
    return encoding, ""


def _odd(text: str, encoding: str) -> float:
    """Return the share of the signs beyond ASCII that stand where no text has them."""
    signs = [
        (before, sign, after)
        for before, sign, after in zip(f" {text}", text, f"{text[1:]} ", strict=False)
        if not sign.isascii()
    ]
    odd = sum(_is_odd(*beside) for beside in signs)
    letters = [beside for beside in signs if _script(beside[1]) not in ("", "EAST", "LATIN", "COMBINING")]
    lone = sum(not (before.isalpha() or after.isalpha()) for before, _, after in letters)
    odd += lone if 2 * lone > len(letters) else 0  # words of one letter, and hardly any others
    odd += len(_KANA.findall(text)) if encoding in ("gb18030", "big5", "cp949", "johab") else 0
    return odd / max(1, len(signs))


_KANA = re.compile("[\u3041-\u30fa]")
_WITHIN_WORDS = "’‘·´–—\xad\u200c\u200d"
_SPEAKS_AGAINST = {"Cc", "Cn", "Co"}
"""Kinds of characters that no text has: control, unassigned and private ones."""


def _is_odd(before: str, sign: str, after: str) -> bool:
    script = _script(sign)
    if script == "":
        is_inside = all(_script(beside) not in ("", "EAST") for beside in (before, after))
        return (
            (is_inside and sign not in _WITHIN_WORDS)
            or unicodedata.category(sign) in _SPEAKS_AGAINST
            or "\u2500" <= sign <= "\u259f"
        )
    if script in ("EAST", "COMBINING"):
        return False
    mixed = any(_script(beside) not in (script, "", "COMBINING") for beside in (before, after))
    return mixed or (sign.isupper() and before.islower())


@cache
def _script(letter: str) -> str:
    """Return the script of a letter or a mark on letters, one for all of East Asia; "" for any other sign."""
    if unicodedata.category(letter)[0] not in "LM":
        return ""
    name = unicodedata.name(letter, "?").split()[0].partition("-")[0]
    return "EAST" if name in ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "HANGUL", "IDEOGRAPHIC") else name
