"""Conversations: ChatRAG-Bench, Doc2Dial, TopiOCQA, INSCIT."""

from __future__ import annotations

import ast
import csv
import hashlib
from collections.abc import Iterator, Sequence

from ... import files
from ...errors import FormatError
from ...files import Row
from ...prompts import UNANSWERABLE
from ...types import Passage, Question, Turn
from ..benchmarks import Benchmark
from ..gold import Gold, GoldQuestion, LeftOut
from .json_fields import alternating, array, objects


def chatrag(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield ChatRAG-Bench: an array of `{messages, answers, ctxs}`.

    See huggingface.co/datasets/nvidia/ChatRAG-Bench. Turns of a conversation begin with the same words, which
    makes the unit. The stock sentence that the benchmark adds to INSCIT's gold answers is left out, as in the
    paper's scores; where it stands alone the turn has no answer. `ctxs` are the candidates; gold is the one
    that `ground_truth_ctx` repeats, where a file has it.
    """
    for row in array(path):
        turns = _messages(row)
        if not turns or turns[-1].role != "user":
            raise row.error("found no messages that end with the user's, wanted a question")
        answers = _chatrag_answers(row)
        answerable = any(not _is_refusal(text) for text in answers)
        said = tuple(text for text in answers if not _is_refusal(text))
        name = str(row.values.get("id") or f"chatrag-{row.place}")
        question = Question(name, turns[-1].text, turns[:-1], benchmark.style)
        candidates = _candidates(row)
        gold = Gold(said, _named_gold(row, candidates), answerable)
        unit, topic = f"conversation {turns[0].text}", str(row.values.get("topic") or "")
        yield GoldQuestion(question, gold, unit, candidates, topic) if answers else LeftOut("no gold answer")


def _candidates(row: Row) -> tuple[Passage, ...]:
    """Return the passages of `ctxs`; one that comes with several questions has the same id everywhere."""
    by_name: dict[str, Passage] = {}
    for record in row.any_rows("ctxs"):
        title, text = str(record.values.get("title") or "").strip(), record.stripped("text")
        name = hashlib.sha1(f"{title}\n{text}".encode(), usedforsecurity=False).hexdigest()[:16]
        by_name.setdefault(name, Passage(f"chatrag-{name}", text, title))
    return tuple(by_name.values())


def _named_gold(row: Row, candidates: Sequence[Passage]) -> frozenset[str]:
    truth = row.values.get("ground_truth_ctx")
    text = str(truth.get("ctx") or "").strip() if isinstance(truth, dict) else ""
    return frozenset(passage.id for passage in candidates if passage.text == text)


def _messages(row: Row) -> tuple[Turn, ...]:
    turns = []
    for message in row.any_rows("messages"):
        role = message.stripped("role")
        if role not in ("user", "assistant"):
            raise row.error(f"found a message of {role!r}, wanted user or assistant")
        turns.append(Turn("user" if role == "user" else "assistant", message.stripped("content")))
    return tuple(turns)


def _chatrag_answers(row: Row) -> list[str]:
    value = row.values.get("answers")
    if isinstance(value, dict):  # SQuAD's shape, {"text": [...]}, stands in some of its files
        return Row(row.path, row.place, value).any_texts("text")
    return row.any_texts("answers") or row.any_texts("answer")


def _is_refusal(text: str) -> bool:
    return text.strip().startswith(UNANSWERABLE.split(".")[0] + ".") and "cannot find" in text


def doc2dial(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield Doc2Dial's csv for reading comprehension: turns newest first, between tabs.

    Answers are as Python writes them; ids are the dialogue's, an underscore and the turn's number.
    """
    with files.open_text(path) as stream:
        for place, values in enumerate(csv.DictReader(stream), 2):
            row = Row(path, place, dict(values))
            newest, *before = [_speaker(row, part) for part in row.stripped("question").split("\t")]
            name = f"doc2dial-{row.stripped('id')}"
            answers = tuple(text.strip() for text in _literal(row, "answers"))
            question = Question(name, newest.text, tuple(before[::-1]), benchmark.style)
            yield GoldQuestion(question, Gold(answers), name.rpartition("_")[0])


def _speaker(row: Row, part: str) -> Turn:
    name, sign, text = part.strip().partition(":")
    if name not in ("user", "agent") or not sign:
        raise row.error(f"found the turn {part[:40]!r}, wanted it to begin with user: or agent:")
    return Turn("user" if name == "user" else "assistant", text.strip())


def _literal(row: Row, name: str) -> list[str]:
    try:
        texts = ast.literal_eval(row.stripped(name))["text"]
    except (SyntaxError, ValueError, KeyError, TypeError) as error:
        raise row.error(f"found no 'text' in {name}, wanted SQuAD's answers") from error
    return [str(text) for text in texts]


def topiocqa(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield TopiOCQA: an array of `{Conversation_no, Turn_no, Question, Answer, Context}`.

    `UNANSWERABLE` is the answer of turns that have none; further answers, where the file has them, count too.
    """
    for row in array(path):
        conversation, turn = row.values.get("Conversation_no"), row.values.get("Turn_no")
        if not isinstance(conversation, int) or not isinstance(turn, int):
            raise row.error("found no numbers in Conversation_no and Turn_no")
        name = f"topiocqa-dev-{conversation}-{turn}"
        further = [answer.stripped("Answer") for answer in row.any_rows("Additional_answers")]
        answers = list(dict.fromkeys([row.stripped("Answer"), *further]))
        said = tuple(text for text in answers if text != "UNANSWERABLE")
        history = alternating(row.any_texts("Context"))
        question = Question(name, row.stripped("Question"), history, benchmark.style)
        gold, topic = Gold(said, answerable=bool(said)), str(row.values.get("Topic") or "")
        yield GoldQuestion(question, gold, str(conversation), topic=topic)


def inscit(path: str, benchmark: Benchmark) -> Iterator[GoldQuestion | LeftOut]:
    """Yield INSCIT: `{conversation: {turns: [{context, labels: [{response}]}]}}`; every response is gold."""
    for name, dialogue in objects(path):
        seed = dialogue.values.get("seedArticle")
        topic = str(seed.get("title") or "").replace("_", " ") if isinstance(seed, dict) else ""
        for place, turn in enumerate(dialogue.any_rows("turns")):
            said = turn.any_texts("context")
            if not said:
                raise FormatError(path, dialogue.place, f"{name}: found a turn without context")
            answers = tuple(label.stripped("response") for label in turn.any_rows("labels"))
            question = Question(f"inscit-{name}-{place}", said[-1], alternating(said[:-1]), benchmark.style)
            item = GoldQuestion(question, Gold(answers), name, topic=topic)
            yield item if answers else LeftOut("no gold answer")
