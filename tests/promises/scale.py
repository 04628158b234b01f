"""How much a promise is tried: little wherever the tests run, more by hand."""

from __future__ import annotations

import os


def times(few: int) -> int:
    """Return how many of something to try: `few`, times `RANKRAG_TIMES` of the environment."""
    return round(few * float(os.environ.get("RANKRAG_TIMES", "1")))
