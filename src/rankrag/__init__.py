"""RankRAG: one language model that ranks the retrieved passages and answers from the best of them.

    >>> rankrag.build_index(["docs"], "my-index")
    >>> rag = rankrag.load(index="my-index")
    >>> rag.ask("What does the with statement do?").text

Importing it loads nothing heavy; `load` does.
"""

from .cli.version import __version__
from .errors import RankRAGError
from .system import RAG, build_index, load
from .types import (
    Answer,
    Citation,
    Cut,
    Document,
    Example,
    Hit,
    Passage,
    Prompt,
    Question,
    Source,
    Turn,
    Usage,
)

__all__ = [
    "RAG",
    "Answer",
    "Citation",
    "Cut",
    "Document",
    "Example",
    "Hit",
    "Passage",
    "Prompt",
    "Question",
    "RankRAGError",
    "Source",
    "Turn",
    "Usage",
    "__version__",
    "build_index",
    "load",
]
