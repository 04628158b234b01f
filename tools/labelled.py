"""Label what was retrieved for questions whose answers are known, for `rankrag calibrate --pairs`.

    python tools/labelled.py QUESTIONS... --run FILE --corpus FILE... -n 200 --out FILE [--without FILE]

A passage is relevant if it holds an accepted answer, which is what answer-R@k counts. Questions of which no
passage does stay: their share is part of what a relevance means in use. QUESTIONS, the run and `--without`
are those of `tools/answerable.py`; draw from questions that no result is reported on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence

from answerable import Record, asked
from rankrag.data.matching import contains_answer, squash
from rankrag.data.mining import Mined, Search
from rankrag.formats import read_records, write_records


def labelled(records: Sequence[Record], search: Search) -> Iterator[Record]:
    """Yield each question with its retrieved passages, in their order, marked `relevant` or not."""
    mined = Mined(search, [str(one["id"]) for one in records])
    for one in records:
        answers = [str(answer) for answer in one["answers"]]  # type: ignore[attr-defined]
        passages = [
            {
                "id": hit.id,
                "title": hit.title,
                "text": hit.text,
                "relevant": contains_answer(hit.text, answers),
            }
            for hit in mined.hits(str(one["id"]))
        ]
        yield {"id": one["id"], "question": one["question"], "passages": passages}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", nargs="+")
    parser.add_argument("--run", required=True)
    parser.add_argument("--corpus", nargs="+", required=True, help="what the run searched")
    parser.add_argument("-k", type=int, default=20, help="passages of a question")
    parser.add_argument("-n", type=int, required=True, help="questions to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", action="append", default=[], metavar="FILE")
    parser.add_argument("--out", required=True)
    chosen = parser.parse_args()
    taken = {question for path in chosen.without for question in asked(path)}
    every = (record for path in chosen.questions for _, record in read_records(path))
    free = [one for one in every if one["answers"] and squash(str(one["question"])) not in taken]
    drawn = random.Random(chosen.seed).sample(free, min(chosen.n, len(free)))
    search = Search("", "", tuple(chosen.corpus), chosen.run, chosen.k, done=True)
    found = [one for one in labelled(drawn, search) if one["passages"]]
    write_records(chosen.out, found)
    labels = [passage["relevant"] for one in found for passage in one["passages"]]  # type: ignore[attr-defined]
    print(json.dumps({"questions": len(found), "pairs": len(labels), "relevant": sum(labels)}))


if __name__ == "__main__":
    main()
