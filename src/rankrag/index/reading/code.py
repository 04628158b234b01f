"""Source code, cut at its functions and classes; the file is the text, so offsets count in it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import InvalidInputError
from .encodings import decode
from .texts import Mark, Text, sections, shortened

if TYPE_CHECKING:
    from tree_sitter import Node

_GRAMMARS = (
    "python .py .pyi; javascript .js .mjs .cjs .jsx; typescript .ts; tsx .tsx; java .java; kotlin .kt; "
    "scala .scala; c .c .h; cpp .cc .cpp .cxx .hpp .hh; csharp .cs; go .go; rust .rs; ruby .rb; php .php; "
    "swift .swift; bash .sh .bash; lua .lua; r .r; julia .jl; perl .pl .pm; haskell .hs; sql .sql"
)
LANGUAGES = {
    ending: grammar for grammar, *endings in map(str.split, _GRAMMARS.split("; ")) for ending in endings
}
"""Endings of source code, and the names of their grammars."""

_DEFINES = re.compile(
    r"(?:function|method|class|struct|enum|union|interface|trait|impl|module|namespace|constructor|object|type"
    r"|macro|protocol|package|subroutine|create_\w+)"
    r"(?:_(?:definition|declaration|item|specifier|statement|signature|spec))?"
)
_HOLDS = re.compile(r"class|struct|interface|trait|impl|module|namespace|object|protocol")
_DECORATES = ("decorated_definition", "export_statement", "template_declaration")
_WRAPS = (
    *_DECORATES,
    *(
        "declaration_list",
        "class_body",
        "block",
        "body_statement",
        "field_declaration_list",
        "interface_body",
    ),
    *("enum_body", "statement", "template_body", "compound_statement", "statement_block"),
    *("function_definitions", "linkage_specification"),
)
_LONG_LINE = 5000
"""Characters of a line from which code was made by a program, for programs."""

_DEPTH = 8

_SHORT = 250
"""Characters from which a definition is a section of its own."""


def read_code(data: bytes, name: str) -> Text:
    """Read source code; the section of a passage is the function or class that it stands in.

    Without the extra `docs` it is cut as plain text is. Raises InvalidInputError for code that a program
    made.
    """
    decoded = decode(data)
    text = decoded.text
    if max(map(len, text.splitlines()), default=0) > _LONG_LINE:
        raise InvalidInputError(
            f"it has lines of more than {_LONG_LINE:,} characters: code that a program made"
        )
    notes = (decoded.note,) if decoded.note else ()
    title = shortened(name.rpartition("/")[2])
    ending = name[name.rfind(".") :].lower()
    try:
        from tree_sitter_language_pack import get_parser
    except ImportError:
        return Text(
            title, text, notes=(*notes, "cut as plain text: pip install 'rankrag[docs]' cuts at functions")
        )
    source = text.encode("utf-8", "replace")
    tree = get_parser(LANGUAGES[ending]).parse(source)  # type: ignore[arg-type]
    marks = _marks(tree.root_node, source)
    return Text(title, text, sections=sections(text, _in_characters(marks, source)), notes=notes)


def _marks(root: Node, source: bytes) -> list[tuple[int, int, str]]:
    """Return (start, level, name) of each definition in order; comments and decorators above belong to it."""
    marks: list[tuple[int, int, str]] = []
    left: list[tuple[Node, int, int | None]] = [(root, 1, None)]
    while left:
        node, level, begun = left.pop()
        inner: list[tuple[Node, int, int | None]] = []
        above: int | None = begun
        for child in node.named_children:
            if "comment" in child.type or child.type in ("attribute_item", "decorator", "annotation"):
                above = child.start_byte if above is None else above
                continue
            start = child.start_byte if above is None else above
            above = None
            if _DEFINES.fullmatch(child.type):
                if name := _name(child, source):
                    marks.append((_line_start(source, start), level, name))
                if _HOLDS.search(child.type) and level < _DEPTH:
                    inner.append((child, level + 1, None))
            elif child.type in _WRAPS and level < _DEPTH:
                inner.append((child, level, start if child.type in _DECORATES else None))
        left += reversed(inner)
    return sorted(set(marks))


def _name(node: Node, source: bytes) -> str:
    for field in ("name", "declarator", "type"):
        child = node.child_by_field_name(field)
        while child is not None and field == "declarator" and child.child_by_field_name("declarator"):
            child = child.child_by_field_name("declarator")
        if child is not None:
            return source[child.start_byte : child.end_byte].decode("utf-8", "replace").split("\n")[0]
    return ""


def _line_start(source: bytes, at: int) -> int:
    """Return where the line begins, if only white space stands before that offset."""
    start = source.rfind(b"\n", 0, at) + 1
    return start if not source[start:at].strip() else at


def _in_characters(found: list[tuple[int, int, str]], source: bytes) -> list[Mark]:
    """Return marks with offsets in characters in place of bytes; short definitions side by side share one."""
    marks: list[Mark] = []
    at = characters = 0
    for start, level, name in found:
        characters += len(source[at:start].decode("utf-8", "replace"))
        at = start
        last = marks[-1] if marks else None
        if last and characters - last.start < _SHORT and level == last.level:
            marks[-1] = replace(last, words=f"{last.words}, {name}")
        else:
            if last and characters - last.start < _SHORT and level > last.level:
                marks[-1] = replace(last, end=characters)  # the first lines of a class go with what follows
            marks.append(Mark(characters, characters, level, name))
    return marks
