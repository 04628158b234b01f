"""Ask questions whose answers are known, with and without ranking, and count what came back.

A first look, not an evaluation: exact match and containment after the usual normalisation, whether an
answer was among the passages, and the seconds of each step.

    python benchmarks/ask.py --index wiki.index --questions triviaqa.jsonl.xz --count 20
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
from collections.abc import Sequence
from statistics import mean

import rankrag
from rankrag import files, formats
from rankrag.types import Answer, Hit, Question


def main() -> None:
    """Ask, print a line for each question and the means."""
    options = _options()
    items = _sample(options.questions, options.count)
    rag = rankrag.load(options.index, model=options.model, retrieve_k=options.retrieve_k)
    plain = rankrag.load(options.index, model=options.model, retrieve_k=options.retrieve_k, ranking=False)
    rows = []
    for number, (question, gold) in enumerate(items, 1):
        row = {"ranked": _row(rag.ask(question), gold), "unranked": _row(plain.ask(question), gold)}
        rows.append(row)
        if options.output == "text":
            texts = " | ".join(f"{name}: {values['text']!r}" for name, values in row.items())
            print(f"{number:3} {question.text}\n    {texts}", flush=True)
    for name in ("ranked", "unranked"):
        means = {key: round(mean(float(row[name][key]) for row in rows), 3) for key in _MEASURED}
        print(json.dumps({"system": name, "questions": len(rows), **means}))


_MEASURED = ("em", "contains", "hit_retrieved", "hit_read", "rank_s", "generate_s", "cite_s", "citations")


def _row(answer: Answer, gold: Sequence[str]) -> dict[str, str | float]:
    return {
        "text": answer.text,
        "em": _normal(answer.text) in {_normal(text) for text in gold},
        "contains": _holds(answer.text, gold),
        "hit_retrieved": _found(answer.retrieved, gold),
        "hit_read": _found(answer.ranked[: answer.read_k], gold),
        "citations": len(answer.citations),
        **{f"{step}_s": answer.timings_s[step] for step in ("rank", "generate", "cite")},
    }


def _sample(path: str, count: int) -> list[tuple[Question, list[str]]]:
    """Return a fixed sample of questions with their accepted answers, asked for in a short phrase."""
    found = []
    for number, record in files.read_records(path):
        answers = record.get("answers")
        if isinstance(answers, list) and answers:
            question = formats.question(path, number, record | {"style": "phrase"})
            found.append((question, [str(answer) for answer in answers]))
    return random.Random(0).sample(found, min(count, len(found)))


def _found(hits: Sequence[Hit], gold: Sequence[str]) -> bool:
    return any(_holds(f"{hit.passage.title} {hit.passage.text}", gold) for hit in hits)


def _holds(text: str, gold: Sequence[str]) -> bool:
    return any(f" {_normal(answer)} " in f" {_normal(text)} " for answer in gold if _normal(answer))


def _normal(text: str) -> str:
    """Return a text as SQuAD's official script compares it: no case, punctuation, articles, extra spaces."""
    bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--index", required=True)
    parser.add_argument("--questions", required=True, help="JSON lines with question and answers")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--retrieve-k", type=int, default=30)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return parser.parse_args()


if __name__ == "__main__":
    main()
