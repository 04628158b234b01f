"""Runs and qrels, as the tools of TREC read and write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, unquote

from ..errors import FormatError, amount
from ..files import read_lines, writing
from ..types import Hit


def write_run(path: str, rankings: Iterable[tuple[str, Sequence[Hit]]], tag: str) -> int:
    """Write a TREC run (`qid Q0 docid rank score tag`, rank from 1); return the number of lines.

    Evaluation tools order a run by its score alone, so where our order differs from that of the scores
    (ties, hits left unscored) the score is lowered by the smallest step that keeps our order. The tag of
    hits left unscored ends in `-unscored`.
    """
    count = 0
    with writing(path) as stream:
        for name, hits in rankings:
            ceiling = float("inf")
            for rank, hit in enumerate(hits, 1):
                ceiling = min(hit.score, ceiling - max(1e-9, abs(ceiling) * 1e-9)) if rank > 1 else hit.score
                by = run_name(tag if hit.scored else f"{tag}-unscored")
                stream.write(f"{run_name(name)} Q0 {run_name(hit.passage.id)} {rank} {ceiling:.12g} {by}\n")
                count += 1
    return count


def run_name(name: str) -> str:
    """Return an id as a column of a run: white space, which separates columns, becomes `%20` and the like."""
    return re.sub(r"\s|%(?=[0-9A-Fa-f]{2})", lambda match: quote(match[0]), name) or "_"


def id_in_run(name: str) -> str:
    """Return the id for which `run_name` gives a name; what it cannot have given stands for itself."""
    spelled = unquote(name)
    return spelled if run_name(spelled) == name else name


def read_run(path: str) -> Iterator[tuple[str, str, float]]:
    """Yield (question id, passage id, score) of every line of a TREC run, in the order of the file."""
    for number, line in read_lines(path):
        parts = line.split()
        if len(parts) != 6:
            raise FormatError(
                path, number, f"found {amount(len(parts), 'column')}, wanted 6 (qid Q0 docid rank score tag)"
            )
        yield parts[0], parts[2], _number(parts[4], path, number)


def read_rankings(path: str) -> dict[str, list[str]]:
    """Return the passage ids of each question of a TREC run, in the order of the file."""
    rankings: dict[str, list[str]] = {}
    for question, passage, _ in read_run(path):
        rankings.setdefault(question, []).append(passage)
    return rankings


def read_qrels(path: str) -> Iterator[tuple[str, str, int]]:
    """Yield (question id, passage id, relevance) of TREC qrels (4 columns) or a BEIR TSV (3)."""
    for number, line in read_lines(path):
        parts = line.split()
        if number == 1 and parts[:2] == ["query-id", "corpus-id"]:
            continue
        if len(parts) not in (3, 4):
            raise FormatError(
                path, number, f"found {amount(len(parts), 'column')}, wanted 4 (TREC) or 3 (BEIR)"
            )
        yield parts[0], parts[-2], _whole(parts[-1], path, number)


def _number(text: str, path: str, line: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise FormatError(path, line, f"found {text!r}, wanted a number")
    return number


def _whole(text: str, path: str, line: int) -> int:
    number = _number(text, path, line)
    if not number.is_integer():
        raise FormatError(path, line, f"found {text!r}, wanted a whole number")
    return int(number)
