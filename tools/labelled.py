"""Label what was retrieved for questions whose answers are known, for `rankrag calibrate --pairs`.

    python tools/labelled.py QUESTIONS... --run FILE --corpus FILE... -n 200 --out FILE [--without FILE]

A passage is relevant if it holds an accepted answer, which is what answer-R@k counts. Questions of which no
passage does stay: their share is part of what a relevance means in use. QUESTIONS, the run and `--without`
are those of `tools/answerable.py`; draw from questions that no result is reported on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from answerable import Record, arguments, draw, free, searched
from rankrag.data.matching import contains_answer
from rankrag.data.mining import Mined, Search
from rankrag.files import write_records


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
    chosen = arguments(__doc__)
    drawn = draw(free(chosen.questions, chosen.without), chosen)
    found = [one for one in labelled(drawn, searched(chosen)) if one["passages"]]
    write_records(chosen.out, found)
    labels = [passage["relevant"] for one in found for passage in one["passages"]]  # type: ignore[attr-defined]
    print(json.dumps({"questions": len(found), "pairs": len(labels), "relevant": sum(labels)}))


if __name__ == "__main__":
    main()
