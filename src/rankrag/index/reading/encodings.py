"""Bytes to text: byte order mark, UTF-8, or the legacy encoding that makes the likeliest text of them.

UTF-8 with a few stray bytes stays UTF-8; each of them becomes U+FFFD. What is neither is decoded by every
encoding in `_CANDIDATES`, and each result is judged by its characters: letters that are frequent in a
language speak for it, rare ideographs, letters of two scripts in one word and signs inside words against.
If none is clearly best, charset-normalizer decides where it is sure; what nobody is sure of is refused.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from ...errors import InvalidInputError

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks; the four bytes of UTF-32 begin with the two of UTF-16, so they are tried first."""

_CANDIDATES = (
    "cp1252 cp949 gb18030 cp932 euc_jp big5 big5hkscs cp1251 koi8_u cp874 cp1250 cp1253 cp1254 cp1255 cp1256 "
    "cp1257 iso8859_2 iso8859_15 cp866 mac_roman cp850"
).split()
"""What is tried; of two that make the same text, the first is named."""

_ENOUGH, _CLEARLY = 0.4, 0.04
"""The least score (-1 to 1) that is believed, and how far ahead of any other text it must be."""

_SAMPLE = 2**14
"""Bytes of lines with other characters than ASCII that are judged; they come from the whole file."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text, and the encoding that it was read in, with a note where that was a guess."""

    text: str
    encoding: str
    note: str = ""


def decode(data: bytes) -> Decoded:
    """Return bytes as text.

    Raises InvalidInputError for bytes that are no text, and for text whose encoding is uncertain.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return Decoded(_strictly(data[len(mark) :], encoding), encoding)
    if b"\0" in data:
        return _without_mark(data)
    found = _decoded(data)
    if len(_CONTROL.findall(found.text)) > len(found.text) // 100:
        raise InvalidInputError("it is binary, not text")
    return found


def _decoded(data: bytes) -> Decoded:
    with contextlib.suppress(UnicodeDecodeError):
        return Decoded(data.decode("utf-8"), "utf-8")
    encoding, note = encoding_of([data])
    return Decoded(data.decode(encoding, "replace"), encoding, note)


def encoding_of(blocks: Iterable[bytes]) -> tuple[str, str]:
    """Return the encoding of a text without byte order mark, given piece by piece, and what to tell of it.

    Raises InvalidInputError where it is uncertain.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    stray = proper = 0
    sample: list[bytes] = []
    held = 0
    for block in blocks:
        if block.isascii() and not stray:
            continue
        text = decoder.decode(block)
        stray += len(_STRAY.findall(text))
        proper += len(_PROPER.findall(text))
        if held < _SAMPLE:
            lines = [line for line in block.splitlines(keepends=True) if not line.isascii()]
            piece = b"".join(_spread(lines, _SAMPLE - held))
            sample.append(piece)
            held += len(piece)
    stray += len(_STRAY.findall(decoder.decode(b"", final=True)))
    if not stray:
        return "utf-8", ""
    if proper >= 3 * stray:
        bytes_are = "1 byte is" if stray == 1 else f"{stray:,} bytes are"
        return "utf-8", f"{bytes_are} not UTF-8: read as U+FFFD"
    encoding = _guess(b"".join(sample))
    return encoding, f"read as {encoding}"


_STRAY = re.compile("[\udc80-\udcff]")
_PROPER = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")


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


def _without_mark(data: bytes) -> Decoded:
    """Read UTF-16 that lacks its mark: in text for the most part ASCII every second byte is zero."""
    start = data[:4096]
    half = len(start) // 2
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(data) % 2 == 0 and half >= 4 and zeros.count(0) * 2 > half and start.count(0) <= half * 1.05:
            text = data.decode(encoding, "replace")
            if not _CONTROL.search(text[:4096]) and "\ufffd" not in text[:4096]:
                return Decoded(text, encoding, f"read as {encoding}")
    raise InvalidInputError("it is binary, not text")


# ── guessing ─────────────────────────────────────────────────────────────────────────────────────────


def _guess(data: bytes) -> str:
    if len(_CONTROL.findall(data.decode("latin-1"))) > len(data) // 100:
        raise InvalidInputError("it is binary, not text")
    scores: dict[str, tuple[float, str]] = {}
    for encoding in _CANDIDATES:
        text = _as(data, encoding)
        if text is not None and text not in scores:
            scores[text] = (_score(text, encoding), encoding)
    ranked = sorted(scores.values(), key=lambda item: -item[0])
    if ranked and ranked[0][0] >= _ENOUGH and (len(ranked) == 1 or ranked[0][0] - ranked[1][0] >= _CLEARLY):
        return ranked[0][1]
    if sure := _by_detector(data):
        return sure
    if not ranked or ranked[0][0] < 0:
        raise InvalidInputError(
            "it is binary, or text in an encoding that is not known here: save it as UTF-8"
        )
    likely = ", ".join(encoding for _, encoding in ranked[:2])
    raise InvalidInputError(f"its encoding is uncertain (is it {likely}?): save it as UTF-8")


def _as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        # The sample ends between lines, so only a character cut short at its end may fail.
        if error.end >= len(data) - 1 and error.start >= len(data) - 3 and len(data) > _SAMPLE // 2:
            return data[: error.start].decode(encoding)
        return None


def _by_detector(data: bytes) -> str | None:
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    matches = list(from_bytes(data, threshold=0.1))
    sure = [match for match in matches if match.coherence >= 0.6 and match.chaos <= 0.02]
    texts = {str(match) for match in sure}
    return str(sure[0].encoding) if len(texts) == 1 else None


_HANGUL = set(
    "이다는에의가을를은로한고서기지사도하자인시대어있리해정것들나구수라일부그보전조상아여주제원만장소공동스경으과와면니니까요"
    "습합입된되안내위관신청용모금무선생월년문비성재국유분방체행전등신단발생연적학회세물건강당미치심현통계반음오우간중게중거용"
    "안트터도까마래레크바드포화바노외출약절책권운개교육역할때며려지않없같업직실결산김박최평총차살민특별처본번더많작성집"
    "환불규칙품격매송배예약취탈퇴그인질답변응담점검설치법영휴급층창향팀메했였겠올운참확숙박버날씨근퇴입력록석료견길건축복병영"
)
_SIMPLIFIED = set(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方"
    "多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明"
    "性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位"
    "次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感"
    "建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色"
    "路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运请病假须证医员工制度天"
)
_TRADITIONAL = set(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方"
    "多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明"
    "性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位"
    "次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太量再感"
    "建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設式色"
    "路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今切院讓識候帶導爭運請病假須證醫員工制度天"
)
_KANJI = set(
    "日一国人年大十二本中長出三時行見月後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西電校語土木聞"
    "食車何南万毎白天母火右読友左休父雨会同事自社発者地業方新場員立開手力問代明動京目通言理体田主題意不作用度強公持野以思家世多正安"
    "院心界教文元重近考画海売知道集別物使品計死特私始朝運終台広住無真有口少町料工建空急止送切転研足究楽起着店病質待試族銀早映親験英"
    "医仕去味写字答夜音注帰古歌買悪図週室歩風紙黒花春赤青館屋色走秋夏習駅洋旅服夕借曜飲肉貸堂鳥飯勉冬昼茶弟牛魚兄犬妹姉漢管在庫倉全"
    "引報合部定取平現最関数回産法民対期経済実調設性成化当内相議約決保進加連金請求書類提出確認必要場所情報式続申変更件表機能"
)
_VOWELS = set("аеёиоуыэюяіїє")
_CYRILLIC = dict.fromkeys("оеаинтсрвлкм", 1.0) | dict.fromkeys("дпуяыьгзбчйхіїєґ", 0.6)
_GREEK = set("αοιετσνηυρπκμλωςάέίόύήώ")
_THAI = set("านรกอเงมยลวดทสตะปบคห่้ัีิำ์แไใโ็ขจพชุูึื")
_WESTERN = set("äöüßéèêëàâçîïôûùñáíóúåøæãõìòœÄÖÜÉÀÇÑÅØÆÁÍÓÚ")
_CENTRAL = set("áčďéěíňóřšťúůýžąćęłńśźżäöüßőűăâîșțđľĺŕôÁČŘŠŽŁŚŻÉÍÓÚ")
_TURKISH = set("ğışİçöüâî")
_BALTIC = set("āčēģīķļņšūžąęėįųõäöü")

_NO_LETTERS: set[str] = set()
_FREQUENT: dict[str, set[str]] = {
    **{"cp949": _HANGUL, "gb18030": _SIMPLIFIED, "big5": _TRADITIONAL, "big5hkscs": _TRADITIONAL},
    **{"cp932": _KANJI, "euc_jp": _KANJI, "cp874": _THAI, "cp1253": _GREEK},
    **{"cp1250": _CENTRAL, "iso8859_2": _CENTRAL, "cp1254": _TURKISH, "cp1257": _BALTIC},
    **dict.fromkeys(("cp1251", "cp1255", "cp1256", "koi8_u"), _NO_LETTERS),
}
"""The letters that speak for an encoding; those of Western Europe for the others."""


def _score(text: str, encoding: str) -> float:
    """Return how likely a text is, -1 to 1: the mean over its bytes that are not ASCII."""
    total = weight = 0.0
    wide = encoding in ("cp949", "gb18030", "cp932", "euc_jp", "big5", "big5hkscs")
    before = " "
    for at, letter in enumerate(text):
        if not letter.isascii():
            size = 2.0 if wide and not "\uff61" <= letter <= "\uff9f" else 1.0
            judged = _judged(letter, before, text[at + 1 : at + 2], encoding)
            size *= 0.3 if judged == _SIGN else 1.0
            total += size * judged
            weight += size
        before = letter
    # Encodings that are seldom met must be better than the usual ones, not as good.
    return (
        total / max(0.3, weight)
        - (0.05 if encoding in _SELDOM else 0.0)
        + (0.06 if encoding == "cp1252" else 0)
    )


_SELDOM = ("mac_roman", "cp850", "cp866", "iso8859_2", "iso8859_15", "cp1254", "cp1257", "big5hkscs")


def _judged(letter: str, before: str, after: str, encoding: str) -> float:
    script = _script(letter)
    if script == "":  # a sign or a digit
        inside = before.isalpha() and after.isalpha() and letter not in "’‘·´–—"
        return -0.8 if inside else _SIGN if letter in _USUAL_SIGNS else -0.4
    if script == "bad":
        return -1.0
    return _SCRIPTS[script](letter, before, after, _FREQUENT.get(encoding, _WESTERN))


_SIGN = 0.9
_USUAL_SIGNS = set("–—’‘“”„«»…•€£°§©®™、。「」『』（），：；！？・ー·×÷±½¿¡　《》〈〉【】￥％～\xa0№")


@cache
def _script(letter: str) -> str:
    """Return what kind of letter it is; "" for a sign, "bad" for what no text has."""
    code = ord(letter)
    if not letter.isprintable() and letter not in "\xa0\u3000\u200b\u200c\u200d\u200e\u200f\xad":
        return "bad"
    if 0xE000 <= code <= 0xF8FF or code > 0x2FFFF or 0x2500 <= code <= 0x259F:
        return "bad"
    for script, ranges in _RANGES.items():
        if any(first <= code <= last for first, last in ranges):
            return script
    return "latin" if letter.isalpha() else ""


_RANGES = {
    "greek": [(0x0370, 0x03FF)],
    "cyrillic": [(0x0400, 0x052F)],
    "hebrew": [(0x0591, 0x05F4)],
    "arabic": [(0x0600, 0x06FF)],
    "thai": [(0x0E01, 0x0E5B)],
    "kana": [(0x3041, 0x309F), (0x30A1, 0x30FA)],
    "hangul": [(0xAC00, 0xD7A3)],
    "han": [(0x4E00, 0x9FFF)],
    "half": [(0xFF61, 0xFF9F)],
    "rare": [(0x2E80, 0x2FDF), (0x3131, 0x318F), (0x3400, 0x4DBF), (0xF900, 0xFAFF), (0x20000, 0x2FFFF)],
}


def _latin(letter: str, before: str, after: str, frequent: set[str]) -> float:
    if letter.isupper() and before.isalpha() and before.islower():
        return -0.8  # `Grâ€` and `naÎve`
    if not (before.isalpha() or after.isalpha()) and letter not in "àáéèóôåöÀÉÓÖÜÅÄ":
        return -0.3
    if before.isalpha() and after.isalpha() and not (before.isascii() or after.isascii()):
        return -0.5  # three in a row
    return 1.0 if letter.lower() in frequent else -0.3


def _cyrillic(letter: str, before: str, after: str, _frequent: set[str]) -> float:
    if (letter.isupper() and before.islower()) or _mixed(before, after):
        return -1.0
    three = (before.lower(), letter.lower(), after.lower())
    if all(_script(one) == "cyrillic" and one not in _VOWELS for one in three if one):
        return 0.0  # three consonants in a row
    return _CYRILLIC.get(letter.lower(), 0.1) * (1.0 if letter.islower() else 0.9)


def _greek(letter: str, before: str, after: str, frequent: set[str]) -> float:
    if (letter.isupper() and before.islower()) or _mixed(before, after):
        return -1.0
    return 0.9 if letter in frequent else 0.3


def _hebrew(letter: str, before: str, after: str, _frequent: set[str]) -> float:
    if _mixed(before, after) or (letter in "ךםןףץ" and "א" <= after <= "ת"):
        return -1.0
    return 0.9 if "א" <= letter <= "ת" else 0.0


def _arabic(letter: str, before: str, after: str, _frequent: set[str]) -> float:
    if _mixed(before, after):
        return -1.0
    return 1.0 if letter in "المينورتبعدهسفكقحج" else 0.6 if letter in "ةشصخطىأضزذ،؟" else 0.0


def _thai(letter: str, before: str, after: str, _frequent: set[str]) -> float:
    # A vowel or tone mark stands above or below a letter, never at the beginning of a word.
    if letter in "ัิีึืฺุู็่้๊๋์ํ" and _script(before) != "thai":
        return -1.0
    if _mixed(before, after) or (letter in "เแโใไ" and not "ก" <= after <= "ฮ"):
        return -1.0
    return 1.0 if letter in _THAI else -0.6 if letter in "ฃฅฆฌฎฏฑฒฬ" else 0.2


def _kana(letter: str, _before: str, _after: str, frequent: set[str]) -> float:
    return (1.0 if letter <= "\u309f" else 0.8) if frequent is _KANJI else -0.3


def _han(letter: str, _before: str, _after: str, frequent: set[str]) -> float:
    if frequent is _HANGUL:
        return -0.2  # Korean is written without them, for the most part
    return 1.0 if letter in frequent else 0.3 if _is_usual(letter, frequent) else -0.6


def _hangul(letter: str, _before: str, _after: str, frequent: set[str]) -> float:
    if frequent is not _HANGUL:
        return -0.6
    return 1.0 if letter in frequent else 0.35


def _is_usual(letter: str, frequent: set[str]) -> bool:
    """Say whether an ideograph is among the frequent ones by the order of its national standard."""
    codec, first, last = "euc_jp", 0xB0, 0xCF
    if frequent is _SIMPLIFIED:
        codec, first, last = "gb2312", 0xB0, 0xD7
    elif frequent is _TRADITIONAL:
        codec, first, last = "big5", 0xA4, 0xC6
    try:
        return first <= letter.encode(codec)[0] <= last
    except UnicodeEncodeError:
        return False


def _mixed(before: str, after: str) -> bool:
    """Say whether a letter that is not Latin touches one that is."""
    return _script(before) == "latin" or (after != "" and _script(after) == "latin")


_SCRIPTS = {
    "latin": _latin,
    "greek": _greek,
    "cyrillic": _cyrillic,
    "hebrew": _hebrew,
    "arabic": _arabic,
    "thai": _thai,
    "kana": _kana,
    "han": _han,
    "hangul": _hangul,
    "rare": lambda *_: -0.8,
    "half": lambda *_: -0.3,
}
