"""Words: what a text and a query share, whatever their scripts, marks and forms, in every store."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_call import call
from rankrag.errors import InvalidInputError
from rankrag.index import (
    LANGUAGES,
    Settings,
    StoreName,
    StorePlace,
    build,
    copy_index,
    limits,
    older_kind,
    open_store,
    read_manifest,
    retriever,
    why_nothing,
)
from rankrag.index.place import MEMORY
from rankrag.index.stores.by_name import drop_store
from rankrag.index.words import LONGEST, _alphabets, _patterns, query_words, scripts, words

INDEX = Path("idx")
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
COMPOUND = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz"

KOREAN = {
    "capital": "서울은 대한민국의 수도이다. 한강이 도시를 가로지른다.",
    "beach": "해운대에는 긴 모래사장이 있다. 부산의 여름은 덥다.",
    "library": "도서관은 매주 월요일에 문을 닫는다. 책은 두 주 동안 빌릴 수 있고, 연체료는 하루에 백 원이다.",
    "mixed": "The API를 쓰려면 키가 필요하다. Ask the office for a key.",
}
OTHERS = {
    "zh": "公司规定,员工请病假须在三天内提交医院证\n明。",
    "ja": "社員は毎週金曜日に倉庫の在庫を数えます。犬が庭にいる。",
    "th": "ห้องสมุดเปิดทุกวันจันทร์ และปิดในวันหยุดราชการ",
    "hi": "हिन्दी में लिखा हुआ पाठ",
    "ru": "Мы читаем русские книги. Он видел ёлку.",
    "el": "Τα βιβλία είναι στο ράφι.",
    "ar": "تفتح المكتبة يوم الاثنين، وتقدم الطلبات خلال ثلاثة أيام.",
    "fa": "کتابخانه‌ها روز دوشنبه باز می‌شوند",
    "he": "בְּרֵאשִׁית נפתחת הספרייה.",
    "vi": unicodedata.normalize("NFD", "Thư viện mở cửa, đơn xin nghỉ phép."),
    "tr": "Isparta’da ışık DIŞARI çıktı, İzmir’de kaldı.",
    "km": "បណ្ណាល័យបើកនៅថ្ងៃចន្ទ។",
    "lo": "ຫໍສະໝຸດເປີດວັນຈັນ",
    "half": "ﾀﾅｶさんはﾊﾞｽ停で待つ。",
    "names": "L’élève arrive à l’école. Mrs O’Brien’s pupil teaches node.js and std::vector here.",
    "code": f"call getUserName(max_batch_size) in HTTPServer 3.11, sha {HASH}, e-mail ann.lee@example.com",
    "pdf": "The infor-\nmation was ofﬁcial, its publi- cation was of\u00adten de\u00ad\nlayed. 1,947 copies.",
    "compound": f"Das {COMPOUND} gilt.",
    "forms": "Das Cafe\u0301 ist ｆｕｌｌ, die Straße lang.",
}

FOUND = {
    **dict.fromkeys(["서울", "서울은", "서울의", "수도", "수도는 어디입니까?", "한강"], "capital"),
    **dict.fromkeys(["해운대", "모래사장", "부산에서"], "beach"),
    **dict.fromkeys(["연체료", "책", "책을", "도서관에서"], "library"),
    **dict.fromkeys(["API", "키는", "office"], "mixed"),
    **dict.fromkeys(["病假", "医院证明", "病"], "zh"),
    **dict.fromkeys(["倉庫", "在庫", "犬は", "犬"], "ja"),
    **dict.fromkeys(["ห้องสมุด", "วันหยุดราชการ"], "th"),
    **dict.fromkeys(["हिन्दी", "लिखा"], "hi"),
    **dict.fromkeys(["книга", "елка"], "ru"),
    **dict.fromkeys(["βιβλία", "ΒΙΒΛΙΑ", "ράφια"], "el"),
    **dict.fromkeys(["مكتبة", "طلب"], "ar"),
    **dict.fromkeys(["کتابخانه‌ها", "كتابخانه‌ها", "دوشنبه"], "fa"),
    **dict.fromkeys(["בראשית", "הספרייה"], "he"),
    **dict.fromkeys(["thư viện", "nghỉ phép"], "vi"),
    **dict.fromkeys(["ışık", "IŞIK", "dışarı", "izmir", "İZMİR"], "tr"),
    "ថ្ងៃចន្ទ": "km",
    "ຫໍສະໝຸດ": "lo",
    **dict.fromkeys(["タナカ", "バス"], "half"),
    **dict.fromkeys(
        ["élève", "école", "l'école", "O'Brien", "O’Brien", "Brien", "obrien", "node", "node.js", "vector"],
        "names",
    ),
    **dict.fromkeys(
        [
            "user",
            "getUserName",
            "get_user_name",
            "batch",
            "maxBatchSize",
            "server",
            "3.11",
            HASH,
            HASH.upper(),
        ],
        "code",
    ),
    **dict.fromkeys(["email", "e-mail", "lee", "ann.lee@example.com"], "code"),
    **dict.fromkeys(["information", "official", "publication", "often", "delayed", "1947", "1,947"], "pdf"),
    **dict.fromkeys([COMPOUND, COMPOUND.upper()], "compound"),
    **dict.fromkeys(["café", "cafe\u0301", "full", "ＦＵＬＬ", "strasse"], "forms"),
}

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


@pytest.fixture(scope="module", params=get_args(StoreName))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp(request.param)
    (place / "docs").mkdir()
    for name, text in (KOREAN | OTHERS).items():
        (place / "docs" / f"{name}.txt").write_text(text, encoding="utf-8")
    (place / "docs" / (unicodedata.normalize("NFD", "Café") + ".jsonl")).write_text(
        json.dumps({"_id": "bar", "text": "A bar.", "town": unicodedata.normalize("NFD", "Zürich")})
    )
    store = StorePlace() if request.param == "lancedb" else StorePlace(request.param, MEMORY, "words")
    report = build([str(place / "docs")], place / "idx", Settings(store=store))
    assert report.failed == ()
    yield place / "idx"
    drop_store(place / "idx", read_manifest(place / "idx"))


@pytest.mark.parametrize(("query", "name"), FOUND.items())
def test_words_are_found_whatever_their_script_and_form(folder: Path, query: str, name: str) -> None:
    hits = open_store(folder).search_words(query, 3)
    assert [hit.passage.id.rsplit("/", 1)[-1] for hit in hits][:1] == [f"{name}.txt#1"]


@given(st.text(st.characters(max_codepoint=127)))
def test_the_letters_of_ascii_are_those_of_unicode(text: str) -> None:
    assert _alphabets(text) == _patterns().alphabetic.findall(text)


def test_offsets_and_texts_stay_those_of_the_source(folder: Path) -> None:
    passage = open_store(folder).search_words("café", 1)[0].passage
    assert passage.text == OTHERS["forms"]
    assert passage.source is not None
    assert (passage.source.start, passage.source.end) == (0, len(OTHERS["forms"]))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_filters_match_names_and_values_however_accents_are_stored(folder: Path, form: Form) -> None:
    def ids(**filters: str) -> list[str]:
        wanted = {name: unicodedata.normalize(form, value) for name, value in filters.items()}
        return [hit.passage.id for hit in open_store(folder).search_words("bar", 5, wanted)]

    assert ids(path="*/Café.jsonl") == ids(town="Zürich") == ids(path="*é*", town="Zürich") == ["bar"]
    assert ids(path="*/Cafe.jsonl") == ids(town="Zurich") == []
    stored = next(name for name in open_store(folder).files() if "Caf" in name)
    assert ids(path=stored) == ["bar"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_parts_and_wholes_are_words_under_every_language(language: str) -> None:
    def share(text: str, query: str) -> bool:
        return bool(set(words(text, language)) & set(query_words(query, language)))

    for query in ("élève", "école", "l'élève"):
        assert share("L’élève est à l’école.", query), query
    assert share("node.js", "NODE")
    assert share("서울은", "서울의")
    assert share("snake_case", "snakeCase")
    assert share(COMPOUND, COMPOUND.lower())


def test_languages_stem_the_words_of_their_script() -> None:
    assert words("die Katzen", "German") == words("Katze", "German")
    assert words("die Katzen", "English") != words("die Katze", "English")
    assert words("книги", "German") == words("книга", "English")
    assert words("houses", "Russian") == words("house", "English")
    assert words("houses books", "any") == ["houses", "books"]
    assert words("the house is what it does", "any") == ["the", "house", "is", "what", "it", "does"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("company's it's", ["compani"]),  # `it` is a stop word
        ("U.S. 1.5 1-2 v1.2 2024-01-15", ["u", "s", "us", "1", "5", "1.5", "1", "2", "1-2", "v1", "2", "v1.2",
                                          "2024", "01", "15", "2024-01-15"]),
        ("iPhone HTTPServer", ["phone", "iphon", "http", "server", "httpserver"]),
        ("dQw4w9WgXcQaBcDeFgHiJkLmN", ["dqw4w9wgxcqabcdefghijklmn"]),  # too many humps for a name
        ("well-\n\nknown", ["well", "known"]),  # an empty line ends a word
        ("x" * 1000, ["x" * LONGEST]),
        ("서울에서", ["서", "서울"]),
        ("τα βιβλία τα ράφια", ["βιβλ", "ραφ"]),
        ("안녕하\n세요", ["안", "안녕", "녕하", "세", "세요", "하세"]),
        ("", []),
        ("... !? -- '", []),
    ],
)  # fmt: skip
def test_what_becomes_of_a_text(text: str, wanted: list[str]) -> None:
    assert words(text, "English") == wanted


@pytest.mark.parametrize("language", ["English", "any"])
@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("Росси\u0301я — страна. За\u0301мок стоит. Мой", "Россия замок мой"),
        ("كِتَابٌ جَدِيدٌ فِي المكتبـــة، أحمد يقرأ القرآن", "كتاب جديد المكتبة احمد القران"),
        ("کتاب‌خانه‌ها باز می‌شوند", "کتاب خانه کتاب‌خانه‌ها شوند"),
        ("בית־ספר של צה״ל ושל ז׳בוטינסקי", "ספר בית-ספר צה\"ל צהל ז'בוטינסקי"),
        ("Ο Οδυσσέας ΚΑΛΗΜΕΡΑ. ἐν ἀρχῇ ἦν ὁ λόγος", "ΟΔΥΣΣΕΑΣ οδυσσεας καλημέρα αρχη λογος ΛΟΓΟΣ"),
        ("ọ́kọ̀ l´école Hawaiʻi Qurʾān O‛Neil", "oko école hawaii hawai'i quran Neil"),
        ("عام ٢٠٢٤ سال ۱۴۰۳ सन् २०२५ พ.ศ. ๒๕๖๗", "2024 ١٤٠٣ 1403 2025 2567"),
        (
            "1\u202f234\u202f567 Einwohner, 12\u00a0500 Kč, 4.321.000 und ₹1,23,456",
            "1234567 12500 4321000 123456",
        ),
        (r"M{\"u}ller Pr\"ufung caf\'{e} \"Uber foo\.bar a\"", "Müller Prüfung café Über foo bar"),
        ("ISBN 978-3-16-148410-0 അവന്\u200d", "9783161484100 അവൻ"),
        ("葛\U000e0100城さん、社⻑が。目　次、公 司 规 定、请病\n　　假", "葛城 社長 目次 公司 规定 病假"),
        ("long\u200bWord ab\u200ec wo\u2060rd Ver-\u2028such", "word longword abc versuch"),
        ("ห้อง\u200bสมุด ថ្ងៃ\u200bចន្ទ", "ห้องสมุด ថ្ងៃចន្ទ"),
    ],
)
def test_marks_and_digits_that_nobody_types_are_no_part_of_a_word(
    text: str, queries: str, language: str
) -> None:
    found = set(words(text, language))
    for query in queries.split(" "):
        assert set(query_words(query, language)) <= found, query


@given(st.text(), st.sampled_from(["English", "any", "German"]))
def test_a_query_has_words_of_the_same_text_alone(text: str, language: str) -> None:
    found = words(text, language)
    assert set(query_words(text, language)) <= set(found)
    assert not any(word != "".join(word.split()) or not word for word in found)
    assert words(text, language) == found


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_every_unicode_form_gives_the_same_words(form: Form) -> None:
    for text in (KOREAN | OTHERS).values():
        if "\u00ad" not in text:
            assert words(unicodedata.normalize(form, text), "English") == words(text, "English")


def test_scripts_are_those_of_a_tenth_of_the_letters() -> None:
    assert scripts("plain") == {"Latin"}
    assert scripts("123 !?") == set()
    assert scripts("社員は") == {"Han", "Kana"}
    assert scripts("API를 쓰려면") == {"Latin", "Hangul"}
    assert scripts("a long text about the letter μ of a Greek alphabet") == {"Latin"}


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
def test_a_build_says_which_scripts_it_saw(capsys: pytest.CaptureFixture[str]) -> None:
    Path("en.txt").write_text("An English text.")
    Path("ko.txt").write_text(KOREAN["capital"])
    assert build(["en.txt"], INDEX).scripts == {"Latin": 1}
    assert build(["en.txt", "ko.txt"], INDEX).scripts == {"Hangul": 1}
    assert read_manifest(INDEX).scripts == ("Hangul", "Latin")
    assert build(["en.txt", "ko.txt"], INDEX).scripts == {}
    Path("zh.txt").write_text(OTHERS["zh"])
    assert "written in Han 1" in call(capsys, "index", "zh.txt", "--index", "idx", "--encoder", "none")[0]


@pytest.mark.usefixtures("here")
def test_an_empty_search_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    Path("en.txt").write_text("An English text.")
    build(["en.txt"], INDEX)
    store = open_store(INDEX)
    assert why_nothing(store, "zebra") is None
    assert "found no word to search for" in (why_nothing(store, "What was it?") or "")
    reason = why_nothing(store, "수도는 어디입니까?") or ""
    assert reason.startswith("found a question in Hangul and an index of texts in Latin: ")
    assert "\n" not in reason
    assert "found a question in Hangul" in call(capsys, "search", "수도는 어디입니까?", "--index", "idx")[1]
    assert call(capsys, "search", "zebra", "--index", "idx")[1] == ""


# ── indexes of the older kind ────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", get_args(StoreName))
def test_an_older_index_opens_grows_says_so_and_is_copied_into_a_new_one(
    name: StoreName, capsys: pytest.CaptureFixture[str]
) -> None:
    store = StorePlace() if name == "lancedb" else StorePlace(name, MEMORY, "older")
    Path("a.txt").write_text("The cats sleep. getUserName")
    Path("b.txt").write_text(KOREAN["capital"])
    build(["a.txt"], Path("new"), Settings(store=store))
    values = json.loads(Path("new/manifest.json").read_text())
    drop_store(Path("new"), read_manifest(Path("new")))
    INDEX.mkdir()
    del values["scripts"], values["sha256"]
    (INDEX / "manifest.json").write_text(json.dumps(values | {"format": 1 if name == "lancedb" else 2}))
    assert build(["a.txt"], INDEX).added == ("a.txt",)
    assert build(["a.txt", "b.txt"], INDEX).added == ("b.txt",)
    before = open_store(INDEX)
    assert "scripts" not in json.loads((INDEX / "manifest.json").read_text())
    assert [hit.passage.id for hit in before.search_words("cat", 5)] == ["a.txt#1"]
    assert before.search_words("user", 5) == before.search_words("수도", 5) == []
    said = older_kind(INDEX, before.manifest) or ""
    assert "rankrag documents copy NEW --index idx" in said
    assert why_nothing(before, "수도") == said
    if name == "lancedb":
        assert "of the older kind" in " ".join(call(capsys, "index", "a.txt", "--index", "idx")[1].split())
    target = StorePlace() if name == "lancedb" else StorePlace(name, MEMORY, "newer")
    copy_index(INDEX, Path("copy"), target)
    after = open_store(Path("copy"))
    assert older_kind(Path("copy"), after.manifest) is None
    assert after.manifest.scripts == ("Hangul", "Latin")
    assert [hit.passage.id for hit in after.search_words("user", 5)] == ["a.txt#1"]
    assert [hit.passage.id for hit in after.search_words("수도", 5)] == ["b.txt#1"]


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "k", "filters", "message"),
    [
        ("cat", 1, {f"name{n}": "x" for n in range(60_000)}, "found 60,000 filters, wanted at most 64"),
        ("cat", 1, {"name": "x" * 5000}, "found 5,000 characters in a filter, wanted at most 4,096"),
        ("cat", 1, {"n" * 5000: "x"}, "found 5,000 characters in a filter"),
        ("cat", 1, {"path": "?" * 65}, "found 65 wildcards in a path, wanted at most 64"),
        ("x" * 200_001, 1, None, "found 200,001 characters in a query"),
        (" ".join(f"w{n}" for n in range(5000)), 1, None, "found 5,000 different words in a query"),
        ("cat", 10**9, None, "found 1,000,000,000 hits"),
    ],
)
def test_what_a_store_cannot_bear_does_not_reach_it(
    folder: Path, query: str, k: int, filters: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(InvalidInputError) as error:
        retriever("bm25", open_store(folder)).search(query, k, filters)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_what_is_within_the_limits_is_searched(folder: Path) -> None:
    store = open_store(folder)
    full = {f"name{n}": "x" * limits.FILTER_CHARACTERS for n in range(limits.FILTERS)}
    assert retriever("bm25", store).search("cat", 1, full) == []
    many = " ".join(f"w{n}" for n in range(limits.QUERY_WORDS - 2))
    assert retriever("bm25", store).search(f"{many} 서울", 1)
