"""Draw questions of which a retrieved passage holds an answer, for a set that settings are chosen on.

    python tools/answerable.py QUESTIONS... --run FILE --corpus FILE... -n 500 --out FILE [--without FILE]

QUESTIONS are JSON lines with question and answers; the run is what `rankrag search` found for them. The
others say nothing of a ranking, so to rank their passages would be work for nothing. `--without` takes away
the questions of other such files and of blends (`examples.jsonl`): a development set must be in no training.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence

from rankrag.data.matching import contains_answer, squash
from rankrag.data.mining import Mined, Search
from rankrag.files import read_records, write_records

Record = dict[str, object]


def asked(path: str) -> Iterator[str]:
    """Yield the questions of a file of questions or of examples, reduced to letters and digits."""
    for _, record in read_records(path):
        one = record["question"]
        yield squash(str(one["text"] if isinstance(one, dict) else one))


def free(files: Sequence[str], without: Sequence[str]) -> list[Record]:
    """Return the questions with answers that are in none of the files `without`."""
    taken = {question for path in without for question in asked(path)}
    records = [record for path in files for _, record in read_records(path)]
    return [one for one in records if one["answers"] and squash(str(one["question"])) not in taken]


def answerable(asked_for: Sequence[Record], search: Search) -> list[Record]:
    """Return the questions of which one of the passages found holds an answer."""
    mined = Mined(search, [str(one["id"]) for one in asked_for])
    kept = []
    for one in asked_for:
        answers = [str(answer) for answer in one["answers"]]  # type: ignore[attr-defined]
        if any(contains_answer(hit.text, answers) for hit in mined.hits(str(one["id"]))):
            kept.append({name: one[name] for name in ("id", "question", "answers")})
    return kept


def arguments(description: str | None) -> argparse.Namespace:
    """Return what the command line asks for: questions, a run with its corpus, and how many to draw."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", nargs="+")
    parser.add_argument("--run", required=True)
    parser.add_argument("--corpus", nargs="+", required=True, help="what the run searched")
    parser.add_argument("-k", type=int, default=20, help="passages of a question that count")
    parser.add_argument("-n", type=int, required=True, help="questions to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", action="append", default=[], metavar="FILE")
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def draw(records: Sequence[Record], chosen: argparse.Namespace) -> list[Record]:
    """Return as many of the records as were asked for, or all, in an order by the seed."""
    return random.Random(chosen.seed).sample(records, min(chosen.n, len(records)))


def searched(chosen: argparse.Namespace) -> Search:
    """Return the search whose run was named."""
    return Search("", "", tuple(chosen.corpus), chosen.run, chosen.k, done=True)


def main() -> None:
    """Run what the command line asks for."""
    chosen = arguments(__doc__)
    kept = answerable(free(chosen.questions, chosen.without), searched(chosen))
    drawn = draw(kept, chosen)
    write_records(chosen.out, drawn)
    print(json.dumps({"answerable": len(kept), "drawn": len(drawn)}))


if __name__ == "__main__":
    main()
