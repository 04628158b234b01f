"""Which encoding a text is in: what is sure is read, what is uncertain is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankrag.errors import InvalidInputError
from rankrag.index.reading.encodings import decode

LEGACY = [
    ("Größe – ok\r\n", "cp1252"),
    ("Prix : 20 €, réduction de 5 % à l’été", "cp1252"),
    ("“Smart quotes” don’t break — naïve café", "cp1252"),
    ("El niño comió piña en la montaña", "cp1252"),
    ("Blåbærsyltetøy på brød", "cp1252"),
    ("café", "cp1252"),
    ("Zażółć gęślą jaźń – to jest próba tekstu", "cp1250"),
    ("Příliš žluťoučký kůň úpěl ďábelské ódy", "iso8859_2"),
    ("Ağaç kökü şişede, ılık su içti.", "cp1254"),
    ("Ķekava ir pilsēta Latvijā, šūnu īpašības", "cp1257"),
    ("Größe und Maß der Fläche", "cp850"),
    ("Größe und Maß der Fläche", "mac_roman"),
    ("Привет, мир. Это тест.", "cp1251"),
    ("ДОГОВОР АРЕНДЫ ПОМЕЩЕНИЯ", "cp1251"),
    ("Библиотека открыта с девяти", "koi8_r"),
    ("Ельцін приїхав до Києва й Львова", "cp1251"),
    ("Привет, мир. Это тест.", "cp866"),
    ("Η Αθήνα είναι η πρωτεύουσα της Ελλάδας", "cp1253"),
    ("שלום עולם זה מבחן", "cp1255"),
    ("مرحبا بالعالم هذا اختبار", "cp1256"),
    ("ห้องสมุดปิดวันหยุดราชการ", "cp874"),
    ("นโยบายการคืนเงิน", "cp874"),
    ("서울은 대한민국의 수도이다.", "cp949"),
    ("환불 규정", "cp949"),
    ("이름,도시\n김철수,부산\n", "cp949"),
    ("倉庫の在庫を確認してください。", "cp932"),
    ("返品規定について", "euc_jp"),
    ("カタログの一覧", "cp932"),
    ("学生请病假须提交医院证明。", "gbk"),
    ("退款政策", "gbk"),
    ("學生請病假須提交醫院證明。", "big5"),
    ("退貨政策", "big5"),
    # What makes likely letters in a wrong encoding too.
    ("A könyvtár hétfőtől péntekig nyitva tart, űrlapot az őrtől kérhet.", "cp1250"),
    ("Cererea trebuie depusă la bibliotecă până sâmbătă, în faţa uşii.", "iso8859_2"),
    ("Žádost musí být podána do třiceti dnů, děkujeme.", "iso8859_2"),
    ("Prošnjo oddajte v tridesetih dneh, hiša stoji ob cesti.", "iso8859_2"),
    ("Kütüphane pazartesi günü açıktır, öğrenciler başvurusunu yapmalıdır.", "cp1254"),
    ("Það er gott veður í dag, sagði maðurinn og þagði.", "cp1252"),
    ("Заявление необходимо подать в течение трёх дней.", "mac_cyrillic"),
    ("ИНСТРУКЦИЯ ПО ОХРАНЕ ТРУДА", "cp1251"),
    ("يجب تقديم الطلب خلال ثلاثة أيام.", "iso8859_6"),
    ("会议室预订说明", "gbk"),
    ("订会议室，先登录；选时间、人数，再提交。改期，请提前一天。", "gbk"),
    ("訂會議室，先登入；選時間、人數，再送出。改期，請提前一天。", "big5"),
    ("予約は、前日までに、受付で。変更は、電話で、お願いします。", "euc_jp"),
    ("会議室の予約方法", "euc_jp"),
    ("会議室の予約方法", "iso2022_jp"),
    ("ｶﾀｶﾅとひらがな、半角の文字", "cp932"),
    ("The fee is 10 € at 25 °C", "cp1252"),
    *(
        (text, f"utf-{width}-{order}")
        for text in ("서울의 날씨\n", "Погода\n")
        for width in (16, 32)
        for order in ("le", "be")
    ),
]


@pytest.mark.parametrize(("text", "encoding"), LEGACY)
def test_legacy_encodings_are_told_by_the_text_that_they_make(text: str, encoding: str) -> None:
    found = decode(text.encode(encoding))
    assert found.text == text
    assert found.note == f"read as {found.encoding}"


def test_a_stray_byte_in_utf8_is_replaced_and_told() -> None:
    found = decode("Größe und Höhe der Fläche\n".encode() * 3 + b"caf\xe9 au lait\n")
    assert found.text.endswith("Fläche\ncaf\ufffd au lait\n")
    assert (found.encoding, found.note) == ("utf-8", "1 byte is not UTF-8: read as U+FFFD")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_nul_within_text_makes_it_no_utf_16(encoding: str) -> None:
    text = "Der Schlüssel liegt\0 im Schrank, der im Flur steht. " + "Die Tür ist nie verschlossen. " * 4
    found = decode(text.encode(encoding))
    assert found.text == text.replace("\0", "\ufffd")
    assert found.encoding == encoding
    assert found.note.endswith("1 byte is NUL: read as U+FFFD")


def test_what_comes_late_in_a_long_file_decides_too() -> None:
    found = decode(b"plain ASCII text\n" * 200_000 + "zuletzt Größe\n".encode("cp1252"))
    assert found.text.endswith("zuletzt Größe\n")


def test_vietnamese_whose_tones_are_signs_of_their_own() -> None:
    apart = "Thư viện mở cửa vào thứ Hai, đơn phải nộp trong ba ngày."
    for vowel, base in [
        ("ệ", "ê\u0323"),
        ("ở", "ơ\u0309"),
        ("ử", "ư\u0309"),
        ("ứ", "ư\u0301"),
        ("ả", "a\u0309"),
        ("ộ", "ô\u0323"),
    ]:
        apart = apart.replace(vowel, base)
    data = apart.encode("cp1258")
    assert decode(data).text == data.decode("cp1258")


def test_colours_of_a_terminal_are_no_encoding() -> None:
    assert decode(b"\x1b$ plain \x1b[31mred\x1b[0m text " * 20).encoding == "utf-8"


@pytest.mark.parametrize(
    ("text", "encoding", "said", "read"),
    [
        ("Größe – ok", "cp1252", "iso-8859-1", "cp1252"),
        ("Größe und Höhe", "utf-8", "iso-8859-1", "utf-8"),
        ("환불 규정 안내", "cp949", "utf-8", "cp949"),
        ("환불 규정 안내", "cp949", "iso-8859-1", "cp949"),
        ("Заявление необходимо подать в течение трёх дней", "koi8_r", "windows-1251", "koi8-r"),
        ("Заявление", "cp1251", "windows-1251", "cp1251"),
        ("Größe und Höhe", "utf-8", "utf-16", "utf-8"),
        ("Größe und Höhe", "utf-8", "no such encoding", "utf-8"),
        ("会議室", "iso2022_jp", "iso-2022-jp", "iso2022_jp"),
    ],
)
def test_what_a_text_is_said_to_be_in_holds_if_it_can(text: str, encoding: str, said: str, read: str) -> None:
    found = decode(text.encode(encoding), said)
    assert (found.text, found.encoding) == (text, read)


@pytest.mark.parametrize("data", ["naïve".encode("cp1252"), bytes(range(0x80, 0x100))])
def test_what_is_uncertain_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"uncertain|binary"):
        decode(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    outcome = _outcome(data)
    assert not outcome.startswith("refused") or re.fullmatch("refused: it(s| is) .*", outcome)


@given(st.text(max_size=200))
def test_utf8_is_read_as_it_is(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    if "\0" in text or text.startswith("\ufeff") or data != text.encode("utf-8", "ignore"):
        return
    assert _outcome(data) in (text, "refused: it is binary, not text")


def _outcome(data: bytes) -> str:
    """Return the text of bytes, or why they are refused."""
    try:
        return decode(data).text
    except InvalidInputError as error:
        return f"refused: {error}"
