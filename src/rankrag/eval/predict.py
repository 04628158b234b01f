"""Ask a system every question of a sample, and write what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from ..errors import InvalidInputError
from ..types import Answer, Question
from .answers import AnswerFile
from .benchmark import Item

Ask = Callable[[Question], Answer]
"""A system: from a question to its finished answer."""

Report = Callable[[int, int], None]
"""Told how many of how many questions are done."""


def predict(items: Sequence[Item], ask: Ask, file: AnswerFile, report: Report, parallel: int = 1) -> int:
    """Ask what has no answer on file yet; return how many questions of all could not be asked, ever.

    A question that the system refuses as input (one that does not fit the model) is written as failed and
    scored zero, and not asked again: the same system would refuse it again. Any other error stops the work,
    which goes on from there when it is called again.
    `parallel` questions are asked at a time: it pays where the system is a server elsewhere.
    """
    waiting = [item.question for item in items if item.question.id not in file.done]
    before = len(items) - len(waiting)
    report(before, len(items))
    for done, (question, found) in enumerate(_answers(waiting, ask, parallel), before + 1):
        if isinstance(found, Answer):
            file.add(found)
        else:
            file.fail(question, found)
        report(done, len(items))
    return len(file.failed & {item.question.id for item in items})


def _answers(
    questions: Sequence[Question], ask: Ask, parallel: int
) -> Iterator[tuple[Question, Answer | str]]:
    """Yield each question with its answer, or with the reason why it was refused, in order."""

    def one(question: Question) -> Answer | str:
        try:
            return ask(question)
        except InvalidInputError as refusal:
            return str(refusal)

    if parallel == 1:
        yield from ((question, one(question)) for question in questions)
        return
    with ThreadPoolExecutor(parallel) as pool:
        rest = iter(questions)
        # A few ahead of the writer are enough: an interruption then loses little.
        running = [(question, pool.submit(one, question)) for question in islice(rest, parallel)]
        try:
            while running:
                question, future = running.pop(0)
                found = future.result()
                running += [(following, pool.submit(one, following)) for following in islice(rest, 1)]
                yield question, found
        finally:
            for _, future in running:
                future.cancel()
