"""The tokenizer of a GGUF file, written as transformers and tokenizers read it.

Checked against the models' own: ids are equal on 1,546 texts (`smollm`) and 1,500 (`qwen2`), see docs/log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, needs

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

Field = str | int | float | bool | list[str] | list[int]

_CONTROL, _ADDED, _UNUSED = 3, 4, 5
"""Token types (`gguf.TokenType`); the unused fill the vocabulary up to a round size."""

_END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Scheme:
    """What GGUF files name by a word (`tokenizer.ggml.pre`): how text is split before bytes are merged.

    `pattern` splits it, or, where empty, what ByteLevel splits by itself after single digits. `normalised` is
    Unicode's NFC. `starts` says that there is a token for the start of a text, `ends_texts` that an answer
    may also end with that of the end of a text.
    """

    name: str
    pattern: str
    normalised: bool
    starts: bool
    ends_texts: bool

    def start_token(self, fields: Mapping[str, Field]) -> int | None:
        """Return the token that begins texts, or None."""
        return whole(fields, "tokenizer.ggml.bos_token_id") if self.starts else None

    def end_tokens(self, fields: Mapping[str, Field]) -> list[int]:
        """Return the tokens that end an answer."""
        end = whole(fields, "tokenizer.ggml.eos_token_id")
        return [end, words(fields, "tokens").index(_END_OF_TEXT)] if self.ends_texts else [end]


SCHEMES: dict[str, Scheme] = {
    "smollm": Scheme("smollm", pattern="", normalised=False, starts=True, ends_texts=False),
    "qwen2": Scheme(
        "qwen2",
        pattern=(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
        normalised=True,
        starts=False,
        ends_texts=True,
    ),
}


def write_tokenizer(scheme: Scheme, fields: Mapping[str, Field], folder: Path, context_length: int) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and the chat template into an existing folder."""
    tokens = words(fields, "tokens")
    _save_bpe(scheme, fields, tokens, folder / "tokenizer.json")
    named = {
        "bos_token": scheme.start_token(fields),
        "eos_token": whole(fields, "tokenizer.ggml.eos_token_id"),
        "unk_token": fields.get("tokenizer.ggml.unknown_token_id"),
        "pad_token": whole(fields, "tokenizer.ggml.padding_token_id"),
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{name: tokens[number] for name, number in named.items() if isinstance(number, int)},
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if isinstance(chat := fields.get("tokenizer.chat_template"), str):
        (folder / "chat_template.jinja").write_text(chat, encoding="utf-8")


def _save_bpe(scheme: Scheme, fields: Mapping[str, Field], tokens: list[str], path: Path) -> None:
    with needs("tokenizers", "local"):
        from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    kinds = fields.get("tokenizer.ggml.token_type")
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        raise InvalidInputError(
            f"found {len(kinds) if isinstance(kinds, list) else 'no'} token types in the GGUF file, wanted "
            f"one for each of {len(tokens)} tokens: fetch it again"
        )
    pairs = [(left, right) for left, _, right in (m.partition(" ") for m in words(fields, "merges"))]
    vocabulary = {
        token: n for n, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind != _UNUSED
    }
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    if scheme.normalised:
        bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = _pre_tokenizer(scheme)
    bpe.decoder = decoders.ByteLevel()
    # Those that only a frame may write, `<tool_call>` among them: a document's own are broken into letters.
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind in (_CONTROL, _ADDED)]
    bpe.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    bpe.save(str(path))


def _pre_tokenizer(scheme: Scheme) -> PreTokenizer:
    from tokenizers import Regex, pre_tokenizers

    if scheme.pattern:
        parts: list[PreTokenizer] = [
            pre_tokenizers.Split(Regex(scheme.pattern), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    else:
        parts = [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    splitter: PreTokenizer = pre_tokenizers.Sequence(parts)
    return splitter


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


def whole(fields: Mapping[str, Field], name: str) -> int:
    """Return a whole number of the file; raises InvalidInputError where it has none of that name."""
    value = fields.get(name)
    if not isinstance(value, int):
        raise InvalidInputError(
            f"found {name} = {value!r} in the GGUF file, wanted a whole number: fetch it again"
        )
    return value


def words(fields: Mapping[str, Field], name: str) -> list[str]:
    """Return a list of the file's tokenizer (`tokens`, `merges`); raises InvalidInputError without it."""
    value = fields.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list):
        raise InvalidInputError(f"found {name} = {value!r} in the GGUF file, wanted a list: fetch it again")
    return [str(word) for word in value]
