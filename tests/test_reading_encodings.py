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


def test_what_comes_late_in_a_long_file_decides_too() -> None:
    found = decode(b"plain ASCII text\n" * 200_000 + "zuletzt Größe\n".encode("cp1252"))
    assert found.text.endswith("zuletzt Größe\n")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark(encoding: str) -> None:
    assert decode("Plain words, Größe – ok\n".encode(encoding)).text == "Plain words, Größe – ok\n"


@pytest.mark.parametrize("data", [b"\xa7\xb1\xa8\xb5 \xb6\xbd\xaf", bytes(range(0x80, 0x100))])
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
