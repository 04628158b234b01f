"""OpenAssistant and SODA: conversations of several turns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ...errors import amount
from ...files import Row, rows
from ...types import Turn
from ..item import Dropped, Item, dialogue


def openassistant(path: str) -> Iterator[Item | Dropped]:
    """Yield OpenAssistant: trees (`{message_tree_id, prompt.{text, role, lang, rank, replies[]}}`) or rows.

    Rows are the hub's, one a message (`message_id, parent_id, message_tree_id`), those of a tree one after
    the other. Of each tree one conversation is kept: in English, and from every turn on with the reply
    that people ranked first. The paper says nothing about either.
    """
    grouped = itertools.groupby(rows(path), key=lambda row: row.text("message_tree_id"))
    for name, group in grouped:
        members = list(group)
        tree = members[0].row("prompt") if members[0].has("prompt") else None
        if (tree or members[0]).optional("lang") not in ("", "en"):
            yield Dropped("not in English")
            continue
        turns = _path_of_tree(tree) if tree else _path_of_rows(members)
        yield dialogue(f"oasst-{name}", turns)


def _path_of_tree(node: Row) -> list[Turn]:
    turns = [_turn(node)]
    while node.has("replies") and (replies := _living(node.rows("replies"))):
        node = min(replies, key=_rank)
        turns.append(_turn(node))
    return turns


def _path_of_rows(members: Iterable[Row]) -> list[Turn]:
    children: dict[str, list[Row]] = {}
    for row in members:
        children.setdefault(row.optional("parent_id"), []).append(row)
    turns, parent = [], ""
    while replies := _living(children.get(parent, [])):
        node = min(replies, key=_rank)
        turns.append(_turn(node))
        parent = node.text("message_id")
    return turns


def _living(replies: Iterable[Row]) -> list[Row]:
    return [row for row in replies if not row.values.get("deleted")]


def _rank(row: Row) -> float:
    """Return the place that people gave a reply, 0 the best; replies without one follow in their order."""
    return float(row.optional("rank") or "inf")


def _turn(row: Row) -> Turn:
    return Turn("user" if row.text("role") == "prompter" else "assistant", row.text("text"))


def soda(path: str) -> Iterator[Item | Dropped]:
    """Yield SODA: `{dialogue[], speakers[]}`; who speaks first is the user, the other one the assistant."""
    for row in rows(path):
        said = list(zip(row.texts("dialogue"), row.texts("speakers"), strict=True))
        names = list(dict.fromkeys(name for _, name in said))
        if len(names) != 2:
            yield Dropped(f"{amount(len(names), 'speaker')}, not two")
            continue
        runs = itertools.groupby(said, key=lambda pair: pair[1])
        turns = [
            Turn("user" if name == names[0] else "assistant", " ".join(text for text, _ in group))
            for name, group in runs
        ]
        yield dialogue(f"soda-{row.optional('original_index') or row.place}", turns)
