"""Dolly, Self-Instruct, Unnatural Instructions, FLAN, its chains of thought, ELI5: a question, a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import amount
from ...files import Row, messages, read_lines, rows
from ...prompts import FALSE, TRUE
from ...types import Question, Turn
from ..item import Dropped, Item, dialogue


def dolly(path: str) -> Iterator[Item | Dropped]:
    """Yield Dolly 15k: `{instruction, context, response, category}`; the context follows the instruction."""
    for row in rows(path):
        asked = _joined(row.text("instruction"), row.optional("context"))
        yield _pair(f"dolly-{row.place}", asked, row.text("response"), row.optional("category"))


def self_instruct(path: str) -> Iterator[Item | Dropped]:
    """Yield Self-Instruct: `{instruction, input, output}`, or its fine-tuning file `{prompt, completion}`."""
    for row in rows(path):
        if row.has("prompt"):
            asked, reply = row.text("prompt"), row.text("completion").removesuffix("<|endoftext|>")
        else:
            asked, reply = _joined(row.text("instruction"), row.optional("input")), row.text("output")
        yield _pair(f"self_instruct-{row.place}", asked, reply)


def unnatural_instructions(path: str) -> Iterator[Item | Dropped]:
    """Yield Unnatural Instructions: `{instruction, instances[]}`.

    An instance is `{instruction_with_input, input, constraints, output}`. The constraints on the output,
    where there are any, follow the instruction; the reformulations of the full release are instances too.
    """
    for row in rows(path):
        instances = row.rows("instances") + (row.rows("reformulations") if row.has("reformulations") else [])
        for number, instance in enumerate(instances):
            asked = instance.optional("instruction_with_input")
            asked = asked or _joined(row.text("instruction"), instance.optional("input"))
            limits = instance.optional("constraints").strip()
            asked = asked if limits.lower().rstrip(".") in ("", "none") else f"{asked}\n{limits}"
            yield _pair(f"unnatural-{row.place}-{number}", asked, instance.text("output"))


def flan(path: str) -> Iterator[Item | Dropped]:
    """Yield the FLAN collection: `{inputs, targets, task}` (the hub's dumps name the task variously)."""
    for row in rows(path):
        task = row.optional("task") or row.optional("_task_name") or row.optional("task_name")
        yield _pair(f"flan-{row.place}", row.text("inputs"), row.text("targets"), task)


def flan_cot(path: str) -> Iterator[Item | Dropped]:
    """Yield FLAN's chain-of-thought TSV files: question, answer, rationale, without a header.

    The reply is the rationale, then `So the answer is X.`; the part is the task in the file's name.
    """
    task = Path(path).name.split("_train")[0]
    for line, text in read_lines(path):
        cells = [cell.replace("\\n", "\n").strip() for cell in text.split("\t")]
        if len(cells) != 3:
            problem = f"found {amount(len(cells), 'column')}, wanted 3 (question, answer, rationale)"
            raise Row(path, line, {}).error(problem)
        asked, answer, why = cells
        yield _pair(f"flan_cot-{task}-{line}", asked, f"{why}\nSo the answer is {answer}.", task)


def short_answers(path: str) -> Iterator[Item | Dropped]:
    """Yield FLAN's chains of thought with the answer alone as the reply: `{id, messages[], answer, task}`.

    They are asked as benchmarks ask: a claim (CREAK) in style `true_false`, what has options in style
    `choice`, a sum (GSM8K) in style `number`, the rest (StrategyQA) in style `phrase`.
    """
    for row in rows(path):
        name, task, answer = row.text("id"), row.optional("task"), row.text("answer").strip()
        said = dialogue(name, messages(row), task)
        if isinstance(said, Dropped):
            yield said
            continue
        asked, _, listed = said.question.text.partition("\nOptions:\n")
        options = _options(listed)
        if task == "creak" and (claim := _CLAIM.search(asked)):
            if answer not in _VERDICTS:
                raise row.error(f"found answer {answer!r} to a claim, wanted {' or '.join(_VERDICTS)}")
            question = Question(name, claim[1], style="true_false")
            yield Item(name, question, _VERDICTS[answer], part=task)
        elif options:
            letters = [letter for letter, words in options.items() if _is_option(answer, letter, words)]
            question = Question(name, asked.strip(), style="choice", options=options)
            lost = Dropped("an answer that is none of the options")
            yield Item(name, question, letters[0], part=task) if letters else lost
        else:
            question = Question(name, asked.strip(), style="number" if task == "gsm8k" else "phrase")
            yield Item(name, question, answer, part=task)


_CLAIM = re.compile(r'"(.*)"', re.DOTALL)
_VERDICTS = {"yes": TRUE, "no": FALSE}
_OPTION = re.compile(r"(?:- ?)?(?:\(([A-Z])\) ?)?(.*)")


def _options(listed: str) -> dict[str, str]:
    """Return the options of a list, by their own letters or, where they have none, by A, B, C ..."""
    matches = [
        match for line in listed.splitlines() if line.strip() and (match := _OPTION.match(line.strip()))
    ]
    return {match[1] or chr(ord("A") + n): match[2].strip() for n, match in enumerate(matches)}


def _is_option(answer: str, letter: str, words: str) -> bool:
    return answer in (f"({letter})", words, words.split(":")[0])  # "Sentence A" is said for "Sentence A: ..."


def eli5(path: str) -> Iterator[Item | Dropped]:
    """Yield ELI5: `{q_id, title, selftext, answers.{text, score}}`; the reply has the highest score."""
    for row in rows(path):
        answers = row.row("answers")
        texts, scores = answers.texts("text"), answers.items("score")
        ranked = sorted(zip(texts, scores, strict=True), key=lambda pair: -float(str(pair[1])))
        asked = _joined(row.text("title"), row.optional("selftext"))
        reply = ranked[0][0] if ranked else ""
        yield _pair(f"eli5-{row.text('q_id')}", asked, reply, row.optional("subreddit"))


def _pair(name: str, asked: str, reply: str, part: str = "") -> Item | Dropped:
    return dialogue(name, [Turn("user", asked.strip()), Turn("assistant", reply.strip())], part)


def _joined(instruction: str, given: str) -> str:
    return f"{instruction.strip()}\n{given.strip()}" if given.strip() else instruction
