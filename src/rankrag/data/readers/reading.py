"""DROP, NarrativeQA, NewsQA and TAT-QA: the paper's other sources of questions with their context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ...files import Row, rows, whole_object
from ...prompts import UNANSWERABLE
from ...types import Question, Style
from ..item import Dropped, Item, passage

# ── DROP ─────────────────────────────────────────────────────────────────────────────────────────────


def drop(path: str) -> Iterator[Item | Dropped]:
    """Yield DROP: `{id: {passage, qa_pairs[].{query_id, question, answer.{number, date, spans}}}}`.

    Hub rows (`passage, question, answers_spans.spans`) are read too. Several spans are one answer.
    """
    if path.endswith((".json", ".json.gz", ".json.xz")):
        texts = whole_object(path)
        for name in texts.values:
            text = texts.row(name)
            for qa in text.rows("qa_pairs"):
                yield _drop_item(qa, text.text("passage"), _drop_answer(qa.row("answer")))
        return
    for row in rows(path):
        spans = row.row("answers_spans").texts("spans")
        yield _drop_item(row, row.text("passage"), spans[0] if len(set(spans)) == 1 else ", ".join(spans))


def _drop_answer(answer: Row) -> str:
    if answer.optional("number"):
        return answer.text("number")
    if answer.has("spans") and answer.texts("spans"):
        return ", ".join(answer.texts("spans"))
    date = answer.row("date") if answer.has("date") else answer
    return " ".join(part for part in map(date.optional, ("day", "month", "year")) if part)


def _drop_item(qa: Row, text: str, answer: str) -> Item | Dropped:
    if not answer.strip():
        return Dropped("no answer given")
    question = Question(id=f"drop-{qa.text('query_id')}", text=qa.text("question"))
    return Item(question.id, question, answers=(answer,), gold=(passage(text, prefix="drop"),))


# ── NarrativeQA ──────────────────────────────────────────────────────────────────────────────────────


def narrativeqa(path: str) -> Iterator[Item | Dropped]:
    """Yield NarrativeQA over summaries: `qaps.csv`.

    `summaries.csv` lies beside it or in third_party/wikipedia, as in the official repository. Hub rows
    (`document.summary.text, question.text, answers[].text`) are read too. The sets `valid` and `test` of
    the CSV are left out.
    """
    if path.endswith((".csv", ".csv.gz", ".csv.xz")):
        summaries = {row.text("document_id"): row.text("summary") for row in rows(_summaries(path))}
        for row in rows(path):
            yield _narrative_row(row, summaries)
        return
    for row in rows(path):
        document = row.row("document")
        question = row.row("question").text("text")
        name = f"narrativeqa-{document.text('id')}-{row.place}"
        answers = tuple(answer.text("text") for answer in row.rows("answers"))
        yield _narrative_item(Question(name, question), answers, document.row("summary").text("text"))


def _summaries(path: str) -> str:
    folder = Path(path).parent
    name = Path(path).name.replace("qaps", "summaries")
    beside, official = folder / name, folder / "third_party" / "wikipedia" / name
    return str(beside if beside.exists() else official)


def _narrative_row(row: Row, summaries: Mapping[str, str]) -> Item | Dropped:
    if row.text("set") != "train":
        return Dropped(f"belongs to the set {row.text('set')}")
    document = row.text("document_id")
    if document not in summaries:
        raise row.error(f"found document {document!r}, which summaries.csv lacks")
    answers = tuple(dict.fromkeys(row.text(name).strip() for name in ("answer1", "answer2")))
    question = Question(f"narrativeqa-{document}-{row.place}", row.text("question"))
    return _narrative_item(question, answers, summaries[document])


def _narrative_item(question: Question, answers: tuple[str, ...], summary: str) -> Item:
    return Item(
        question.id, question, answers=answers, gold=(passage(summary.strip(), prefix="narrativeqa"),)
    )


# ── NewsQA ───────────────────────────────────────────────────────────────────────────────────────────


def newsqa(path: str) -> Iterator[Item | Dropped]:
    """Yield NewsQA: `data[].{storyId, text, type, questions[].{q, consensus}}`, the combined JSON file.

    `consensus` has the span (`s`, `e`) that the crowd agreed on, `noAnswer` or `badQuestion`.
    """
    for story in rows(path):
        if story.optional("type") not in ("", "train"):
            yield Dropped(f"belongs to the set {story.text('type')}")
            continue
        for number, qa in enumerate(story.rows("questions")):
            yield _news_item(story, number, qa)


def _news_item(story: Row, number: int, qa: Row) -> Item | Dropped:
    agreed = qa.row("consensus")
    if agreed.values.get("badQuestion"):
        return Dropped("bad question")
    question = Question(f"newsqa-{story.text('storyId')}-{number}", qa.text("q"))
    gold = (passage(story.text("text").strip(), prefix="newsqa"),)
    if agreed.values.get("noAnswer"):
        return Item(question.id, question, target=UNANSWERABLE, gold=gold, answerable=False)
    start, end = agreed.values.get("s"), agreed.values.get("e")
    if not isinstance(start, int) or not isinstance(end, int):
        return Dropped("no span agreed on")
    answer = story.text("text")[start:end].strip().rstrip(",.;:")
    return Item(question.id, question, answers=(answer,), gold=gold) if answer else Dropped("empty span")


# ── TAT-QA ───────────────────────────────────────────────────────────────────────────────────────────

_TATQA_STYLES: dict[str, Style] = {"arithmetic": "number", "count": "number"}


def tatqa(path: str) -> Iterator[Item | Dropped]:
    """Yield TAT-QA: `[{table.table, paragraphs[].{order, text}, questions[]}]`.

    A question is `{uid, question, answer, answer_type, scale}`. The whole context (table rows joined by
    ` | `, then the paragraphs) is one passage. The part of an item is its answer type; the paper's
    "arithmetic" is `arithmetic` and `count`, its "others" the rest.
    """
    for report in rows(path):
        lines = [
            " | ".join(map(str, cells)) for cells in _table(report) if any(str(c).strip() for c in cells)
        ]
        paragraphs = sorted(report.rows("paragraphs"), key=lambda row: int(row.text("order")))
        context = passage("\n".join([*lines, *(row.text("text") for row in paragraphs)]), prefix="tatqa")
        for qa in report.rows("questions"):
            kind = qa.text("answer_type")
            style = _TATQA_STYLES.get(kind, "span_or_full")
            asked = " ".join(qa.text("question").split())
            question = Question(f"tatqa-{qa.text('uid')}", asked, style=style)
            answer = with_scale(_tatqa_answer(qa), qa.optional("scale"))
            yield Item(question.id, question, answers=(answer,), gold=(context,), part=kind)


def with_scale(answer: str, scale: str) -> str:
    """Return a TAT-QA answer with its scale (`thousand`, `million`, `billion`, `percent`) where it has one.

    Nothing in the paper says so; without the scale the number would be wrong. Double spaces and a comma at
    the end, which some answers have, go.
    """
    answer = " ".join(answer.split()).rstrip(" ,")
    if not scale or scale.rstrip("s") in answer or (scale == "percent" and "%" in answer):
        return answer
    return f"{answer}%" if scale == "percent" else f"{answer} {scale}"


def _table(report: Row) -> list[list[object]]:
    lines = report.row("table").items("table")
    if not all(isinstance(cells, list) for cells in lines):
        raise report.error("found a table that is not a list of lists")
    return [list(cells) for cells in lines if isinstance(cells, list)]


def _tatqa_answer(qa: Row) -> str:
    answer = qa.values.get("answer")
    return ", ".join(map(str, answer)) if isinstance(answer, list) else qa.text("answer")
