"""Plain text, Markdown and reStructuredText: the file is the text, so offsets count in it.

Only pictures in `data:` URIs are taken out, since they are no words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ...errors import amount
from ...spans import RULE_SIGNS
from .encodings import decode
from .texts import Mark, Section, Text, own_title, sections, shortened, without_data

_RULE = rf"([{RULE_SIGNS}])\2{{2,}}[^\S\n]*\r?$"
_UNDERLINED = re.compile(rf"^(\S.*)\r?\n{_RULE}", re.MULTILINE)
_MARKDOWN = re.compile(
    r"^ {0,3}(#{1,6})[^\S\n]+(\S.*?)(?:[^\S\n]+#+)?[^\S\n]*\r?$|^(\S.*?)[^\S\n]*\r?\n(=+|-{3,})[^\S\n]*\r?$",
    re.MULTILINE,
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_TITLE_WITHIN = 4000

_FRONT = re.compile(r"\A(---|\+\+\+)[^\S\n]*\r?\n(.*?)^(?:\1|\.\.\.)[^\S\n]*\r?$", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title[^\S\n]*[:=][^\S\n]*(.+?)[^\S\n]*\r?$", re.MULTILINE | re.IGNORECASE)
_FRONT_BLOCK = re.compile(
    r"^title[^\S\n]*:[^\S\n]*[>|][+-]?[^\S\n]*\r?\n((?:[^\S\n]+\S.*\n?)+)", re.MULTILINE | re.IGNORECASE
)
_FRONT_WITHIN = 2**16

_ASKED = re.compile(
    r"^[^\S\n]*(?:[*_#>-]{1,3}[^\S\n]*)?(?:Q(?:uestion|\.)?|Frage|Pregunta|질문|문|問|问|質問)[^\S\n]*\d{0,4}[*_]{0,2}[^\S\n]*[:：.)].*\S",
    re.MULTILINE,
)
_ANSWERED = re.compile(
    r"^[^\S\n]*(?:[*_#>-]{1,3}[^\S\n]*)?(?:A(?:nswer|\.)?|Antwort|Respuesta|답변|답|答|回答)[^\S\n]*\d{0,4}[*_]{0,2}[^\S\n]*[:：.)]",
    re.MULTILINE,
)


def read_text(data: bytes, _name: str = "") -> Text:
    """Read plain text; its title is the first underlined line, as in much text that is reStructuredText."""
    text, notes = _decoded(data)
    heading = _UNDERLINED.search(text[:_TITLE_WITHIN])
    title = heading.group(1) if heading else ""
    return Text(shortened(title), text, borders=_pairs(text), notes=notes)


def read_markdown(data: bytes, _name: str = "") -> Text:
    """Read Markdown; its title is that of the front matter, else the first heading that is not in a fence."""
    return written(data, markdown_marks)


def read_rst(data: bytes, _name: str = "") -> Text:
    """Read reStructuredText; its title is the first underlined line."""
    return written(data, _rst_marks)


def written(data: bytes, find: Callable[[str, int], Sequence[Mark]]) -> Text:
    """Read text with headings, which `find` marks from an offset on."""
    text, notes = _decoded(data)
    front = _FRONT.match(text[:_FRONT_WITHIN]) if text.startswith(("---", "+++")) else None
    marks = find(text, front.end() if front else 0)
    title = _front_title(front.group(2)) if front else ""
    if not title and marks:
        title = marks[0].words
    return Text(
        shortened(title),
        text,
        sections=_from(front, sections(text, marks)),
        borders=_pairs(text),
        notes=notes,
    )


def _from(front: re.Match[str] | None, sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Return sections, the first of which takes in the front matter."""
    return (Section(0, sections[0].trail), *sections[1:]) if front and sections else sections


def _decoded(data: bytes) -> tuple[str, tuple[str, ...]]:
    decoded = decode(data)
    text, n_pictures = without_data(decoded.text)
    pictures = f"{amount(n_pictures, 'embedded picture')} left out" if n_pictures else ""
    return text, tuple(note for note in (decoded.note, pictures) if note)


def _front_title(front: str) -> str:
    if block := _FRONT_BLOCK.search(front):
        return own_title(block.group(1))
    match = _FRONT_TITLE.search(front)
    if not match:
        return ""
    value = match.group(1)
    quoted = re.match(r"""(["'])(.*?)\1\s*(?:#.*)?$""", value)
    return own_title(quoted.group(2) if quoted else value.split(" #")[0])


def markdown_marks(text: str, start: int = 0) -> list[Mark]:
    """Return the headings of Markdown from an offset on: `#` and underlined ones, but not those in fences."""
    marks: list[Mark] = []
    for first, last in _outside_fences(text, start):
        for match in _MARKDOWN.finditer(text, first, last):
            if match.group(1):
                marks.append(Mark(*match.span(), len(match.group(1)), _bare(match.group(2))))
            elif not match.group(3).startswith(("|", ">", "- ", "* ", "+ ")):
                marks.append(Mark(*match.span(), 1 if match.group(4)[0] == "=" else 2, _bare(match.group(3))))
    return marks


_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\{[^{}]*\})")


def _bare(heading: str) -> str:
    """Return a heading without the marks of links and emphasis."""
    return _LINK.sub(r"\1", heading).replace("`", "").replace("**", "").strip()


def _outside_fences(text: str, start: int) -> Iterator[tuple[int, int]]:
    at, fence = start, ""
    for match in _FENCE.finditer(text, start):
        ticks = match.group(1)
        if not fence:
            yield at, match.start()
            fence = ticks
        elif ticks[0] == fence[0] and len(ticks) >= len(fence):
            fence = ""
            at = match.end()
    if not fence:
        yield at, len(text)


def _rst_marks(text: str, start: int = 0) -> list[Mark]:
    levels: dict[str, int] = {}
    marks: list[Mark] = []
    for match in _UNDERLINED.finditer(text, start):
        words, line = match.group(1).rstrip(), match.group(0).splitlines()[-1].rstrip()
        if len(line) < min(len(words), 40) or re.fullmatch(r"([^\w\s])\1*", words):
            continue
        begun = match.start()
        above = text.rfind("\n", 0, max(0, begun - 1)) + 1
        over = text[above:begun].strip()
        is_over = len(over) >= 3 and over == line
        style = line[0] * (2 if is_over else 1)
        level = levels.setdefault(style, len(levels) + 1)
        marks.append(Mark(above if is_over else begun, match.end(), level, words))
    return marks


def _pairs(text: str) -> tuple[int, ...]:
    """Return where questions begin in a text of questions and answers; nothing in any other."""
    asked = [match.start() for match in _ASKED.finditer(text)]
    if len(asked) < 2 or sum(1 for _ in _ANSWERED.finditer(text)) < len(asked) // 2:
        return ()
    return tuple(asked)
