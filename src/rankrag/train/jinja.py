"""A prompt template as the chat template that other programs read.

Transformers, sentence-transformers and vLLM render it with the words of `prompts.py`, so a model that leaves
this project is asked what it was taught.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import prompts
from ..prompts import Template
from ..types import Passage, Question

_QUESTION, _PASSAGE = "\x00question\x00", "\x00passage\x00"


def chat_template(form: Template, start: str = "", control: Sequence[str] = ()) -> str:
    """Return a Jinja template that writes a template's prompts; `start` is the model's start token, if any.

    `control` are the names of the model's control tokens. Here they are plain text in a document; other
    programs would take them for the tokens, so the template breaks them with a space.

    A message with role `query` and one with role `document` (the convention of sentence-transformers and
    vLLM for scoring) make the ranking prompt, a passage with a title being `title`, a line break and the
    text. Any other conversation makes the answering prompt without passages; a first `system` message stands
    in place of our system text.
    """
    frames = {"user": form.user, "assistant": form.assistant}
    turns = "".join(
        f"{{%- if message.role == '{role}' -%}}"
        f"{{{{ {_text(before)} + clean(message.content) + {_text(after)} }}}}{{%- endif -%}}"
        for role, (before, after) in frames.items()
    )
    return (
        _clean_macro(dict.fromkeys((*form.markers, *form.words, *control)))
        + "{%- set queries = messages | selectattr('role', 'eq', 'query') | list -%}"
        + "{%- set documents = messages | selectattr('role', 'eq', 'document') | list -%}"
        + f"{{{{ {_text(start)} }}}}"
        + "{%- if queries and documents -%}"
        + f"{{{{ {_rank_prompt(form)} }}}}"
        + "{%- else -%}"
        + "{%- set own = messages[0].content if messages[0].role == 'system' else "
        + f"{_text(prompts.SYSTEM)} -%}}"
        + f"{{{{ {_text(form.system[0])} + own + {_text(form.system[1])} }}}}"
        + f"{{%- for message in messages -%}}{turns}{{%- endfor -%}}"
        + f"{{%- if add_generation_prompt -%}}{{{{ {_text(form.open_answer)} }}}}{{%- endif -%}}"
        + "{%- endif -%}"
    )


def _rank_prompt(form: Template) -> str:
    """Return the ranking prompt as a Jinja expression of the two messages."""
    prompt = prompts.rank(Question("", _QUESTION), Passage("", _PASSAGE), form)
    before, rest = (prompt.prefix + prompt.suffix).split(_PASSAGE)
    between, after = rest.split(_QUESTION)
    question, passage = (f"clean(({name} | first).content)" for name in ("queries", "documents"))
    return f"{_text(before)} + {passage} + {_text(between)} + {question} + {_text(after)}"


def _clean_macro(marks: Iterable[str]) -> str:
    """Return a Jinja macro that makes text harmless as `prompts.py` does: no frames, no blank lines."""
    broken = "".join(f".replace({_text(mark)}, {_text(prompts.apart(mark))})" for mark in marks)
    return (
        "{%- macro clean(text) -%}{%- set lines = namespace(kept=[]) -%}"
        f"{{%- for line in text{broken}.split('\\n') -%}}"
        "{%- if line.strip() -%}{%- set lines.kept = lines.kept + [line.strip()] -%}{%- endif -%}"
        "{%- endfor -%}{{ lines.kept | join('\\n') }}{%- endmacro -%}"
    )


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
