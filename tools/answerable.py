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
from rankrag.formats import read_records, write_records

Record = dict[str, object]


def asked(path: str) -> Iterator[str]:
    """Yield the questions of a file of questions or of examples, reduced to letters and digits."""
    for _, record in read_records(path):
        one = record["question"]
        yield squash(str(one["text"] if isinstance(one, dict) else one))


def answerable(files: Sequence[str], search: Search, taken: set[str]) -> list[Record]:
    """Return the questions, not taken, of which one of the passages found holds an answer."""
    records = [record for path in files for _, record in read_records(path)]
    asked_for = [one for one in records if one["answers"] and squash(str(one["question"])) not in taken]
    mined = Mined(search, [str(one["id"]) for one in asked_for])
    kept = []
    for one in asked_for:
        answers = [str(answer) for answer in one["answers"]]  # type: ignore[attr-defined]
        if any(contains_answer(hit.text, answers) for hit in mined.hits(str(one["id"]))):
            kept.append({name: one[name] for name in ("id", "question", "answers")})
    return kept


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", nargs="+")
    parser.add_argument("--run", required=True)
    parser.add_argument("--corpus", nargs="+", required=True, help="what the run searched")
    parser.add_argument("-k", type=int, default=20, help="passages of a question that count")
    parser.add_argument("-n", type=int, required=True, help="questions to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", action="append", default=[], metavar="FILE")
    parser.add_argument("--out", required=True)
    chosen = parser.parse_args()
    taken = {question for path in chosen.without for question in asked(path)}
    search = Search("", "", tuple(chosen.corpus), chosen.run, chosen.k, done=True)
    kept = answerable(chosen.questions, search, taken)
    drawn = random.Random(chosen.seed).sample(kept, min(chosen.n, len(kept)))
    write_records(chosen.out, drawn)
    print(json.dumps({"answerable": len(kept), "drawn": len(drawn)}))


if __name__ == "__main__":
    main()
