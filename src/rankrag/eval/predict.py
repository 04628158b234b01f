"""Ask a system every question of a sample, and write what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

from ..errors import InvalidInputError
from ..types import Answer, Question
from .answers import AnswerFile
from .gold import GoldQuestion

Ask = Callable[[Question], Answer]
"""A system: from a question to its finished answer."""

Outcome = Answer | str
"""An answer, or the reason why a question was refused."""

Answers = Callable[[Sequence[Question]], Iterable[Outcome]]
"""A system that is asked many questions: yields what it found, in their order."""


def predict(
    items: Sequence[GoldQuestion], answers: Answers, file: AnswerFile, report: Callable[[int, int], None]
) -> int:
    """Ask what has no answer on file yet; return how many questions of all could not be asked, ever.

    A question that the system refuses as input (one that does not fit the model) is written as failed and
    scored zero, and not asked again: the same system would refuse it again. Any other error stops the work,
    which goes on from there when it is called again.
    """
    waiting = [item.question for item in items if item.question.id not in file.done]
    before = len(items) - len(waiting)
    report(before, len(items))
    for done, (question, outcome) in enumerate(zip(waiting, answers(waiting), strict=True), before + 1):
        if isinstance(outcome, Answer):
            file.add(outcome)
        else:
            file.fail(question, outcome)
        report(done, len(items))
    return len(file.failed & {item.question.id for item in items})


def asked(ask: Ask, question: Question) -> Outcome:
    """Return the answer to a question, or why it was refused."""
    try:
        return ask(question)
    except InvalidInputError as refusal:
        return str(refusal)


def in_threads(ask: Ask, parallel: int, questions: Sequence[Question]) -> Iterator[Outcome]:
    """Yield what a system of this process gives, `parallel` questions at a time.

    More than one pays where the system is a server elsewhere.
    """
    if parallel == 1:
        yield from map(partial(asked, ask), questions)
        return
    with ThreadPoolExecutor(parallel) as pool:
        rest = iter(questions)
        # A few ahead of the writer are enough: an interruption then loses little.
        running = [pool.submit(asked, ask, question) for question in islice(rest, parallel)]
        try:
            while running:
                outcome = running.pop(0).result()
                running += [pool.submit(asked, ask, following) for following in islice(rest, 1)]
                yield outcome
        finally:
            for future in running:
                future.cancel()
