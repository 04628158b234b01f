"""WebQuestions, the biencoder files of DPR, and MS MARCO passage ranking."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import amount
from ...files import Row, read_lines, rows, stem
from ...formats import read_qrels
from ...types import Passage, Question
from ..item import Dropped, Item, passage


def webquestions(path: str) -> Iterator[Item | Dropped]:
    """Yield WebQuestions: `[{utterance, targetValue: "(list (description X) ...)"}]`, or hub rows.

    It has no passages: those come from a run, the best one that holds an answer being gold.
    """
    for row in rows(path):
        official = row.has("utterance")
        text = row.text("utterance") if official else row.text("question")
        answers = _descriptions(row.text("targetValue")) if official else row.texts("answers")
        name = f"webq-{stem(path)}-{row.place}"
        yield (
            Item(name, Question(name, text), answers=tuple(answers))
            if answers
            else Dropped("no answer given")
        )


def _descriptions(value: str) -> list[str]:
    """Return the answers of a targetValue; those with spaces stand in quotes, with escapes inside."""
    matches = re.findall(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()"]+?))\)', value)
    return [re.sub(r"\\(.)", r"\1", quoted) or bare.strip() for quoted, bare in matches]


def dpr(path: str) -> Iterator[Item | Dropped]:
    """Yield DPR's biencoder training files: `[{question, answers, positive_ctxs, hard_negative_ctxs}]`.

    The passages are 100-word pieces of Wikipedia (December 2018) with titles. Only the first positive is
    gold, the others are hits that hold the answer, often by chance: they stand among the negatives, which
    `rules` clears of answers where a passage is to be called irrelevant. The hard negatives are BM25's best
    without the answer (arXiv 2004.04906, section 3.2).
    """
    for number, row in enumerate(rows(path), 1):
        name = f"dpr-{row.optional('dataset') or 'question'}-{number}"
        positives = row.rows("positive_ctxs")
        if not positives:
            yield Dropped("no gold passage")
            continue
        gold, *lucky = positives
        others = sorted([*lucky, *row.rows("hard_negative_ctxs")], key=_score, reverse=True)
        negatives = tuple(map(_context, others))
        answers = tuple(row.texts("answers"))
        yield Item(name, Question(name, row.text("question")), "", answers, (_context(gold),), negatives)


def _score(row: Row) -> float:
    """Return the score that BM25 gave a passage; where there is none all are alike and keep their order."""
    score = row.optional("score") or "0"
    try:
        return float(score)
    except ValueError as error:
        raise row.error(f"found the score {score!r}, wanted a number") from error


def _context(row: Row) -> Passage:
    name = row.optional("passage_id") or row.optional("psg_id")
    made = passage(row.text("text"), row.optional("title"), "dpr")
    return Passage(id=f"wiki-{name}", text=made.text, title=made.title) if name else made


# ── MS MARCO ─────────────────────────────────────────────────────────────────────────────────────────


def msmarco(path: str) -> Iterator[Item | Dropped]:
    """Yield MS MARCO passage ranking from rows or from the folder of the official TSV files.

    Rows are the hub's (`query_id, query, passages.{passage_text, is_selected}`) or those with mined
    negatives (`query_id, query, positive_passages[], negative_passages[]`). A folder holds
    `queries.train.tsv`, `qrels.train.tsv` and `collection.tsv`; its negatives come from a run.
    """
    if Path(path).is_dir():
        yield from _msmarco_folder(Path(path))
        return
    for row in rows(path):
        mined = row.has("positive_passages")
        yield _mined_row(row) if mined else _hub_row(row)


def _mined_row(row: Row) -> Item | Dropped:
    gold, negatives = (
        tuple(Passage(p.text("docid"), p.text("text"), _title(p)) for p in row.rows(name))
        for name in ("positive_passages", "negative_passages")
    )
    return _ranked(row.text("query_id"), row.text("query"), gold, negatives)


def _title(row: Row) -> str:
    """Return a title; RocketQA's, which these rows carry, write `-` for none."""
    title = row.optional("title").strip()
    return "" if title == "-" else title


def _hub_row(row: Row) -> Item | Dropped:
    listed = row.row("passages")
    pairs = list(zip(listed.texts("passage_text"), listed.items("is_selected"), strict=True))
    gold, negatives = (
        tuple(passage(text, prefix="msmarco") for text, selected in pairs if bool(selected) is wanted)
        for wanted in (True, False)
    )
    return _ranked(row.text("query_id"), row.text("query"), gold, negatives)


def _ranked(
    number: str, query: str, gold: tuple[Passage, ...], negatives: tuple[Passage, ...]
) -> Item | Dropped:
    if not gold:
        return Dropped("no gold passage")
    name = f"msmarco-{number}"
    return Item(name, Question(name, query), gold=gold, negatives=negatives)


def _msmarco_folder(folder: Path) -> Iterator[Item | Dropped]:
    relevant: dict[str, list[str]] = {}
    for query, name, grade in read_qrels(str(folder / "qrels.train.tsv")):
        if grade > 0:
            relevant.setdefault(query, []).append(name)
    wanted = {name for names in relevant.values() for name in names}
    collection = str(folder / "collection.tsv")
    texts = {name: text for name, text in _pairs(collection) if name in wanted}
    for query, text in _pairs(str(folder / "queries.train.tsv")):
        gold = tuple(Passage(n, texts[n]) for n in relevant.get(query, []) if n in texts)
        yield _ranked(query, text, gold, ())


def _pairs(path: str) -> Iterator[tuple[str, str]]:
    for line, text in read_lines(path):
        if text.count("\t") != 1:
            raise Row(path, line, {}).error(
                f"found {amount(text.count(chr(9)) + 1, 'column')}, wanted 2 (id, text)"
            )
        name, value = text.split("\t")
        yield name, value
