"""The frame of a chat model, read off its tokenizer's own chat template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ... import prompts
from ...errors import InvalidInputError, told
from .tokenizer import control_tokens, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SYSTEM, _FIRST, _REPLY, _LAST = "Sentinel-System", "Sentinel-First", "Sentinel-Reply", "Sentinel-Last"
_TALK = [("system", _SYSTEM), ("user", _FIRST), ("assistant", _REPLY), ("user", _LAST)]


def chat_frame(folder: str | Path) -> prompts.Template:
    """Return the template `chat` in the frame of the model in a folder.

    The model's template is rendered with marked messages and cut at the marks. Raises InvalidInputError
    where that fails: there is none, it refuses a system message, or it writes a turn differently by place.
    """
    with told(Path(folder), "the chat template"):
        return _frame(load_tokenizer(Path(folder)), folder)


def _frame(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> prompts.Template:
    if not tokenizer.chat_template:
        raise InvalidInputError(
            f"{folder}: found no chat template beside the tokenizer, wanted one: use the template `paper`"
        )
    whole = _rendered(tokenizer, _TALK, open_answer=True)
    marks = _SYSTEM, _FIRST, _REPLY, _LAST
    if any(whole.count(mark) != 1 for mark in marks) or sorted(marks, key=whole.find) != [*marks]:
        raise InvalidInputError(
            f"{folder}: found a chat template that does not write each turn once and in order, wanted one "
            "that does: use the template `paper`"
        )
    before = whole.partition(_SYSTEM)[0]
    to_first, _, to_last, to_answer = re.split("|".join((_FIRST, _REPLY, _LAST)), whole[len(before) :])
    user_end = _rendered(tokenizer, _TALK[:2], open_answer=False).rpartition(_FIRST)[2]
    reply_end = _rendered(tokenizer, _TALK[:3], open_answer=False).rpartition(_REPLY)[2]
    user = to_last.removeprefix(reply_end), user_end
    assistant = to_answer.removeprefix(user_end), reply_end
    system = before, to_first.removeprefix(_SYSTEM).removesuffix(user[0])
    said = system[0] + _SYSTEM + system[1] + user[0] + _FIRST + user[1]
    said += assistant[0] + _REPLY + assistant[1] + user[0] + _LAST + user[1] + assistant[0]
    if said != whole:
        raise InvalidInputError(
            "found a chat template that writes a turn differently by its place, wanted a frame for each "
            "role: use the template `paper`"
        )
    markers = _markers(tokenizer, whole)
    ends = tuple(marker for marker in markers if reply_end.startswith(marker))
    return prompts.Template(
        name=prompts.CHAT.name,
        system=(_without_start(tokenizer, system[0]), system[1]),
        user=user,
        assistant=assistant,
        assess=prompts.CHAT.assess,
        markers=markers,
        words=_words((*system, *user, *assistant), markers),
        stop=ends or (reply_end.strip() or user[0].strip(),),
    )


def _rendered(tokenizer: PreTrainedTokenizerBase, talk: Sequence[tuple[str, str]], open_answer: bool) -> str:
    from jinja2 import TemplateError

    messages = [{"role": role, "content": text} for role, text in talk]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_answer)
    except TemplateError as error:
        raise InvalidInputError(
            f"found a chat template that refuses a system message ({error}), wanted one that takes system, "
            "user and assistant turns: use the template `paper`"
        ) from error
    return str(text)


def _markers(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[str, ...]:
    """Return the control tokens that occur in a text, in order; not the start token that is added anyway."""
    found = [token for token in control_tokens(tokenizer) if token in _without_start(tokenizer, text)]
    return tuple(sorted(found, key=text.find))


def _words(pieces: Sequence[str], markers: Sequence[str]) -> tuple[str, ...]:
    """Return what frames a turn without any control token, such as `### Response:` or `[INST]`.

    Not a mere `user`, which half of all texts have.
    """
    bare = [piece.strip() for piece in pieces if not any(marker in piece for marker in markers)]
    return tuple(dict.fromkeys(word for word in bare if re.search(r"[^\W\d_]", word) and not word.isalnum()))


def _without_start(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Return the text without the start token where the tokenizer writes that by itself."""
    start = tokenizer.bos_token
    return (
        text.removeprefix(start) if start and tokenizer("a").input_ids[0] == tokenizer.bos_token_id else text
    )
