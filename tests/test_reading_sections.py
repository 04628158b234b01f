"""Passages know their sections, titles come from the right place, and offsets are exact."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankrag.index.reading.parse import parse_bytes
from rankrag.index.reading.passages import passages_of_text
from rankrag.index.reading.texts import Extract, Grid, Heading, NewPage, Paragraph, Text, composed
from rankrag.types import Passage


def read(name: str, text: str) -> Text:
    return parse_bytes(text.encode(), name, "." + name.rpartition(".")[2])


def cut(text: Text, words: int = 100) -> list[Passage]:
    return passages_of_text(text, "name", words)


GUIDE = """# Guide

Words before.

## Install

### On Linux

Run make.

```bash
# no heading
```

### On Windows
Run setup.

Use
---
Turn it on.
"""


def test_markdown_is_cut_at_headings() -> None:
    found = read("guide.md", GUIDE)
    assert [(p.title, p.text.split("\n")[0]) for p in cut(found)] == [
        ("Guide", "# Guide"),
        ("Guide › Install › On Linux", "## Install"),
        ("Guide › Install › On Windows", "### On Windows"),
        ("Guide › Use", "Use"),
    ]
    assert "# no heading" in cut(found)[1].text


def test_restructuredtext_is_cut_at_headings() -> None:
    first = "=====\nGuide\n=====\n\nWords of the beginning.\n\n"
    text = f"{first}Install\n=======\n\nRun make.\n\nLinux\n-----\n\nFine.\n"
    assert [(p.title, p.text) for p in cut(read("a.rst", text))] == [
        ("Guide", "=====\nGuide\n=====\n\nWords of the beginning."),
        ("Guide › Install", "Install\n=======\n\nRun make."),
        ("Guide › Install › Linux", "Linux\n-----\n\nFine."),
    ]


@pytest.mark.parametrize("name", ["faq.md", "faq.txt"])
@pytest.mark.parametrize(
    ("q", "a"), [("Q:", "A:"), ("**Q1:**", "**A:**"), ("질문:", "답변:"), ("问：", "答：")]
)
def test_questions_stay_with_their_answers(name: str, q: str, a: str) -> None:
    text = f"{q} How do I start it?\n{a} Turn the key.\n\n{q} How do I stop it?\n{a} Turn it back.\n"
    assert [p.text for p in cut(read(name, text))] == [
        f"{q} How do I start it?\n{a} Turn the key.",
        f"{q} How do I stop it?\n{a} Turn it back.",
    ]


def test_plain_text_is_not_cut_at_lines_that_look_like_headings() -> None:
    text = "Guide\n=====\n\nWords.\n\nMore\n----\n\nWords.\n"
    assert [(p.title, p.text) for p in cut(read("a.txt", text))] == [("Guide", text.strip())]


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        (
            "a.md",
            '---\n# owner: ops\ntitle: "Backup policy"\ntags: [x]\n---\n\nKeep copies.',
            "Backup policy",
        ),
        ("a.md", "---\ntitle: Visitor rules # draft\n---\n\n# Other\n\nSign in.", "Visitor rules"),
        (
            "a.md",
            "---\ntitle: >-\n  Visitor rules\n  and hours\ntags: [x]\n---\n\nSign in.",
            "Visitor rules and hours",
        ),
        ("a.md", "+++\ntitle = 'Toml'\n+++\nWords.", "Toml"),
        ("a.md", "---\ntitle: untitled\n---\n\n# Real\n\nWords.", "Real"),
        ("setup.md", "```bash\n# remove old files\n```\n\n# Building\n\nGlue.", "Building"),
        ("setup.md", "```bash\n# remove old files\n```\n\nGlue.", "setup"),
        ("a.md", "Words\n\n---\n\nMore words", "a"),
        *(
            ("pump.html", f"<title>{placeholder}</title><p>x", "pump")
            for placeholder in (
                "(anonymous)",
                "PowerPoint-Präsentation",
                "Présentation PowerPoint",
                "/tmp/x1.html",
                "Slide 1",
                "슬라이드 1",
            )
        ),
        ("pump.html", "<title>Presentation of pumps</title><p>x", "Presentation of pumps"),
        ("a.html", "<title>Untitled</title><h1>Pumps</h1><p>x", "Pumps"),
    ],
)
def test_titles(name: str, text: str, title: str) -> None:
    assert read(name, text).title == title


def test_pictures_in_data_uris_never_enter_a_passage() -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 20_000
    found = read("a.md", f"# Guide\n\nPress it.\n\n![panel]({picture})\n\nIt holds fifty sheets.\n")
    assert [p.text for p in cut(found)] == ["# Guide\n\nPress it.\n\n![panel]()\n\nIt holds fifty sheets."]
    assert found.notes == ("1 embedded picture left out",)
    assert read("a.md", "see [it](data:;base64," + "AAEC" * 1000 + ")").text == "see [it]()"


# ── offsets ──────────────────────────────────────────────────────────────────────────────────────────

WORDS = st.text(st.sampled_from(list("abc#=-QA:*`>|. \n\n\t漢ก é\u2028\f")), max_size=300)
LINES = st.lists(
    st.one_of(
        WORDS,
        st.sampled_from(["# One", "## Two", "Q: why?", "A: so.", "Title\n=====", "```", "---", "| a | b |"]),
    )
).map("\n".join)


@settings(max_examples=120)
@given(text=LINES, name=st.sampled_from(["a.md", "a.rst", "a.txt", "a.py"]), words=st.integers(0, 40))
def test_text_from_start_to_end_is_the_passage(text: str, name: str, words: int) -> None:
    if not text.strip():
        return
    whole = read(name, text)
    passages = cut(whole, words)
    for passage in passages:
        assert passage.source is not None
        assert whole.text[passage.source.start : passage.source.end] == passage.text
        assert passage.title.startswith(whole.title)
    assert "".join("".join(p.text.split()) for p in passages) == "".join(whole.text.split())


BLOCKS = st.lists(
    st.one_of(
        st.builds(Heading, st.integers(1, 6), WORDS),
        st.builds(Paragraph, WORDS),
        st.builds(Grid, st.lists(st.lists(WORDS, max_size=4), max_size=30)),
        st.just(NewPage()),
    ),
    max_size=20,
)


@settings(max_examples=120)
@given(blocks=BLOCKS, words=st.integers(0, 40))
@pytest.mark.slow
def test_blocks_laid_out_have_exact_offsets_too(
    blocks: list[Heading | Paragraph | Grid | NewPage], words: int
) -> None:
    whole = composed(Extract("title", blocks), words)
    for passage in cut(whole, words):
        assert passage.source is not None
        assert whole.text[passage.source.start : passage.source.end] == passage.text
        pages = [start for start in whole.pages if start <= (passage.source.start or 0)]
        assert passage.source.page == (len(pages) or None)
