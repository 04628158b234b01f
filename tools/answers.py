"""Publish the answers behind a report without the text of anybody's data, and put the text back.

    python tools/answers.py pack OUT FILE.jsonl.xz
    python tools/answers.py unpack FILE.jsonl.xz OUT --data-root DATA --index DIR [--index DIR ...]

`pack` keeps what `rankrag eval predict` wrote into OUT: what each system answered, found, ranked and cited,
by id, in the files' own order, and the facts of each folder without paths of a machine. `unpack` takes
questions from the data and passages from the indexes, after which `rankrag eval score`, `report` and more
`predict` go on in OUT as if it had never been away.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankrag import prompts
from rankrag.eval.answers import ANSWERS, FACTS, PASSAGES
from rankrag.eval.benchmarks import BENCHMARKS
from rankrag.eval.load import load_benchmark
from rankrag.formats import passage_record
from rankrag.index.stores.by_name import open_store
from rankrag.types import Question

if TYPE_CHECKING:
    from rankrag.index.stores.store import Store

Record = dict[str, object]


def packed(out: Path) -> Iterator[Record]:
    """Yield a line with the facts of each folder of answers, then a line for each of its answers."""
    for place in sorted(out.rglob(FACTS)):
        facts = json.loads(place.read_text(encoding="utf-8"))
        yield {"folder": place.parent.relative_to(out).as_posix(), "facts": facts | {"path": ""}}
        for line in (place.parent / ANSWERS).read_text(encoding="utf-8").splitlines():
            yield _without_text(json.loads(line))


def _without_text(answer: Record) -> Record:
    """Return an answer without its question; of a citation's source only the file's name."""
    kept = {name: value for name, value in answer.items() if name not in ("question", "query")}
    if cited := answer.get("citations"):
        kept["citations"] = [one | {"source": Path(one["source"]).name} for one in cited]  # type: ignore[attr-defined]
    return kept


def unpack(file: Path, out: Path, data_root: Path, indexes: Sequence[Path]) -> None:
    """Write the folders of a packed file below `out`, which must not hold any of them yet."""
    stores = [open_store(place) for place in indexes]
    questions: dict[str, Question] = {}
    folder, answers = Path(), list[Record]()
    with lzma.open(file, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if "facts" in record:
                _finish(folder, answers, stores)
                folder, answers = out / record["folder"], []
                folder.mkdir(parents=True)
                (folder / FACTS).write_text(json.dumps(record["facts"], indent=1) + "\n", encoding="utf-8")
                questions = _questions(record["facts"], data_root)
            else:
                asked = questions[record["id"]]
                query = {} if "failed" in record else {"query": prompts.search_query(asked)}
                answers.append({"id": record["id"], "question": asked.text} | query | record)
    _finish(folder, answers, stores)


def _questions(facts: Mapping[str, str], data_root: Path) -> dict[str, Question]:
    name = facts["benchmark"] if facts["benchmark"] in BENCHMARKS else facts["file"]
    return {item.question.id: item.question for item in load_benchmark(name, data_root).questions}


def _finish(folder: Path, answers: Sequence[Record], stores: Iterable[Store]) -> None:
    """Write a folder's answers and the texts of all passages that they name."""
    if not answers:
        return
    wanted = dict.fromkeys(hit["id"] for one in answers for hit in one.get("retrieved", ()))  # type: ignore[attr-defined]
    texts = {name: one for store in stores for name, one in store.passages(wanted).items()}
    if lacking := [name for name in wanted if name not in texts]:
        raise SystemExit(
            f"{folder}: found no passage {lacking[0]} in any index, wanted the report's own corpus"
        )
    known = (passage_record(texts[name]) for name in wanted)
    _write(folder / PASSAGES, known)
    _write(folder / ANSWERS, answers)


def _write(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ways = parser.add_subparsers(dest="way", required=True)
    packing, unpacking = ways.add_parser("pack"), ways.add_parser("unpack")
    packing.add_argument("out", type=Path)
    packing.add_argument("file", type=Path)
    unpacking.add_argument("file", type=Path)
    unpacking.add_argument("out", type=Path)
    unpacking.add_argument("--data-root", type=Path, required=True)
    unpacking.add_argument("--index", type=Path, action="append", required=True)
    chosen = parser.parse_args()
    if chosen.way == "unpack":
        unpack(chosen.file, chosen.out, chosen.data_root, chosen.index)
        return
    with lzma.open(chosen.file, "wt", encoding="utf-8", preset=9) as lines:
        for record in packed(chosen.out):
            lines.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
