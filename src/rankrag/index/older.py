"""Indexes of the older kind, whose texts LanceDB split into words: they are searched as they were made."""

from __future__ import annotations

from pathlib import Path

from .manifest import IndexManifest
from .words import STOP_WORDS


def older_kind(folder: Path, manifest: IndexManifest) -> str | None:
    """Return, for an index of the older kind, a line that says so and how to bring it up to date."""
    if manifest.own_words:
        return None
    return (
        f"found an index of the older kind at {folder} (format {manifest.format}): it is searched as before, "
        "without Korean, parts of names and words broken at line ends: `rankrag documents copy NEW --index "
        f"{folder}` makes one of the new kind from it, without its documents or an encoder"
    )


def tokenizer_before(language: str) -> dict[str, object]:
    """Return what LanceDB's tokenizer was told in indexes made before words were our own."""
    if language == "any":
        return {"base_tokenizer": "icu", "stem": False, "remove_stop_words": False}
    stopped = {"custom_stop_words": [*STOP_WORDS]} if language == "English" else {}
    return {"base_tokenizer": "simple", "language": language, **stopped}


def words_before(text: str, language: str) -> list[str]:
    """Return the words of a text or a query for an index of the older kind."""
    import lancedb

    how = tokenizer_before(language)
    return [token.text for token in lancedb.tokenize(text, **how)]  # type: ignore[arg-type]
