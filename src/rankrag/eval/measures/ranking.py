"""Measures of a ranking: by the answers that its passages hold, and by passages judged relevant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from ...errors import InvalidInputError
from ...types import Answer, Hit
from ..gold import GoldQuestion
from .text import apart

if TYPE_CHECKING:
    from ir_measures import Measure

RETRIEVED = "retrieved "
"""Begins the name of a measure of the order before ranking: `retrieved answer-R@5` beside `answer-R@5`."""


# ── by the answers that passages hold ────────────────────────────────────────────────────────────────


def has_answer(text: str, answers: Iterable[str]) -> bool:
    """Say whether the tokens of an answer stand in a text one after the other, whatever their case.

    The rule of DPR (arXiv 2004.04906; `has_answer` with match type `string`, and its `SimpleTokenizer`, in
    https://github.com/facebookresearch/DPR): NFD, then runs of letters, numbers and marks, and every other
    visible character on its own. So accents count: `Padme` is not found in `Padmé`. An answer without a
    token is found nowhere here; DPR would find it everywhere. In scripts without spaces each sign is a token.
    """
    searched = _tokens(text)
    return any(len(wanted) > 1 and wanted in searched for wanted in map(_tokens, answers))


def answer_recall(hits: Sequence[Hit], answers: Sequence[str], k: int) -> float:
    """Return 1 if the text of one of the first `k` passages holds an answer, else 0.

    The R@k of the paper's tables (its Table 8 says "answer recall"). Titles are not searched, as in DPR.
    """
    return float(any(has_answer(hit.passage.text, answers) for hit in hits[:k]))


class _Separating(dict[int, str]):
    r"""What each character becomes when tokens are put on lines of their own; filled as characters are met.

    DPR's token is `[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]`, and `re` has no such classes.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)[0]
        self[code] = character if kind in "LNM" else "\n" if kind in "ZC" else f"\n{character}\n"
        return self[code]


_SEPARATING = _Separating()


@lru_cache(maxsize=1 << 14)  # the same passage is a hit of many questions, and in two orders
def _tokens(text: str) -> str:
    """Return the lower-case tokens of a text, each between line breaks; a line break alone for none."""
    lines = unicodedata.normalize("NFD", apart(text)).translate(_SEPARATING).lower().split("\n")
    return "\n" + "".join(f"{token}\n" for token in lines if token)


# ── by judged passages ───────────────────────────────────────────────────────────────────────────────

Qrels = Mapping[str, Mapping[str, int]]
"""Question id to passage id to relevance, a judge's whole number."""

_NAMES = ("AP", "nDCG", "P", "R", "RR", "Success")
_MEASURE = re.compile(rf"(?P<name>{'|'.join(_NAMES)})(?:\(rel=(?P<rel>[1-9]\d*)\))?@(?P<k>[1-9]\d*)")


def is_ranking(measure: str) -> bool:
    """Say whether a measure is of a ranking: `answer-R@5`, `nDCG@10`, also of what was retrieved."""
    name = measure.removeprefix(RETRIEVED)
    return _MEASURE.fullmatch(name) is not None or re.fullmatch(r"answer-R@\d+", name) is not None


def judged(
    run: Mapping[str, Sequence[Hit | str]], qrels: Qrels, measures: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return, by measure and question id, the value of a run of hits (or passage ids), best first.

    Measures are computed by ir_measures (https://ir-measur.es) and named as there: `nDCG@10`, `R@5`,
    `RR@10`, `AP@100`, `P@5`, `Success@5`, and `RR(rel=2)@10` where a passage counts from relevance 2 on.
    Every question of the qrels has a value, 0 where the run has nothing; other questions of the run are
    passed over. The order is that of the lists: scores, and ties among them, play no part. Raises
    InvalidInputError for a name it does not know and for a passage that stands twice in a ranking.
    """
    import ir_measures

    wanted = {_measure(name): name for name in measures}
    ranked = {id: _scores(id, hits) for id, hits in run.items() if id in qrels and hits}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    for score in ir_measures.iter_calc(list(wanted), {id: dict(of) for id, of in qrels.items()}, ranked):
        values[wanted[score.measure]][score.query_id] = float(score.value)
    return values


@cache
def _measure(name: str) -> Measure:
    """Return a measure of ir_measures; its own parser takes names that end the process later (`R@0`)."""
    import ir_measures

    match = _MEASURE.fullmatch(name)
    if not match or (match["rel"] and match["name"] == "nDCG"):
        raise InvalidInputError(
            f"found measure {name!r}, wanted one of {', '.join(_NAMES)} with a depth, such as nDCG@10 or "
            "RR(rel=2)@10 (nDCG takes no rel): correct the name"
        )
    measure: Measure = getattr(ir_measures, match["name"])
    return (measure(rel=int(match["rel"])) if match["rel"] else measure) @ int(match["k"])


def _scores(question: str, hits: Sequence[Hit | str]) -> dict[str, float]:
    """Return strictly decreasing scores by passage id."""
    ids = [hit if isinstance(hit, str) else hit.passage.id for hit in hits]
    scores = {id: float(len(ids) - n) for n, id in enumerate(ids)}
    if len(scores) < len(ids):
        twice = next(id for n, id in enumerate(ids) if id in ids[:n])
        raise InvalidInputError(
            f"found passage {twice!r} twice in the ranking of question {question!r}, wanted it once: "
            "remove one"
        )
    return scores


# ── of one answer ────────────────────────────────────────────────────────────────────────────────────


def ranking_values(
    answer: Answer, item: GoldQuestion, depths: Sequence[int], by_answer: bool
) -> dict[str, float]:
    """Return the values of both orders of an answer's passages, by measure; without those that do not apply.

    `answer-R@k` for each depth where `by_answer` and the item has answers; `R@k` for each depth, `RR@10`
    and `nDCG@10` where gold passages are known; the last by grades if there are any. Each
    also as `retrieved ...`, of the order before ranking. Nothing retrieved is 0.
    """
    scores: dict[str, float] = {}
    orders = {"": answer.ranked, RETRIEVED: answer.retrieved}
    if by_answer:
        scores |= dict(_by_answer(orders, item.gold.answers, depths))
    relevant = dict.fromkeys(item.gold.passages, 1)
    values: dict[str, dict[str, float]] = {}
    if relevant:
        values |= judged(orders, dict.fromkeys(orders, relevant), [*(f"R@{k}" for k in depths), "RR@10"])
    if grades := item.gold.grades or relevant:
        values |= judged(orders, dict.fromkeys(orders, grades), ["nDCG@10"])
    return scores | {order + name: values[name][order] for order in orders for name in values}


def _by_answer(
    orders: Mapping[str, Sequence[Hit]], answers: Sequence[str], depths: Sequence[int]
) -> Iterator[tuple[str, float]]:
    if not answers:
        return
    for order, hits in orders.items():
        for k in depths:
            yield f"{order}answer-R@{k}", answer_recall(hits, answers, k)
